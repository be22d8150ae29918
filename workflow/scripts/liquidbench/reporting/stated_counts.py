"""Parameter counts that follow from a stated architecture, by the layers' formulas alone.

They need no run and no torch. An architecture is a list of layers per part; each layer is one key with its sizes:

- ``convolution: [channels in, channels out, height, width]``; `bias: false` beside it leaves out the biases;
- ``normalisation: channels`` (a scale and a shift each);
- ``linear: [inputs, outputs]``;
- ``lstm: {inputs, units}`` and optionally ``layers`` and ``bidirectional``, as torch has it, two biases a gate;
- ``cfc: {inputs, units, backbone}`` and optionally ``projection``, the library's default mode: one backbone layer
  of inputs and state, four layers from it to the units.
"""

from collections.abc import Mapping
from typing import Any

from liquidbench.errors import InputError

PARTS = ("encoder", "core", "head")


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _convolution(sizes: list[int], bias: bool) -> int:
    inputs, outputs, height, width = sizes
    return inputs * outputs * height * width + (outputs if bias else 0)


def _lstm(inputs: int, units: int, layers: int = 1, bidirectional: bool = False) -> int:
    directions = 2 if bidirectional else 1
    total = 0
    for layer in range(layers):
        width = inputs if layer == 0 else units * directions
        total += directions * 4 * (units * (width + units) + 2 * units)
    return total


def _cfc(inputs: int, units: int, backbone: int, projection: int | None = None) -> int:
    total = _linear(inputs + units, backbone) + 4 * _linear(backbone, units)
    return total + (_linear(units, projection) if projection else 0)


def _layer(layer: Mapping[str, Any]) -> int:
    sizes = dict(layer)
    repeat = sizes.pop("times", 1)
    bias = sizes.pop("bias", True)
    ((kind, size),) = sizes.items()
    if kind == "convolution":
        return repeat * _convolution(size, bias)
    if kind == "normalisation":
        return repeat * 2 * size
    if kind == "linear":
        return repeat * _linear(*size)
    if kind == "lstm":
        return repeat * _lstm(**size)
    if kind == "cfc":
        return repeat * _cfc(**size)
    raise ValueError(f"unknown layer {kind}")


def count(architecture: Any, place: str) -> dict[str, int]:
    """Trainable parameters by part (`encoder`, `core`, `head`) and in `total`.

    Args:
        architecture: part to list of layers, and `place`: where in the paper it is stated.
        place: the file and the architecture's name, for messages.

    Raises:
        InputError: a part is missing, or a layer is none of those above.
    """
    remedy = "Give place, encoder, core and head as reporting/stated_counts.py says"
    if not isinstance(architecture, dict) or set(architecture) != {"place", *PARTS}:
        found = sorted(architecture) if isinstance(architecture, dict) else architecture
        raise InputError(place, f"found {found!r}", remedy)
    counts = {}
    for part in PARTS:
        try:
            counts[part] = sum(_layer(layer) for layer in architecture[part])
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{place}, key {part}", f"not a list of layers ({error})", remedy
            ) from None
    return {**counts, "total": sum(counts.values())}

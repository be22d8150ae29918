"""Widths that give one core as many parameters as another.

A comparison of cores says little where one has four times the parameters. A model with `match` names another; its
`units` are solved for here.
"""

from collections.abc import Callable
from typing import Any

import torch

from liquidbench.errors import InputError
from liquidbench.models.sequence_model import SequenceModel

TOLERANCE = 0.02
"""The largest difference, as a share of the parameters to match."""

MOST_UNITS = 2**17


def solve_match(
    settings: dict[str, Any],
    model: str,
    input_shape: tuple[int, ...],
    other_shape: tuple[int, ...],
    outputs: int,
) -> dict[str, Any]:
    """The settings of a run with the units of a matched model filled in.

    Nothing is computed: models are built without memory, on torch's meta device, and no random number is drawn.

    Args:
        settings: the run's, as `configuration.run_settings` gives them.
        model: its name, for messages.
        input_shape: shape of one step, as this model gets it.
        other_shape: shape of one step, as the other model gets it.
        outputs: number of logits.

    Returns:
        Settings without `match` as they are. Otherwise a copy with `architecture.core.units`, and in `match`: the
        other `model`, its `core`, and both counts, `core_parameters` (this model's) and `other_core_parameters`.

    Raises:
        InputError: no width comes within `TOLERANCE` of the other's core parameters.
    """
    if "match" not in settings:
        return settings
    wish, architecture = settings["match"], settings["architecture"]
    target = core_parameters(wish["architecture"], other_shape, outputs)

    def count(units: int) -> int:
        core = architecture["core"] | {"units": units}
        return core_parameters(architecture | {"core": core}, input_shape, outputs)

    units, found = nearest_units(count, target, least=_least_units(architecture["core"]))
    if abs(found - target) > TOLERANCE * target:
        raise InputError(
            f"configuration key models.{model}.match",
            f"no width comes within {TOLERANCE:.0%} of the {target:,} core parameters of {wish['model']}: "
            f"the nearest is {units} units with {found:,} ({found / target - 1:+.1%})",
            "Match another model, or give `units`",
        )
    return settings | {
        "architecture": architecture | {"core": architecture["core"] | {"units": units}},
        "match": {
            "model": wish["model"],
            "core": wish["architecture"]["core"],
            "core_parameters": found,
            "other_core_parameters": target,
        },
    }


def nearest_units(count: Callable[[int], int], target: int, least: int = 1) -> tuple[int, int]:
    """The width whose count is nearest to a target; of two equally near ones the smaller.

    Args:
        count: parameters by units, which must not fall.
        target: parameters to come near.
        least: the smallest width.

    Returns:
        (units, parameters).
    """
    high = least
    while high < MOST_UNITS and count(high) < target:
        high = min(2 * high, MOST_UNITS)
    low = least
    while low < high:
        middle = (low + high) // 2
        if count(middle) < target:
            low = middle + 1
        else:
            high = middle
    # `low` is the first that reaches the target; the one before it may be nearer.
    candidates = [units for units in (low - 1, low) if units >= least]
    counts = [(abs(count(units) - target), units) for units in candidates]
    _, units = min(counts)
    return units, count(units)


def core_parameters(
    architecture: dict[str, Any], input_shape: tuple[int, ...], outputs: int
) -> int:
    """Trainable parameters of a model's core, with the map behind its states if it has one."""
    with torch.device("meta"):
        model = SequenceModel(architecture, input_shape, outputs)
    return model.parameter_counts()["core"]


def _least_units(core: dict[str, Any]) -> int:
    """The fewest units that the core's wiring can have."""
    outputs = core.get("outputs") or 1
    # Two inter neurons and a command neuron beside the motor neurons: `wiring.auto_policy`.
    return outputs + 3 if core.get("wiring") == "ncp" else outputs

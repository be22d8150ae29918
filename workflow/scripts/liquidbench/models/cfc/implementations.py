"""Which code computes a CfC layer. All of it gives the same numbers, to rounding."""

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from liquidbench.errors import InputError
from liquidbench.models.cfc.recurrence import Recurrence

MODULES = {
    "reference": "recurrence",  # the plain loop, differentiated by autograd
    "portable": "portable",  # plain PyTorch, backward pass by hand
    "native": "native",  # C++, on a CPU
}
CHOICES = ("auto", *MODULES)

# The fastest first.
_BY_DEVICE = {"cpu": ("native", "portable", "reference")}
_ELSEWHERE = ("portable", "reference")


def run(wish: str, r: Recurrence) -> tuple[Tensor, Tensor | None, str]:
    """All states of a layer.

    Args:
        wish: one of `CHOICES`; ``auto`` takes the fastest that can.
        r: the layer and its batch.

    Returns:
        (states, cells, name): as `recurrence.run` gives them, and which implementation ran.

    Raises:
        InputError: the implementation that was asked for cannot take this layer here.
    """
    name = _fastest(r) if wish == "auto" else wish
    module = _module(name)
    if wish != "auto" and (reason := module.refuses(r)):
        raise InputError(
            "configuration key core_implementation",
            f"{wish} is asked for, but it {reason}",
            "Use auto, which takes another where it must",
        )
    # The products with the state are too small to gain from a lower precision on a CPU.
    with torch.autocast(r.inputs.device.type, enabled=False):
        return *module.run(r), name


def can_run(name: str, r: Recurrence) -> bool:
    """Whether the implementation `name` takes a layer on this machine."""
    return _module(name).refuses(r) is None


def _fastest(r: Recurrence) -> str:
    candidates = _BY_DEVICE.get(r.inputs.device.type, _ELSEWHERE)
    return next(name for name in candidates if can_run(name, r))


def _module(name: str) -> ModuleType:
    # On demand: importing torch's compilers takes time that other cores need not spend.
    return import_module(f"liquidbench.models.cfc.{MODULES[name]}")

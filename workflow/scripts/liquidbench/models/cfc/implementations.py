"""Which code computes a CfC layer. All of it gives the same numbers, to rounding."""

import sys
from dataclasses import replace
from functools import cache
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
    "triton": "triton_sweep",  # Triton, on a CUDA GPU
}
CHOICES = ("auto", *MODULES)

# The fastest first.
_BY_DEVICE = {
    "cpu": ("native", "portable", "reference"),
    "cuda": ("triton", "portable", "reference"),
}
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
    device = r.inputs.device.type
    if torch.is_autocast_enabled(device):
        r = replace(r, products=torch.get_autocast_dtype(device))
    name = _fastest(r) if wish == "auto" else wish
    module = module_of(name)
    if wish != "auto" and (reason := module.refuses(r) or works_here(module, r)):
        raise refusal(wish, reason)
    # The products with the state are too small to gain from a lower precision on a CPU. On a GPU, `products` asks.
    with torch.autocast(device, enabled=False):
        return *module.run(r), name


def _fastest(r: Recurrence) -> str:
    for name in _BY_DEVICE.get(r.inputs.device.type, _ELSEWHERE):
        module = module_of(name)
        if module.refuses(r) is None:
            problem = works_here(module, r)
            if problem is None:
                return name
            _say(f"note: the {name} CfC {problem}; another computes instead, more slowly")
    raise AssertionError("the plain loop takes every layer")


def refusal(wish: str, reason: str) -> InputError:
    """What is said of an implementation that is asked for and cannot take a layer."""
    return InputError(
        "configuration key core_implementation",
        f"{wish} is asked for, but it {reason}",
        "Use auto, which takes another where it must",
    )


def works_here(module: ModuleType, r: Recurrence) -> str | None:
    """What an implementation finds wrong with itself on this machine, or None; most do not ask."""
    return module.works_here(r) if hasattr(module, "works_here") else None


@cache
def _say(text: str) -> None:
    """To stderr, once."""
    print(text, file=sys.stderr)


def module_of(name: str) -> ModuleType:
    """The module of an implementation, with its `refuses` and `run`."""
    # On demand: importing torch's compilers takes time that other cores need not spend.
    return import_module(f"liquidbench.models.cfc.{MODULES[name]}")

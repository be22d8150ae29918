"""A trial of the Triton kernels: a small random batch, and how far its numbers are from those of the plain loop."""

from collections.abc import Callable

import torch
from torch import Tensor

from liquidbench.models.cfc import recurrence
from liquidbench.models.cfc.recurrence import Recurrence
from liquidbench.models.cfc.triton_layout import Kind

# Of what relative size, against the largest number of a result, differences from the plain loop may be.
TOLERANCES = {"ieee": 1e-5, "tf32": 2e-2, "bf16": 1e-1}

Compute = Callable[[Recurrence], tuple[Tensor, Tensor | None]]


def example(kind: Kind, device: torch.device, batch: int = 19, time: int = 4) -> Recurrence:
    """A random batch for a layer of a kind, from a random generator of its own."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        values = torch.randn(*shape, generator=generator) * scale
        return values.to(device).requires_grad_()

    heights = [*[kind.width] * kind.depth, kind.maps * kind.units]
    sizes = [kind.units, *heights[:-1]]
    elapsed = torch.rand(batch, time, generator=generator).to(device) * 2.0
    pure = kind.mode == "pure"
    return Recurrence(
        mode=kind.mode,
        activation=kind.activation,
        inputs=normal(batch, time, heights[0]),
        elapsed=elapsed if kind.timed else None,
        lengths=(torch.arange(batch) % time + 1).to(device) if kind.ragged else None,
        initial=normal(batch, kind.units),
        weights=tuple(normal(h, n, scale=n**-0.5) for h, n in zip(heights, sizes)),
        biases=tuple(normal(h) for h in heights[1:]),
        decay=normal(kind.units) if pure else None,
        asymptote=normal(kind.units) if pure else None,
        products=torch.bfloat16 if kind.precision == "bf16" else None,
    )


def errors(r: Recurrence, compute: Compute) -> dict[str, float]:
    """How far a layer's states and gradients are from the plain loop's, as a share of the largest number of each.

    Args:
        r: the layer; every tensor but lengths and elapsed times requires gradients.
        compute: an implementation's `run`.
    """
    tensors = {
        "inputs": r.inputs,
        "initial state": r.initial,
        **{f"weights {i}": weight for i, weight in enumerate(r.weights)},
        **{f"biases {i}": bias for i, bias in enumerate(r.biases)},
        "decay": r.decay,
        "asymptote": r.asymptote,
    }
    tensors = {n: tensor for n, tensor in tensors.items() if tensor is not None}
    expected, got = (_states_and_gradients(r, how, tensors) for how in (recurrence.run, compute))
    with torch.no_grad():
        without = compute(r)[0]
    return {
        name: ((b - a).abs().max() / a.abs().max().clamp_min(1e-6)).item()
        for name, a, b in (
            *zip(["states", *tensors], expected, got),
            ("states without gradients", expected[0], without),
        )
    }


def _states_and_gradients(
    r: Recurrence, compute: Compute, tensors: dict[str, Tensor]
) -> list[Tensor]:
    states, _ = compute(r)
    # Another weight for every state: a plain sum would hide exchanged ones.
    weights = torch.linspace(-1.0, 1.0, states.numel(), device=states.device)
    loss = (states * weights.view(states.shape)).sum()
    return [states.detach(), *torch.autograd.grad(loss, list(tensors.values()))]


def difference(r: Recurrence, compute: Compute, tolerance: float) -> str | None:
    """What of a layer's states and gradients differs by more than `tolerance` (see `errors`), or None."""
    for name, error in errors(r, compute).items():
        if not error <= tolerance:  # nan too
            return f"{name} differ from the plain loop's by {error:.2g} of the largest"
    return None

"""CfC layers to compare, and how far apart numbers are."""

import pytest
import torch
from torch import Tensor, nn

from liquidbench.models.cfc import implementations
from liquidbench.models.cfc.build import library
from liquidbench.models.cfc.recurrence import Recurrence

BOUND = {torch.float64: 1e-10, torch.float32: 1e-5}
"""The largest relative error that two ways to the same number may have."""


def runnable(name: str) -> str:
    """An implementation's name, where this machine can run it; else the test is skipped and says why."""
    if name == "native" and (problem := library().problem):
        pytest.skip(f"the C++ CfC {problem}")
    return name


each_implementation = pytest.mark.parametrize(
    "implementation", [name for name in implementations.MODULES if name != "triton"]
)


def relative_error(got: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value that is expected (to 1e-3, if all are smaller)."""
    assert got.shape == expected.shape and got.dtype == expected.dtype
    assert bool(torch.isfinite(got).all())
    return float((got - expected).abs().max() / expected.abs().max().clamp_min(1e-3))


def assert_close(got: dict[str, Tensor], expected: dict[str, Tensor], bound: float) -> None:
    """Every tensor within a relative error, none missing."""
    assert got.keys() == expected.keys()
    errors = {name: relative_error(got[name], expected[name]) for name in expected}
    assert max(errors.values()) < bound, errors


def recurrence(
    batch: int,
    time: int,
    units: int,
    width: int,
    depth: int,
    mode: str = "default",
    activation: str = "lecun_tanh",
    timed: bool = False,
    ragged: bool = False,
    dropout: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Recurrence:
    """A layer with random weights, inputs, first states and, if asked for, times, lengths and dropout."""
    generator = torch.Generator().manual_seed(batch + time + units + depth)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
        return drawn.to(dtype).requires_grad_()

    maps = 1 if mode == "pure" else 4 if timed else 3
    rows, columns = [width] * depth + [maps * units], [units] + [width] * depth
    lengths = torch.randint(1, time + 1, (batch,), generator=generator)
    return Recurrence(
        mode=mode,
        activation=activation,
        inputs=normal(batch, time, rows[0]),
        elapsed=3 * torch.rand(batch, time, generator=generator, dtype=dtype) if timed else None,
        lengths=lengths if ragged else None,
        initial=normal(batch, units),
        weights=tuple(normal(r, c, scale=c**-0.5) for r, c in zip(rows, columns, strict=True)),
        biases=tuple(normal(r, scale=0.3) for r in rows[1:]),
        decay=normal(units) if mode == "pure" else None,
        asymptote=normal(units) if mode == "pure" else None,
        dropout=tuple(
            (torch.rand(batch, time, width, generator=generator) > 0.3).to(dtype) / 0.7
            for _ in range(depth)
        )
        if dropout and depth
        else None,
    )


def results(r: Recurrence, run) -> dict[str, Tensor]:
    """States and cells by `run`, and the gradients of a random function of them."""
    states, cells = run(r)[:2]
    torch.manual_seed(9)
    # Not randn_like: it fills memory in order, and implementations differ in the order of their results.
    loss = (states * torch.randn(states.shape, dtype=states.dtype)).sum()
    tensors = {"inputs": r.inputs, "initial": r.initial}
    tensors |= {f"weights {i}": weight for i, weight in enumerate(r.weights)}
    tensors |= {f"biases {i}": bias for i, bias in enumerate(r.biases)}
    if r.mode == "pure":
        tensors |= {"decay": r.decay, "asymptote": r.asymptote}
    found = {"states": states.detach()}
    if r.memory is not None:
        loss = loss + (cells * torch.randn(cells.shape, dtype=cells.dtype)).sum()
        tensors |= {"memory's inputs": r.memory.inputs, "memory's weight": r.memory.weight}
        tensors |= {"cells": r.memory.initial}
        found["last cells"] = cells.detach()
    gradients = torch.autograd.grad(loss, list(tensors.values()))
    return found | {f"gradient of {name}": g for name, g in zip(tensors, gradients, strict=True)}


def read_one_by_one(module: nn.Module, x: Tensor, elapsed, lengths, state) -> tuple[Tensor, Tensor]:
    """The library's CfC over each example alone and unpadded: elapsed times act as they should only so.

    Args:
        module: an ``ncps.torch.CfC``.
        x: (batch, time, features).
        elapsed: (batch, time) or None.
        lengths: (batch,) or None.
        state: (batch, units), or a pair of those.

    Returns:
        (batch, time, outputs), zero in the padding; the last states, side by side if there are two.
    """
    outputs, last = [], []
    for i in range(len(x)):
        end = x.shape[1] if lengths is None else int(lengths[i])
        own = (
            tuple(part[i : i + 1] for part in state)
            if isinstance(state, tuple)
            else state[i : i + 1]
        )
        times = None if elapsed is None else elapsed[i : i + 1, :end, None]
        output, hidden = module(x[i : i + 1, :end], own, times)
        outputs.append(nn.functional.pad(output[0], (0, 0, 0, x.shape[1] - end)))
        last.append(torch.cat(hidden, dim=1) if isinstance(hidden, tuple) else hidden)
    return torch.stack(outputs), torch.cat(last)

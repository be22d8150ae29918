"""What a CfC layer computes from step to step, and the plain loop that every faster implementation must agree with."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MODES = ("default", "pure", "no_gate")


def lecun_tanh(x: Tensor) -> Tensor:
    """The activation 1.7159 tanh(0.666 x) (LeCun et al., 1998, with the rounded 2/3 of ncps)."""
    return 1.7159 * torch.tanh(0.666 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "lecun_tanh": lecun_tanh,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


@dataclass(frozen=True)
class Memory:
    """The LSTM of a mixed-memory CfC (Lechner and Hasani, 2020), which moves the state before the CfC does.

    Attributes:
        inputs: (batch, time, 4 units), the inputs' part of its four gates, bias included: candidate, input,
            forget, output. One is added to the forget gate.
        weight: (4 units, units), the state's part.
        initial: (batch, units), the cells' first values.
    """

    inputs: Tensor
    weight: Tensor
    initial: Tensor


@dataclass(frozen=True)
class Recurrence:
    """One CfC layer with its weights and one batch of sequences.

    With layers 0 to d (d = backbone layers), ``z_0 = inputs_t + weights[0] h`` and
    ``z_i = weights[i] activation(z_(i-1)) + biases[i-1]``. The last, z_d, holds the gates' maps one after the other,
    each `units` wide: f, g, a, b with elapsed times, f, g, a + b without, f alone in mode ``pure``.

    Attributes:
        mode: one of `MODES`.
        activation: of the backbone, a key of `ACTIVATIONS`.
        inputs: (batch, time, rows of weights[0]), the inputs' part of the first layer, bias included.
        elapsed: (batch, time), the time since the previous step, or None: every step counts as 1.
        lengths: (batch,) int64, valid steps, or None: all are.
        initial: (batch, units), the state before the first step.
        weights: d + 1 matrices: the state's part of the first layer, further layers, the gates' maps.
        biases: d vectors, of all layers but the first.
        decay: (units,), w of mode ``pure``; None in the others.
        asymptote: (units,), A of mode ``pure``; None in the others.
        dropout: None, or for each backbone layer the factors of its activations, (batch, time, width).
        memory: the LSTM of mixed memory, or None.
        products: the precision that autocast asks of products, or None: that of the operands. Only implementations
            on a GPU follow it.
    """

    mode: str
    activation: str
    inputs: Tensor
    elapsed: Tensor | None
    lengths: Tensor | None
    initial: Tensor
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    decay: Tensor | None = None
    asymptote: Tensor | None = None
    dropout: tuple[Tensor, ...] | None = None
    memory: Memory | None = None
    products: torch.dtype | None = None

    @property
    def units(self) -> int:
        """Size of the state."""
        return self.initial.shape[1]


def next_state(r: Recurrence, maps: Tensor, elapsed: Tensor | None) -> Tensor:
    """The state from the gates' maps of one step (Hasani et al., Nature Machine Intelligence 2022, equation 5).

    Args:
        r: the layer.
        maps: (batch, maps × units).
        elapsed: (batch, 1), or None.
    """
    parts = maps.split(r.units, dim=1)
    if r.mode == "pure":
        rate = r.decay.abs() + parts[0].abs()
        return (
            r.asymptote
            - r.asymptote * torch.exp(-rate if elapsed is None else -rate * elapsed) * parts[0]
        )
    f, g = torch.tanh(parts[0]), torch.tanh(parts[1])
    gate = torch.sigmoid(parts[2] if elapsed is None else parts[2] * elapsed + parts[3])
    return f + gate * g if r.mode == "no_gate" else f * (1.0 - gate) + gate * g


def remember(z: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The LSTM of mixed memory: (batch, 4 units) gates and (batch, units) cells to state and cells."""
    candidate, enter, forget, leave = z.chunk(4, dim=1)
    cell = cell * torch.sigmoid(forget + 1.0) + torch.tanh(candidate) * torch.sigmoid(enter)
    return torch.tanh(cell) * torch.sigmoid(leave), cell


def run(r: Recurrence) -> tuple[Tensor, Tensor | None]:
    """All states by the plain loop, one step after the other, differentiated by autograd.

    Returns:
        (states, cells): (batch, time, units), zero at padded steps; and with mixed memory the cells after the last
        valid step, (batch, units), else None.
    """
    activation = ACTIVATIONS[r.activation]
    state, cell = r.initial, r.memory.initial if r.memory else None
    states = []
    for t in range(r.inputs.shape[1]):
        valid = None if r.lengths is None else (t < r.lengths).unsqueeze(1)
        previous = state
        if r.memory:
            z = r.memory.inputs[:, t] + functional.linear(state, r.memory.weight)
            state, moved = remember(z, cell)
            cell = moved if valid is None else torch.where(valid, moved, cell)
        z = r.inputs[:, t] + functional.linear(state, r.weights[0])
        for i, (weight, bias) in enumerate(zip(r.weights[1:], r.biases)):
            hidden = activation(z)
            if r.dropout:
                hidden = hidden * r.dropout[i][:, t]
            z = functional.linear(hidden, weight, bias)
        state = next_state(r, z, None if r.elapsed is None else r.elapsed[:, t, None])
        states.append(state if valid is None else torch.where(valid, state, 0.0))
        if valid is not None:
            state = torch.where(valid, state, previous)
    return torch.stack(states, dim=1), cell


def refuses(r: Recurrence) -> str | None:
    """Nothing: the plain loop takes every layer."""
    return None

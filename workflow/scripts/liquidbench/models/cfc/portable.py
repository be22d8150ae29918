"""Plain PyTorch with a backward pass by hand: no compiler, any device.

Autograd records some twenty operations per step of the plain loop. Here a step is six operations forwards and four
backwards, because what does not depend on the state is done for all steps at once: the derivatives of the gates and
activations before the loop, the gradients of the weights, as large products, after it.

In mode ``default`` the state is ``f + s (g - f)``, f and g being tanh of their maps and s the sigmoid of the third.
Its derivatives by the maps are ``(1 - s)(1 - f^2)``, ``s (1 - g^2)`` and ``(g - f) s (1 - s)``: known for all steps
once the states are. Going back in time, a step only multiplies the gradient by them, and by two matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from liquidbench.models.cfc.gates import Interpolation, Solution
from liquidbench.models.cfc.memory import MemoryBackwards, MemoryForwards
from liquidbench.models.cfc.recurrence import Recurrence


def refuses(r: Recurrence) -> str | None:
    """Why this implementation cannot take a layer, or None."""
    if r.elapsed is not None and r.elapsed.requires_grad:
        return "has no gradient of elapsed times"
    return None


def run(r: Recurrence) -> tuple[Tensor, Tensor | None]:
    """All states, as `recurrence.run` gives them."""
    r = _with_constants_folded(r)
    batch, time, _ = r.inputs.shape
    order, active = None, [batch] * time
    if r.lengths is not None:
        # Longest first: at every step the sequences that still go on are the first rows.
        lengths, order = torch.sort(r.lengths, descending=True, stable=True)
        active = (lengths > torch.arange(time, device=lengths.device).unsqueeze(1)).sum(1).tolist()
    plan = _Plan(
        r.mode,
        r.activation,
        active,
        None if r.elapsed is None else _by_time(r.elapsed.to(r.inputs.dtype).unsqueeze(-1), order),
        None if r.dropout is None else [_by_time(factors, order) for factors in r.dropout],
    )
    memory = (None, None, None)
    if r.memory:
        memory = (
            _by_time(r.memory.inputs, order),
            r.memory.weight,
            _in_order(r.memory.initial, order),
        )
    states, cells = _Portable.apply(
        plan,
        _by_time(r.inputs, order),
        _in_order(r.initial, order),
        r.decay,
        r.asymptote,
        *memory,
        *r.weights,
        *r.biases,
    )
    if order is not None:
        back = torch.argsort(order)
        states = states.index_select(1, back)
        cells = None if cells is None else cells.index_select(0, back)
    return states.transpose(0, 1), cells


def _with_constants_folded(r: Recurrence) -> Recurrence:
    """lecun_tanh's factors go into the weights around it: what remains is tanh, two operations fewer per step."""
    if r.activation != "lecun_tanh" or len(r.weights) == 1:
        return r
    first, *inner, maps = r.weights
    return replace(
        r,
        activation="tanh",
        inputs=r.inputs * 0.666,
        weights=(first * 0.666, *(w * (0.666 * 1.7159) for w in inner), maps * 1.7159),
        biases=(*(bias * 0.666 for bias in r.biases[:-1]), r.biases[-1]),
    )


def _by_time(values: Tensor, order: Tensor | None) -> Tensor:
    """(batch, time, n) to dense (time, batch in order, n)."""
    values = values.transpose(0, 1)
    return values.contiguous() if order is None else values.index_select(1, order)


def _in_order(rows: Tensor, order: Tensor | None) -> Tensor:
    return rows if order is None else rows.index_select(0, order)


@dataclass(frozen=True)
class _Plan:
    """What needs no gradient: active rows per step; `elapsed` (time, batch, 1); `dropout` (time, batch, width) each."""

    mode: str
    activation: str
    active: list[int]
    elapsed: Tensor | None
    dropout: list[Tensor] | None

    def gates(self, units: int, decay: Tensor, asymptote: Tensor) -> Interpolation | Solution:
        """The last part of each step."""
        if self.mode == "pure":
            return Solution(decay, asymptote, self.elapsed)
        return Interpolation(units, self.mode == "default", self.elapsed)

    def steps(self, values: Tensor) -> Sequence[Tensor]:
        """Views of (time, batch, ...), a step each, of the rows that go on there. Made at once they cost little."""
        views = values.unbind(0)
        if self.active[-1] == values.shape[1]:
            return views
        return [view[:count] for view, count in zip(views, self.active)]

    @property
    def keeps_slopes(self) -> bool:
        """Whether the derivatives of the activations cannot be told from their values."""
        return self.dropout is not None or self.activation not in ("tanh", "relu")

    def without_padding(self, slopes: Tensor) -> Tensor:
        """Zero (time, batch, n) where a sequence has no step, in place; whatever is there, NaN too."""
        batch = slopes.shape[1]
        if self.active[-1] < batch:
            counts = torch.tensor(self.active, device=slopes.device).unsqueeze(1)
            valid = torch.arange(batch, device=slopes.device) < counts
            slopes.masked_fill_(~valid.unsqueeze(-1), 0.0)
        return slopes


class _Portable(torch.autograd.Function):
    """States (time, batch, units), and the last cells of mixed memory or None. Inputs are (time, batch, n)."""

    @staticmethod
    def forward(ctx, plan, inputs, initial, decay, asymptote, drive, memory_weight, cell, *layers):
        depth = len(layers) // 2
        weights, biases = layers[: depth + 1], layers[depth + 1 :]
        (time, batch, _), units = inputs.shape, initial.shape[1]
        # Steps that a sequence does not have stay zero, and add nothing to the products over all steps.
        new = inputs.new_empty if plan.active[-1] == batch else inputs.new_zeros
        states = new(time + 1, batch, units)
        states[0] = initial
        # What the first layer sees: the previous state, or what the memory made of it.
        before = states[:-1] if cell is None else new(time, batch, units)
        values = [new(time, batch, weight.shape[0]) for weight in weights]
        slopes = [new(v.shape) for v in values[:-1]] if plan.keeps_slopes else []
        gates = plan.gates(units, decay, asymptote)
        memory = None if cell is None else MemoryForwards(drive, memory_weight, cell, new)
        maps = [weight.t() for weight in weights]
        inputs_of = plan.steps(inputs)
        elapsed_of = [None] * time if plan.elapsed is None else plan.steps(plan.elapsed)
        previous_of, before_of = plan.steps(states[:-1]), plan.steps(before)
        state_of, values_of = plan.steps(states[1:]), [plan.steps(v) for v in values]
        slopes_of = [plan.steps(slope) for slope in slopes]
        factors_of = [plan.steps(factors) for factors in plan.dropout or ()]
        for t, count in enumerate(plan.active):
            if count == 0:
                break
            if memory is not None:
                memory.advance(t, previous_of[t], before_of[t])
            below = torch.addmm(inputs_of[t], before_of[t], maps[0], out=values_of[0][t])
            for i in range(depth):
                slope = slopes_of[i][t] if slopes_of else None
                _activate(plan.activation, below, slope, factors_of[i][t] if factors_of else None)
                below = torch.addmm(biases[i], below, maps[i + 1], out=values_of[i + 1][t])
            gates.advance(below, elapsed_of[t], out=state_of[t])
        # Every tensor goes through save_for_backward: kept otherwise, an output would keep itself alive, and a
        # change in place would go unseen.
        ctx.plan, ctx.depth = replace(plan, elapsed=None, dropout=None), depth
        ctx.keeps_slopes = plan.keeps_slopes
        remembered = (None,) * 5 if memory is None else memory.saved
        ctx.save_for_backward(
            *(plan.elapsed, before, decay, asymptote), *remembered, *weights, *values, *slopes
        )
        return states[1:], None if memory is None else memory.last

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_states, grad_cells):
        with torch.autocast(grad_states.device.type, enabled=False):
            return _Portable._backward(ctx, grad_states, grad_cells)

    @staticmethod
    def _backward(ctx, grad_states, grad_cells):
        depth = ctx.depth
        elapsed, before, decay, asymptote, *rest = ctx.saved_tensors
        remembered, rest = rest[:5], rest[5:]
        plan = replace(ctx.plan, elapsed=elapsed)
        weights, values = rest[: depth + 1], rest[depth + 1 : 2 * depth + 2]
        slopes = rest[2 * depth + 2 :]
        if not ctx.keeps_slopes:
            slopes = [_slope(plan.activation, hidden) for hidden in values[:-1]]
        gates = plan.gates(before.shape[2], decay, asymptote)
        # Gradients behind each layer. The last are the gates' derivatives until the loop multiplies them.
        grads = [
            *map(torch.zeros_like, values[:-1]),
            plan.without_padding(gates.slopes(values[-1])),
        ]
        totals = torch.zeros_like(before) if plan.mode == "pure" else None
        carried = torch.zeros_like(before[0])
        memory = None
        if grad_cells is not None:
            memory = MemoryBackwards(*remembered, grad_cells, plan.without_padding)
        given_of = plan.steps(grad_states)
        grads_of, slopes_of = [*map(plan.steps, grads)], [*map(plan.steps, slopes)]
        maps_of = plan.steps(grads[depth].unflatten(2, (-1, carried.shape[1])))
        for t in reversed(range(len(plan.active))):
            count = plan.active[t]
            if count == 0:
                continue
            grad = carried[:count].add_(given_of[t])
            if totals is not None:
                totals[t, :count] = grad
            maps_of[t].mul_(grad.unsqueeze(1))
            above = grads_of[depth][t]
            for i in range(depth, 0, -1):
                above = torch.mm(above, weights[i], out=grads_of[i - 1][t])
                above.mul_(slopes_of[i - 1][t])
            torch.mm(above, weights[0], out=grad)
            if memory is not None:
                memory.retreat(t, grad)
        below = [before, *values[:-1]]
        return (
            *[None, grads[0], carried],
            *gates.parameter_gradients(values[-1], totals),
            *((None, None, None) if memory is None else memory.gradients()),
            *(g.flatten(0, 1).t().mm(b.flatten(0, 1)) for g, b in zip(grads, below)),
            *(g.sum((0, 1)) for g in grads[1:]),
        )


def _activate(kind: str, z: Tensor, slope: Tensor | None, factors: Tensor | None) -> None:
    """z := activation(z) times the factors of dropout, in place; the derivative goes into `slope`, if there is one."""
    aten = torch.ops.aten
    if kind in ("silu", "gelu"):
        # torch's own backward formulas, of a gradient of one.
        backward = aten.silu_backward if kind == "silu" else aten.gelu_backward
        slope.copy_(backward(torch.ones_like(z), z))
    {"tanh": aten.tanh_, "relu": aten.relu_, "silu": aten.silu_, "gelu": aten.gelu_}[kind](z)
    if slope is not None and kind in ("tanh", "relu"):
        slope.copy_(_slope(kind, z))
    if factors is not None:
        z.mul_(factors)
        slope.mul_(factors)


def _slope(kind: str, value: Tensor) -> Tensor:
    """The derivative of tanh or relu from its value."""
    return 1.0 - value * value if kind == "tanh" else (value > 0).to(value.dtype)

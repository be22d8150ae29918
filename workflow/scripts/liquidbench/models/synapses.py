"""Chemical synapses of liquid time-constant networks, and the solver that they drive.

A synapse from neuron i to neuron j with potential v_i before it opens to the degree

    s_ji = sigmoid(sigma_ji (v_i - mu_ji)) = sigmoid(slope_ji v_i + offset_ji)

with slope = sigma and offset = -sigma mu (Hasani et al., "Liquid time-constant networks", AAAI 2021; Lechner et al.,
"Neural circuit policies enabling auditable autonomy", Nature Machine Intelligence 2020).
What arrives at neuron j are the two sums over i

    current_j = sum_i w_ji A_ji s_ji,    conductance_j = sum_i w_ji s_ji

which are one product of the openings and a (2, sources) matrix per target. Openings are (targets, rows, sources):
large, cheap to make and needed again in the backward pass. Both functions here make them again instead of keeping
them, so memory does not grow with them, and a graph has one node instead of dozens per step.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2**18
"""Openings at once where all rows are known beforehand: 1 MB in single precision, about a core's cache."""


def openings(potentials: Tensor, slopes: Tensor, offsets: Tensor, out: Tensor) -> Tensor:
    """How far synapses are open.

    Args:
        potentials: (rows, sources).
        slopes: (targets, sources).
        offsets: (targets, sources).
        out: (targets, rows, sources), where to put them. Fresh memory for each would cost as much as the sigmoids.

    Returns:
        `out`, between 0 and 1.
    """
    torch.addcmul(offsets.unsqueeze(1), potentials, slopes.unsqueeze(1), out=out)
    return out.sigmoid_()


class SensorySums(torch.autograd.Function):
    """What inputs send through their synapses; rows are independent and come in chunks.

    Args (of `apply`):
        potentials: (rows, sources).
        slopes, offsets: (targets, sources).
        weights: (targets, 2, sources): for the current, for the conductance.

    Returns:
        (targets, 2, rows).
    """

    @staticmethod
    def forward(ctx, potentials: Tensor, slopes: Tensor, offsets: Tensor, weights: Tensor):
        ctx.save_for_backward(potentials, slopes, offsets, weights)
        sums = potentials.new_empty(*weights.shape[:2], len(potentials))
        for rows, (opened,) in _chunks(potentials, slopes, buffers=1):
            openings(potentials[rows], slopes, offsets, out=opened)
            sums[..., rows] = torch.bmm(weights, opened.transpose(1, 2))
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients: Tensor):
        potentials, slopes, offsets, weights = ctx.saved_tensors
        to_potentials = torch.empty_like(potentials) if ctx.needs_input_grad[0] else None
        to_slopes, to_offsets = torch.zeros_like(slopes), torch.zeros_like(offsets)
        to_weights = torch.zeros_like(weights)
        for rows, (opened, inner) in _chunks(potentials, slopes, buffers=2):
            openings(potentials[rows], slopes, offsets, out=opened)
            to_sums = gradients[..., rows].contiguous()
            to_weights.baddbmm_(to_sums, opened)
            _to_inner(to_sums, weights, opened, out=inner)
            to_offsets += inner.sum(dim=1)
            to_slopes += (inner * potentials[rows]).sum(dim=1)
            if to_potentials is not None:
                torch.sum(inner.mul_(slopes.unsqueeze(1)), dim=0, out=to_potentials[rows])
        return to_potentials, to_slopes, to_offsets, to_weights


class SemiImplicitSolver(torch.autograd.Function):
    """Potentials after each step, by the semi-implicit Euler method with several unfolds per step.

    The equation is c dv/dt = current - conductance v. A step of length d takes v in the leak and in the synapses'
    driving force as it is after the step, the openings as they are before it (the fused solver,
    Hasani et al. 2021, algorithm 1):

        v' = (c v + d current) / (c + d conductance)

    With d left in the numerator nothing is divided by it: a step of no length leaves v as it is.

    Args (of `apply`):
        drives: (time, units, 2, batch): d times the sums that do not depend on v, and c added to the second.
        capacitances: (units,).
        slopes, offsets: (targets, sources) of the recurrent synapses.
        weights: (targets, 2, sources), divided by the number of unfolds.
        elapsed: (time, batch), or None: every step counts as 1. Has no gradient.
        unfolds: Euler steps for each step of the sequence.
        targets, sources: slices of the units that the recurrent synapses lead to and come from.

    Returns:
        (time, batch, units). Before the first step all potentials are 0.
    """

    @staticmethod
    def forward(
        ctx,
        drives: Tensor,
        capacitances: Tensor,
        slopes: Tensor,
        offsets: Tensor,
        weights: Tensor,
        elapsed: Tensor | None,
        unfolds: int,
        targets: slice,
        sources: slice,
    ):
        time, units, _, batch = drives.shape
        # Row n: before Euler step n. Units that no synapse leads to keep their drives throughout a step.
        potentials = drives.new_zeros(time * unfolds + 1, batch, units)
        sums = drives.repeat_interleave(unfolds, dim=0)
        v = potentials.unbind(0)
        currents, conductances = _halves(sums)
        received = sums[:, targets].unbind(0)
        factors = _factors(elapsed)
        before = potentials[..., sources].unbind(0)
        buffer = drives.new_empty(len(slopes), batch, slopes.shape[1])
        for n in range(time * unfolds):
            opened = openings(before[n], slopes, offsets, out=buffer).transpose(1, 2)
            if factors is None:
                received[n].baddbmm_(weights, opened)
            else:
                received[n].addcmul_(torch.bmm(weights, opened), factors[n // unfolds])
            numerators = torch.addcmul(currents[n], v[n], capacitances)
            torch.div(numerators, conductances[n], out=v[n + 1])
        ctx.save_for_backward(capacitances, slopes, offsets, weights, elapsed, potentials, sums)
        ctx.constants = unfolds, targets, sources
        return potentials[unfolds::unfolds].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients: Tensor):
        capacitances, slopes, offsets, weights, elapsed, potentials, sums = ctx.saved_tensors
        unfolds, targets, sources = ctx.constants
        count, batch, units = len(sums), *potentials.shape[1:]
        # Gradients of the sums, for all Euler steps: what depends on nothing else is done once at the end.
        to_sums = torch.empty_like(sums)
        to_currents, to_conductances = _halves(to_sums)
        to_received = to_sums[:, targets].unbind(0)
        conductances = _halves(sums)[1]
        negative = potentials.neg().unbind(0)
        before = potentials[..., sources].unbind(0)
        factors = _factors(elapsed)
        to_weights = torch.zeros_like(weights)
        # Summed over the batch only at the end: adding in place is much cheaper than reducing.
        inner_sum = slopes.new_zeros(len(slopes), batch, slopes.shape[1])
        inner_product = torch.zeros_like(inner_sum)
        opened, inner = torch.empty_like(inner_sum), torch.empty_like(inner_sum)
        partial = slopes.shape[1] < units
        to_v = gradients.new_zeros(batch, units)
        for n in reversed(range(count)):
            if (n + 1) % unfolds == 0:
                to_v = to_v + gradients[n // unfolds]
            torch.div(to_v, conductances[n], out=to_currents[n])
            torch.mul(to_currents[n], negative[n + 1], out=to_conductances[n])
            arrived = to_received[n]
            if factors is not None:
                arrived = arrived * factors[n // unfolds]
            openings(before[n], slopes, offsets, out=opened)
            to_weights.baddbmm_(arrived, opened)
            _to_inner(arrived, weights, opened, out=inner)
            inner_sum += inner
            inner_product.addcmul_(inner, before[n])
            through_synapses = inner.mul_(slopes.unsqueeze(1)).sum(dim=0)
            if partial:
                to_v = to_currents[n] * capacitances
                to_v[:, sources] += through_synapses
            else:
                to_v = torch.addcmul(through_synapses, to_currents[n], capacitances)
        to_drives = to_sums.unflatten(0, (-1, unfolds)).sum(dim=1)
        to_capacitances = (to_sums[:, :, 0] * potentials[:-1].transpose(1, 2)).sum(dim=(0, 2))
        return (
            to_drives,
            to_capacitances,
            inner_product.sum(dim=1),
            inner_sum.sum(dim=1),
            to_weights,
            *[None] * 4,
        )


def _halves(sums: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(steps, units, 2, batch) as two tuples of (batch, units) views: currents and conductances."""
    currents, conductances = sums.permute(2, 0, 3, 1)
    return currents.unbind(0), conductances.unbind(0)


def _factors(elapsed: Tensor | None) -> tuple[Tensor, ...] | None:
    """Per step of the sequence (batch,), what the recurrent sums are multiplied by."""
    return None if elapsed is None else elapsed.unbind(0)


def _to_inner(to_sums: Tensor, weights: Tensor, opened: Tensor, out: Tensor) -> None:
    """From gradients of sums, (targets, 2, rows), to those of what the sigmoids got, like `opened`."""
    torch.bmm(to_sums.transpose(1, 2), weights, out=out)
    torch.ops.aten.sigmoid_backward.grad_input(out, opened, grad_input=out)


def _chunks(
    potentials: Tensor, slopes: Tensor, buffers: int
) -> Iterator[tuple[slice, list[Tensor]]]:
    """Rows in parts of about `CHUNK` openings, and for each part so many (targets, rows, sources) buffers."""
    rows, synapses = len(potentials), slopes.numel()
    size = min(max(1, CHUNK // max(1, synapses)), rows)
    room = [potentials.new_empty(size * synapses) for _ in range(buffers)]
    for start in range(0, rows, size or 1):
        stop = min(start + size, rows)
        shape = len(slopes), stop - start, slopes.shape[1]
        yield (
            slice(start, stop),
            [buffer[: (stop - start) * synapses].view(shape) for buffer in room],
        )

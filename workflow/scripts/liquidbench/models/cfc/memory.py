"""The LSTM of a mixed-memory CfC (Lechner and Hasani, 2020), step by step with derivatives: for `portable.py`."""

from collections.abc import Callable

import torch
from torch import Tensor


class MemoryForwards:
    """Carries the cells through the steps.

    Args:
        drive: (time, batch, 4 units), the inputs' part of candidate, input, forget and output gate.
        weight: (4 units, units), the state's part.
        cell: (batch, units), the first cells.
        new: makes a tensor of a shape; zeros if some sequences are shorter than others.
    """

    def __init__(self, drive: Tensor, weight: Tensor, cell: Tensor, new: Callable[..., Tensor]):
        (time, batch, _), units = drive.shape, cell.shape[1]
        self.drive, self.weight, self.initial, self.units = drive, weight, cell, units
        self.gates, self.cells = new(time, batch, 4 * units), new(time, batch, units)
        self.before = new(time, batch, units)
        self.last = cell.clone()

    def advance(self, t: int, state: Tensor, out: Tensor) -> None:
        """Move the first len(state) rows; the LSTM's output goes into `out`."""
        count, units = len(state), self.units
        z = torch.addmm(self.drive[t, :count], state, self.weight.t(), out=self.gates[t, :count])
        z[:, 2 * units : 3 * units].add_(1.0)
        z[:, :units].tanh_()
        z[:, units:].sigmoid_()
        candidate, enter, forget, leave = z.split(units, dim=1)
        self.before[t, :count] = state
        cell = torch.mul(self.last[:count], forget, out=self.cells[t, :count])
        cell.addcmul_(candidate, enter)
        self.last[:count] = cell
        torch.mul(torch.tanh(cell), leave, out=out)

    @property
    def saved(self) -> tuple[Tensor, ...]:
        """What `MemoryBackwards` begins with."""
        return self.weight, self.initial, self.gates, self.cells, self.before


class MemoryBackwards:
    """Goes back through the steps, after `MemoryForwards`.

    Args:
        weight, initial, gates, cells, before: what the way forwards saved.
        grad_last: (batch, units), the gradient of the last cells.
        without_padding: zeroes (time, batch, n) where a sequence has no step.
    """

    def __init__(
        self,
        weight: Tensor,
        initial: Tensor,
        gates: Tensor,
        cells: Tensor,
        before: Tensor,
        grad_last: Tensor,
        without_padding: Callable[[Tensor], Tensor],
    ) -> None:
        self.weight, self.gates, self.before = weight, gates, before
        self.units = initial.shape[1]
        # Derivatives for all steps at once.
        candidate, enter, forget, leave = gates.split(self.units, dim=2)
        squashed = torch.tanh(cells)
        previous = torch.cat([initial.unsqueeze(0), cells[:-1]])
        self.by_output = leave * (1.0 - squashed * squashed)
        slopes = torch.cat(
            [
                enter * (1.0 - candidate * candidate),
                candidate * enter * (1.0 - enter),
                previous * forget * (1.0 - forget),
                squashed * leave * (1.0 - leave),
            ],
            dim=2,
        )
        self.slopes = without_padding(slopes)
        self.grad_cell = grad_last.clone()

    def retreat(self, t: int, grad: Tensor) -> None:
        """From the gradient of the LSTM's output at step t to that of the state before it, in place."""
        count, units = len(grad), self.units
        cell = self.grad_cell[:count].addcmul_(grad, self.by_output[t, :count])
        z = self.slopes[t, :count]
        z[:, : 3 * units].view(count, 3, units).mul_(cell.unsqueeze(1))
        z[:, 3 * units :].mul_(grad)
        cell.mul_(self.gates[t, :count, 2 * units : 3 * units])
        torch.mm(z, self.weight, out=grad)

    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of `drive`, `weight` and `cell`."""
        by_weight = self.slopes.flatten(0, 1).t().mm(self.before.flatten(0, 1))
        return self.slopes, by_weight, self.grad_cell

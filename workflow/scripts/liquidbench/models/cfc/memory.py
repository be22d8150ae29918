"""The LSTM of a mixed-memory CfC (Lechner and Hasani, 2020), step by step with derivatives: for `portable.py`."""

from collections.abc import Callable

import torch
from torch import Tensor


class MemoryLoop:
    """Carries the cells through the steps, forwards and then backwards.

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

    def begin_backwards(
        self, grad_last: Tensor, without_padding: Callable[[Tensor], Tensor]
    ) -> None:
        """Derivatives for all steps at once; `grad_last` is the gradient of the last cells."""
        candidate, enter, forget, leave = self.gates.split(self.units, dim=2)
        squashed = torch.tanh(self.cells)
        previous = torch.cat([self.initial.unsqueeze(0), self.cells[:-1]])
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

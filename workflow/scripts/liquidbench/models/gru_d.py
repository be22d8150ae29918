"""GRU-D: a gated recurrent unit that knows what was measured, and when."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class GRUDCore(nn.Module):
    """GRU with trainable decays (Che et al., "Recurrent Neural Networks for Multivariate Time Series with Missing
    Values", Scientific Reports 8, 2018).

    For each variable d and step t there are a value x, a mark m of whether it was measured (1) or not (0), and the time
    that has passed since its last measurement, d at the first step being 0:

        delta_t = elapsed_t + (1 - m_{t-1}) delta_{t-1}

    What was not measured decays from its last value x' towards the mean, which is 0 of standardised values (before any
    measurement it is there already), and the state decays too:

        x^_t = m_t x_t + (1 - m_t) exp(-max(0, w delta_t + b)) x'
        h^_{t-1} = exp(-max(0, W delta_t / variables + b')) h_{t-1}

    with a vector w and a matrix W. Both go into a gated recurrent unit with the marks as further inputs,

        r, z = sigmoid of linear maps of (x^_t, h^_{t-1}, m_t)
        h_t = (1 - z) h^_{t-1} + z tanh(A x^_t + U (r h^_{t-1}) + V m_t + c)

    whose reset gate acts before the product with U (torch's GRU has it behind) and whose update gate z lets in the new
    (torch's keeps the old). Dividing by the number of variables is not in the paper and changes no function that W can
    express; with it an optimiser's step moves the rate by as much as with a single variable.

    Times since measurements come from the marks and the elapsed times here, so steps that were taken out or zeroed
    count as what they are: nothing measured.

    Args:
        input_size: an even number: first the standardised values, anything where none was measured, then the marks.
        units: size of the state.

    Raises:
        ValueError: an odd number of features.
    """

    implementation = "own GRU-D"
    takes_elapsed = True

    def __init__(self, input_size: int, units: int) -> None:
        super().__init__()
        if input_size % 2:
            raise ValueError(
                f"GRU-D needs a value and a mark for each variable, got {input_size} features"
            )
        self.variables, self.units, self.output_size = input_size // 2, units, units
        # Reset gate, update gate, candidate; as torch's GRU, all uniform up to 1 / sqrt(units).
        self.input_map = nn.Linear(input_size, 3 * units)
        self.state_gates = nn.Linear(units, 2 * units, bias=False)
        self.state_candidate = nn.Linear(units, units, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(units**-0.5), units**-0.5)
        # Slow decays: at 0 their derivative would be 0 for ever.
        self.input_rate = nn.Parameter(torch.empty(self.variables).uniform_(0.0, 0.1))
        self.input_rate_bias = nn.Parameter(torch.zeros(self.variables))
        self.state_rate = nn.Linear(self.variables, units)
        nn.init.uniform_(self.state_rate.weight, 0.0, 0.02)
        nn.init.zeros_(self.state_rate.bias)
        self.readout = nn.Identity()

    def flops_per_step(self, timed: bool = False) -> int:
        """Two for each multiply-add of a step with a weight; elapsed times change nothing."""
        maps = (self.input_map, self.state_gates, self.state_candidate, self.state_rate)
        return 2 * sum(linear.weight.numel() for linear in maps) + 2 * self.variables

    def forward(self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None) -> Tensor:
        """States of a padded batch. A state depends on earlier steps only, so `lengths` is not needed.

        Args:
            features: (batch, time, 2 x variables), floating point: values, then marks of 0 and 1.
            elapsed: (batch, time), at least 0, or None: every step counts as 1. The first step's does not matter.
            lengths: (batch,) int64, or None.

        Returns:
            (batch, time, units), in the precision of the parameters.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self._run(features.to(self.input_rate.dtype), elapsed)

    def _run(self, features: Tensor, elapsed: Tensor | None) -> Tensor:
        values, marks = features.chunk(2, dim=2)
        passed = time_since_measured(marks, elapsed)
        decay = torch.exp(-torch.relu(self.input_rate * passed + self.input_rate_bias))
        filled = torch.where(marks > 0, values, decay * last_measured(values, marks))
        drives = self.input_map(torch.cat([filled, marks], dim=2))
        decays = torch.exp(-torch.relu(self.state_rate(passed / self.variables)))
        state = features.new_zeros(len(features), self.units)
        states = []
        for drive, kept in zip(drives.unbind(1), decays.unbind(1)):
            state = kept * state
            by_gates, by_candidate = drive.split([2 * self.units, self.units], dim=1)
            reset, update = torch.sigmoid(by_gates + self.state_gates(state)).chunk(2, dim=1)
            candidate = torch.tanh(by_candidate + self.state_candidate(reset * state))
            state = torch.lerp(state, candidate, update)
            states.append(state)
        return torch.stack(states, dim=1)


def time_since_measured(marks: Tensor, elapsed: Tensor | None) -> Tensor:
    """How long ago each variable was last measured before each step; before any measurement, how long ago the start is.

    Args:
        marks: (batch, time, variables) of 0 and 1.
        elapsed: (batch, time), or None: every step counts as 1.

    Returns:
        (batch, time, variables); 0 at the first step.
    """
    if elapsed is None:
        elapsed = marks.new_ones(marks.shape[:2])
    # A running sum from the second step on, as a product: on a GPU, torch's own is not deterministic.
    sums = marks.new_ones(marks.shape[1], marks.shape[1]).triu()
    sums[0] = 0.0
    clock = (elapsed.detach().to(marks.dtype) @ sums).unsqueeze(2)
    # The clock does not go back, so the last time is the largest.
    last = torch.where(marks > 0, clock, 0.0).cummax(dim=1).values
    before = functional.pad(last[:, :-1], (0, 0, 1, 0))
    return clock - before


def last_measured(values: Tensor, marks: Tensor) -> Tensor:
    """Each variable's last measured value up to each step, (batch, time, variables); before the first one, 0."""
    steps = torch.arange(values.shape[1], device=values.device).view(1, -1, 1)
    where = torch.where(marks > 0, steps, -1).cummax(dim=1).values
    return torch.where(where >= 0, values.gather(1, where.clamp(min=0)), 0.0)

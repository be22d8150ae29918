"""The liquid time-constant network as a sequence core."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from liquidbench.models.synapses import SemiImplicitSolver, SensorySums
from liquidbench.models.wiring import make_wiring

EPSILON = 1e-8
"""Added to every conductance, and the least capacitance: no potential is divided by 0."""

CONSTRAINTS = ("softplus", "clamp")


class Synapses(nn.Module):
    """The parameters of one set of synapses: only those that exist have any.

    Symbols of the papers are in brackets. Initial values are uniform in the ranges that ncps has.

    Args:
        polarities: (sources, targets) of 0, 1 or -1.

    Attributes:
        conductance: (synapses,) [w], at least 0.
        steepness: (synapses,) [sigma, gamma], per unit of potential.
        midpoint: (synapses,) [mu], the potential at which a synapse is half open.
        reversal: (synapses,) [A, E], the potential that it pulls its target to; at first its polarity.
        sources: the smallest slice of neurons that all synapses come from.
        targets: the same for where they lead.
    """

    def __init__(self, polarities: np.ndarray) -> None:
        super().__init__()
        self.sources = _extent(polarities.any(axis=1))
        self.targets = _extent(polarities.any(axis=0))
        inner = torch.from_numpy(polarities[self.sources, self.targets].T.copy())
        self.shape = inner.shape
        # By target, then source: the order of the parameters.
        positions = inner.flatten().nonzero().squeeze(1)
        self.register_buffer("positions", positions, persistent=False)
        count = len(positions)
        self.conductance = _uniform(count, 0.001, 1.0)
        self.steepness = _uniform(count, 3.0, 8.0)
        self.midpoint = _uniform(count, 0.3, 0.8)
        self.reversal = nn.Parameter(inner.flatten()[positions].to(self.conductance.dtype))

    def lines(self) -> tuple[Tensor, Tensor]:
        """Slopes and offsets of what the sigmoids get, each (targets, sources)."""
        return self.spread(self.steepness), self.spread(-self.steepness * self.midpoint)

    def weights(self, conductance: Tensor) -> Tensor:
        """(targets, 2, sources): what an open synapse adds to the current and to the conductance."""
        return torch.stack(
            [self.spread(conductance * self.reversal), self.spread(conductance)], dim=1
        )

    def spread(self, values: Tensor) -> Tensor:
        """(synapses,) to (targets, sources), with 0 where there is no synapse."""
        if len(values) == self.shape.numel():
            return values.view(self.shape)
        blank = values.new_zeros(self.shape.numel())
        return blank.index_copy(0, self.positions, values).view(self.shape)

    def gather(self, matrix: Tensor) -> Tensor:
        """(all sources, all targets), as ncps keeps its parameters, to (synapses,)."""
        return matrix[self.sources, self.targets].t().flatten()[self.positions]


class LTCCore(nn.Module):
    """Liquid time-constant network (Hasani et al., AAAI 2021), full or wired as a neural circuit policy.

    Neuron j has a potential v_j that its leak and its synapses drive,

        c_j dv_j/dt = g_j (E_j - v_j) + sum_i w_ji s_ji (A_ji - v_j),

    where i runs over inputs and neurons and s_ji is how far a synapse is open (`synapses.openings`). Each step of a
    sequence is `unfolds` semi-implicit Euler steps, of together the elapsed time, with constant inputs. All
    potentials start at 0. Inputs and outputs pass through an affine map per channel.

    The numbers are those of ``ncps.torch.LTC`` without mixed memory; its state dictionary loads through
    `load_ncps`. What differs: elapsed times act per example and may be 0, and synapses that the wiring leaves out
    have no parameters. Under autocast the core computes in the precision of its parameters.

    Conductances and capacitances must not be negative. Two ways are on offer:

    - ``softplus``, the default of ``ncps.torch.LTC``: the parameters are any numbers, their softplus is used. So
      conductances start between 0.69 and 1.31 instead of 0.001 and 1.
    - ``clamp``: the parameters themselves are used. What an optimiser step made negative is set to 0 when the core
      runs next (capacitances: to `EPSILON`), before anything is computed from it. That is projected gradient
      descent, which in ncps needs a call of ``apply_weight_constraints`` after every optimiser step.

    Args:
        input_size: features per step.
        units: neurons.
        unfolds: Euler steps per step, at least 1.
        constraints: ``softplus`` or ``clamp``.
        wiring: ``full`` or ``ncp``, see `wiring.make_wiring`; so are the next three.
        outputs: neurons whose potentials are the states; None: all.
        sparsity: of an ``ncp``.
        wiring_seed: of synapses and polarities. It is no run's seed: all runs of a model share its wiring.
        projection: put a linear map, outputs to outputs, behind the states. It is `readout`, for the model to
            apply; `forward` does not.

    Raises:
        ValueError: an option out of range, or a wiring that cannot be.
    """

    takes_elapsed = True
    implementation = "own LTC, with the numbers of ncps 1.0.1"

    def __init__(
        self,
        input_size: int,
        units: int,
        unfolds: int = 6,
        constraints: Literal["softplus", "clamp"] = "softplus",
        wiring: Literal["full", "ncp"] = "full",
        outputs: int | None = None,
        sparsity: float | None = None,
        wiring_seed: int | None = None,
        projection: bool = False,
    ) -> None:
        super().__init__()
        if unfolds < 1:
            raise ValueError(f"unfolds must be at least 1, got {unfolds}")
        if constraints not in CONSTRAINTS:
            raise ValueError(f"constraints must be one of {CONSTRAINTS}, got {constraints!r}")
        wired = make_wiring(wiring, input_size, units, outputs, sparsity, wiring_seed)
        self.units, self.unfolds, self.constraints = units, unfolds, constraints
        self.output_size = wired.outputs
        self.leak_conductance = _uniform(units, 0.001, 1.0)  # g
        self.leak_potential = _uniform(units, -0.2, 0.2)  # E
        self.capacitance = _uniform(units, 0.4, 0.6)  # c
        self.sensory = Synapses(wired.sensory)
        self.recurrent = Synapses(wired.recurrent)
        self.input_scale = nn.Parameter(torch.ones(input_size))
        self.input_shift = nn.Parameter(torch.zeros(input_size))
        self.output_scale = nn.Parameter(torch.ones(self.output_size))
        self.output_shift = nn.Parameter(torch.zeros(self.output_size))
        self.readout = (
            nn.Linear(self.output_size, self.output_size) if projection else nn.Identity()
        )

    def forward(self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None) -> Tensor:
        """States of a padded batch. A state depends on earlier steps only, so `lengths` is not needed.

        Args:
            features: (batch, time, input_size), floating point.
            elapsed: (batch, time), at least 0, or None: every step counts as 1. Gets no gradient.
            lengths: (batch,) int64, or None.

        Returns:
            (batch, time, output_size), in the precision of the parameters.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self._solve(features.to(self.capacitance.dtype), elapsed)

    def flops_per_step(self, timed: bool = False) -> int:
        """Two for each multiply-add of a step with a weight; elapsed times change nothing.

        A synapse has three: how far it is open (slope and offset), its current and its conductance. Those between
        neurons run once per unfold. Synapses that the wiring leaves out do not count, though some are computed.
        """
        synapses = len(self.sensory.positions) + self.unfolds * len(self.recurrent.positions)
        return 2 * 3 * synapses

    def _solve(self, features: Tensor, elapsed: Tensor | None) -> Tensor:
        batch, time, _ = features.shape
        leak_conductance = self._positive(self.leak_conductance)
        capacitance = self._positive(self.capacitance, least=EPSILON)
        # A time-major order of rows, so that the sums of one step lie together.
        rows = features.transpose(0, 1).flatten(0, 1)
        arrived = self._from_inputs(rows).unflatten(2, (time, batch))
        leak = torch.stack(
            [leak_conductance * self.leak_potential, leak_conductance + EPSILON], dim=1
        )
        drives = (arrived + leak[..., None, None]) / self.unfolds
        if elapsed is not None:
            elapsed = elapsed.detach().to(features.dtype).t().contiguous()
            drives = drives * elapsed
        currents, conductances = drives.unbind(1)
        drives = torch.stack([currents, conductances + capacitance[:, None, None]], dim=1)
        slopes, offsets = self.recurrent.lines()
        weights = self.recurrent.weights(self._positive(self.recurrent.conductance))
        potentials = SemiImplicitSolver.apply(
            drives.permute(2, 0, 1, 3),
            capacitance,
            slopes,
            offsets,
            weights / self.unfolds,
            elapsed,
            self.unfolds,
            self.recurrent.targets,
            self.recurrent.sources,
        )
        states = potentials[..., : self.output_size] * self.output_scale + self.output_shift
        return states.transpose(0, 1)

    def _from_inputs(self, rows: Tensor) -> Tensor:
        """(rows, input_size) to (units, 2, rows): currents and conductances from the inputs' synapses."""
        synapses = self.sensory
        slopes, offsets = synapses.lines()
        # The affine map of the inputs joins the sigmoids' own, so nothing is computed per row for it.
        offsets = torch.addcmul(offsets, slopes, self.input_shift[synapses.sources])
        slopes = slopes * self.input_scale[synapses.sources]
        weights = synapses.weights(self._positive(synapses.conductance))
        sums = SensorySums.apply(rows[:, synapses.sources], slopes, offsets, weights)
        targets = synapses.targets
        return functional.pad(sums, (0, 0, 0, 0, targets.start, self.units - targets.stop))

    def _positive(self, parameter: nn.Parameter, least: float = 0.0) -> Tensor:
        """What stands for a parameter that must not be negative."""
        if self.constraints == "softplus":
            return functional.softplus(parameter)
        # Through .data, as an optimiser would: a clamp seen by autograd would keep a negative value where it is, and
        # one that counts as a change would spoil the backward pass of an earlier forward pass.
        parameter.data.clamp_(min=least)
        return parameter

    @torch.no_grad()
    def load_ncps(self, state: dict[str, Tensor]) -> None:
        """Take over the weights of an ``ncps.torch.LTC`` of the same sizes and wiring (its `state_dict()`).

        Raises:
            ValueError: the wiring is another.
        """
        cell = {name.removeprefix("rnn_cell."): value for name, value in state.items()}
        for prefix, synapses in (("", self.recurrent), ("sensory_", self.sensory)):
            mask = cell[f"{prefix}sparsity_mask"]
            if synapses.gather(mask).sum() != mask.sum() or mask.sum() != len(synapses.positions):
                raise ValueError(f"the {prefix}synapses are not those of this core's wiring")
            for name, target in (
                ("w", synapses.conductance),
                ("sigma", synapses.steepness),
                ("mu", synapses.midpoint),
                ("erev", synapses.reversal),
            ):
                target.copy_(synapses.gather(cell[prefix + name]))
        for name, target in (
            ("gleak", self.leak_conductance),
            ("vleak", self.leak_potential),
            ("cm", self.capacitance),
            ("input_w", self.input_scale),
            ("input_b", self.input_shift),
            ("output_w", self.output_scale),
            ("output_b", self.output_shift),
        ):
            target.copy_(cell[name])


def _uniform(count: int, low: float, high: float) -> nn.Parameter:
    return nn.Parameter(torch.empty(count).uniform_(low, high))


def _extent(used: np.ndarray) -> slice:
    """From the first to the last True; empty if there is none."""
    where = np.flatnonzero(used)
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)

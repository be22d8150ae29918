"""The CfC as a sequence core: one layer, or a wired stack of them, with or without an LSTM's memory."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from liquidbench.models.cfc import implementations
from liquidbench.models.cfc.layer import CfCLayer
from liquidbench.models.cfc.recurrence import Memory, remember
from liquidbench.models.cfc.recurrence import run as run_plainly
from liquidbench.models.wiring import make_wiring

State = Tensor | tuple[Tensor, Tensor]


class CfCCore(nn.Module):
    """Closed-form continuous-time network over sequences, with the numbers of ``ncps.torch.CfC``.

    Weights of the library load through `library.load_ncps`. Where it errs, this does not: elapsed times act per
    step and example, and dropout acts in a one-layer backbone too.

    Args:
        input_size: features per step.
        units: size of the state; with a wiring, all neurons.
        mode: ``default``, ``no_gate`` or ``pure``.
        activation: of the backbone: ``lecun_tanh``, ``tanh``, ``relu``, ``silu`` or ``gelu``.
        backbone_units: width of the backbone's layers.
        backbone_layers: number of them, 0 or more.
        backbone_dropout: probability of losing a backbone activation while training.
        mixed_memory: an LSTM moves the state before the CfC does (Lechner and Hasani, 2020).
        projection: `readout` is a linear map, outputs to outputs (``proj_size`` in ncps), else the identity. `forward`
            leaves it out: it commutes with averaging and selecting steps, so a model applies it after them.
        wiring: None, or ``ncp``: three layers wired as a neural circuit policy, each a CfC without backbone; see
            `wiring.make_wiring` for this and the next three.
        outputs: motor neurons.
        sparsity: share of the synapses that an ``ncp`` leaves out.
        wiring_seed: of synapses. It is no run's seed.
        implementation: which code computes, one of `implementations.CHOICES`.

    Raises:
        ValueError: an option out of range, or that does not go with a wiring.
    """

    takes_elapsed = True

    def __init__(
        self,
        input_size: int,
        units: int,
        mode: Literal["default", "no_gate", "pure"] = "default",
        activation: Literal["lecun_tanh", "tanh", "relu", "silu", "gelu"] = "lecun_tanh",
        backbone_units: int | None = None,
        backbone_layers: int | None = None,
        backbone_dropout: float = 0.0,
        mixed_memory: bool = False,
        projection: bool = False,
        wiring: Literal["ncp"] | None = None,
        outputs: int | None = None,
        sparsity: float | None = None,
        wiring_seed: int | None = None,
        implementation: str = "auto",
    ) -> None:
        super().__init__()
        if implementation not in implementations.CHOICES:
            raise ValueError(
                f"implementation must be one of {', '.join(implementations.CHOICES)}, "
                f"got {implementation!r}"
            )
        self.wish, self.used = implementation, set()
        backbone = {
            "backbone_units": backbone_units,
            "backbone_layers": backbone_layers,
            "backbone_dropout": backbone_dropout or None,
        }
        given = {name: value for name, value in backbone.items() if value is not None}
        if wiring is None:
            if (outputs, sparsity, wiring_seed) != (None, None, None):
                raise ValueError("outputs, sparsity and wiring_seed go with a wiring")
            self.layers = nn.ModuleList([CfCLayer(input_size, units, mode, activation, **given)])
        else:
            if wiring != "ncp":
                raise ValueError(f"a CfC is wired as 'ncp' or not at all, got {wiring!r}")
            if given:
                raise ValueError(f"a wired CfC has no backbone: leave out {', '.join(given)}")
            self.layers = nn.ModuleList()
            for layer in make_wiring(
                wiring, input_size, units, outputs, sparsity, wiring_seed
            ).layers:
                mask = torch.from_numpy(layer.incoming.T != 0).float()
                size = len(layer.neurons)
                self.layers.append(
                    CfCLayer(mask.shape[1], size, mode, backbone_layers=0, mask=mask)
                )
        self.wired = wiring is not None
        self.units, self.output_size = units, self.layers[-1].units
        self.memory = _MemoryMaps(input_size, units) if mixed_memory else None
        self.readout = (
            nn.Linear(self.output_size, self.output_size) if projection else nn.Identity()
        )

    @property
    def implementation(self) -> str:
        """Whose code it is, and which of it has run."""
        return f"own CfC ({' and '.join(sorted(self.used)) or 'not run'}), with the numbers of ncps 1.0.1"

    def forward(self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None) -> Tensor:
        """States of a padded batch, zero at padded steps.

        Args:
            features: (batch, time, input_size), floating point. In the padding anything finite.
            elapsed: (batch, time), or None: every step counts as 1. In the padding anything.
            lengths: (batch,) int64 valid steps, 0 to time, or None: all.

        Returns:
            (batch, time, output_size), in the precision of the parameters.
        """
        return self.unroll(features, elapsed, lengths)[0]

    def flops_per_step(self, timed: bool = False) -> int:
        """Two for each multiply-add of a step with a weight, over all layers and mixed memory's LSTM.

        Without elapsed times the two maps behind the gate are one. Masked weights of a wired core count: they are
        multiplied like the others.
        """
        maps = [] if self.memory is None else [self.memory.input_map, self.memory.state_map]
        products = sum(linear.weight.numel() for linear in maps)
        return 2 * (products + sum(layer.products_per_step(timed) for layer in self.layers))

    def unroll(
        self,
        features: Tensor,
        elapsed: Tensor | None = None,
        lengths: Tensor | None = None,
        state: State | None = None,
    ) -> tuple[Tensor, State]:
        """As `forward`, from a state and with the last one, so that a sequence can be read in parts.

        Args:
            state: (batch, units), with mixed memory a pair of it and the LSTM's cells, (batch, units); None: zeros.
                The layers of a wired core stand side by side in it.

        Returns:
            (states, state): the second after the last valid step of each sequence.

        Raises:
            ValueError: a shape that does not fit, or on a CPU a length out of range.
        """
        self._check_shapes(features, elapsed, lengths)
        hidden, cells = self._first_state(features, state)
        if lengths is not None and elapsed is not None:
            padding = torch.arange(elapsed.shape[1], device=lengths.device) >= lengths.unsqueeze(1)
            elapsed = elapsed.masked_fill(padding, 0.0)
        if self.memory is not None and len(self.layers) > 1:
            with torch.autocast(features.device.type, enabled=False):
                return self._unroll_step_by_step(
                    features.to(hidden.dtype), elapsed, lengths, (hidden, cells)
                )
        memory = None if self.memory is None else self.memory.over(features, cells)
        last = []
        for layer, initial in zip(self.layers, hidden.split([m.units for m in self.layers], dim=1)):
            # A layer's state does not reach the layers before it, so each runs over the whole sequence at once.
            recurrence = layer.recurrence(features, elapsed, lengths, initial, memory)
            features, cells, name = implementations.run(self.wish, recurrence)
            self.used.add(name)
            last.append(_last_valid(features, lengths, initial))
        hidden = torch.cat(last, dim=1)
        return features, hidden if cells is None else (hidden, cells)

    def _unroll_step_by_step(
        self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Wired and with memory: the memory mixes all layers' states at every step, so layers cannot run ahead.

        Raises:
            InputError: an implementation is asked for that is not the plain loop.
        """
        if self.wish not in ("auto", "reference"):
            raise implementations.refusal(self.wish, "has no wiring together with mixed memory")
        self.used.add("reference")
        hidden, cells = state
        states = []
        for t in range(features.shape[1]):
            valid = None if lengths is None else (t < lengths).unsqueeze(1)
            drive = self.memory.over(features[:, t : t + 1], cells)
            z = drive.inputs[:, 0] + functional.linear(hidden, drive.weight)
            moved, moved_cells = remember(z, cells)
            step, parts = features[:, t : t + 1], []
            for layer, part in zip(self.layers, moved.split([m.units for m in self.layers], dim=1)):
                times = None if elapsed is None else elapsed[:, t : t + 1]
                step = run_plainly(layer.recurrence(step, times, None, part))[0]
                parts.append(step[:, 0])
            moved = torch.cat(parts, dim=1)
            out = step[:, 0]
            if valid is not None:
                out = torch.where(valid, out, 0.0)
                moved = torch.where(valid, moved, hidden)
                moved_cells = torch.where(valid, moved_cells, cells)
            hidden, cells = moved, moved_cells
            states.append(out)
        return torch.stack(states, dim=1), (hidden, cells)

    def _first_state(self, features: Tensor, state: State | None) -> tuple[Tensor, Tensor | None]:
        """The state and with memory the cells, (batch, units) in the precision of the parameters; zeros for None."""
        shape = features.shape[0], self.units
        weight = self.layers[0].state_map.weight
        if state is None:
            zeros = torch.zeros(shape, dtype=weight.dtype, device=features.device)
            return zeros, None if self.memory is None else zeros
        parts = state if isinstance(state, tuple) else (state,)
        wanted = 1 if self.memory is None else 2
        if len(parts) != wanted or any(part.shape != shape for part in parts):
            raise ValueError(
                f"state must be {'one tensor' if wanted == 1 else 'a pair'} of {tuple(shape)}, "
                f"got {[tuple(part.shape) for part in parts]}"
            )
        hidden, *cells = (part.to(weight.dtype) for part in parts)
        return hidden, cells[0] if cells else None

    def _check_shapes(
        self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None
    ) -> None:
        size = self.layers[0].input_size
        if features.dim() != 3 or features.shape[2] != size or 0 in features.shape:
            raise ValueError(
                f"features must be (batch, time, {size}), none of them 0, got {tuple(features.shape)}"
            )
        for name, values, shape in (
            ("elapsed", elapsed, features.shape[:2]),
            ("lengths", lengths, features.shape[:1]),
        ):
            if values is not None and values.shape != shape:
                raise ValueError(f"{name} must be {tuple(shape)}, got {tuple(values.shape)}")
        # Elsewhere looking at values would make the device wait.
        if lengths is not None and lengths.device.type == "cpu":
            shortest, longest = torch.aminmax(lengths)
            if shortest < 0 or longest > features.shape[1]:
                raise ValueError(
                    f"lengths must be 0 to {features.shape[1]}, got {int(shortest)} to {int(longest)}"
                )


class _MemoryMaps(nn.Module):
    """Parameters of mixed memory's LSTM, drawn as in ncps: Xavier-uniform, and orthogonal for the state."""

    def __init__(self, input_size: int, units: int) -> None:
        super().__init__()
        self.input_map = nn.Linear(input_size, 4 * units)
        self.state_map = nn.Linear(units, 4 * units, bias=False)
        nn.init.xavier_uniform_(self.input_map.weight)
        nn.init.uniform_(self.input_map.bias, -0.1, 0.1)
        nn.init.orthogonal_(self.state_map.weight)

    def over(self, features: Tensor, cells: Tensor) -> Memory:
        """The LSTM over a batch, from `cells`."""
        return Memory(self.input_map(features).to(cells.dtype), self.state_map.weight, cells)


def _last_valid(states: Tensor, lengths: Tensor | None, initial: Tensor) -> Tensor:
    """(batch, units): the states at the last valid steps; where there is none, the initial ones."""
    if lengths is None:
        return states[:, -1]
    last = states[torch.arange(len(states), device=states.device), (lengths - 1).clamp_min(0)]
    return torch.where((lengths > 0).unsqueeze(1), last, initial)

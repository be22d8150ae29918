"""The parameters of one CfC layer, and the recurrence that they make of a batch."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from liquidbench.models.cfc.products import linear
from liquidbench.models.cfc.recurrence import ACTIVATIONS, MODES, Memory, Recurrence


class CfCLayer(nn.Module):
    """Closed-form continuous-time network (Hasani et al., Nature Machine Intelligence 2022), one layer.

    With z = backbone([x_t, h_{t-1}]), linear maps f, g, a, b with biases and elapsed time t, the next state is

    - ``default``: (1 - s) tanh(f z) + s tanh(g z) with s = sigmoid((a z) t + b z),
    - ``no_gate``: tanh(f z) + s tanh(g z),
    - ``pure``: A - A exp(-t (|w| + |f z|)) (f z), with vectors w and A.

    Without backbone layers, z is [x_t, h_{t-1}] itself. The weight of whatever comes first is kept in two parts, for x
    and for h: the inputs' part is one product for all steps.

    Args:
        input_size: features per step.
        units: size of the state.
        mode: one of `MODES`.
        activation: of the backbone, a key of `ACTIVATIONS`.
        backbone_units: width of the backbone's layers.
        backbone_layers: number of them, 0 or more.
        backbone_dropout: probability of losing a backbone activation while training, behind every layer.
        mask: (units, input_size) of 0 and 1, which inputs the maps f and g see; None: all. As in ncps, a and b see
            all. Only without backbone layers.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self,
        input_size: int,
        units: int,
        mode: str = "default",
        activation: str = "lecun_tanh",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_dropout: float = 0.0,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        if backbone_layers < 0:
            raise ValueError(f"backbone_layers must be at least 0, got {backbone_layers}")
        if not 0.0 <= backbone_dropout < 1.0:
            raise ValueError(f"backbone_dropout must be in [0, 1), got {backbone_dropout}")
        if mask is not None and backbone_layers:
            raise ValueError("a mask is for layers without a backbone")
        self.input_size, self.units, self.mode, self.activation = (
            input_size,
            units,
            mode,
            activation,
        )
        self.dropout = backbone_dropout
        self.maps = 1 if mode == "pure" else 4  # f, or f, g, a, b
        first = backbone_units if backbone_layers else self.maps * units
        self.input_map = nn.Linear(input_size, first)
        self.state_map = nn.Linear(units, first, bias=False)
        self.hidden_maps = nn.ModuleList(
            nn.Linear(backbone_units, backbone_units) for _ in range(backbone_layers - 1)
        )
        self.heads = nn.Linear(backbone_units, self.maps * units) if backbone_layers else None
        if mode == "pure":
            self.decay = nn.Parameter(torch.empty(units))  # w
            self.asymptote = nn.Parameter(torch.empty(units))  # A
        self.register_buffer("mask", None if mask is None else self._mask_of_maps(mask))
        self._initialise()

    def products_per_step(self, timed: bool) -> int:
        """Multiply-adds of a step with a weight; without elapsed times a and b are one map."""
        sizes = [linear.weight.numel() for linear in self.hidden_maps]
        if self.heads is None:
            maps = self.input_map.weight.numel() + self.state_map.weight.numel()
        else:
            sizes += [self.input_map.weight.numel(), self.state_map.weight.numel()]
            maps = self.heads.weight.numel()
        if self.mode != "pure" and not timed:
            maps = maps // 4 * 3
        return sum(sizes) + maps

    def _mask_of_maps(self, mask: Tensor) -> Tensor:
        """(units, input_size) to the rows of all maps: f and g are masked, a and b are not."""
        masked = [mask] * min(self.maps, 2)
        return torch.cat([*masked, *[torch.ones_like(mask)] * (self.maps - len(masked))])

    @torch.no_grad()
    def _initialise(self) -> None:
        """Xavier-uniform matrices over the shapes that ncps has, before they are split or joined.

        That is 1 x units for w and A of mode ``pure``; ncps draws these too, over the 0 and 1 that it gives them first.
        """
        for rows in self._first_parts():
            whole = torch.empty(rows.stop - rows.start, self.input_size + self.units)
            nn.init.xavier_uniform_(whole)
            bound = whole.shape[1] ** -0.5
            self.input_map.weight[rows] = whole[:, : self.input_size]
            self.state_map.weight[rows] = whole[:, self.input_size :]
            # The bias of torch's linear layer over both parts.
            self.input_map.bias[rows].uniform_(-bound, bound)
        for layer in self.hidden_maps:
            nn.init.xavier_uniform_(layer.weight)
        if self.heads is not None:
            for head in self.heads.weight.split(self.units):
                nn.init.xavier_uniform_(head)
        if self.mode == "pure":
            for vector in (self.decay, self.asymptote):
                nn.init.xavier_uniform_(vector.unsqueeze(0))

    def _first_parts(self) -> list[slice]:
        """Rows of the first layer that are one linear layer in ncps: all, or one map each."""
        height = self.state_map.out_features
        each = height if self.heads is not None else self.units
        return [slice(start, start + each) for start in range(0, height, each)]

    def recurrence(
        self,
        features: Tensor,
        elapsed: Tensor | None,
        lengths: Tensor | None,
        initial: Tensor,
        memory: Memory | None = None,
    ) -> Recurrence:
        """What there is to compute for a batch.

        Args:
            features: (batch, time, input_size).
            elapsed: (batch, time), or None: every step counts as 1.
            lengths: (batch,) int64, or None: all steps are valid.
            initial: (batch, units), the state before the first step.
            memory: the LSTM of mixed memory.
        """
        weight, bias = self.input_map.weight, self.input_map.bias
        if self.mask is not None:
            weight = weight * self.mask
        weights, biases = [self.state_map.weight], []
        for layer in [*self.hidden_maps, *([] if self.heads is None else [self.heads])]:
            weights.append(layer.weight)
            biases.append(layer.bias)
        if elapsed is None and self.mode != "pure":
            # Without elapsed times a z t + b z is one map.
            weights[-1] = self._with_time_maps_joined(weights[-1])
            if self.heads is None:
                weight, bias = (
                    self._with_time_maps_joined(weight),
                    self._with_time_maps_joined(bias),
                )
            else:
                biases[-1] = self._with_time_maps_joined(biases[-1])
        inputs = linear(features, weight, bias).to(initial.dtype)
        pure = self.mode == "pure"
        return Recurrence(
            mode=self.mode,
            activation=self.activation,
            inputs=inputs,
            elapsed=None if elapsed is None else elapsed.to(initial.dtype),
            lengths=lengths,
            initial=initial,
            weights=tuple(weights),
            biases=tuple(biases),
            decay=self.decay if pure else None,
            asymptote=self.asymptote if pure else None,
            dropout=self._dropout_factors(inputs),
            memory=memory,
        )

    def _with_time_maps_joined(self, rows: Tensor) -> Tensor:
        """Rows f, g, a, b to f, g, a + b."""
        f_and_g, a, b = rows.split([2 * self.units, self.units, self.units])
        return torch.cat([f_and_g, a + b])

    def _dropout_factors(self, inputs: Tensor) -> tuple[Tensor, ...] | None:
        layers = len(self.hidden_maps) + (self.heads is not None)
        if not (self.training and self.dropout and layers):
            return None
        ones = torch.ones_like(inputs.detach())
        return tuple(functional.dropout(ones, self.dropout) for _ in range(layers))

"""Sequence cores: from features and elapsed times to one state per step.

A core is a class with `output_size`, `implementation` (whose code it is, for the record) and
``forward(features, elapsed, lengths) -> states``, where

- ``features`` is (batch, time, input_size), floating point;
- ``elapsed`` is (batch, time), the time since the previous step in whatever unit the data have,
  or None, when every step counts as 1;
- ``lengths`` is (batch,) int64, the number of valid steps, or None when all are valid;
- ``states`` is (batch, time, output_size). States at steps that are padding mean nothing.

A new core is one such class and one line in `CORES`.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class Core(Protocol):
    """What every core offers."""

    output_size: int
    implementation: str

    def __call__(
        self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None
    ) -> Tensor: ...


class LSTMCore(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): torch's own layer.

    It has no notion of elapsed time; `elapsed` is ignored.

    Args:
        input_size: features per step.
        units: hidden size, of each direction.
        layers: stacked layers.
        dropout: probability between layers (none after the last).
        bidirectional: also read each sequence from its last valid step backwards.
    """

    implementation = "torch.nn.LSTM"

    def __init__(
        self,
        input_size: int,
        units: int,
        layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            input_size,
            units,
            num_layers=layers,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=bidirectional,
            batch_first=True,
        )
        self.output_size = units * (2 if bidirectional else 1)

    def forward(self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None) -> Tensor:
        if lengths is None or not self.lstm.bidirectional:
            return self.lstm(features)[0]
        # The backward direction must start at the last valid step, not in the padding.
        packed = nn.utils.rnn.pack_padded_sequence(
            features, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=features.shape[1]
        )
        return states


class LeCunTanh(nn.Module):
    """The activation 1.7159 tanh(0.666 x), as ncps has it."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(0.666 * x)


class CfCCore(nn.Module):
    """Closed-form continuous-time network (Hasani et al., Nature Machine Intelligence 2022).

    With z = backbone([x_t, h_{t-1}]) and elapsed time dt, the next state is

        h_t = (1 - s) tanh(f z) + s tanh(g z),   s = sigmoid((a z) dt + b z)

    for linear maps f, g, a, b with biases. The numbers and the initial weights' distributions are those of
    ``ncps.torch.CfC`` (default mode); its state dictionary loads through `load_ncps`. What differs is
    speed: the input's part of the backbone's first layer and the projection are computed for all steps
    at once, and the four maps as one product.

    Args:
        input_size: features per step.
        units: size of the state.
        backbone_units: width of the backbone's layers.
        backbone_layers: number of them, at least 1.
        projection: put a linear map, units to units, behind the states (``proj_size=units`` in ncps).
    """

    implementation = "own CfC, with the numbers of ncps 1.0.1"

    def __init__(
        self,
        input_size: int,
        units: int,
        backbone_units: int = 128,
        backbone_layers: int = 1,
        projection: bool = False,
    ) -> None:
        super().__init__()
        if backbone_layers < 1:
            raise ValueError(f"backbone_layers must be at least 1, got {backbone_layers}")
        self.units = self.output_size = units
        self.input_map = nn.Linear(input_size, backbone_units)
        self.state_map = nn.Linear(units, backbone_units, bias=False)
        self.hidden_maps = nn.ModuleList(
            nn.Linear(backbone_units, backbone_units) for _ in range(backbone_layers - 1)
        )
        self.activation = LeCunTanh()
        self.heads = nn.Linear(backbone_units, 4 * units)  # rows: f, g, a, b
        self.projection = nn.Linear(units, units) if projection else nn.Identity()
        self._initialise(input_size, backbone_units)

    @torch.no_grad()
    def _initialise(self, input_size: int, backbone_units: int) -> None:
        """Xavier-uniform weights over the shapes that ncps has, before they are split or joined."""
        first = nn.Linear(input_size + self.units, backbone_units)
        nn.init.xavier_uniform_(first.weight)
        self.input_map.weight.copy_(first.weight[:, :input_size])
        self.input_map.bias.copy_(first.bias)
        self.state_map.weight.copy_(first.weight[:, input_size:])
        for layer in self.hidden_maps:
            nn.init.xavier_uniform_(layer.weight)
        for head in self.heads.weight.split(self.units):
            nn.init.xavier_uniform_(head)

    def forward(self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None) -> Tensor:
        # unbind once: indexing [:, t] would write a full-size zero gradient at every step.
        from_inputs = self.input_map(features).unbind(1)
        times = None if elapsed is None else elapsed.to(features.dtype).unsqueeze(-1).unbind(1)
        weight, bias = self.heads.weight, self.heads.bias
        if times is None:
            # Without elapsed times a z dt + b z is one map.
            weight, bias = self._with_time_maps_joined()
        state = features.new_zeros(features.shape[0], self.units)
        states = []
        for step, from_input in enumerate(from_inputs):
            hidden = self.activation(torch.addmm(from_input, state, self.state_map.weight.t()))
            for layer in self.hidden_maps:
                hidden = self.activation(layer(hidden))
            maps = functional.linear(hidden, weight, bias).split(self.units, dim=1)
            gate = maps[2] if times is None else torch.addcmul(maps[3], maps[2], times[step])
            state = torch.lerp(torch.tanh(maps[0]), torch.tanh(maps[1]), torch.sigmoid(gate))
            states.append(state)
        return self.projection(torch.stack(states, dim=1))

    def _with_time_maps_joined(self) -> tuple[Tensor, Tensor]:
        """The maps f, g and a + b as one (3 units, backbone_units) weight and its bias."""
        units = self.units
        weight, bias = self.heads.weight, self.heads.bias
        return (
            torch.cat([weight[: 2 * units], weight[2 * units : 3 * units] + weight[3 * units :]]),
            torch.cat([bias[: 2 * units], bias[2 * units : 3 * units] + bias[3 * units :]]),
        )

    @torch.no_grad()
    def load_ncps(self, state: dict[str, Tensor]) -> None:
        """Take over the weights of an ``ncps.torch.CfC`` of the same sizes (its `state_dict()`)."""
        first = state["rnn_cell.backbone.0.weight"]
        input_size = self.input_map.in_features
        self.input_map.weight.copy_(first[:, :input_size])
        self.input_map.bias.copy_(state["rnn_cell.backbone.0.bias"])
        self.state_map.weight.copy_(first[:, input_size:])
        for number, layer in enumerate(self.hidden_maps, start=1):
            # Linear layers and activations take turns in the library's backbone.
            layer.weight.copy_(state[f"rnn_cell.backbone.{2 * number}.weight"])
            layer.bias.copy_(state[f"rnn_cell.backbone.{2 * number}.bias"])
        for kind, target in (("weight", self.heads.weight), ("bias", self.heads.bias)):
            target.copy_(
                torch.cat(
                    [
                        state[f"rnn_cell.{name}.{kind}"]
                        for name in ("ff1", "ff2", "time_a", "time_b")
                    ]
                )
            )
        if isinstance(self.projection, nn.Linear):
            self.projection.weight.copy_(state["fc.weight"])
            self.projection.bias.copy_(state["fc.bias"])


CORES: dict[str, type[nn.Module]] = {
    "lstm": LSTMCore,
    "cfc": CfCCore,
}

"""The recurrent layers that torch has, as sequence cores: LSTM, GRU and the plain recurrent network.

None has a notion of elapsed time: `elapsed` is ignored.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class TorchCore(nn.Module):
    """What these cores share; a subclass names the layer.

    Args:
        input_size: features per step.
        units: hidden size, of each direction.
        layers: stacked layers, at least 1.
        dropout: probability between layers (none after the last, so none at all with one layer).
        bidirectional: also read each sequence from its last valid step backwards.

    Raises:
        ValueError: a number of layers or a probability out of range.
    """

    takes_elapsed = False
    implementation: str
    layer: type[nn.RNNBase]

    def __init__(
        self,
        input_size: int,
        units: int,
        layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.recurrent = self.layer(
            input_size,
            units,
            num_layers=layers,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=bidirectional,
            batch_first=True,
        )
        self.output_size = units * (2 if bidirectional else 1)
        self.readout = nn.Identity()

    def forward(self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None) -> Tensor:
        """(batch, time, input_size) to the last layer's (batch, time, output_size): forwards, then backwards.

        Both directions of a step stand side by side. With `lengths`, (batch,) int64 and at least 1, padding never
        reaches a valid state.
        """
        if features.device.type == "cpu":
            # Autocast's LSTM fails on processors without bfloat16 products; and as with the CfC, the products with
            # the state are too small to gain from them.
            with torch.autocast("cpu", enabled=False):
                return self._read(features.to(self.recurrent.weight_hh_l0.dtype), lengths)
        return self._read(features, lengths)

    def _read(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None or not self.recurrent.bidirectional:
            return self.recurrent(features)[0]
        # The backward direction must start at the last valid step, not in the padding.
        packed = pack_padded_sequence(
            features, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.recurrent(packed)[0], batch_first=True, total_length=features.shape[1]
        )
        return states

    def flops_per_step(self, timed: bool = False) -> int:
        """Two for each multiply-add of a step with a weight, over all layers and directions."""
        weights = [p for name, p in self.recurrent.named_parameters() if name.startswith("weight")]
        return 2 * sum(weight.numel() for weight in weights)


class LSTMCore(TorchCore):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): torch's own layer."""

    implementation = "torch.nn.LSTM"
    layer = nn.LSTM


class GRUCore(TorchCore):
    """Gated recurrent unit (Cho et al., 2014): torch's own layer.

    Torch's reset gate acts after the product with the recurrent weights, as in the paper's first version
    (arXiv:1406.1078v1), not before it.
    """

    implementation = "torch.nn.GRU"
    layer = nn.GRU


class RNNCore(TorchCore):
    """The plain recurrent network with tanh (Elman, 1990): torch's own layer."""

    implementation = "torch.nn.RNN, tanh"
    layer = nn.RNN

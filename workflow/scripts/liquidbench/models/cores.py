"""Sequence cores: from features and elapsed times to one state per step.

A core is a class with `output_size`, `implementation` (whose code computes, for the record), `readout` (a module for
what is made of the states, applied behind pooling; most have the identity) and
``forward(features, elapsed, lengths) -> states``, where

- ``features`` is (batch, time, input_size), floating point;
- ``elapsed`` is (batch, time), the time since the previous step in whatever unit the data have,
  or None, when every step counts as 1;
- ``lengths`` is (batch,) int64, the number of valid steps, or None when all are valid;
- ``states`` is (batch, time, output_size). States at steps that are padding mean nothing.

A new core is one such class and one line in `CORES`; docs/extending.md works one through. What a configuration may say
of it are its constructor's parameters, their annotations the types (`liquidbench.options`). If it takes
`implementation`, it gets the configuration's `core_implementation`.
"""

from typing import Protocol

from torch import Tensor, nn

from liquidbench.models.cfc.core import CfCCore
from liquidbench.models.ltc import LTCCore
from liquidbench.models.torch_cores import GRUCore, LSTMCore, RNNCore


class Core(Protocol):
    """What every core offers."""

    output_size: int
    implementation: str
    readout: nn.Module

    def __call__(
        self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None
    ) -> Tensor: ...


CORES: dict[str, type[nn.Module]] = {
    "lstm": LSTMCore,
    "gru": GRUCore,
    "rnn": RNNCore,
    "cfc": CfCCore,
    "ltc": LTCCore,
}

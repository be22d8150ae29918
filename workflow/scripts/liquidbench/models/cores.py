"""Sequence cores: from features and elapsed times to one state per step.

A core is a class with `output_size`, `implementation` (whose code computes, for the record), `readout` (a module for
what is made of the states, applied behind pooling; most have the identity), `takes_elapsed` (of the class: whether
elapsed times change its states) and
``forward(features, elapsed, lengths) -> states``, where

- ``features`` is (batch, time, input_size), floating point;
- ``elapsed`` is (batch, time), the time since the previous step in whatever unit the data have,
  or None, when every step counts as 1;
- ``lengths`` is (batch,) int64, the number of valid steps, or None when all are valid;
- ``states`` is (batch, time, output_size). States at steps that are padding mean nothing.

``flops_per_step(timed)`` is what a step of one sequence costs in the forward pass: two for each multiply-add with a
weight, with (`timed`) or without elapsed times. Activation functions and other element-wise arithmetic do not count,
and the readout, which need not run at every step, is not in it.

A new core is one such class and one line in `CORES`; docs/extending.md works one through. What a configuration may say
of it are its constructor's parameters, their annotations the types (`liquidbench.options`). If it takes
`implementation`, it gets the configuration's `core_implementation`.
"""

from typing import ClassVar, Protocol

from torch import Tensor, nn

from liquidbench.models.cfc.core import CfCCore
from liquidbench.models.gru_d import GRUDCore
from liquidbench.models.ltc import LTCCore
from liquidbench.models.torch_cores import GRUCore, LSTMCore, RNNCore


class Core(Protocol):
    """What every core offers."""

    output_size: int
    implementation: str
    readout: nn.Module
    takes_elapsed: ClassVar[bool]

    def __call__(
        self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None
    ) -> Tensor: ...

    def flops_per_step(self, timed: bool = False) -> int: ...


CORE_ATTRIBUTES = (*Core.__annotations__, "flops_per_step")
"""What a core must have beside being called; a model looks for them when it is made."""

CORES: dict[str, type[nn.Module]] = {
    "lstm": LSTMCore,
    "gru": GRUCore,
    "rnn": RNNCore,
    "cfc": CfCCore,
    "ltc": LTCCore,
    "gru_d": GRUDCore,
}

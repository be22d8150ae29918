"""The CfC of the library ncps as a sequence core, so that it and whole models with it can stand beside ours."""

import copy
import sys
from pathlib import Path
from typing import Any

from ncps.torch import CfC
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from liquidbench.models.cfc.library import load_ncps
from liquidbench.models.encoders import FrameCNN
from liquidbench.models.sequence_model import SequenceModel


class LibraryCfCCore(nn.Module):
    """``ncps.torch.CfC`` behind the interface of `liquidbench.models.cores`.

    Args:
        input_size: features per step.
        units: size of the state.
        projection: a linear map, units to units, behind every state: the library's ``proj_size``. It acts where the
            library has it, step by step, so `readout` is the identity.
        options: the library's own.
    """

    implementation = "ncps.torch.CfC"

    def __init__(
        self, input_size: int, units: int, projection: bool = False, **options: Any
    ) -> None:
        super().__init__()
        self.cfc = CfC(input_size, units, proj_size=units if projection else None, **options)
        self.output_size = units
        self.readout = nn.Identity()

    def forward(self, features: Tensor, elapsed: Tensor | None, lengths: Tensor | None) -> Tensor:
        """States of a padded batch, (batch, time, units); the library goes on through the padding.

        Args:
            features: (batch, time, input_size), float32.
            elapsed: (batch, time), or None: every step counts as 1.
            lengths: not looked at: states of valid steps do not depend on padding behind them.
        """
        if elapsed is not None:
            # A time per example alone would act on the wrong axis: the library broadcasts it over the units.
            elapsed = elapsed.unsqueeze(-1).expand(-1, -1, self.output_size)
        return self.cfc(features, timespans=elapsed)[0]


class PlainFrames(nn.Module):
    """An encoder of frames as one writes it: torch's layers one after the other, on images as they lie in memory.

    Args:
        encoder: a `FrameCNN`, whose layers these are.
    """

    time_stride, per_step = 1, True

    def __init__(self, encoder: FrameCNN) -> None:
        super().__init__()
        self.layers, self.output_size = encoder.layers, encoder.output_size

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, time, channels, height, width) to (batch, time, features)."""
        return self.layers(steps.flatten(0, 1)).unflatten(0, steps.shape[:2])


def with_library_core(model: SequenceModel, core: dict[str, Any]) -> SequenceModel:
    """A copy of a model with the library's core, whose first weights `model` takes over.

    Args:
        model: with a CfC.
        core: its options, as in a run's settings.
    """
    options = {key: value for key, value in core.items() if key != "name"}
    copied = copy.deepcopy(model)
    copied.core = LibraryCfCCore(model.encoder.output_size, **options)
    load_ncps(model.core, copied.core.cfc.state_dict())
    return copied

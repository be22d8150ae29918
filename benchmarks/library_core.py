"""The CfC of the library ncps as a sequence core, so that whole models can be timed with it."""

from ncps.torch import CfC
from torch import Tensor, nn


class LibraryCfCCore(nn.Module):
    """``ncps.torch.CfC`` behind the interface of `liquidbench.models.cores`.

    Args:
        input_size: features per step.
        units: size of the state.
        mode: ``default``, ``no_gate`` or ``pure``.
        activation: of the backbone, a name that the library knows.
        backbone_units: width of the backbone's layers; None: the library's default.
        backbone_layers: number of them; None: the library's default.
        backbone_dropout: probability of losing a backbone activation while training; None: none.
        mixed_memory: an LSTM moves the state before the CfC does.
        projection: a linear map, units to units, behind every state: the library's ``proj_size``. It acts where the
            library has it, step by step, so `readout` is the identity.
    """

    implementation = "ncps.torch.CfC"

    def __init__(
        self,
        input_size: int,
        units: int,
        mode: str = "default",
        activation: str = "lecun_tanh",
        backbone_units: int | None = None,
        backbone_layers: int | None = None,
        backbone_dropout: float | None = None,
        mixed_memory: bool = False,
        projection: bool = False,
    ) -> None:
        super().__init__()
        self.cfc = CfC(
            input_size,
            units,
            proj_size=units if projection else None,
            mode=mode,
            activation=activation,
            backbone_units=backbone_units,
            backbone_layers=backbone_layers,
            backbone_dropout=backbone_dropout,
            mixed_memory=mixed_memory,
        )
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

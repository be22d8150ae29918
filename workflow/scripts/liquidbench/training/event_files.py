"""TensorBoard's event files of a training: `tensorboard --logdir results` shows them as it runs."""

import json
from pathlib import Path
from typing import Any

from liquidbench.errors import InputError
from liquidbench.training.state import Epoch

PATTERN = "events.out.tfevents.*"
"""The files' names, as TensorBoard looks for them."""


def delete_event_files(folder: Path) -> None:
    """Delete those of an earlier training: the figures are not those of the weights to come."""
    for path in folder.glob(PATTERN):
        path.unlink()


class EventFiles:
    """Writes what each epoch gave into the run directory, beside the files that the study reads.

    Args:
        folder: the run directory.
        settings: the run's, shown as text.
        epochs: those that are done already; what earlier files have of later ones is not shown.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], epochs: list[Epoch]) -> None:
        try:
            # Not at the top: it takes a second, and few ask for it.
            import tensorboard  # noqa: F401 - torch's writer needs it
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(
                "configuration key tensorboard",
                "TensorBoard is not installed here",
                "Install the package tensorboard, or set the key to false",
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        self.failed = False
        try:
            self.writer = SummaryWriter(folder, purge_step=len(epochs) + 1 if epochs else None)
            indented = json.dumps(settings, indent=2, sort_keys=True)
            self.writer.add_text("settings", f"```json\n{indented}\n```")
        except OSError as error:
            self._give_up(error)

    def add(self, epoch: Epoch) -> None:
        """Add an epoch's figures, so that they can be seen at once.

        Where they cannot be written, it is said once: a training does not end for what no result needs.
        """
        if self.failed:
            return
        try:
            self._add(epoch)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.failed = True
        print(f"ATTENTION: no more event files for TensorBoard ({error})", flush=True)

    def _add(self, epoch: Epoch) -> None:
        number = epoch.row["epoch"]
        for name, value in epoch.row.items():
            if name != "epoch" and value is not None:
                # train_loss and test_loss in one group of diagrams.
                split, _, metric = name.partition("_")
                tag = f"{metric}/{split}" if split in ("train", "test") else name
                self.writer.add_scalar(tag, value, number)
        self.writer.add_scalar("speed/seconds_per_epoch", epoch.seconds, number)
        self.writer.add_scalar("speed/sequences_per_second", epoch.sequences_per_second, number)
        self.writer.flush()

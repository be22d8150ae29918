"""What a training says while it runs: whole lines, which a terminal and a log file show alike."""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from liquidbench.errors import InputError
from liquidbench.training.batches import Batch
from liquidbench.training.state import Epoch

# Seconds of an epoch after which it tells how far it is, and again after as many.
HEARTBEAT_SECONDS = 300.0
# The epochs before the next by whose median its time is guessed: the first may be slower.
RECENT = 5


def epoch_line(epochs: Sequence[Epoch], total: int) -> str:
    """The last epoch's figures, the speed of its training, its time, and the time left.

    Args:
        epochs: the finished ones, at least one.
        total: how many there will be.

    Raises:
        InputError: the loss is not a number any more.
    """
    last = epochs[-1]
    row = {key: value for key, value in last.row.items() if value is not None}
    if not np.isfinite(row["train_loss"]):
        raise InputError(
            "the training",
            f"diverged: the loss is {row['train_loss']} in epoch {row['epoch']}",
            "Lower training.learning_rate or set training.gradient_clip",
        )
    figures = [
        f"{key} {value:.4g}" for key, value in row.items() if key not in ("epoch", "learning_rate")
    ]
    left = total - len(epochs)
    seconds = float(np.median([epoch.seconds for epoch in epochs[-RECENT:]]))
    told = [
        f"epoch {row['epoch']:>{len(str(total))}}/{total}",
        *figures,
        f"{last.sequences_per_second:,.0f} sequences/s",
        duration(last.seconds),
        f"{duration(left * seconds)} left" if left else "last epoch",
    ]
    return "  ".join(told)


def duration(seconds: float) -> str:
    """A time as one reads it: `7.3 s`, `3 min 05 s`, `26 h 10 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def heard(
    batches: Iterator[Batch],
    epoch: int,
    sequences: int,
    every_seconds: float = HEARTBEAT_SECONDS,
) -> Iterator[Batch]:
    """The batches; an epoch that takes long says now and then how far it is.

    Args:
        batches: of one epoch.
        epoch: its number, from 1.
        sequences: how many the epoch has.
        every_seconds: between two lines.
    """
    started = told = time.monotonic()
    done = 0
    for batch in batches:
        yield batch
        done += len(batch.indices)
        now = time.monotonic()
        if now - told >= every_seconds:
            left = (now - started) / done * (sequences - done)
            print(
                f"epoch {epoch}: {done:,} of {sequences:,} sequences, {duration(left)} of training left in it",
                flush=True,
            )
            told = now

"""Ending a training before its last epoch: asked to by the scheduler, or out of its time.

Either way the last epoch's checkpoint is kept, and the exit status is not 0, so that a scheduler counts the job as one
to be repeated: 143 after SIGTERM, as the shell has it, and 75 (EX_TEMPFAIL of sysexits.h) out of time.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

TERMINATED, OUT_OF_TIME = 143, 75


class Interrupted(SystemExit):
    """Ends the program with a message and an exit status that is not 0."""

    def __init__(self, message: str, status: int) -> None:
        print(f"stopped: {message}", flush=True)
        super().__init__(status)


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block by an exception, so that files being written are put away."""

    def end(number: int, frame: object) -> None:
        message = "SIGTERM. Finished epochs are kept: the same command goes on from them"
        raise Interrupted(message, TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class TimeLimit:
    """The time that a job has, counted from when this is made.

    Args:
        minutes: None for no limit.
    """

    def __init__(self, minutes: float | None) -> None:
        self.seconds = None if minutes is None else 60 * minutes
        self.started = time.monotonic()

    def check(self, next_seconds: float) -> None:
        """End the program if what comes next would not be done in time.

        Args:
            next_seconds: how long the next epoch is likely to take.

        Raises:
            Interrupted: it would not.
        """
        spent = time.monotonic() - self.started
        if self.seconds is not None and spent + next_seconds > self.seconds:
            raise Interrupted(
                f"{spent / 60:.1f} of {self.seconds / 60:g} minutes are spent, and another epoch takes "
                f"{next_seconds / 60:.1f}. Finished epochs are kept: the same command goes on from them",
                OUT_OF_TIME,
            )

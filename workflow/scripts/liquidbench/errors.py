"""One exception for everything that the user can put right, and how a command reports it."""

import sys
from collections.abc import Callable
from pathlib import Path


class InputError(Exception):
    """Bad input: a file, a line or a configuration key that the user must change.

    Args:
        where: the file (and line or key) at fault, for example ``p000001.psv, line 3``.
        problem: what was found and what was expected.
        remedy: what to do about it.
    """

    def __init__(self, where: str | Path, problem: str, remedy: str) -> None:
        self.where, self.problem, self.remedy = str(where), problem, remedy
        super().__init__(f"{where}: {problem}. {remedy}")

    def __reduce__(self) -> tuple:
        # Worker processes hand exceptions back by pickling them: keep all three parts.
        return type(self), (self.where, self.problem, self.remedy)


def run_command(main: Callable[[], None]) -> None:
    """Run a command-line program; an `InputError` ends it with one line and exit status 1."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")

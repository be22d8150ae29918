"""Which errors a reading has: characters that are wrong, invented and left out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

KINDS = ("substitutions", "insertions", "deletions")
_PLACE = {"replace": 0, "insert": 1, "delete": 2}


def edit_counts(references: Sequence[str], readings: Sequence[str]) -> NDArray[np.int64]:
    """The edits from what was written to what was read, by kind.

    Their sum is Levenshtein's distance. Where several shortest ways lead from one text to the other, the kinds are
    those of the way that rapidfuzz takes.

    Args:
        references: the texts that were written.
        readings: the texts that were read, in the same order.

    Returns:
        (lines, 3): substituted, inserted (read and not written) and deleted (written and not read) characters.
    """
    counts = np.zeros((len(references), len(KINDS)), dtype=np.int64)
    for line, (reference, reading) in enumerate(zip(references, readings, strict=True)):
        for edit in Levenshtein.editops(reference, reading):
            counts[line, _PLACE[edit.tag]] += 1
    return counts

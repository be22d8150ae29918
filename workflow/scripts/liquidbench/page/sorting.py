"""What the columns of the page are sorted by: keys for a script that compares numbers as numbers, all else as text."""

import math
import re
from collections.abc import Sequence

from liquidbench.reporting.significant import significant
from liquidbench.reporting.table import NOTHING

# Cells that say that there is nothing: they come last, whichever way a column is sorted.
ABSENT = ("", NOTHING, "none", "not recorded")
# A number at the start, or at the start of an interval, and no version ("3.11.7") or name ("3-layer").
_NUMBER = re.compile(
    r"(?P<below>< )?\[?(?P<number>[+-]?\d+(,\d{3})*(\.\d+)?(e[+-]?\d+)?)(?=$|[\s%,;\]])"
)
# Digits before the point: those after it are in order as they stand.
_WHOLE = re.compile(r"(?<![\d.])\d+")
_WIDTH = 12


def sort_keys(texts: Sequence[str], numbers: Sequence[float | None] | None = None) -> list[str]:
    """A key for each cell of a column: of numbers alone, the numbers; else text, the numbers in it padded.

    Args:
        texts: what the cells show.
        numbers: of the cells that have one; without it they are read from the texts.
    """
    known = numbers if numbers is not None else [None] * len(texts)
    found = [
        significant(own) if own is not None else _number(text)
        for own, text in zip(known, texts, strict=True)
    ]
    there = [
        text not in ABSENT and (number is None or math.isfinite(number))
        for text, number in zip(texts, found)
    ]
    if all(number is not None for number, here in zip(found, there) if here):
        return [repr(number) if here else "" for number, here in zip(found, there)]
    keys = [_WHOLE.sub(lambda digits: digits[0].zfill(_WIDTH), text) for text in texts]
    # The script takes two numbers for numbers and a number beside a text for text, which is no order of three.
    front = "text " if any(map(_reads_as_number, keys)) else ""
    return [front + key if here else "" for key, here in zip(keys, there)]


def _number(text: str) -> float | None:
    """The number that a cell begins with; "< 0.001" stands just below 0.001."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    number = float(match["number"].replace(",", ""))
    return math.nextafter(number, -math.inf) if match["below"] else number


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

"""Whether whole patients can stand behind the printed figures of several models on one test split."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from liquidbench.reporting.claim_values import Range

# A printed precision that may be 1 bounds no number of hits, and a recall that may be 0 none of septic patients. More
# than these, twice as many as the data set has, are not looked for.
_MOST = 4_000


@dataclass(frozen=True)
class Row:
    """What a table prints of one model: each figure is every number that rounds to it."""

    precision: Range
    recall: Range
    accuracy: Range
    false_positives: Range

    def without_accuracy(self) -> "Row":
        """The same row as if no accuracy were printed."""
        return replace(self, accuracy=Range(0.0, 1.0, self.accuracy.shown))

    def true_positives(self) -> range:
        """Whole numbers of hits that give the precision with these false positives; without alarms there is none."""
        alarms, ends = self.false_positives.shown, (self.precision.low, self.precision.high)
        if alarms == 0:
            return range(1, _MOST + 1) if ends[1] >= 1 else range(0)
        low, high = (alarms * end / (1 - end) if end < 1 else _MOST for end in ends)
        return _whole(max(low, 0), min(high, _MOST))

    def hits(self, positives: int) -> range:
        """Those of them that are the recall of so many septic patients."""
        possible = self.true_positives()
        own = _whole(self.recall.low * positives, min(self.recall.high * positives, positives))
        return range(max(own.start, possible.start), min(own.stop, possible.stop))


@dataclass(frozen=True)
class Split:
    """A test split that fits: patients in all, septic ones, and the accuracy that each row's hits give at best."""

    patients: int
    positives: int
    accuracies: tuple[float, ...]


def _whole(low: float, high: float) -> range:
    """The whole numbers from low to high; ends that rounding of floats puts just outside count."""
    return range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)


def possible_splits(rows: Sequence[Row]) -> list[Split]:
    """All (patients, positives) for which every row has a whole number of hits that gives its printed figures."""
    found = []
    for positives in range(1, _MOST + 1):
        hits = [row.hits(positives) for row in rows]
        if not all(hits):
            continue
        sizes: set[int] | None = None
        fits = []
        for row, own in zip(rows, hits, strict=True):
            errors = [row.false_positives.shown + positives - hit for hit in own]
            possible = set().union(*(_sizes(count, row.accuracy, positives) for count in errors))
            sizes = possible if sizes is None else sizes & possible
            fits.append(errors)
        for patients in sorted(sizes or ()):
            accuracies = tuple(1 - min(errors) / patients for errors in fits)
            found.append(Split(patients, positives, accuracies))
    return found


def _sizes(errors: float, accuracy: Range, positives: int) -> set[int]:
    """Test splits in which so many errors give the accuracy; at most a hundred patients for each septic one."""
    most = positives * 100
    high = errors / (1 - accuracy.high) if accuracy.high < 1 else most
    low = errors / (1 - accuracy.low) if accuracy.low < 1 else errors
    return set(_whole(max(low, errors), min(high, most)))

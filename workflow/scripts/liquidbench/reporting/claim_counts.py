"""Whether whole patients can stand behind the printed figures of several models on one test split."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from liquidbench.reporting.claim_values import Range


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
        """Whole numbers of hits that give the precision with these false positives."""
        ends = (end / (1 - end) for end in (self.precision.low, self.precision.high))
        low, high = (self.false_positives.shown * odds for odds in ends)
        return _whole(low, high)


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
    positives_of_rows = []
    for row in rows:
        hits = row.true_positives()
        positives = {
            count for hit in hits for count in _whole(hit / row.recall.high, hit / row.recall.low)
        }
        positives_of_rows.append(positives)
    for positives in sorted(set.intersection(*positives_of_rows)):
        sizes = None
        fits = []
        for row in rows:
            hits = [
                hit
                for hit in row.true_positives()
                if row.recall.low - 1e-12 <= hit / positives <= row.recall.high + 1e-12
            ]
            errors = [row.false_positives.shown + positives - hit for hit in hits]
            own = set().union(*(_sizes(count, row.accuracy, positives) for count in errors))
            sizes = own if sizes is None else sizes & own
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

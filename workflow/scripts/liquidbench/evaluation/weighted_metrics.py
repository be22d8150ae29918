"""Metrics as functions of example weights: one set of bootstrap counts serves every metric, model and pair.

A bootstrap draw takes examples with replacement, which is the same as giving each a whole number as its weight. The
classes below hold what one model answered in one run, in the form that makes a weighted metric cheap for thousands of
draws at once: totals that are linear in the weights, and for the ranking metrics a sparse matrix that sums weights
between the scores of positive rows. The numbers equal those of scikit-learn with ``sample_weight``.

A unit is what is drawn: a recording, a drawing, a line, a patient. A unit may have several rows (a patient's hours);
all of them get its weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from liquidbench.evaluation.influence import auroc_influence, average_precision_influence

Draws = dict[str, NDArray[np.float64]]


def _per_unit(values: NDArray, units: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Sums of row values over each unit's rows, (count,)."""
    return np.bincount(units, weights=np.asarray(values, dtype=np.float64), minlength=count)


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray[np.float64]:
    """Quotient, NaN where the denominator is 0: the figure does not exist in that draw."""
    numerator = np.asarray(numerator, dtype=np.float64)
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) > 0)
    return quotient


@dataclass(frozen=True)
class ClassAnswers:
    """Class predictions: `accuracy`.

    Attributes:
        correct: (rows,) bool.
        units: (rows,) int64, the unit of each row, from 0 to `count` - 1.
        count: number of units.
    """

    correct: NDArray[np.bool_]
    units: NDArray[np.int64]
    count: int
    names = ("accuracy",)

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """(2, units): right rows, rows."""
        ones = np.ones(len(self.correct))
        return np.stack([_per_unit(v, self.units, self.count) for v in (self.correct, ones)])

    def figures(self, totals: NDArray, weights: NDArray | None) -> Draws:
        """Metrics of every draw, from weighted totals (2, draws)."""
        return {"accuracy": _ratio(totals[0], totals[1])}


@dataclass(frozen=True)
class BinaryAnswers:
    """Alarms and scores: threshold metrics, AUROC and average precision.

    Attributes:
        targets: (rows,) bool.
        alarms: (rows,) bool, the predictions at the model's threshold.
        scores: (rows,) float64, higher is more positive.
        units: (rows,) int64, the unit of each row, from 0 to `count` - 1.
        count: number of units.
    """

    targets: NDArray[np.bool_]
    alarms: NDArray[np.bool_]
    scores: NDArray[np.float64]
    units: NDArray[np.int64]
    count: int
    names = (
        *("accuracy", "precision", "recall", "f1", "false_positives"),
        *("auroc", "average_precision"),
    )

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """(4, units): true positives, false positives, false negatives, rows."""
        targets, alarms = self.targets, self.alarms
        cells = (targets & alarms, ~targets & alarms, targets & ~alarms, np.ones(len(targets)))
        return np.stack([_per_unit(cell, self.units, self.count) for cell in cells])

    @cached_property
    def _between_positives(self) -> tuple[sparse.csr_array, int]:
        """Sums of weights along the ranking, and the number of its places.

        A place is a score that some positive row has, highest first. The matrix, (3 places, units), sums for each
        place the negatives above it that no earlier place counted, the negatives tied with it, and the positives.
        Negatives below all positives are in no sum.
        """
        levels = np.unique(self.scores[self.targets])[::-1]
        # The first place whose score is at most the row's own: number of levels above the score.
        place = np.searchsorted(-levels, -self.scores, side="left")
        ranked = place < len(levels)
        tied = np.zeros(len(place), dtype=bool)
        tied[ranked] = levels[place[ranked]] == self.scores[ranked]
        kind = np.where(self.targets, 2, np.where(tied, 1, 0))
        row = (kind * len(levels) + place)[ranked]
        entries = (np.ones(len(row)), (row, self.units[ranked]))
        shape = (3 * len(levels), self.count)
        return sparse.coo_array(entries, shape=shape).tocsr(), len(levels)

    @property
    def has_several_rows(self) -> bool:
        """Whether some unit has several rows: a patient's hours."""
        return len(self.targets) > self.count

    def figures(self, totals: NDArray, weights: NDArray | None) -> Draws:
        """Metrics of every draw, from weighted totals (4, draws) and weights (units, draws).

        Without weights there is no `auroc` and no `average_precision`. `false_positives` is a count: scaled to as many
        rows as there are, since draws may differ in size.
        """
        tp, fp, fn, rows = np.asarray(totals, dtype=np.float64)
        figures = {
            "accuracy": _ratio(rows - fp - fn, rows),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, tp + fn),
            "f1": _ratio(2 * tp, 2 * tp + fp + fn),
            "false_positives": _ratio(fp * len(self.targets), rows),
        }
        if weights is not None:
            areas = self._areas(weights, tp + fn, rows - tp - fn)
            figures |= dict(zip(("auroc", "average_precision"), areas))
        return figures

    def ranking_influences(self) -> dict[str, NDArray[np.float64]]:
        """How much each unit moves the ranking metrics (`liquidbench.evaluation.influence`), summed over its rows.

        Returns:
            `auroc` and `average_precision` to (units,) float64; NaN where the metric does not exist.
        """
        of_rows = {"auroc": auroc_influence, "average_precision": average_precision_influence}
        return {
            name: _per_unit(influence(self.targets, self.scores)[1], self.units, self.count)
            for name, influence in of_rows.items()
        }

    def _areas(
        self, weights: NDArray, positives: NDArray, negatives: NDArray
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """AUROC (a tie counts half) and average precision (precision summed over steps of recall)."""
        matrix, places = self._between_positives
        sums = matrix.astype(weights.dtype) @ weights
        new, tied, hits = sums.reshape(3, places, weights.shape[1]).astype(np.float64)
        # False alarms at each place, with those tied; what is not above or tied lies below.
        false = np.cumsum(new + tied, axis=0)
        won = np.einsum("kb,kb->b", hits, negatives - false + tied / 2)
        true = np.cumsum(hits, axis=0)
        np.add(false, true, out=false)
        # No weight up to a place: its step of recall is 0 as well.
        np.maximum(false, 1e-300, out=false)
        np.divide(true, false, out=true)
        precisions = np.einsum("kb,kb->b", hits, true)
        one_class = (positives <= 0) | (negatives <= 0)
        exists = np.where(one_class, 0.0, positives)
        return _ratio(won, exists * negatives), _ratio(precisions, exists)


@dataclass(frozen=True)
class LineAnswers:
    """Readings of lines: character and word error rates, mean over lines and pooled.

    Attributes:
        edits: (2, lines) Levenshtein distances, in characters and in words.
        lengths: (2, lines) lengths of the references.
        units: (lines,) int64, the unit of each line, from 0 to `count` - 1.
        count: number of units.
    """

    edits: NDArray[np.float64]
    lengths: NDArray[np.float64]
    units: NDArray[np.int64]
    count: int
    names = ("cer", "cer_pooled", "wer", "wer_pooled")

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """(7, units): rates, edits and lengths in characters, the same in words, lines.

        A line with an empty reference counts its reading's length as its rate.
        """
        rates = self.edits / np.maximum(self.lengths, 1)
        rows = [
            row for kind in (0, 1) for row in (rates[kind], self.edits[kind], self.lengths[kind])
        ]
        rows.append(np.ones(self.edits.shape[1]))
        return np.stack([_per_unit(row, self.units, self.count) for row in rows])

    def figures(self, totals: NDArray, weights: NDArray | None) -> Draws:
        """Metrics of every draw, from weighted totals (7, draws)."""
        lines = totals[6]
        return {
            "cer": _ratio(totals[0], lines),
            "cer_pooled": _ratio(totals[1], totals[2]),
            "wer": _ratio(totals[3], lines),
            "wer_pooled": _ratio(totals[4], totals[5]),
        }


Answers = ClassAnswers | BinaryAnswers | LineAnswers


def figures_of_draws(
    answers: Sequence[Answers], weights: NDArray, rankings: bool = True
) -> list[Draws]:
    """Every metric of several models on the same units, for every draw.

    Args:
        answers: one per model; all with the same units.
        weights: (units, draws) not negative; float32 holds bootstrap counts exactly.
        rankings: with the metrics that rank the rows, which take nearly all of the time.

    Returns:
        Per model, metric name to (draws,) float64; NaN where a figure does not exist.
    """
    rows = [len(one.totals) for one in answers]
    totals = np.concatenate([one.totals for one in answers])
    # Sums of whole numbers are exact in the weights' type; rates need all digits, so that equal models are equal.
    whole = np.array_equal(totals, np.rint(totals))
    totals = totals.astype(weights.dtype) @ weights if whole else totals @ weights.astype(float)
    parts = np.split(totals, np.cumsum(rows)[:-1])
    ranked_by = weights if rankings else None
    return [one.figures(part, ranked_by) for one, part in zip(answers, parts)]


def figures_of(answers: Answers) -> dict[str, float]:
    """Every metric with each unit counted once: the figures of `metrics.json`."""
    (draws,) = figures_of_draws([answers], np.ones((answers.count, 1)))
    return {name: float(values[0]) for name, values in draws.items()}

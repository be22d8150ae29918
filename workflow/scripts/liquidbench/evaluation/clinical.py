"""Probabilities and thresholds as a clinician judges them: calibration, and operating points that compare.

A threshold is an observed probability; an alarm is a probability of at least the threshold. Two models compare at the
same recall, or at the same number of false alarms, and not each at its own threshold. `liquidbench.evaluation.alarms`
says what alarms by the hour mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liquidbench.evaluation.metrics import Figures, ranking_figures

BINS = 10
RECALLS = (0.08, 0.10, 0.22)
"""The recalls of the paper's Table II."""
FALSE_ALARMS = (2, 12, 151)
"""The false alarms of its text, among as many patients without sepsis as the next number says."""
PAPERS_NEGATIVES = 3710
"""A stratified fifth of set A's 20,336 patients has 4,068, of whom 358 have sepsis."""


@dataclass(frozen=True)
class OperatingCurve:
    """All thresholds that change an answer, from the highest down, and what each gives.

    Arrays of shape (distinct scores,): `thresholds`, `found` (positives alarmed) and `false_alarms` (negatives
    alarmed), which both only grow. `positives` and `negatives` are counts.
    """

    thresholds: NDArray[np.float64]
    found: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    positives: int
    negatives: int

    @classmethod
    def of(cls, targets: NDArray, scores: NDArray) -> "OperatingCurve":
        """From targets, (examples,) 0 or 1, and scores, (examples,); examples of one score are alarmed together.

        A score of minus infinity is never alarmed.
        """
        targets, scores = np.asarray(targets).astype(bool), np.asarray(scores, dtype=np.float64)
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        last = np.append(ranked[1:] != ranked[:-1], True) & np.isfinite(ranked)
        found = np.cumsum(targets[order])
        false = np.cumsum(~targets[order])
        positives = int(targets.sum())
        return cls(ranked[last], found[last], false[last], positives, len(targets) - positives)

    def at_recall(self, recall: float) -> int | None:
        """The place of the highest threshold that reaches at least a recall: no lower one has fewer false alarms."""
        # The product in floating point may lie just above a whole number: 0.07 * 100 is 7.000000000000001.
        reached = self.found >= recall * self.positives - 1e-9
        return int(np.argmax(reached)) if reached.any() else None

    def at_false_alarms(self, count: float) -> int | None:
        """The place of the lowest threshold with at most so many false alarms; None: even the highest has more."""
        allowed = int(np.searchsorted(self.false_alarms, count, side="right"))
        return allowed - 1 if allowed else None

    def precision(self, place: int) -> float:
        """Positives among the alarms at a place."""
        return float(self.found[place] / (self.found[place] + self.false_alarms[place]))


def probability_figures(targets: NDArray, probabilities: NDArray) -> Figures:
    """How good the probabilities are, whatever the threshold.

    Args:
        targets: (examples,) 0 or 1.
        probabilities: (examples,) of class 1.

    Returns:
        `prevalence`, `mean_probability`, `brier`, `calibration_error` (mean over `BINS` bins of equal size of the
        distance between observed share and mean probability, weighted by their sizes), `auroc` and
        `average_precision`; the two last are None without both classes.
    """
    # Slow to import, and most stages only read what was computed.
    from sklearn.metrics import brier_score_loss

    targets, probabilities = np.asarray(targets), np.asarray(probabilities)
    bins = calibration(targets, probabilities)
    return {
        "prevalence": float(targets.mean()),
        "mean_probability": float(probabilities.mean()),
        "brier": float(brier_score_loss(targets, probabilities)),
        "calibration_error": sum(
            row["count"] * abs(row["observed"] - row["mean_probability"]) for row in bins
        )
        / len(targets),
        **ranking_figures(targets, probabilities),
    }


def calibration(targets: NDArray, probabilities: NDArray) -> list[dict[str, float | int]]:
    """The calibration curve over quantile bins (scikit-learn's).

    Returns:
        A dictionary per bin that is not empty, in ascending order: `bin` (from 1), `count`, `mean_probability` and
        `observed` (share of class 1). Many equal probabilities make fewer than `BINS` bins.
    """
    from sklearn.calibration import calibration_curve

    observed, mean = calibration_curve(targets, probabilities, n_bins=BINS, strategy="quantile")
    # scikit-learn keeps the sizes of its bins to itself; these are its edges.
    edges = np.percentile(probabilities, np.linspace(0, 100, BINS + 1))
    counts = np.bincount(np.searchsorted(edges[1:-1], probabilities))
    return [
        {"bin": number, "count": int(count), "mean_probability": float(m), "observed": float(o)}
        for number, (count, m, o) in enumerate(
            zip(counts[counts > 0], mean, observed, strict=True), start=1
        )
    ]


def allowed_false_alarms(count: int, negatives: int) -> int:
    """The paper's number of false alarms, for another number of patients without sepsis; rounded."""
    return round(count * negatives / PAPERS_NEGATIVES)


def matched_figures(targets: NDArray, scores: NDArray) -> Figures:
    """False alarms and precision at the paper's recalls; recall at its numbers of false alarms.

    Args:
        targets: (stays,) 0 or 1; or by the hour what `alarms.stay_scores` gives.
        scores: of the same length.

    Returns:
        For each recall r `false_alarms_at_recall_<r>` and `precision_at_recall_<r>`, at the highest threshold that
        reaches at least r (None if none does); for each count n `false_alarms_allowed_<n>`, which is n scaled to the
        negatives here, and `recall_at_false_alarms_<n>`, the highest recall with at most as many (0 if
        the first alarms are too many already).
    """
    curve = OperatingCurve.of(targets, scores)
    figures: Figures = {}
    for recall in RECALLS:
        place = curve.at_recall(recall) if curve.positives else None
        some = place is not None
        figures[f"false_alarms_at_recall_{recall:.2f}"] = (
            int(curve.false_alarms[place]) if some else None
        )
        figures[f"precision_at_recall_{recall:.2f}"] = curve.precision(place) if some else None
    for count in FALSE_ALARMS:
        allowed = allowed_false_alarms(count, curve.negatives)
        place = curve.at_false_alarms(allowed)
        found = int(curve.found[place]) if place is not None else 0
        figures[f"false_alarms_allowed_{count}"] = allowed
        figures[f"recall_at_false_alarms_{count}"] = (
            found / curve.positives if curve.positives else None
        )
    return figures


def operating_points(targets: NDArray, scores: NDArray) -> list[dict[str, float | int]]:
    """The curve of precision over recall, at every whole per cent of recall that a threshold reaches.

    Args:
        targets, scores: as in `matched_figures`.

    Returns:
        A dictionary per recall r = 0.01, 0.02, ..., at the highest threshold that reaches at least r: `recall` (r),
        `precision`, `false_alarms`, `stays` (negatives) and `threshold`.
    """
    curve = OperatingCurve.of(targets, scores)
    points = []
    for percent in range(1, 101) if curve.positives else ():
        place = curve.at_recall(percent / 100)
        if place is None:
            break
        points.append(
            {
                "recall": percent / 100,
                "precision": curve.precision(place),
                "false_alarms": int(curve.false_alarms[place]),
                "stays": curve.negatives,
                "threshold": float(curve.thresholds[place]),
            }
        )
    return points


def best_f1_threshold(targets: NDArray, probabilities: NDArray) -> float:
    """The observed probability with the highest F1; the highest such one if several have it.

    Args:
        targets: (examples,) 0 or 1, at least one of them 1.
        probabilities: (examples,) of class 1.
    """
    curve = OperatingCurve.of(targets, probabilities)
    alarmed = curve.found + curve.false_alarms
    f1 = 2 * curve.found / (alarmed + curve.positives)
    return float(curve.thresholds[np.argmax(f1)])

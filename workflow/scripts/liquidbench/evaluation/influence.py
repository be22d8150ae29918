"""Figures as sums over examples: how much each example moves a mean, an AUROC, an average precision or their areas.

The influence of an example is the derivative of a figure by the example's weight, where all weights are 1. To first
order, a bootstrap draw with counts w gives the figure plus the sum of w times influence; so the variance over all
possible draws has a closed form, the infinitesimal jackknife (Jaeckel 1972; Efron 1982, chapter 6). For an AUROC these
are DeLong's (1988) placement values. Sums over rates and draws of a stress test keep that form, and so do differences.
A curve of twenty conditions thus costs one sort for each, where the bootstrap of `liquidbench.evaluation.paired` would
rank every condition in thousands of draws. A patient's influence on a ranking of hours is the sum over its hours.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from liquidbench.evaluation.statistics import (
    Estimate,
    cochran_estimate,
    mean_gap,
    scatter,
    variance_parts,
    without_rounding,
)

Influence = NDArray[np.float64]


def mean_influence(values: ArrayLike) -> tuple[float, Influence]:
    """The mean of values and the influence of each.

    Args:
        values: (examples,) at least one.

    Returns:
        The mean, and (examples,) float64.
    """
    values = np.asarray(values, dtype=np.float64)
    return float(values.mean()), (values - values.mean()) / len(values)


def auroc_influence(targets: ArrayLike, scores: ArrayLike) -> tuple[float, Influence]:
    """The area under the receiver operating characteristic and the influence of each example; a tie counts half.

    Args:
        targets: (examples,) bool.
        scores: (examples,) higher is more positive.

    Returns:
        The area, and (examples,) float64. Both NaN where a class has no example.
    """
    targets, scores = np.asarray(targets, dtype=bool), np.asarray(scores, dtype=np.float64)
    positives, negatives = int(targets.sum()), int((~targets).sum())
    if not positives or not negatives:
        return np.nan, np.full(len(targets), np.nan)
    ranks = scipy.stats.rankdata(scores)
    # Share of the other class that an example is ranked above (negatives: below).
    placement = np.empty(len(targets))
    placement[targets] = (ranks[targets] - scipy.stats.rankdata(scores[targets])) / negatives
    placement[~targets] = 1 - (ranks[~targets] - scipy.stats.rankdata(scores[~targets])) / positives
    area = placement[targets].mean()
    return float(area), (placement - area) / np.where(targets, positives, negatives)


def average_precision_influence(targets: ArrayLike, scores: ArrayLike) -> tuple[float, Influence]:
    """The average precision and the influence of each example.

    With T and R the positives and all examples scored at least as high as a positive, average precision is the mean
    of T / R over positives. A further example raises R for all positives that it is scored above or like, and a
    positive one also T and their number.

    Args:
        targets: (examples,) bool.
        scores: (examples,) higher is more positive.

    Returns:
        The average precision, and (examples,) float64. Both NaN without a positive.
    """
    targets, scores = np.asarray(targets, dtype=bool), np.asarray(scores, dtype=np.float64)
    positives = int(targets.sum())
    if not positives:
        return np.nan, np.full(len(targets), np.nan)
    levels, level = np.unique(scores, return_inverse=True)
    hits = np.bincount(level, weights=targets, minlength=len(levels))
    true = hits[::-1].cumsum()[::-1]
    ranked = np.bincount(level, minlength=len(levels))[::-1].cumsum()[::-1]
    precision = true / ranked
    average = float(hits @ precision / positives)
    by_rank = np.cumsum(hits * precision / ranked)
    by_hit = np.cumsum(hits / ranked)
    influence = -by_rank[level]
    influence[targets] += (precision - average + by_hit)[level[targets]]
    return average, influence / positives


def influence_variances(influences: NDArray[np.float64]) -> tuple[float, float]:
    """What drawing the units again does, in closed form: `paired.example_variances` of all possible draws.

    Args:
        influences: (seeds, units) influences of a figure or of a difference; 0 where a seed does not test a unit.

    Returns:
        Variance of the mean over seeds, and the mean of the seeds' own variances; 0 for a single unit.
    """
    units = influences.shape[1]
    if units < 2:
        return 0.0, 0.0
    of_mean = units * np.var(influences.mean(axis=0), ddof=1)
    return float(of_mean), float(units * np.var(influences, axis=1, ddof=1).mean())


def linear_difference(
    gaps: ArrayLike, influences: NDArray[np.float64], confidence: float = 0.95
) -> Estimate:
    """A paired difference over seeds of a figure with known influences.

    The variance and the interval are those of `liquidbench.evaluation.statistics`; what the bootstrap estimates
    there by drawing examples stands here in closed form.

    Args:
        gaps: (seeds,) differences of the figure between two models.
        influences: (seeds, units) differences of the influences; 0 where a seed does not test a unit.
        confidence: of the interval.

    Returns:
        The estimate; without interval and p-value for a single seed, all NaN for none.
    """
    gaps = without_rounding(np.asarray(gaps, dtype=np.float64))
    if len(gaps) < 2:
        return Estimate(float(gaps[0]) if len(gaps) else np.nan)
    of_mean, of_each = influence_variances(influences)
    parts = variance_parts(scatter(gaps), len(gaps), of_mean, of_each, units=influences.shape[1])
    return cochran_estimate(mean_gap(gaps), parts, confidence)

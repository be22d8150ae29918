"""Intervals over seeds, for figures that the summaries of differences do not have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from liquidbench.evaluation.statistics import student_estimate
from liquidbench.reporting.differences import ONE_SEED, percent

# Claims are judged at this confidence, whatever the study's intervals have.
CONFIDENCE = 0.95
# The source of an interval that is one number.
COUNTED = "counted"


class MissingEvidenceError(Exception):
    """A figure that the study does not have; the text says what is missing."""


@dataclass(frozen=True)
class Interval:
    """A figure with its interval; `low` and `high` are None where there is none: with a single seed, or all alike.

    `source` says how it was had, and how sure it is.
    """

    value: float
    low: float | None
    high: float | None
    source: str


def t_interval(values: Sequence[float], one_more: bool = False) -> Interval:
    """Mean with Student's t interval (95 %) for it; or, with `one_more`, for the figure of one further run."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None, None, ONE_SEED)
    deviation = float(np.std(values, ddof=1))
    # Rounding apart; seeds that agree to the last digit tell nothing of how much they may differ.
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return Interval(mean, None, None, "all seeds alike")
    spread = deviation * math.sqrt(1 / len(values) + (1 if one_more else 0))
    found = student_estimate(mean, spread, len(values) - 1, CONFIDENCE)
    source = f"{percent(CONFIDENCE)}, Student's t" + (
        ", for one further run" if one_more else " over seeds"
    )
    return Interval(mean, found.low, found.high, source)


def share_interval(hits: int, trials: int) -> tuple[float, float]:
    """Clopper and Pearson's (1934) exact interval (95 %) of a share, by the quantiles of the beta distribution."""
    tail = (1 - CONFIDENCE) / 2
    low = special.betaincinv(hits, trials - hits + 1, tail) if hits else 0.0
    high = special.betaincinv(hits + 1, trials - hits, 1 - tail) if hits < trials else 1.0
    return float(low), float(high)


def ratio_interval(numerator: Mapping[int, float], denominator: Mapping[int, float]) -> Interval:
    """Ratio of two positive figures, paired by seed: the geometric mean with Student's t interval of the logarithms.

    Raises:
        MissingEvidenceError: they share no seed, or a figure is not above zero.
    """
    seeds = sorted(numerator.keys() & denominator.keys())
    if not seeds or any(numerator[seed] <= 0 or denominator[seed] <= 0 for seed in seeds):
        raise MissingEvidenceError("a ratio needs figures above zero for the same seeds")
    logs = t_interval([math.log(numerator[seed] / denominator[seed]) for seed in seeds])
    ends = [None if end is None else math.exp(end) for end in (logs.low, logs.high)]
    return replace(logs, value=math.exp(logs.value), low=ends[0], high=ends[1])

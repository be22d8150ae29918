"""Means over seeds, differences between two models, and how sure one can be of them.

**What varies.** A study repeats a training over seeds, and each repetition answers a set of test examples. Two things
would come out otherwise another time: what the seed decides (initial weights, order of batches, the split where the
source has none) and which examples happened to be in the test set. A statement about two models has to allow for both.

**Two designs, one estimator.** Where all seeds share the test examples (N-MNIST, IAM: *crossed*), repeating the
training does not average out the luck of the examples. Where each seed has a test set of its own (*nested*), it does.
Random splits of one data set (QuickDraw, PhysioNet) lie between: their test sets overlap. With d_s the difference of
seed s, all three have

    Var(mean of d) = V / S + C,    V = Var(d_s) - C,    C = Cov(d_s, d_s'),

where the covariance comes from the examples that two seeds share, and is zero if they share none. The scatter of the S
differences about their mean estimates V, and the bootstrap C: it draws the examples of all seeds at once, by
identifier (`PairedDraws`). For a mean over fully crossed examples the sum is the unbiased estimate of the two-way
random-effects model, (MS_seeds + MS_examples - MS_residual) / (S N), kept from falling below its first term.

**Why not the plain percentile bootstrap.** Drawing 5 seeds out of 5 gives a variance that is 4/5 of the right one and
quantiles that ignore how badly five values tell a variance; drawing seeds and examples at once counts the residual up
to three times (Owen 2007, "The pigeonhole bootstrap"). So the bootstrap gives the covariance and the lopsidedness of
the interval, much as in Hesterberg's (2015) expanded percentile interval, and its width is the standard error above
times Cochran and Cox's (1957) quantile: the mean of Student's for S - 1 degrees of freedom and for the examples' own,
weighted by V / S and C. With few seeds that is careful: 1 to 5 % of null studies of two seeds come out significant,
where Satterthwaite's degrees of freedom let 8 % through, for a chance agreement of two seeds makes V look small. The
p-value inverts the same interval: it is below 5 % exactly when the 95 % interval excludes 0.

**Without draws.** Where the bootstrap would rank too much (stress tests; the hours of patients), the variance over all
draws comes from influence functions (`liquidbench.evaluation.influence`): the same estimate to first order, with the
same degrees of freedom, and a symmetric interval.

**Overlapping splits.** Nadeau and Bengio (2003) replace 1/S by 1/S + n_test/n_train. Their correlation between splits,
n_test / (n_test + n_train), is what shared test examples cause when nothing else varies; the covariance above measures
it instead of assuming it, and gives the same in that case. Where the seeds' own randomness dominates, their interval
would be half as wide again as it needs to be. Training sets overlap as well, and nobody can tell from one data set how
much that matters (Bengio and Grandvalet 2004). So all intervals here speak of models trained on parts of *this* data
set and tested on new examples like its own; not of a new data set to train on. For N-MNIST and IAM, whose one training
set every seed shares, nothing else is possible either.

**What the calibration assumes** (tests/test_statistics.py): outcomes are right or wrong with a chance made of a
difficulty that both models share, an inclination of an example to either model, an effect of each training, and
chance; all normal on the logit scale. Examples are independent. Lines by one hand are not, and IAM's lines do not name
their writers here: intervals for other writers would be wider.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# scipy.stats and scipy.optimize by their full names: scipy imports them at their first use, which takes a second that
# most stages need not wait.
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy import special

# Of sums of some thousand rates; the least difference that metrics of so many examples can have is far above.
ROUNDING = 1e-12
# Natural logarithms of half a p-value, down to the least that is told, 1e-130.
_LOG_TAILS = (-1.0, -3.0, -10.0, -30.0, -100.0, -300.0)


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval. Without one (a single seed), `low`, `high` and `p_value` are NaN.

    Attributes:
        value: the mean.
        standard_error: of the mean.
        low, high: ends of the interval.
        p_value: two-sided, of the hypothesis that the true value is 0.
    """

    value: float
    standard_error: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p_value: float = np.nan


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean and Student-t interval of one figure over seeds.

    Args:
        values: (seeds,) one value per seed; NaN where the figure does not exist, which is left out.
        confidence: of the interval, between 0 and 1.

    Returns:
        The estimate; without an interval for a single value, all NaN for none.
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return Estimate(np.nan)
    if len(values) == 1:
        return Estimate(float(values[0]))
    error = values.std(ddof=1) / np.sqrt(len(values))
    return student_estimate(float(values.mean()), error, len(values) - 1, confidence)


def student_estimate(
    value: float, standard_error: float, degrees: float, confidence: float = 0.95
) -> Estimate:
    """An estimate with Student's interval, and the p-value that goes with it.

    Args:
        value: the estimate.
        standard_error: not negative. With 0 the interval is the value alone.
        degrees: of freedom, above 0; infinite for a normal interval.
        confidence: of the interval.
    """
    return cochran_estimate(value, ((standard_error**2, degrees),), confidence)


Parts = tuple[tuple[float, float], ...]
"""A variance as a sum: each part with the degrees of freedom that it was estimated with."""


def cochran_estimate(
    value: float, parts: Parts, confidence: float = 0.95, sides: tuple[float, float] = (1.0, 1.0)
) -> Estimate:
    """An estimate whose variance has several parts, with Cochran and Cox's (1957) interval and its p-value.

    Args:
        value: the estimate.
        parts: the variance. With none above 0 the interval is the value alone.
        confidence: of the interval.
        sides: how much of the half-width lies below and above the value; they add up to 2.
    """
    error = float(np.sqrt(sum(variance for variance, _ in parts)))
    reach = error * _cochran_quantile(parts, (1 + confidence) / 2) if error > 0 else 0.0
    low, high = value - reach * sides[0], value + reach * sides[1]
    # The side that faces 0 decides whether the interval holds it.
    facing = error * (sides[0] if value > 0 else sides[1])
    if value == 0:
        p_value = 1.0
    elif facing <= 0:
        p_value = 0.0
    else:
        p_value = _two_sided(parts, abs(value) / facing)
    return Estimate(float(value), error, float(low), float(high), p_value)


def _cochran_quantile(parts: Parts, share: float) -> float:
    """The mean of Student's quantiles of the parts, weighted by their variances."""
    total = sum(variance for variance, _ in parts)
    quantiles = (
        special.ndtri(share) if np.isinf(degrees) else special.stdtrit(degrees, share)
        for _, degrees in parts
    )
    return float(sum(v * quantile for (v, _), quantile in zip(parts, quantiles)) / total)


def _two_sided(parts: Parts, distance: float) -> float:
    """The p-value of a distance in standard errors: the level at which the interval just reaches it."""
    if len(parts) == 1:
        return float(2 * special.stdtr(parts[0][1], -distance))

    # By the logarithm, which tells small p-values apart.
    def excess(log_tail: float) -> float:
        return -_cochran_quantile(parts, np.exp(log_tail)) - distance

    # Step by step: far below, scipy's quantile can be infinite on the wrong side (1.17.1, three degrees, 1e-261).
    high = np.log(0.5)
    for low in _LOG_TAILS:
        if excess(low) > 0:
            return float(2 * np.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-10)))
        high = low
    return float(2 * np.exp(high))


def without_rounding(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences with 0 for what is only the rounding of two sums."""
    return np.where(np.abs(gaps) < ROUNDING, 0.0, gaps)


def mean_gap(gaps: ArrayLike) -> float:
    """The mean of differences; 0 for rounding alone, as where gains and losses are equal."""
    return float(without_rounding(np.mean(gaps)))


def scatter(gaps: NDArray[np.float64]) -> float:
    """The variance of differences among each other, divisor one less than their number; 0 for rounding alone.

    0.73 - 0.70 and 0.83 - 0.80 are the same difference of counts, and not the same number.
    """
    variance = float(np.var(gaps, ddof=1))
    return variance if variance > (ROUNDING * max(1.0, float(np.abs(gaps).max()))) ** 2 else 0.0


def variance_parts(between: float, seeds: int, of_mean: float, of_each: float, units: int) -> Parts:
    """The variance of a mean over seeds that may share examples.

    Args:
        between: variance of the seeds' values among each other, with divisor seeds - 1.
        seeds: their number, at least 2.
        of_mean: variance of the mean over seeds when examples are drawn again.
        of_each: mean over seeds of the same variance of each seed's value.
        units: number of examples.

    Returns:
        What other seeds would change, V / S, with seeds - 1 degrees of freedom; and what other examples would, C, with
        units - 1.
    """
    residual = max(of_each - of_mean, 0.0) / (seeds - 1)
    # All seeds equal to the last digit is a coincidence of counting; the chance of examples would part them by this.
    first = between / seeds if between > 0 else residual
    shared = max(of_mean - residual, 0.0) if units > 1 else 0.0
    own = (float(first), float(seeds - 1))
    return (own, (float(shared), float(units - 1))) if shared > 0 else (own,)


def curve_area(rates: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """Area under a curve over rates, divided by their range: the mean height, by trapezoids.

    Args:
        rates: (rates,) ascending, at least two.
        values: (..., rates).

    Returns:
        (...,) areas, in the unit of `values`.

    Raises:
        ValueError: fewer than two rates, not ascending, or not as many as the last axis of `values` has.
    """
    rates, values = np.asarray(rates, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(rates) < 2 or (np.diff(rates) <= 0).any() or values.shape[-1:] != rates.shape:
        raise ValueError(f"rates {rates.tolist()} do not fit values of the shape {values.shape}")
    return np.trapezoid(values, rates, axis=-1) / (rates[-1] - rates[0])


def mcnemar_exact(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """McNemar's exact test of two trained models' answers to the same examples.

    Only examples that one of them got right count; if both are equally good, each falls to either with chance 1/2.
    It speaks of these two trained models: what another seed would give, it does not know.

    Args:
        correct_a, correct_b: (examples,) bool, in the same order.

    Returns:
        The two-sided p-value; 1 if they are right and wrong together.
    """
    correct_a, correct_b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    alone_a, alone_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    if alone_a + alone_b == 0:
        return 1.0
    return float(scipy.stats.binomtest(alone_a, alone_a + alone_b, 0.5).pvalue)


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's (1979) step-down correction: the chance of any false alarm among all tests is at most the level.

    Args:
        p_values: (tests,) NaN for a test that could not be made: it counts as one of the tests, and stays NaN.

    Returns:
        (tests,) corrected p-values, in the same order.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    stepped = np.maximum.accumulate(np.minimum(p_values[order] * factors, 1.0))
    corrected = np.empty(len(p_values))
    corrected[order] = stepped
    return corrected

"""The paired bootstrap: all models, seeds, metrics and pairs of a data set from one set of draws.

Examples are drawn by identifier, for all seeds and models at once. So two models meet the same examples in every draw,
and two seeds share exactly the chance that their test sets share. What is drawn is computed once per model and seed; a
pair of models costs one subtraction. `liquidbench.evaluation.statistics` says how an interval comes from the draws.

Where an example has several rows (a patient's hours), AUROC and average precision are not drawn: ranking some 150,000
hours in each of thousands of draws would take minutes, and their variance over all draws has a closed form
(`liquidbench.evaluation.influence`). Such an interval is symmetric.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from liquidbench.evaluation.influence import influence_variances, linear_difference
from liquidbench.evaluation.statistics import (
    Estimate,
    cochran_estimate,
    mean_gap,
    scatter,
    student_estimate,
    variance_parts,
    without_rounding,
)
from liquidbench.evaluation.weighted_metrics import Answers, BinaryAnswers, figures_of_draws

# The study's own: the same predictions give the same intervals.
BOOTSTRAP_SEED = 20190416
# Bytes of the weights in memory at once.
CHUNK_BYTES = 8 * 2**20


@dataclass
class PairedDraws:
    """Figures of every model and seed, as they are and in every draw.

    Attributes:
        units: number of different examples of all seeds together.
        values: (model, seed) to metric to value.
        draws: (model, seed) to metric to (draws,) float64; NaN where a figure does not exist in a draw.
        influences: (model, seed) to metric to (units,) float64, for metrics that are not drawn: the influence of each
            unit, 0 for those that the seed does not test.
        seed_counts: by number of seeds, how often each draw takes each of them.
    """

    units: int
    values: dict[tuple[str, int], dict[str, float]]
    draws: dict[tuple[str, int], dict[str, NDArray[np.float64]]]
    influences: dict[tuple[str, int], dict[str, NDArray[np.float64]]] = field(default_factory=dict)
    seed_counts: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def common_seeds(self, model_a: str, model_b: str, metric: str) -> list[int]:
        """The seeds for which the figure exists for both models, ascending."""
        return sorted(
            seed
            for model, seed in self.values
            if model == model_a
            and (model_b, seed) in self.values
            and np.isfinite(self.values[model_a, seed][metric])
            and np.isfinite(self.values[model_b, seed][metric])
        )

    def difference(
        self, model_a: str, model_b: str, metric: str, confidence: float = 0.95
    ) -> Estimate:
        """The paired difference a - b of a metric, mean over the common seeds.

        Args:
            model_a, model_b: names of models.
            metric: a figure that both have.
            confidence: of the interval.

        Returns:
            The estimate; without interval and p-value for a single seed, all NaN for none.
        """
        seeds = self.common_seeds(model_a, model_b, metric)
        if not seeds:
            return Estimate(np.nan)
        gaps = self._gaps(model_a, model_b, metric, seeds)
        if len(seeds) == 1:
            return Estimate(float(gaps[0]))
        influences = self._influence_gaps(model_a, model_b, metric, seeds)
        if influences is not None:
            return linear_difference(gaps, influences, confidence)
        drawn = self._drawn_gaps(model_a, model_b, metric, seeds)
        of_mean, of_each = example_variances(drawn)
        parts = variance_parts(scatter(gaps), len(seeds), of_mean, of_each, self.units)
        sides = self._sides(drawn, confidence)
        return cochran_estimate(mean_gap(gaps), parts, confidence, sides)

    def of_these_models(self, model_a: str, model_b: str, metric: str) -> Estimate:
        """The same difference when only the examples are drawn anew: it speaks of these trained models alone.

        Returns:
            A normal interval at 95 %; all NaN where the two have no seed in common.
        """
        seeds = self.common_seeds(model_a, model_b, metric)
        if not seeds:
            return Estimate(np.nan)
        gaps = self._gaps(model_a, model_b, metric, seeds)
        influences = self._influence_gaps(model_a, model_b, metric, seeds)
        if influences is None:
            of_mean, _ = example_variances(self._drawn_gaps(model_a, model_b, metric, seeds))
        else:
            of_mean, _ = influence_variances(influences)
        return student_estimate(mean_gap(gaps), float(np.sqrt(of_mean)), np.inf)

    def _gaps(
        self, model_a: str, model_b: str, metric: str, seeds: list[int]
    ) -> NDArray[np.float64]:
        """(seeds,) differences of the figures as they are."""
        pairs = [(self.values[model_a, s][metric], self.values[model_b, s][metric]) for s in seeds]
        return without_rounding(np.array([a - b for a, b in pairs]))

    def _influence_gaps(
        self, model_a: str, model_b: str, metric: str, seeds: list[int]
    ) -> NDArray[np.float64] | None:
        """(seeds, units) differences of the influences; None for a metric that is drawn."""
        if metric not in self.influences.get((model_a, seeds[0]), {}):
            return None
        known = self.influences
        return np.stack([known[model_a, s][metric] - known[model_b, s][metric] for s in seeds])

    def _drawn_gaps(
        self, model_a: str, model_b: str, metric: str, seeds: list[int]
    ) -> NDArray[np.float64]:
        """(seeds, draws) differences, without draws in which one of them does not exist."""
        drawn = np.stack(
            [self.draws[model_a, s][metric] - self.draws[model_b, s][metric] for s in seeds]
        )
        drawn = without_rounding(drawn)
        exists = np.isfinite(drawn).all(axis=0)
        return drawn if exists.all() else drawn[:, exists]

    def _sides(self, drawn: NDArray[np.float64], confidence: float) -> tuple[float, float]:
        """How much of the interval lies below and above the mean, by draws of examples and seeds.

        Args:
            drawn: (seeds, draws) differences.
            confidence: of the interval.

        Returns:
            Two shares that add up to 2: the distances from the draws' mean to their quantiles.
        """
        seeds, draws = drawn.shape
        if draws < 2:
            return 1.0, 1.0
        if seeds not in self.seed_counts:
            stream = np.random.default_rng([BOOTSTRAP_SEED, seeds])
            taken = stream.multinomial(seeds, np.full(seeds, 1 / seeds), size=self._count).T
            self.seed_counts[seeds] = taken / seeds
        means = np.einsum("sb,sb->b", drawn, self.seed_counts[seeds][:, :draws])
        tail = (1 - confidence) / 2
        low, high = np.quantile(means, [tail, 1 - tail])
        if high <= low:
            return 1.0, 1.0
        below = 2 * (means.mean() - low) / (high - low)
        return float(below), float(2 - below)

    @property
    def _count(self) -> int:
        """The number of draws."""
        return len(next(iter(next(iter(self.draws.values())).values())))


def example_variances(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """Variance of the mean over seeds, and the mean of the seeds' own variances, over draws of examples.

    Args:
        drawn: (seeds, draws).
    """
    if drawn.shape[1] < 2:
        return 0.0, 0.0
    return float(drawn.mean(axis=0).var(ddof=1)), float(drawn.var(axis=1, ddof=1).mean())


def bootstrap_counts(
    units: int, draws: int, generator: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """How often each draw takes each unit, in pieces of some draws.

    Args:
        units: examples to draw from, as many as are drawn each time.
        draws: draws in all.
        generator: source of randomness.

    Yields:
        (units, some draws) float32 whole numbers.
    """
    at_once = max(1, CHUNK_BYTES // (4 * units))
    for start in range(0, draws, at_once):
        size = min(at_once, draws - start)
        counts = np.empty((size, units), dtype=np.float32)
        for row in counts:
            row[:] = np.bincount(generator.integers(0, units, size=units), minlength=units)
        yield np.ascontiguousarray(counts.T)


def draw_figures(
    answers: Mapping[tuple[str, int], Answers],
    places: Mapping[int, NDArray[np.int64]],
    draws: int,
    seed: int = BOOTSTRAP_SEED,
) -> PairedDraws:
    """Draw examples and compute every figure of every model and seed in each draw.

    Args:
        answers: (model, seed) to what the model answered. All models of a seed have the same units.
        places: seed to (units,): where the seed's units stand among the units of all seeds. The same for all seeds
            where they share the test examples.
        draws: number of draws, at least 2.
        seed: of the draws.
    """
    units = 1 + max(int(where.max()) for where in places.values())
    of_seed = {number: [key for key in answers if key[1] == number] for number in places}
    values = {}
    for number, keys in of_seed.items():
        once = np.ones((len(places[number]), 1))
        for key, figures in zip(keys, figures_of_draws([answers[key] for key in keys], once)):
            values[key] = {name: float(value[0]) for name, value in figures.items()}
    influences = _ranking_influences(answers, places, units)
    parts: dict[tuple[str, int], list[dict[str, NDArray[np.float64]]]] = {
        key: [] for key in answers
    }
    for counts in bootstrap_counts(units, draws, np.random.default_rng(seed)):
        for number, where in places.items():
            keys = of_seed[number]
            weights = counts if np.array_equal(where, np.arange(units)) else counts[where]
            told = figures_of_draws([answers[k] for k in keys], weights, rankings=not influences)
            for key, figures in zip(keys, told):
                parts[key].append(figures)
    drawn = {
        key: {name: np.concatenate([part[name] for part in some]) for name in some[0]}
        for key, some in parts.items()
    }
    return PairedDraws(units, values, drawn, influences)


def _ranking_influences(
    answers: Mapping[tuple[str, int], Answers], places: Mapping[int, NDArray[np.int64]], units: int
) -> dict[tuple[str, int], dict[str, NDArray[np.float64]]]:
    """The influences of all units, where rankings are not drawn; empty where each unit has one row."""
    if not any(isinstance(one, BinaryAnswers) and one.has_several_rows for one in answers.values()):
        return {}
    influences: dict[tuple[str, int], dict[str, NDArray[np.float64]]] = {}
    for (model, number), one in answers.items():
        influences[model, number] = {}
        for name, own in one.ranking_influences().items():
            of_all = np.zeros(units)
            of_all[places[number]] = own
            influences[model, number][name] = of_all
    return influences

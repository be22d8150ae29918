"""Every pair of stress-tested models, compared on the same seeds, examples and losses: `stress_differences.csv`.

What is lost is drawn for each example by itself, so what another draw would have changed is part of what other
examples would have changed. liquidbench.evaluation.statistics says what the intervals and p-values are;
liquidbench.evaluation.influence why no bootstrap is needed for them here.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from liquidbench.evaluation.influence import linear_difference
from liquidbench.evaluation.statistics import curve_area, holm
from liquidbench.reporting.differences import Settings, by_protocol, pair_columns
from liquidbench.reporting.runs import Run
from liquidbench.reporting.stress_answers import Curve, StressAnswers, read_stress_answers

COLUMNS = [
    *["dataset", "protocol", "model_a", "model_b", "corruption", "metric", "figure"],
    *["seeds", "examples", "value_a", "value_b", "difference", "low", "high"],
    *["p_value", "p_holm", "comparisons", "interval", "synthetic"],
]
AREA, LOSS = "area", "loss"
# Metrics that rise where a model gets worse.
ERRORS = ("cer",)
# Model and seed.
Key = tuple[str, int]


def stress_differences(
    results: str | Path, runs: Iterable[Run], settings: Settings
) -> pd.DataFrame:
    """Compare all pairs of stress-tested models of each data set and protocol.

    Args:
        results: the results folder, for `stress_answers.npz`.
        runs: the finished runs.
        settings: the confidence; draws are not needed.

    Returns:
        A row per pair, corruption, metric and figure, with `COLUMNS`. Figures are the rates ("0.3"), `area` (the mean
        over the rates, by trapezoids) and `loss` (how much worse that is than the figure at rate 0).

    Raises:
        InputError: a `stress_answers.npz` is damaged.
    """
    rows = []
    for front, members in by_protocol(run for run in runs if run.stress is not None):
        answered = _paired_answers(results, members)
        own = [{**front, **row} for row in _compare(answered, settings)]
        _correct(own)
        rows += own
    return pd.DataFrame(rows, columns=COLUMNS)


def _paired_answers(results: str | Path, runs: list[Run]) -> dict[Key, StressAnswers]:
    """The answers of runs that can be paired: under the conditions of the first run, on the examples of its seed's."""
    first: dict[int, StressAnswers] = {}
    conditions = None
    answered = {}
    for run in runs:
        answers = read_stress_answers(results, run)
        if answers is None:
            print(f"warning: {run.key.label}: no stress_answers.npz, so it is not compared")
            continue
        conditions = answers.conditions if conditions is None else conditions
        same = answers.conditions.equals(conditions)
        if not same or not answers.same_examples(first.setdefault(run.key.seed, answers)):
            print(f"warning: {run.key.label}: met another stress test, so it is not compared")
        else:
            answered[run.key.model, run.key.seed] = answers
    return answered


def _compare(answered: dict[Key, StressAnswers], settings: Settings) -> Iterator[dict[str, Any]]:
    """The rows of one data set and protocol, p-values not yet corrected."""
    models = list(dict.fromkeys(model for model, _ in answered))
    pairs = list(combinations(models, 2))
    if not pairs:
        return
    everyone = np.unique(np.concatenate([one.ids for one in answered.values()]))
    places = {key: np.searchsorted(everyone, one.ids) for key, one in answered.items()}
    some = next(iter(answered.values()))
    for corruption in dict.fromkeys(some.conditions["corruption"]):
        for metric in some.metrics:
            figures = {
                key: figures_of_curve(
                    one.rates(corruption), one.curve(corruption, metric), metric in ERRORS
                )
                for key, one in answered.items()
            }
            for a, b in pairs:
                seeds = sorted(seed for model, seed in figures if model == a)
                seeds = [seed for seed in seeds if (b, seed) in figures]
                for figure in figures[a, seeds[0]] if seeds else ():
                    row = _row(figures, places, (a, b), seeds, figure, len(everyone), settings)
                    examples = max(len(answered[a, seed].ids) for seed in seeds)
                    yield {"corruption": corruption, "metric": metric, "examples": examples, **row}


def figures_of_curve(
    rates: NDArray[np.float64], curve: Curve, of_errors: bool = False
) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """Figure name to value and influences: each rate's, the area, and what is lost on average.

    Args:
        rates: (rates,) ascending.
        curve: over them.
        of_errors: the figure is an error rate, which rises where a model loses.
    """
    figures = {
        f"{rate:g}": pair for rate, *pair in zip(rates, curve.values, curve.influences, strict=True)
    }
    if len(rates) > 1:
        area = float(curve_area(rates, curve.values)), curve_area(rates, curve.influences.T)
        figures[AREA] = area
        if rates[0] == 0:
            sign = -1 if of_errors else 1
            loss = curve.values[0] - area[0], curve.influences[0] - area[1]
            figures[LOSS] = tuple(sign * part for part in loss)
    return figures


def _row(
    figures: dict[Key, dict[str, tuple[float, NDArray[np.float64]]]],
    places: dict[Key, NDArray[np.int64]],
    pair: tuple[str, str],
    seeds: list[int],
    figure: str,
    units: int,
    settings: Settings,
) -> dict[str, Any]:
    """One pair and figure, over the seeds for which both have it."""
    values = np.array([[figures[model, seed][figure][0] for seed in seeds] for model in pair])
    exists = np.isfinite(values).all(axis=0)
    values, seeds = values[:, exists], [seed for seed, there in zip(seeds, exists) if there]
    influences = np.zeros((len(seeds), units))
    for own, seed in zip(influences, seeds):
        own[places[pair[0], seed]] = np.subtract(
            *(figures[model, seed][figure][1] for model in pair)
        )
    estimate = linear_difference(values[0] - values[1], influences, settings.confidence)
    means = values.mean(axis=1) if seeds else (np.nan, np.nan)
    return {"figure": figure, **pair_columns(pair, means, estimate, len(seeds), settings)}


def _correct(rows: list[dict[str, Any]]) -> None:
    """Holm's correction over the pairs and corruptions of each metric and figure; at rate 0 nothing is lost yet."""
    families: dict[tuple[str, str], dict[tuple, list[dict[str, Any]]]] = {}
    for row in rows:
        pair = row["model_a"], row["model_b"]
        asked = pair if row["figure"] == "0" else (*pair, row["corruption"])
        families.setdefault((row["metric"], row["figure"]), {}).setdefault(asked, []).append(row)
    for family in families.values():
        corrected = holm([same[0]["p_value"] for same in family.values()])
        for same, value in zip(family.values(), corrected):
            for row in same:
                row |= {"p_holm": value, "comparisons": len(family)}

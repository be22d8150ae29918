"""Every pair of models of a study, compared on the same seeds and test examples: `differences.csv`.

liquidbench.evaluation.statistics says what the intervals and p-values are.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from liquidbench.errors import InputError
from liquidbench.evaluation.paired import PairedDraws, draw_figures
from liquidbench.evaluation.statistics import Estimate, holm, mcnemar_exact
from liquidbench.files import json_object
from liquidbench.reporting.predictions import Predictions, read_predictions
from liquidbench.reporting.runs import Run
from liquidbench.reporting.significant import significant
from liquidbench.reporting.titles import ONE_SEED

COLUMNS = [
    *["dataset", "protocol", "model_a", "model_b", "metric", "seeds", "examples"],
    *["value_a", "value_b", "difference", "low", "high", "p_value", "p_holm", "comparisons"],
    *["mcnemar", "mcnemar_holm", "p_these_models", "interval", "synthetic"],
]
NO_FIGURE = "does not exist"

# Metrics that answer one question, and so are corrected together.
FAMILIES = {
    "accuracy": "accuracy",
    **dict.fromkeys(("precision", "recall", "f1", "false_positives"), "alarms"),
    **dict.fromkeys(("auroc", "average_precision"), "ranking"),
    **dict.fromkeys(("cer", "cer_pooled", "wer", "wer_pooled"), "error rates"),
}


@dataclass(frozen=True)
class Settings:
    """How sure and how thoroughly: draws of the bootstrap, and the intervals' confidence."""

    draws: int = 10_000
    confidence: float = 0.95

    @property
    def interval(self) -> str:
        """The interval's name, such as "95 %"."""
        return percent(self.confidence)


USUAL = Settings()


def parse_settings(text: str, where: str) -> Settings:
    """Read JSON, ``{"draws": 10000, "confidence": 0.95}``; what is not there is as usual.

    Raises:
        InputError: not such an object, fewer than 100 draws, or a confidence outside (0, 1).
    """
    remedy = 'Give {"draws": 10000, "confidence": 0.95}'
    content = json_object(text, where, remedy)
    if not set(content) <= {"draws", "confidence"}:
        raise InputError(where, f"found the keys {', '.join(sorted(content))}", remedy)
    settings = Settings(**content)
    if not isinstance(settings.draws, int) or settings.draws < 100:
        raise InputError(where, f"draws is {settings.draws!r}, expected 100 or more", remedy)
    if not isinstance(settings.confidence, float) or not 0 < settings.confidence < 1:
        problem = f"confidence is {settings.confidence!r}, expected above 0 and below 1"
        raise InputError(where, problem, remedy)
    return settings


def percent(confidence: float) -> str:
    """A confidence as text: 0.95 as "95 %"."""
    return f"{confidence * 100:.6g} %"


def differences(results: str | Path, runs: Iterable[Run], settings: Settings) -> pd.DataFrame:
    """Compare all pairs of models of each data set and protocol.

    Two runs are paired if they have the seed and the test examples in common. Pairs are in the order of the runs.

    Args:
        results: the results folder, for `predictions.csv`.
        runs: the finished runs.
        settings: draws and confidence.

    Returns:
        A row per data set, protocol, pair and metric, with `COLUMNS`.

    Raises:
        InputError: a `predictions.csv` is damaged.
    """
    rows = []
    for front, members in by_protocol(runs):
        answered = _paired_predictions(results, members)
        if len({model for model, _ in answered}) < 2:
            continue
        rows += [{**front, **row} for row in _compare(answered, settings)]
    return pd.DataFrame(rows, columns=COLUMNS)


def by_protocol(runs: Iterable[Run]) -> list[tuple[dict[str, Any], list[Run]]]:
    """The runs of each data set and protocol, with the columns that their rows share."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.key.dataset, run.key.protocol), []).append(run)
    return [
        (
            {
                "dataset": dataset,
                "protocol": protocol,
                "synthetic": members[0].metrics["synthetic"],
            },
            members,
        )
        for (dataset, protocol), members in groups.items()
    ]


def pair_columns(
    pair: tuple[str, str],
    means: Sequence[float],
    estimate: Estimate,
    seeds: int,
    settings: Settings,
) -> dict[str, Any]:
    """What a row says of two models, whatever is compared: means over their seeds, difference, interval, p-value."""
    return {
        **dict(zip(("model_a", "model_b"), pair)),
        **dict(zip(("value_a", "value_b"), means)),
        **{"seeds": seeds, "difference": estimate.value},
        **{"low": estimate.low, "high": estimate.high, "p_value": estimate.p_value},
        "interval": [NO_FIGURE, ONE_SEED, settings.interval][min(seeds, 2)],
    }


def _paired_predictions(results: str | Path, runs: list[Run]) -> dict[tuple[str, int], Predictions]:
    """The answers of runs that can be paired, by model and seed.

    A run that was asked other examples than the first run of its seed (its cache is another) has no partner.
    """
    first: dict[int, Predictions] = {}
    answered = {}
    for run in runs:
        predictions = read_predictions(results, run)
        if predictions is None:
            print(f"warning: {run.key.label}: no predictions.csv, so it is not compared")
            continue
        if not predictions.same_examples(first.setdefault(run.key.seed, predictions)):
            print(f"warning: {run.key.label}: other test examples, so it is not compared")
            continue
        answered[run.key.model, run.key.seed] = predictions
    return answered


def _compare(
    answered: dict[tuple[str, int], Predictions], settings: Settings
) -> list[dict[str, Any]]:
    """The rows of one data set and protocol."""
    of_seed = {seed: predictions for (_, seed), predictions in answered.items()}
    everyone = np.unique(np.concatenate([one.ids for one in of_seed.values()]))
    places = {seed: np.searchsorted(everyone, one.ids) for seed, one in of_seed.items()}
    answers = {key: one.answers for key, one in answered.items()}
    drawn = draw_figures(answers, places, settings.draws)
    models = list(dict.fromkeys(model for model, _ in answered))
    rows = []
    for pair in combinations(models, 2):
        shared = [seed for seed in of_seed if all((model, seed) in answered for model in pair)]
        if not shared:
            continue
        metrics = answers[pair[0], shared[0]].names
        tests = _mcnemar(answered, pair, sorted(shared))
        for metric in metrics:
            row = _row(drawn, pair, metric, settings)
            row["examples"] = max(len(of_seed[seed].ids) for seed in shared)
            rows.append(row | {"mcnemar": dict(tests) if metric == "accuracy" else {}})
    _correct(rows)
    return rows


def _row(
    drawn: PairedDraws, pair: tuple[str, str], metric: str, settings: Settings
) -> dict[str, Any]:
    """One pair and metric; the corrected p-values come later."""
    seeds = drawn.common_seeds(*pair, metric)
    estimate = drawn.difference(*pair, metric, settings.confidence)
    means = [
        float(np.mean([drawn.values[model, seed][metric] for seed in seeds])) if seeds else np.nan
        for model in pair
    ]
    return {
        **pair_columns(pair, means, estimate, len(seeds), settings),
        "metric": metric,
        "p_these_models": drawn.of_these_models(*pair, metric).p_value,
    }


def _mcnemar(
    answered: dict[tuple[str, int], Predictions], pair: tuple[str, str], seeds: list[int]
) -> dict[int, float]:
    """The exact test of each seed, where answers are right or wrong and independent."""
    both = {seed: [answered[model, seed].correct for model in pair] for seed in seeds}
    return {s: mcnemar_exact(a, b) for s, (a, b) in both.items() if a is not None and b is not None}


def _correct(rows: list[dict[str, Any]]) -> None:
    """Holm's correction: of p-values within a family of metrics, of McNemar's within a seed."""
    families: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(FAMILIES[row["metric"]], []).append(row)
    for family in families.values():
        corrected = holm([row["p_value"] for row in family])
        for row, value in zip(family, corrected):
            row |= {"p_holm": value, "comparisons": len(family), "mcnemar_holm": {}}
    for seed in dict.fromkeys(seed for row in rows for seed in row["mcnemar"]):
        tested = [row for row in rows if seed in row["mcnemar"]]
        corrected = holm([row["mcnemar"][seed] for row in tested])
        for row, value in zip(tested, corrected):
            row["mcnemar_holm"][seed] = float(value)
    for row in rows:
        row |= {
            name: json.dumps([significant(value) for value in row[name].values()])
            for name in ("mcnemar", "mcnemar_holm")
        }

"""What the runs answered to each test example: `predictions.csv`, in the form that weighted metrics take."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from liquidbench.errors import InputError
from liquidbench.evaluation.metrics import edits_and_lengths
from liquidbench.evaluation.weighted_metrics import (
    Answers,
    BinaryAnswers,
    ClassAnswers,
    LineAnswers,
    figures_of,
)
from liquidbench.reporting.runs import REMAKE, Run, read_table


@dataclass(frozen=True)
class Predictions:
    """One run's answers, rows sorted by example (and hour).

    Attributes:
        ids: (examples,) the different test examples, sorted.
        targets: (rows,) what was asked, as text.
        answers: the answers.
        correct: (rows,) bool; None for lines, and for hours, which are not independent of each other.
    """

    ids: NDArray[np.str_]
    targets: NDArray[np.str_]
    answers: Answers
    correct: NDArray[np.bool_] | None

    def same_examples(self, other: "Predictions") -> bool:
        """Whether two runs were asked the same, so that their answers can be paired."""
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.targets, other.targets)


def read_predictions(results: str | Path, run: Run) -> Predictions | None:
    """Read a run's `predictions.csv`; None if it is not there.

    Raises:
        InputError: a column is missing or holds no numbers, or the accuracy is not that of `metrics.json`.
    """
    path = Path(results, run.key.directory, "predictions.csv")
    if not path.is_file():
        return None
    task = run.metrics["task"]
    scored = ["probability"] if task == "binary" else []
    table = read_table(path, ["id", "target", "prediction", *scored], scored, REMAKE)
    if table.empty:
        raise InputError(path, "no rows", REMAKE)
    hourly = "hour" in table.columns
    order = np.lexsort([pd.to_numeric(table["hour"])] if hourly else [np.arange(len(table))])
    order = order[np.argsort(table["id"].to_numpy(dtype=str)[order], kind="stable")]
    table = table.iloc[order]
    ids, units = np.unique(table["id"].to_numpy(dtype=str), return_inverse=True)
    targets = table["target"].to_numpy(dtype=str)
    answers = _answers(path, task, table, units.astype(np.int64), len(ids))
    correct = None
    if task != "transcription" and not hourly:
        correct = targets == table["prediction"].to_numpy(dtype=str)
        _check_accuracy(path, figures_of(answers)["accuracy"], run.metrics["test"].get("accuracy"))
    return Predictions(ids, targets, answers, correct)


def _answers(
    path: Path, task: str, table: pd.DataFrame, units: NDArray[np.int64], count: int
) -> Answers:
    if task == "transcription":
        edits, lengths = edits_and_lengths(table["target"].tolist(), table["prediction"].tolist())
        return LineAnswers(edits, lengths, units, count)
    if task == "classification":
        correct = (table["target"] == table["prediction"]).to_numpy(dtype=bool)
        return ClassAnswers(correct, units, count)
    for name in ("target", "prediction"):
        if not table[name].isin(["0", "1"]).all():
            raise InputError(f"{path}, column {name}", "holds others than 0 and 1", REMAKE)
    scores = table["probability"].to_numpy(dtype=np.float64)
    if np.isnan(scores).any():
        raise InputError(f"{path}, column probability", "an empty number", REMAKE)
    said = [(table[name] == "1").to_numpy(dtype=bool) for name in ("target", "prediction")]
    return BinaryAnswers(*said, scores, units, count)


def _check_accuracy(path: Path, found: float, told: float | None) -> None:
    if told is None or abs(found - told) > 1e-6:
        problem = f"gives an accuracy of {found:.6f}, metrics.json says {told}"
        raise InputError(path, problem, REMAKE)

"""What the runs answered to each test example, in the form that weighted metrics take."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from liquidbench.errors import InputError
from liquidbench.evaluation.edits import KINDS
from liquidbench.evaluation.weighted_metrics import (
    Answers,
    BinaryAnswers,
    ClassAnswers,
    LineAnswers,
    figures_of,
)
from liquidbench.reporting.line_errors import LINE_ERRORS, lines_read
from liquidbench.reporting.runs import REMAKE, Run, read_table


@dataclass(frozen=True)
class Predictions:
    """One run's answers, rows sorted by example (and hour).

    Attributes:
        ids: (examples,) the different test examples, sorted.
        targets: (rows,) what was asked, as text; of lines, its digest.
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
    task = run.metrics["task"]
    if task == "transcription" and (path.is_file() or path.with_name(LINE_ERRORS).is_file()):
        return _lines(path.parent)
    if not path.is_file():
        return None
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
    if not hourly:
        correct = targets == table["prediction"].to_numpy(dtype=str)
        _check_accuracy(path, figures_of(answers)["accuracy"], run.metrics["test"].get("accuracy"))
    return Predictions(ids, targets, answers, correct)


def _lines(folder: Path) -> Predictions:
    """The greedy readings of lines."""
    lines = lines_read(folder).sort_values("id", kind="stable")
    if lines.empty:
        raise InputError(folder / "predictions.csv", "no rows", REMAKE)
    ids, units = np.unique(lines["id"].to_numpy(dtype=str), return_inverse=True)
    edits = np.stack([lines[list(KINDS)].sum(axis=1), lines["word_edits"]]).astype(np.float64)
    lengths = np.stack([lines["characters"], lines["words"]]).astype(np.float64)
    answers = LineAnswers(edits, lengths, units.astype(np.int64), len(ids))
    return Predictions(ids, lines["target_digest"].to_numpy(dtype=str), answers, correct=None)


def _answers(
    path: Path, task: str, table: pd.DataFrame, units: NDArray[np.int64], count: int
) -> Answers:
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

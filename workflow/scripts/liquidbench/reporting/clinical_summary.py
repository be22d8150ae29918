"""What `predictions.csv` of a sepsis run says to a clinician: rows for the summaries. No torch, no data."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from liquidbench.errors import InputError
from liquidbench.evaluation import alarms, clinical
from liquidbench.evaluation.metrics import Figures
from liquidbench.reporting.runs import REMAKE, RUN_COLUMNS, Run
from liquidbench.reporting.significant import significant

CLINICAL_COLUMNS = [*RUN_COLUMNS, "level", "figure", "value", "synthetic"]
CALIBRATION_COLUMNS = [*RUN_COLUMNS, "level", "bin", "count", "mean_probability", "observed"]
CALIBRATION_COLUMNS += ["synthetic"]
OPERATING_COLUMNS = [*RUN_COLUMNS, "level", "recall", "precision", "false_alarms", "stays"]
OPERATING_COLUMNS += ["threshold", "synthetic"]

Rows = list[dict[str, Any]]


def clinical_rows(run: Run, folder: Path) -> dict[str, Rows]:
    """The rows of one run for the summaries `clinical`, `calibration` and `operating_points`.

    Args:
        run: a finished run.
        folder: its run directory.

    Returns:
        Summary name to rows; none for a run of another task than sepsis.

    Raises:
        InputError: `predictions.csv` is missing, damaged, or not what `metrics.json` says.
    """
    if run.metrics["task"] != "binary":
        return {"clinical": [], "calibration": [], "operating_points": []}
    level = run.metrics["settings"]["training"].get("level", "patient")
    table = _read_predictions(folder / "predictions.csv", run, hourly=level == "hour")
    targets = table["target"].to_numpy()
    probabilities = table["probability"].to_numpy()
    figures: Figures = {"threshold": run.metrics["test"]["threshold"]}
    figures |= clinical.probability_figures(targets, probabilities)
    judged, scores = targets, probabilities
    if level == "hour":
        offsets = np.append(np.flatnonzero(table["hour"].to_numpy() == 0), len(table))
        raised = table["prediction"].to_numpy().astype(bool)
        figures |= alarms.alarm_figures(targets, raised, offsets)
        figures |= alarms.alarm_figures_at_recalls(targets, probabilities, offsets)
        figures |= alarms.leak_figures(targets, offsets)
        judged, scores = alarms.stay_scores(targets, probabilities, offsets)
    figures |= clinical.matched_figures(judged, scores)
    front = {**run.key.as_columns(), "level": level}
    mark = {"synthetic": run.metrics["synthetic"]}
    return {
        "clinical": [
            {**front, "figure": name, "value": _as_written(name, value), **mark}
            for name, value in figures.items()
        ],
        "calibration": [
            {**front, **row, **mark} for row in clinical.calibration(targets, probabilities)
        ],
        "operating_points": [
            {**front, **row, **mark} for row in clinical.operating_points(judged, scores)
        ],
    }


def _as_written(name: str, value: float | None) -> float | None:
    """A figure with the digits in which processors agree; a threshold whole, or its own stay would not reach it."""
    return value if value is None or name.startswith("threshold") else significant(value)


def _read_predictions(path: Path, run: Run, hourly: bool) -> pd.DataFrame:
    """Read a sepsis run's predictions; hours of a stay follow each other, from 0."""
    names = ["id", *(["hour"] if hourly else []), "target", "prediction", "probability"]
    try:
        table = pd.read_csv(path, usecols=names, dtype={"id": str}, encoding="utf-8")
    except FileNotFoundError:
        raise InputError(path, "no such file", REMAKE) from None
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(path, f"not a table of predictions ({error})", REMAKE) from None
    numbers = table[names[1:]]
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in numbers.dtypes):
        raise InputError(path, "a number is none", REMAKE)
    if numbers.isna().any(axis=None):
        raise InputError(path, "a number is empty", REMAKE)
    if not table[["target", "prediction"]].isin([0, 1]).all(axis=None):
        raise InputError(path, "a target or prediction is not 0 or 1", REMAKE)
    stays = table["id"].nunique()
    if stays != run.metrics["examples"]["test"]:
        problem = f"holds {stays} stays, metrics.json says {run.metrics['examples']['test']}"
        raise InputError(path, problem, REMAKE)
    if hourly and not table["hour"].equals(table.groupby("id", sort=False).cumcount()):
        raise InputError(path, "the hours of a stay do not follow each other from 0", REMAKE)
    return table

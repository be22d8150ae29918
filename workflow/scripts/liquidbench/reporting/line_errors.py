"""How the test lines of a run were read, greedily and by beam search: errors by the length of the line."""

from pathlib import Path

import numpy as np
import pandas as pd

from liquidbench.errors import InputError
from liquidbench.evaluation.edits import KINDS, edit_counts
from liquidbench.reporting.runs import REMAKE, RUN_COLUMNS, Run, read_table

# A reading's column in predictions.csv, and what its figures' names in metrics.json end in.
READINGS = {"greedy": ("prediction", ""), "beam": ("prediction_beam", "_beam")}
# How many lengths, in characters, share a row.
BIN = 5

NUMBERS = ["shortest", "longest", "lines", "characters", *KINDS, "cer", "cer_pooled"]
COLUMNS = [*RUN_COLUMNS, "reading", *NUMBERS, "synthetic"]


def errors_by_length(results: str | Path, run: Run) -> pd.DataFrame:
    """The errors of a run's two readings, by the length of what was written.

    Args:
        results: the results folder.
        run: of a transcription.

    Returns:
        A row per reading and bin of lengths that has lines, with the columns of `COLUMNS`.

    Raises:
        InputError: `predictions.csv` is missing, lacks a column, or contradicts `metrics.json`.
    """
    path = Path(results, run.key.directory, "predictions.csv")
    columns = ["id", "target", *(column for column, _ in READINGS.values())]
    texts = read_table(path, columns, [], REMAKE)
    if len(texts) != run.metrics["examples"]["test"]:
        found = f"{len(texts)} lines, metrics.json says {run.metrics['examples']['test']}"
        raise InputError(path, found, REMAKE)
    length = texts["target"].str.len().to_numpy(dtype=np.int64)
    frames = []
    for reading, (column, suffix) in READINGS.items():
        edits = edit_counts(texts["target"].tolist(), texts[column].tolist())
        rate = edits.sum(axis=1) / np.maximum(length, 1)
        _check_rate(path, column, float(rate.mean()), run.metrics["test"].get(f"cer{suffix}"))
        lines = pd.DataFrame(edits, columns=list(KINDS)).assign(
            shortest=length // BIN * BIN, characters=length, cer=rate, lines=1
        )
        sums = lines.groupby("shortest").sum().reset_index()
        frames.append(
            sums.assign(
                reading=reading,
                longest=sums["shortest"] + BIN - 1,
                cer=sums["cer"] / sums["lines"],
                # As in a single line: an empty reference counts its reading's length.
                cer_pooled=sums[list(KINDS)].sum(axis=1) / sums["characters"].clip(lower=1),
            )
        )
    front = run.key.as_columns() | {"synthetic": run.metrics["synthetic"]}
    return pd.concat(frames, ignore_index=True).assign(**front)[COLUMNS]


def _check_rate(path: Path, column: str, found: float, told: float | None) -> None:
    if told is None or abs(found - told) > 1e-6:
        problem = f"gives a CER of {found:.6f}, metrics.json says {told}"
        raise InputError(f"{path}, column {column}", problem, REMAKE)

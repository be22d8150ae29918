"""How the test lines of a run were read, greedily and by beam search: errors by line, and by the length of the line."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from liquidbench.errors import InputError
from liquidbench.evaluation.edits import KINDS, edit_counts
from liquidbench.evaluation.metrics import edits_and_lengths
from liquidbench.reporting.runs import REMAKE, RUN_COLUMNS, Run, read_table

# A reading's column in predictions.csv, and what its figures' names in metrics.json end in.
READINGS = {"greedy": ("prediction", ""), "beam": ("prediction_beam", "_beam")}
# How many lengths, in characters, share a row.
BIN = 5

NUMBERS = ["shortest", "longest", "lines", "characters", *KINDS, "cer", "cer_pooled"]
COLUMNS = [*RUN_COLUMNS, "reading", *NUMBERS, "synthetic"]

LINE_ERRORS = "line_errors.csv"
"""What stands for `predictions.csv` where the texts of a data set may not go."""
_COUNTS = [
    *("characters", "words"),
    *(f"{name}{suffix}" for _, suffix in READINGS.values() for name in (*KINDS, "word_edits")),
]
LINE_COLUMNS = ["id", "target_digest", *_COUNTS]


def lines_read(folder: Path) -> pd.DataFrame:
    """Every test line of a run: its length, and the errors of both readings; no text.

    Args:
        folder: the run directory, with `predictions.csv` or else `line_errors.csv`.

    Returns:
        A row per line with `LINE_COLUMNS`: `id` and `target_digest` (of the written text: 16 hexadecimal digits of
        its SHA-256) are text, all others whole numbers. Edits lead from what was written to what was read; those of
        the beam search end in `_beam`.

    Raises:
        InputError: neither file is there, or it lacks a column.
    """
    if not (folder / "predictions.csv").is_file() and (folder / LINE_ERRORS).is_file():
        lines = read_table(folder / LINE_ERRORS, LINE_COLUMNS, _COUNTS, REMAKE)
        return lines[LINE_COLUMNS].astype(dict.fromkeys(_COUNTS, np.int64))
    columns = ["id", "target", *(column for column, _ in READINGS.values())]
    texts = read_table(folder / "predictions.csv", columns, [], REMAKE)
    written = texts["target"].tolist()
    lines = {"id": texts["id"], "target_digest": [_digest(text) for text in written]}
    for column, suffix in READINGS.values():
        read = texts[column].tolist()
        edits, lengths = edits_and_lengths(written, read)
        lines |= dict(zip(("characters", "words"), lengths.astype(np.int64)))
        kinds = edit_counts(written, read).T
        lines |= {f"{kind}{suffix}": counts for kind, counts in zip(KINDS, kinds)}
        lines[f"word_edits{suffix}"] = edits[1].astype(np.int64)
    return pd.DataFrame(lines)[LINE_COLUMNS]


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
    folder = Path(results, run.key.directory)
    read = lines_read(folder)
    if len(read) != run.metrics["examples"]["test"]:
        found = f"{len(read)} lines, metrics.json says {run.metrics['examples']['test']}"
        raise InputError(folder / "predictions.csv", found, REMAKE)
    length = read["characters"].to_numpy()
    frames = []
    for reading, (_, suffix) in READINGS.items():
        edits = read[[f"{kind}{suffix}" for kind in KINDS]].to_numpy()
        rate = edits.sum(axis=1) / np.maximum(length, 1)
        _check_rate(folder, f"cer{suffix}", float(rate.mean()), run)
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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _check_rate(folder: Path, name: str, found: float, run: Run) -> None:
    told = run.metrics["test"].get(name)
    if told is None or abs(found - told) > 1e-6:
        problem = f"gives a {name} of {found:.6f}, metrics.json says {told}"
        raise InputError(folder / "predictions.csv", problem, REMAKE)

"""All runs of a study gathered into a few CSV files: everything that tables and figures read.

The files and their columns are described in docs/file-formats.md.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from liquidbench.errors import InputError
from liquidbench.files import told_when_full
from liquidbench.reporting import differences, line_errors, stress_differences
from liquidbench.reporting.clinical_summary import (
    CALIBRATION_COLUMNS,
    CLINICAL_COLUMNS,
    OPERATING_COLUMNS,
    clinical_rows,
)
from liquidbench.reporting.runs import RUN_COLUMNS, STRESS_COLUMNS, Run, RunKey, read_run
from liquidbench.reporting.significant import significant

HISTORY_COLUMNS = ["epoch", "learning_rate", "train_loss", "test_loss"]

COLUMNS = {
    "runs": [
        *RUN_COLUMNS,
        *["state", "source", "synthetic"],
        *["train_examples", "validation_examples", "test_examples"],
        *["seconds", "peak_memory_bytes", "directory"],
    ],
    "metrics": [*RUN_COLUMNS, "source", "synthetic", "split", "metric", "value"],
    "parameters": [*RUN_COLUMNS, "total", "encoder", "core", "head"],
    "history": [*RUN_COLUMNS, *HISTORY_COLUMNS],
    "confusion": [*RUN_COLUMNS, "target", "prediction", "count"],
    "stress": [*STRESS_COLUMNS, "synthetic"],
    "settings": [*RUN_COLUMNS, "setting", "value"],
    "environment": [*RUN_COLUMNS, "fact", "value"],
    "costs": [
        *RUN_COLUMNS,
        *["core_parameters", "core_flops_per_step", "flops_per_example"],
        *["latency_one_example_seconds", "latency_per_example_seconds", "median_epoch_seconds"],
        *["training_seconds", "peak_memory_bytes", "energy_joules"],
    ],
    "clinical": CLINICAL_COLUMNS,
    "calibration": CALIBRATION_COLUMNS,
    "operating_points": OPERATING_COLUMNS,
    "handwriting": line_errors.COLUMNS,
    "differences": differences.COLUMNS,
    "stress_differences": stress_differences.COLUMNS,
}

# By sums over examples, seeds or draws. Operating points are counts, ratios of these, and what runs recorded.
_COMPUTED = ("calibration", "handwriting", "differences", "stress_differences")
_FACTS_OF_METRICS = ("core_implementation", "elapsed_varies", "cache_sha256", "code_sha256")


def summarise(
    results: str | Path,
    expected: list[RunKey],
    statistics: differences.Settings = differences.USUAL,
) -> dict[str, pd.DataFrame]:
    """Gather the run directories of the expected runs.

    Args:
        results: the results folder.
        expected: the configured runs; their order is the order of the rows.
        statistics: how differences between models are judged.

    Returns:
        Summary name to table, with the columns of `COLUMNS` (`history` has more: the metrics of
        its runs). A run that is not there has the state `missing` in `runs` and no other row.

    Raises:
        InputError: a run directory is damaged, or runs that differ in the seed alone come some
            from synthetic and some from real data.
    """
    found = {key: read_run(results, key) for key in expected}
    finished = [run for run in found.values() if run is not None]
    _refuse_mixed_data(finished)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    rows["runs"] = [_run_row(key, run) for key, run in found.items()]
    histories, confusions, stresses, handwritings = [], [], [], []
    for run in finished:
        front = run.key.as_columns()
        rows["metrics"] += _metric_rows(run)
        rows["parameters"].append({**front, **run.metrics["parameters"]})
        rows["costs"].append({**front, **_costs(run)})
        for name, value in flattened(run.metrics["settings"]):
            rows["settings"].append({**front, "setting": name, "value": value})
        facts = {name: run.metrics.get(name, "") for name in _FACTS_OF_METRICS}
        for name, value in flattened({**run.provenance, **facts}):
            rows["environment"].append({**front, "fact": name, "value": value})
        histories.append(_with_front(run.history, front))
        if run.confusion is not None:
            confusions.append(_with_front(run.confusion, front))
        for name, own in clinical_rows(run, Path(results, run.key.directory)).items():
            rows[name] += own
        if run.stress is not None:
            stresses.append(run.stress.assign(synthetic=run.metrics["synthetic"]))
        if run.metrics["task"] == "transcription":
            handwritings.append(line_errors.errors_by_length(results, run))
    frames = {name: pd.DataFrame(rows[name], columns=COLUMNS[name]) for name in COLUMNS}
    for name, parts in (
        ("history", histories),
        ("confusion", confusions),
        ("stress", stresses),
        ("handwriting", handwritings),
    ):
        if parts:
            frames[name] = pd.concat(parts, ignore_index=True)
    frames["differences"] = differences.differences(results, finished, statistics)
    frames["stress_differences"] = stress_differences.stress_differences(
        results, finished, statistics
    )
    # Whole numbers stay whole beside the empty cells of what there is not.
    whole = ["train_examples", "validation_examples", "test_examples", "peak_memory_bytes"]
    frames["runs"] = frames["runs"].astype(dict.fromkeys(whole, "Int64"))
    parts = dict.fromkeys(("total", "encoder", "core", "head"), "Int64")
    frames["parameters"] = frames["parameters"].astype(parts)
    counts = ("core_parameters", "core_flops_per_step", "flops_per_example", "peak_memory_bytes")
    frames["costs"] = frames["costs"].astype(dict.fromkeys(counts, "Int64"))
    return frames


def _with_front(frame: pd.DataFrame, front: dict[str, Any]) -> pd.DataFrame:
    return frame.assign(**front)[[*front, *frame.columns]]


def _refuse_mixed_data(runs: list[Run]) -> None:
    """A mean over seeds must not join synthetic with real data."""
    first: dict[tuple[str, str, str], Run] = {}
    for run in runs:
        other = first.setdefault((run.key.dataset, run.key.protocol, run.key.model), run)
        if other.metrics["synthetic"] != run.metrics["synthetic"]:
            raise InputError(
                run.key.directory,
                f"one of this run and {other.key.directory} is on synthetic data, one is not",
                "Delete the one that is not wanted and train again",
            )


def _run_row(key: RunKey, run: Run | None) -> dict[str, Any]:
    row = {**key.as_columns(), "state": "missing", "directory": key.directory}
    if run is None:
        return row
    return row | {
        "state": "finished",
        "source": run.metrics["source"],
        "synthetic": run.metrics["synthetic"],
        "train_examples": run.metrics["examples"]["train"],
        "validation_examples": run.metrics["examples"].get("validation"),
        "test_examples": run.metrics["examples"]["test"],
        "seconds": run.provenance.get("seconds", {}).get("total"),
        "peak_memory_bytes": _process_memory(run.provenance.get("peak_memory_bytes")),
    }


def _costs(run: Run) -> dict[str, Any]:
    """What a run's model costs; None for what it does not have or what was not taken."""
    costs = run.metrics.get("costs", {})
    latency = run.provenance.get("latency_seconds", {})
    return {
        "core_parameters": run.metrics["parameters"]["core"],
        "core_flops_per_step": costs.get("core_flops_per_step"),
        "flops_per_example": costs.get("flops_per_example"),
        "latency_one_example_seconds": latency.get("one_example"),
        "latency_per_example_seconds": latency.get("per_example_in_batch"),
        "median_epoch_seconds": run.provenance.get("seconds", {}).get("median_epoch"),
        "training_seconds": run.provenance.get("seconds", {}).get("training"),
        "peak_memory_bytes": _process_memory(run.provenance.get("peak_memory_bytes")),
        "energy_joules": run.provenance.get("energy_joules"),
    }


def _process_memory(peak: Any) -> int | None:
    """The peak of the process, where the record tells it apart from the graphics card's."""
    return peak.get("process") if isinstance(peak, dict) else peak


def _metric_rows(run: Run) -> Iterator[dict[str, Any]]:
    """The figures of metrics.json, then those of the last epoch as it went.

    A figure that does not exist (null) keeps its row, with an empty value; a running figure that
    was never taken (the character error rate while training) has none.
    """
    front = {
        **run.key.as_columns(),
        "source": run.metrics["source"],
        "synthetic": run.metrics["synthetic"],
    }
    for split in ("train", "validation", "test"):
        for name, value in run.metrics.get(split, {}).items():
            yield {**front, "split": split, "metric": name, "value": value}
    last = run.history.iloc[-1]
    for name in run.history.columns:
        if name.startswith("train_") and pd.notna(last[name]):
            metric = name.removeprefix("train_")
            yield {**front, "split": "train_running", "metric": metric, "value": float(last[name])}


def flattened(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested dictionaries with dotted names, in the dictionary's order.

    Text stands as it is; anything else (numbers, true, null, lists, an empty dictionary) as JSON.
    """
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from flattened(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{name}", text


def write_summaries(frames: dict[str, pd.DataFrame], out: str | Path) -> None:
    """Write every table to `<out>/<name>.csv`: all are made first, then put in place one by one.

    What runs recorded keeps every digit; floats that were computed here have those in which processors agree.
    """
    out = Path(out)
    temporary = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        with told_when_full(out):
            out.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            for name, frame in frames.items():
                if name in _COMPUTED:
                    # Columns of text and numbers, too: what a cell is decides.
                    frame = frame.map(lambda it: significant(it) if isinstance(it, float) else it)
                frame.to_csv(temporary / f"{name}.csv", index=False, lineterminator="\n")
            for name in frames:
                (temporary / f"{name}.csv").replace(out / f"{name}.csv")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

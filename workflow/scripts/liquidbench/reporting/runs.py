"""Run directories, read and checked. docs/file-formats.md says what they hold."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from liquidbench.errors import InputError
from liquidbench.files import read_json

RUN_COLUMNS = ["dataset", "protocol", "model", "seed"]
STRESS_COLUMNS = [*RUN_COLUMNS, "corruption", "rate", "draw", "mask_seed"]
STRESS_COLUMNS += ["examples", "metric", "value"]
REMAKE = "Delete the run directory and train again"


@dataclass(frozen=True, order=True)
class RunKey:
    """What names one run."""

    dataset: str
    protocol: str
    model: str
    seed: int

    @property
    def directory(self) -> str:
        """The run directory, relative to the results folder."""
        return f"{self.dataset}/{self.protocol}/{self.model}/seed-{self.seed}"

    @property
    def label(self) -> str:
        """The run as a reader meets it in a note."""
        return f"{self.dataset}/{self.protocol}/{self.model} seed {self.seed}"

    def as_columns(self) -> dict[str, Any]:
        """The four columns that stand in front of every summary row."""
        return {name: getattr(self, name) for name in RUN_COLUMNS}


@dataclass(frozen=True)
class Run:
    """One finished run, as its small files tell it. `confusion` and `stress` may not exist."""

    key: RunKey
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    history: pd.DataFrame
    confusion: pd.DataFrame | None
    stress: pd.DataFrame | None


def parse_runs(text: str, where: str) -> list[RunKey]:
    """Read a JSON list of ``{"dataset", "protocol", "model", "seeds"}``; ``"seed"`` names a single one.

    Args:
        text: the JSON.
        where: the option that it came from, for messages.

    Raises:
        InputError: not such a list, or a run named twice.
    """
    remedy = 'Give a JSON list of {"dataset": ..., "protocol": ..., "model": ..., "seeds": [0]}'
    try:
        items = json.loads(text)
    except ValueError as error:
        raise InputError(where, f"not valid JSON ({error})", remedy) from None
    if not isinstance(items, list):
        raise InputError(where, f"expected a list, found {type(items).__name__}", remedy)
    keys = []
    for position, item in enumerate(items):
        if isinstance(item, dict) and "seed" in item:
            item = {**item, "seeds": [item["seed"]]}
            del item["seed"]
        if not isinstance(item, dict) or set(item) != {*RUN_COLUMNS[:3], "seeds"}:
            raise InputError(f"{where}, item {position}", f"found {item!r}", remedy)
        names = [item[name] for name in RUN_COLUMNS[:3]]
        seeds = item["seeds"] if isinstance(item["seeds"], list) else [item["seeds"]]
        if not all(isinstance(name, str) and _is_plain(name) for name in names):
            raise InputError(f"{where}, item {position}", f"not plain names: {names!r}", remedy)
        for seed in seeds:
            if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
                raise InputError(f"{where}, item {position}", f"seed is {seed!r}", remedy)
            keys.append(RunKey(*names, seed))
    twice = sorted(key.label for key, count in Counter(keys).items() if count > 1)
    if twice:
        raise InputError(where, f"named more than once: {', '.join(twice)}", "Name each run once")
    return keys


def _is_plain(name: str) -> bool:
    """Whether a name is one folder name, and so cannot lead out of the results folder."""
    return bool(name) and not name.startswith(".") and "/" not in name and "\\" not in name


def read_run(results: str | Path, key: RunKey) -> Run | None:
    """Read a run directory; None if it is not finished: `metrics.json`, written last, is not there.

    Raises:
        InputError: the directory is damaged: some files are missing, cannot be read, contradict
            one another, or belong to another run.
    """
    folder = Path(results, key.directory)
    required = ["metrics.json", "provenance.json", "history.csv"]
    present = [name for name in required if (folder / name).is_file()]
    if "metrics.json" not in present:
        return None
    if len(present) < len(required):
        missing = ", ".join(name for name in required if name not in present)
        raise InputError(folder, f"damaged run directory: {missing} missing", REMAKE)
    metrics = _read_metrics(folder / "metrics.json", key)
    run = Run(
        key=key,
        metrics=metrics,
        provenance=_read_object(folder / "provenance.json"),
        history=_read_history(folder / "history.csv"),
        confusion=(
            None
            if metrics["task"] == "transcription"
            else _read_confusion(folder / "confusion.csv", metrics)
        ),
        stress=_read_stress(folder / "stress.csv", key),
    )
    return run


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(path, f"expected an object, found {type(content).__name__}", REMAKE)
    return content


def _read_metrics(path: Path, key: RunKey) -> dict[str, Any]:
    """Read metrics.json; check that it is this run's and that its figures are numbers."""
    metrics = _read_object(path)
    expected = {
        "task": str,
        "source": str,
        "synthetic": bool,
        "examples": dict,
        "train": dict,
        "test": dict,
        "parameters": dict,
        "settings": dict,
    }
    for name, kind in {**dict.fromkeys(RUN_COLUMNS), **expected}.items():
        if name not in metrics:
            raise InputError(f"{path}, key {name}", "missing", REMAKE)
        if kind and not isinstance(metrics[name], kind):
            found = f"expected {kind.__name__}, found {metrics[name]!r}"
            raise InputError(f"{path}, key {name}", found, REMAKE)
    found = tuple(metrics[name] for name in RUN_COLUMNS)
    if found != tuple(key.as_columns().values()):
        raise InputError(path, f"belongs to another run: {found}", REMAKE)
    for part in ("train", "test"):
        _check_numbers(path, part, metrics[part], may_be_null=True)
        if part not in metrics["examples"]:
            raise InputError(f"{path}, key examples.{part}", "missing", REMAKE)
    if "validation" in metrics:
        _check_numbers(path, "validation", metrics["validation"], may_be_null=True)
    # A model without a core has no parts, and trees have no count that means anything.
    _check_numbers(path, "parameters", metrics["parameters"], may_be_null=True)
    _check_numbers(path, "costs", metrics.get("costs", {}), may_be_null=True)
    _check_numbers(path, "examples", metrics["examples"], may_be_null=False)
    for name in ("total", "encoder", "core", "head"):
        if name not in metrics["parameters"]:
            raise InputError(f"{path}, key parameters.{name}", "missing", REMAKE)
    return metrics


def _check_numbers(path: Path, part: str, values: dict[str, Any], may_be_null: bool) -> None:
    for name, value in values.items():
        if value is None and may_be_null:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            found = f"expected a number, found {value!r}"
            raise InputError(f"{path}, key {part}.{name}", found, REMAKE)


def read_table(path: Path, columns: list[str], numbers: list[str], remedy: str) -> pd.DataFrame:
    """Read a CSV file with at least `columns`, of which `numbers` are numeric (empty allowed).

    Text stays text: a class called "None" or "1e3" is that name.

    Raises:
        InputError: the file or a column is missing, or a number is none.
    """
    try:
        # Plain Python text, not pandas' "str": tables ask for single cells, and that packs each of them anew.
        frame = pd.read_csv(path, dtype=object, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy) from None
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(path, f"not a CSV table ({error})", remedy) from None
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(path, f"column {', '.join(missing)} missing", remedy)
    for name in numbers:
        frame[name] = _as_numbers(path, frame[name], remedy)
    return frame


def _as_numbers(path: Path, texts: pd.Series, remedy: str) -> pd.Series:
    """Text to float64, empty to NaN; `float` itself, since pandas' own parser may lose a bit."""
    values = []
    for row, text in enumerate(texts):
        try:
            values.append(float(text) if text else math.nan)
        except ValueError:
            where = f"{path}, line {row + 2}, column {texts.name}"
            raise InputError(where, f"expected a number, found {text!r}", remedy) from None
    return pd.Series(values, index=texts.index, dtype="float64", name=texts.name)


def _read_history(path: Path) -> pd.DataFrame:
    columns = ["epoch", "learning_rate", "train_loss", "test_loss"]
    history = read_table(path, columns, columns, REMAKE)
    if history.empty:
        raise InputError(path, "no epoch", REMAKE)
    others = [name for name in history.columns if name not in columns]
    for name in others:
        history[name] = _as_numbers(path, history[name], REMAKE)
    if history["epoch"].tolist() != list(range(1, len(history) + 1)):
        raise InputError(path, f"epochs are not 1 to {len(history)}", REMAKE)
    history["epoch"] = history["epoch"].astype(int)
    return history


def _read_confusion(path: Path, metrics: dict[str, Any]) -> pd.DataFrame:
    """Read confusion.csv; its counts must give the number and the accuracy of metrics.json."""
    columns = ["target", "prediction", "count"]
    confusion = read_table(path, columns, ["count"], REMAKE)[columns]
    if confusion["count"].isna().any() or (confusion["count"] % 1 != 0).any():
        raise InputError(path, "a count is empty or not whole", REMAKE)
    confusion["count"] = confusion["count"].astype(int)
    # By the hour, each hour of a test stay is counted.
    examples = metrics["examples"].get("test_hours", metrics["examples"]["test"])
    total = int(confusion["count"].sum())
    if total != examples:
        found = f"counts {total} examples, metrics.json says {examples}"
        raise InputError(path, found, REMAKE)
    correct = confusion.loc[confusion["target"] == confusion["prediction"], "count"].sum()
    accuracy = metrics["test"].get("accuracy")
    if accuracy is None or abs(correct / total - accuracy) > 1e-6:
        found = f"gives an accuracy of {correct / total:.6f}, metrics.json says {accuracy}"
        raise InputError(path, found, REMAKE)
    return confusion


def _read_stress(path: Path, key: RunKey) -> pd.DataFrame | None:
    """Read stress.csv; None in a run without a stress test."""
    if not path.is_file():
        return None
    numbers = ["rate", "draw", "mask_seed", "examples"]
    remedy = "Delete the file and run the stress test again"
    numeric = ["seed", *numbers, "value"]
    stress = read_table(path, STRESS_COLUMNS, numeric, remedy)[STRESS_COLUMNS]
    if stress.empty or stress[["seed", *numbers]].isna().any(axis=None):
        raise InputError(path, "no rows, or an empty number", remedy)
    whole = ["seed", "draw", "mask_seed", "examples"]
    stress[whole] = stress[whole].astype(int)
    named = set(stress[RUN_COLUMNS].itertuples(index=False, name=None))
    if named != {tuple(key.as_columns().values())}:
        raise InputError(path, f"holds rows of other runs: {sorted(named)}", remedy)
    correct = stress["value"] * stress["examples"]
    for wrong, problem in (
        (stress.duplicated(["corruption", "rate", "draw", "metric"]), "a figure is there twice"),
        (~stress["rate"].between(0, 1), "the rate is not between 0 and 1"),
        # An area exists only where there are both classes.
        (stress["value"].isna() & stress["metric"].isin(["accuracy", "cer"]), "no value"),
        (
            (stress["value"] < 0) | ((stress["value"] > 1) & (stress["metric"] != "cer")),
            "no such value",
        ),
        (
            (stress["metric"] == "accuracy") & ((correct - correct.round()).abs() > 1e-3),
            "accuracy is no whole number of the examples",
        ),
    ):
        if wrong.any():
            line = int(wrong.idxmax()) + 2
            raise InputError(f"{path}, line {line}", problem, remedy)
    return stress

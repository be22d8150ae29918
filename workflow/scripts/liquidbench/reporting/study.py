"""What tables and figures share: the summaries, the layout, and the groups of runs to show."""

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from liquidbench.errors import InputError
from liquidbench.files import json_object
from liquidbench.reporting import line_errors
from liquidbench.reporting.runs import RUN_COLUMNS, read_table
from liquidbench.reporting.summaries import COLUMNS

DATASET_TITLES = {
    "nmnist": "N-MNIST",
    "quickdraw": "QuickDraw",
    "iam": "IAM",
    "physionet": "PhysioNet",
}

# The protocols that are the paper's text or the authors' code; the others are this project's own.
PAPERS_PROTOCOLS = ("paper", "released", "stress")

# What of the preparation makes it another task than the paper's.
PAPERS_PREPARATION = {
    "quickdraw": {
        "dataset.categories": json.dumps(
            [
                "airplane",
                "apple",
                "banana",
                "basketball",
                "bed",
                "bee",
                "bicycle",
                "bird",
                "book",
                "butterfly",
            ]
        ),
        "dataset.per_category": "5000",
        "dataset.variant": "simplified",
    },
    "physionet": {"dataset.hospitals": '["a"]'},
}

NUMBERS = {
    "runs": ["seed", "train_examples", "test_examples", "seconds", "peak_memory_bytes"],
    "metrics": ["seed", "value"],
    "parameters": ["seed", "total", "encoder", "core", "head"],
    "history": ["seed", "epoch", "learning_rate", "train_loss", "test_loss"],
    "confusion": ["seed", "count"],
    "stress": ["seed", "rate", "draw", "examples", "value"],
    "settings": ["seed"],
    "environment": ["seed"],
    "costs": ["seed", *COLUMNS["costs"][len(RUN_COLUMNS) :]],
    "clinical": ["seed", "value"],
    "calibration": ["seed", "bin", "count", "mean_probability", "observed"],
    "operating_points": ["seed", "recall", "precision", "false_alarms", "stays", "threshold"],
    "handwriting": ["seed", *line_errors.NUMBERS],
    "differences": [
        *["seeds", "examples", "value_a", "value_b", "difference", "low", "high"],
        *["p_value", "p_holm", "comparisons", "p_these_models"],
    ],
    "stress_differences": [
        *["seeds", "examples", "value_a", "value_b", "difference", "low", "high"],
        *["p_value", "p_holm", "comparisons"],
    ],
}


@dataclass(frozen=True)
class Layout:
    """Which protocol is a data set's main one, which is the stress test's, which tell sepsis by the hour, and how sure
    the intervals are."""

    main_protocols: dict[str, str]
    stress_protocol: str
    study: str = ""
    hourly_protocols: tuple[str, ...] = ()
    confidence: float = 0.95


# Examples of the official files: (train, test) where they are split, else in all, whatever part of them is kept for
# validation. Fewer are a part of the data.
OFFICIAL_SIZES = {"nmnist": (60_000, 10_000), "iam": (6_482, 2_915), "physionet": 20_336}


def _official_size(dataset: str, done: pd.DataFrame) -> bool | None:
    """Whether finished runs have exactly as many examples as the official files; None if that is not known."""
    official = OFFICIAL_SIZES.get(dataset)
    if official is None or done.empty:
        return None
    trained, kept, tested = (
        pd.to_numeric(done[f"{split}_examples"]).fillna(0)
        for split in ("train", "validation", "test")
    )
    pairs = zip(trained + kept, tested, strict=True)
    sizes = {(int(a), int(b)) if isinstance(official, tuple) else int(a + b) for a, b in pairs}
    return sizes == {official}


Key = tuple[str, str, str]


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone. `finished` and `missing` are seeds.

    `whole`: prepared as the paper's task, without a limit. `official_size`: whether there are as many examples as in
    the official files; None where their number is not known. `papers_data`: whole, and downloaded or of that size.
    """

    dataset: str
    protocol: str
    model: str
    finished: tuple[int, ...]
    missing: tuple[int, ...]
    data: str
    synthetic: bool | None
    examples: str
    overrides: str = ""
    whole: bool = False
    official_size: bool | None = None
    papers_data: bool = False

    @property
    def key(self) -> Key:
        """Data set, protocol and model."""
        return self.dataset, self.protocol, self.model

    @property
    def protocol_label(self) -> str:
        """The protocol's name, and what of its training the configuration changed."""
        return f"{self.protocol}, but {self.overrides}" if self.overrides else self.protocol

    @property
    def seeds(self) -> str:
        """How many seeds stand behind a figure: "1 seed", "2 of 3 seeds"."""
        done, planned = len(self.finished), len(self.finished) + len(self.missing)
        unit = "seed" if planned == 1 else "seeds"
        return f"{done} {unit}" if done == planned else f"{done} of {planned} {unit}"

    @property
    def front(self) -> tuple[str, str, str, str, str]:
        """What says which runs a row is of: data set, data, protocol, model and seeds, as a reader meets them."""
        title = title_of(self.dataset)
        return title, self.data, self.protocol_label, self.model, self.seeds

    @property
    def missing_notes(self) -> list[str]:
        """One line per missing run."""
        path = f"{self.dataset}/{self.protocol}/{self.model}"
        return [f"missing: {path} seed {seed}" for seed in self.missing]


@dataclass(frozen=True)
class Study:
    """The summaries of a study, with its layout."""

    frames: dict[str, pd.DataFrame]
    layout: Layout

    def groups(self) -> list[Group]:
        """All configured groups: by data set (in the layout's order), then its main protocol,
        other protocols, the stress test's; models in the order of the configuration."""
        return list(self._groups)

    def rows(self, summary: str, key: Key) -> pd.DataFrame:
        """The rows of one data set, protocol and model in a summary, in its order; to be read and not written to."""
        frame = self.frames[summary]
        if summary not in self._parts or self._parts[summary][0] is not frame:
            # Once: tables and figures ask a thousand times.
            parts = frame.groupby(RUN_COLUMNS[:3], sort=False)
            self._parts[summary] = frame, dict(iter(parts))
        return self._parts[summary][1].get(key, frame.iloc[:0])

    @cached_property
    def _parts(self) -> dict[str, tuple[pd.DataFrame, dict[Key, pd.DataFrame]]]:
        return {}

    @cached_property
    def _groups(self) -> list[Group]:
        # Once: every table and figure asks, and each group reads two frames.
        runs = self.frames["runs"]
        datasets = list(dict.fromkeys([*self.layout.main_protocols, *runs["dataset"]]))
        keys = list(dict.fromkeys(zip(runs["dataset"], runs["protocol"], runs["model"])))

        def rank(key: tuple[str, str, str]) -> tuple[int, int]:
            dataset, protocol, _ = key
            if protocol == self.layout.main_protocols.get(dataset):
                return datasets.index(dataset), 0
            return datasets.index(dataset), 2 if protocol == self.layout.stress_protocol else 1

        return [self._group(*key) for key in sorted(keys, key=rank)]

    def _group(self, dataset: str, protocol: str, model: str) -> Group:
        rows = self.rows("runs", (dataset, protocol, model))
        done = rows[rows["state"] == "finished"]
        sizes = done[["train_examples", "test_examples"]].drop_duplicates()
        whole = self._is_whole(dataset, protocol, model)
        synthetic = None if done.empty else bool((done["synthetic"] == "True").all())
        official_size = _official_size(dataset, done)
        official = set(done["source"]) == {"download"} or bool(official_size)
        return Group(
            dataset=dataset,
            protocol=protocol,
            model=model,
            finished=tuple(int(seed) for seed in done["seed"]),
            missing=tuple(int(seed) for seed in rows.loc[rows["state"] != "finished", "seed"]),
            data="–" if done.empty else data_label(sorted(set(done["source"])), synthetic),
            synthetic=synthetic,
            examples="; ".join(f"{int(a):,} / {int(b):,}" for a, b in sizes.itertuples(index=False))
            or "–",
            overrides=self._overrides(dataset, protocol, model),
            whole=whole,
            official_size=official_size,
            # A mirror's files may be others under the same names.
            papers_data=whole and official and not synthetic,
        )

    def _is_whole(self, dataset: str, protocol: str, model: str) -> bool:
        """Whether the preparation is the paper's task and takes all of the files: no limit, no other classes."""
        settings = self.rows("settings", (dataset, protocol, model))
        own = dict(zip(settings["setting"], settings["value"]))
        limited = any(
            name.startswith("dataset.limit_") and value != "null" for name, value in own.items()
        )
        wanted = PAPERS_PREPARATION.get(dataset, {})
        return not limited and all(own.get(name) == value for name, value in wanted.items())

    def _overrides(self, dataset: str, protocol: str, model: str) -> str:
        """Changed training settings, "epochs=12"; empty where the protocol was followed."""
        settings = self.rows("settings", (dataset, protocol, model))
        changed = settings[settings["setting"].str.startswith("overrides.")]
        names = changed["setting"].str.removeprefix("overrides.")
        return ", ".join(dict.fromkeys(names + "=" + changed["value"]))

    def metric(self, group: Group, split: str, name: str) -> list[float] | None:
        """One figure for every finished seed (NaN where null); None if it was never taken."""
        rows = self.rows("metrics", group.key)
        rows = rows[(rows["split"] == split) & (rows["metric"] == name)]
        return None if rows.empty else rows["value"].tolist()

    def is_baseline(self, group: Group) -> bool:
        """Whether the model has no core: nothing of it is trained in epochs, and it has no modules to draw."""
        return "baseline.name" in set(self._settings_of(group)["setting"])

    def chooses_threshold(self, group: Group) -> bool:
        """Whether the runs chose their alarm threshold after training, by a rule, and not took a number."""
        settings = self._settings_of(group)
        rules = settings.loc[settings["setting"] == "training.threshold", "value"]
        return bool(pd.to_numeric(rules, errors="coerce").isna().any())

    def core_of(self, group: Group) -> str:
        """The kind of a model's core, such as "lstm"; empty without one, or before a run has finished."""
        settings = self._settings_of(group)
        names = settings.loc[settings["setting"] == "architecture.core.name", "value"]
        return "" if names.empty else names.iloc[0]

    def _settings_of(self, group: Group) -> pd.DataFrame:
        return self.rows("settings", group.key)

    def is_main(self, group: Group) -> bool:
        """Whether the paper's printed figures of the main experiments are this group's
        counterpart: every protocol but the stress test's own, unless that is the main one too, and
        but those that tell sepsis by the hour, which is another task."""
        if self.is_hourly(group):
            return False
        main = self.layout.main_protocols.get(group.dataset)
        return group.protocol != self.layout.stress_protocol or group.protocol == main

    def is_hourly(self, group: Group) -> bool:
        """Whether the group tells sepsis at every hour, and not once for the stay."""
        return group.dataset == "physionet" and group.protocol in self.layout.hourly_protocols


def data_label(sources: list[str], synthetic: bool | None) -> str:
    """The data's source, shouted if it is synthetic."""
    return "SYNTHETIC" if synthetic else ", ".join(sources)


def select(frame: pd.DataFrame, key: Key) -> pd.DataFrame:
    """The rows of one group of runs in a part of a summary; `Study.rows` has those of a whole one."""
    dataset, protocol, model = key
    same = (frame["dataset"] == dataset) & (frame["protocol"] == protocol)
    return frame[same & (frame["model"] == model)]


def title_of(dataset: str) -> str:
    """A data set's name as readers know it."""
    return DATASET_TITLES.get(dataset, dataset)


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every command on the summaries has: `summary` and `layout`, for `read_study`."""
    parser.add_argument("--summary", required=True, help="folder of the summaries")
    parser.add_argument(
        "--layout",
        required=True,
        help='JSON: {"main_protocols": {data set: protocol}, "stress_protocol": name}',
    )


def read_study(summary: str | Path, layout: str) -> Study:
    """Read the summaries.

    Args:
        summary: the folder that the `summarise` command wrote.
        layout: JSON, ``{"main_protocols": {data set: protocol}, "stress_protocol": name}`` and
            optionally the name of the `study`, a list of `hourly_protocols` and the `confidence` of the intervals.

    Raises:
        InputError: a file or a column is missing, or the layout is not such an object.
    """
    frames = {}
    for name, columns in COLUMNS.items():
        path = Path(summary, f"{name}.csv")
        frames[name] = read_table(path, columns, NUMBERS[name], "Run the summarise command again")
    return Study(frames, _parse_layout(layout))


def _parse_layout(text: str) -> Layout:
    where, remedy = "--layout", 'Give {"main_protocols": {...}, "stress_protocol": "..."}'
    content = json_object(text, where, remedy)
    required = {"main_protocols", "stress_protocol"}
    optional = {"study", "hourly_protocols", "confidence"}
    if not required <= set(content) <= required | optional:
        found = f"found the keys {', '.join(sorted(content))}"
        raise InputError(where, found, remedy)
    main = content["main_protocols"]
    if not isinstance(main, dict) or not all(isinstance(value, str) for value in main.values()):
        raise InputError(where, f"main_protocols is {main!r}", remedy)
    hourly = content.get("hourly_protocols", [])
    if not isinstance(hourly, list) or not all(isinstance(name, str) for name in hourly):
        raise InputError(where, f"hourly_protocols is {hourly!r}", remedy)
    confidence = content.get("confidence", 0.95)
    if not isinstance(confidence, float) or not 0 < confidence < 1:
        raise InputError(where, f"confidence is {confidence!r}", "Give a number between 0 and 1")
    stress, title = str(content["stress_protocol"]), str(content.get("study", ""))
    return Layout(main, stress, title, tuple(hourly), confidence)


def synthetic_warning(study: Study) -> str:
    """The line that opens every page with synthetic figures, in Markdown; empty where there are none."""
    synthetic = [group.dataset for group in study.groups() if group.synthetic]
    if not synthetic:
        return ""
    names = ", ".join(title_of(name) for name in dict.fromkeys(synthetic))
    return (
        f"> **SYNTHETIC DATA: {names}.** The figures of these data sets are measured on generated "
        "data. They show that the workflow works, and say nothing about the real data sets.\n"
    )

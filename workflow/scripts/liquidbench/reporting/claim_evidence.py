"""What a claim is tested with: our figures by name, per seed, with their intervals and what they rest on."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from liquidbench.errors import InputError
from liquidbench.evaluation.statistics import curve_area
from liquidbench.reporting.claim_intervals import (
    COUNTED,
    Interval,
    MissingEvidenceError,
    t_interval,
)
from liquidbench.reporting.runs import RUN_COLUMNS
from liquidbench.reporting.study import PAPERS_PROTOCOLS, Group, Study, select, title_of
from liquidbench.reporting.summaries import COLUMNS

TEST_METRICS = (
    *("accuracy", "loss", "cer", "wer", "cer_pooled", "wer_pooled", "precision", "recall", "f1"),
    *("false_positives", "true_positives", "auroc", "average_precision"),
)
STRESS_METRICS = ("accuracy", "auroc", "average_precision", "cer")
# The same in every run of a model, whatever the seed and the data: no interval is needed.
_COUNTED_FIGURES = ("parameters", "costs/core_flops_per_step", "costs/flops_per_example")
_COSTS = COLUMNS["costs"][len(RUN_COLUMNS) :]
_FORMS = {
    rf"(test|train|train_running|gap)/({'|'.join(TEST_METRICS)})": "metrics",
    r"parameters/(total|encoder|core|head)": "parameters",
    rf"costs/({'|'.join(_COSTS)})": "costs",
    r"clinical/(patient|hour)/([a-z0-9_.]+)": "clinical",
    rf"stress/([a-z0-9_-]+)/(area|\d+(?:\.\d+)?%)/({'|'.join(STRESS_METRICS)})": "stress",
}

# Examples of the official files: (train, test) where they are split, else in all. Fewer are a part of the data.
OFFICIAL_SIZES = {"nmnist": (60_000, 10_000), "iam": (6_482, 2_915), "physionet": 20_336}


@dataclass(frozen=True)
class Quantity:
    """A figure of ours by name: `test/accuracy`, `gap/accuracy` (train as it went less test), `parameters/core`,
    `costs/<column>`, `clinical/<level>/<figure>`, `stress/<corruption>/<rate>%/<metric>` or
    `stress/<corruption>/area/<metric>` (the mean of the curve over the tested rates)."""

    name: str
    summary: str
    parts: tuple[str, ...]

    @property
    def needs_interval(self) -> bool:
        """Whether the figure varies with the seed."""
        return not self.name.startswith(_COUNTED_FIGURES)

    @property
    def label(self) -> str:
        """The figure's name as a reader meets it."""
        if self.summary == "stress":
            corruption, rate, metric = self.parts
            metric = metric.replace("_", " ")
            where = "mean over the rates of" if rate == "area" else f"at {rate} of"
            return f"{metric}, {where} {corruption}"
        if self.parts[0] == "gap":
            return f"{self.parts[1]}, training − test"
        if self.summary == "parameters":
            return f"{self.parts[0]} parameters"
        return " ".join(self.parts).replace("_", " ")

    def shown(self, value: float, sign: bool = False) -> str:
        """The figure as a reader meets it; with its sign if it is a difference."""
        count = self.summary == "parameters" or self.parts[-1].endswith(("positives", "flops"))
        count = count or self.parts[-1].startswith(("false_alarms_at", "false_alarms_allowed"))
        if count or abs(value) >= 1000:
            text = f"{value:+,.1f}" if sign else f"{value:,.1f}"
            return text.removesuffix(".0")
        digits = 4 if self.summary in ("metrics", "stress") else 3
        if self.summary == "costs" and abs(value) < 0.1:
            return f"{value:+.3g}" if sign else f"{value:.3g}"
        return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def quantity(name: str, place: str) -> Quantity:
    """A figure of ours by its name.

    Raises:
        InputError: there is no such figure.
    """
    for form, summary in _FORMS.items():
        match = re.fullmatch(form, name) if isinstance(name, str) else None
        if match:
            return Quantity(name, summary, match.groups())
    raise InputError(
        place, f"unknown quantity {name!r}", "Use one that docs/claims.md lists, spelled as there"
    )


@dataclass(frozen=True)
class Basis:
    """What a figure rests on."""

    dataset: str
    protocol: str
    models: tuple[str, ...]
    seeds: int
    examples: str
    data: str
    papers_data: bool
    papers_models: bool
    synthetic: bool

    @property
    def label(self) -> str:
        """One line for a reader."""
        own = "" if self.papers_data or self.synthetic else ", not the paper's data"
        models = "" if self.papers_models else ", not the paper's models and training"
        seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return (
            f"{title_of(self.dataset)}: {self.data}{own}; protocol {self.protocol}{models}; "
            f"{' and '.join(self.models)}; {seeds}; {self.examples} examples"
        )


class Evidence:
    """A study as claims ask it: which model plays a role, and its figures per seed."""

    def __init__(self, study: Study, roles: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        self.study = study
        self._roles = roles
        self._groups = {(g.dataset, g.protocol, g.model): g for g in study.groups()}

    def group(self, dataset: str, role: str, protocols: Sequence[str]) -> Group:
        """The finished runs of the first model that plays a role, in the first protocol that has one.

        Raises:
            MissingEvidenceError: no such model is configured, or none of its runs has finished.
        """
        wanted = self._roles[dataset][role]
        for protocol in protocols:
            for model in wanted:
                group = self._groups.get((dataset, protocol, model))
                if group is not None and group.finished:
                    return group
        raise MissingEvidenceError(
            f"no finished run of {dataset}/{' or '.join(protocols)}/{' or '.join(wanted)}"
        )

    def protocols(self, dataset: str, wanted: Quantity) -> list[str]:
        """Where to look for a figure: the main protocol; for the stress test its own first."""
        layout = self.study.layout
        main = [layout.main_protocols[dataset]] if dataset in layout.main_protocols else []
        return [layout.stress_protocol, *main] if wanted.summary == "stress" else main

    def groups(self, dataset: str, roles: Sequence[str], wanted: Quantity) -> list[Group]:
        """The groups of several roles, all in one protocol.

        Raises:
            MissingEvidenceError: as `group`; or no protocol has all of them.
        """
        missing = MissingEvidenceError(f"{title_of(dataset)} is not part of this study")
        for protocol in self.protocols(dataset, wanted):
            try:
                return [self.group(dataset, role, [protocol]) for role in roles]
            except MissingEvidenceError as error:
                missing = error
        raise missing

    def per_seed(self, group: Group, wanted: Quantity) -> dict[int, float]:
        """Seed to figure, without seeds for which it does not exist.

        Raises:
            MissingEvidenceError: the summaries do not have it.
        """
        key = (group.dataset, group.protocol, group.model)
        values = getattr(self, f"_{wanted.summary}")(key, wanted)
        values = {seed: value for seed, value in values.items() if not math.isnan(value)}
        if not values:
            raise MissingEvidenceError(
                f"{wanted.name} of {'/'.join(key)} is not in {wanted.summary}.csv"
            )
        return values

    def _metrics(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        rows = select(self.study.frames["metrics"], *key)

        def split(name: str) -> dict[int, float]:
            some = rows[(rows["split"] == name) & (rows["metric"] == wanted.parts[1])]
            return dict(zip(some["seed"].astype(int), some["value"], strict=True))

        if wanted.parts[0] != "gap":
            return split(wanted.parts[0])
        train, test = split("train_running"), split("test")
        return {seed: train[seed] - test[seed] for seed in train if seed in test}

    def _parameters(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        rows = select(self.study.frames["parameters"], *key)
        return dict(zip(rows["seed"].astype(int), rows[wanted.parts[0]], strict=True))

    def _costs(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        rows = select(self.study.frames["costs"], *key)
        return dict(zip(rows["seed"].astype(int), rows[wanted.parts[0]], strict=True))

    def _clinical(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        rows = select(self.study.frames["clinical"], *key)
        level, figure = wanted.parts
        rows = rows[(rows["level"] == level) & (rows["figure"] == figure)]
        return dict(zip(rows["seed"].astype(int), rows["value"], strict=True))

    def _stress(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        corruption, rate, metric = wanted.parts
        rows = select(self.study.frames["stress"], *key)
        rows = rows[(rows["corruption"] == corruption) & (rows["metric"] == metric)]
        # First over the draws of a run: a seed is one observation.
        means = rows.groupby(["seed", "rate"])["value"].mean()
        curves: dict[int, dict[float, float]] = {}
        for (seed, at), value in means.items():
            curves.setdefault(int(seed), {})[round(float(at), 9)] = value
        if rate != "area":
            at = round(float(rate.removesuffix("%")) / 100, 9)
            return {seed: curve[at] for seed, curve in curves.items() if at in curve}
        return {
            seed: float(curve_area(*zip(*sorted(curve.items()))))
            for seed, curve in curves.items()
            if len(curve) > 1
        }

    def clinical_figures(self, group: Group, level: str) -> set[str]:
        """The names of the figures that clinical.csv has for a group."""
        rows = select(self.study.frames["clinical"], group.dataset, group.protocol, group.model)
        return set(rows.loc[rows["level"] == level, "figure"])

    def basis(self, groups: Sequence[Group], seeds: int) -> Basis:
        """What figures of these groups, of one data set, rest on."""
        first = groups[0]
        return Basis(
            dataset=first.dataset,
            protocol=" / ".join(dict.fromkeys(group.protocol_label for group in groups)),
            models=tuple(group.model for group in groups),
            seeds=seeds,
            examples=" or ".join(dict.fromkeys(group.examples for group in groups)),
            data=" and ".join(dict.fromkeys(group.data for group in groups)),
            papers_data=all(self._papers_data(group) for group in groups),
            papers_models=all(
                group.protocol in PAPERS_PROTOCOLS and not group.overrides for group in groups
            ),
            synthetic=any(bool(group.synthetic) for group in groups),
        )

    def _papers_data(self, group: Group) -> bool:
        """Downloaded whole, or a mirror's files with exactly as many examples as the official ones."""
        if group.papers_data:
            return True
        official = OFFICIAL_SIZES.get(group.dataset)
        if official is None or group.synthetic or not group.whole:
            return False
        rows = select(self.study.frames["runs"], group.dataset, group.protocol, group.model)
        rows = rows[rows["state"] == "finished"]
        pairs = zip(rows["train_examples"], rows["test_examples"], strict=True)
        sizes = {(int(a), int(b)) if isinstance(official, tuple) else int(a + b) for a, b in pairs}
        return sizes == {official}

    def difference(self, groups: Sequence[Group], wanted: Quantity) -> tuple[Interval, int, str]:
        """First less second, paired by seed: the difference, the number of seeds, and Holm's p where there is one.

        The interval is that of differences.csv or stress_differences.csv (over examples and seeds) where they have the
        comparison, and else Student's t interval over the seeds' differences.

        Raises:
            MissingEvidenceError: one of the two does not have the figure, or they share no seed.
        """
        a, b = (self.per_seed(group, wanted) for group in groups)
        seeds = sorted(a.keys() & b.keys())
        if not seeds:
            raise MissingEvidenceError(
                f"{wanted.name}: {groups[0].model} and {groups[1].model} share no seed"
            )
        own = [a[seed] - b[seed] for seed in seeds]
        if not wanted.needs_interval:
            return Interval(own[0], own[0], own[0], COUNTED), len(seeds), ""
        found = self._bootstrapped(groups, wanted)
        if found is not None and len(seeds) > 1:
            return found[0], len(seeds), found[1]
        return t_interval(own), len(seeds), ""

    def _bootstrapped(
        self, groups: Sequence[Group], wanted: Quantity
    ) -> tuple[Interval, str] | None:
        """The row of the summary of differences, turned round where it has the models the other way."""
        rows, how = self._differences_of(wanted)
        rows = rows[
            (rows["dataset"] == groups[0].dataset) & (rows["protocol"] == groups[0].protocol)
        ]
        for sign, (first, second) in ((1, groups), (-1, groups[::-1])):
            here = rows[(rows["model_a"] == first.model) & (rows["model_b"] == second.model)]
            here = here[here["low"].notna() & here["high"].notna()]
            if not here.empty:
                row = here.iloc[0]
                low, high = sorted((sign * row["low"], sign * row["high"]))
                value = float(sign * row["difference"])
                source = f"{row['interval']}, {how}"
                holm = f"Holm's p = {row['p_holm']:.3g}" if row["p_holm"] == row["p_holm"] else ""
                return Interval(value, float(low), float(high), source), holm
        return None

    def _differences_of(self, wanted: Quantity) -> tuple[pd.DataFrame, str]:
        """The rows about a figure in the summaries of differences, maybe none, and how their intervals were had."""
        if wanted.summary == "stress":
            corruption, rate, metric = wanted.parts
            figure = rate if rate == "area" else f"{float(rate.removesuffix('%')) / 100:g}"
            frame = self.study.frames["stress_differences"]
            own = (frame["corruption"] == corruption) & (frame["figure"] == figure)
            return frame[own & (frame["metric"] == metric)], "paired, over examples and seeds"
        frame = self.study.frames["differences"]
        tested = wanted.summary == "metrics" and wanted.parts[0] == "test"
        metric = wanted.parts[-1] if tested else None
        return frame[frame["metric"] == metric], "paired bootstrap over examples and seeds"

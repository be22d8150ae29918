"""What a claim is tested with: our figures by name, per seed, with their intervals and what they rest on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from liquidbench.evaluation.statistics import curve_area
from liquidbench.reporting.claim_intervals import (
    CONFIDENCE,
    COUNTED,
    Interval,
    MissingEvidenceError,
    t_interval,
)
from liquidbench.reporting.claim_quantities import Quantity
from liquidbench.reporting.differences import NO_FIGURE, ONE_SEED, percent
from liquidbench.reporting.stress_differences import AREA, ERRORS, LOSS
from liquidbench.reporting.study import PAPERS_PROTOCOLS, Group, Study, title_of


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


@dataclass(frozen=True)
class Difference:
    """The first model's figure less the second's, paired by seed.

    Attributes:
        interval: of the mean over the seeds.
        means: of either model, over the same seeds, so that they differ by the interval's value.
        seeds: how many these are.
        p_holm: Holm's corrected p-value; None where there is none.
    """

    interval: Interval
    means: tuple[float, float]
    seeds: int
    p_holm: float | None = None


class Evidence:
    """A study as claims ask it: which model plays a role, and its figures per seed."""

    def __init__(self, study: Study, roles: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        self.study = study
        self._roles = roles
        self._groups = {g.key: g for g in study.groups()}

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
        values = getattr(self, f"_{wanted.summary}")(group.key, wanted)
        values = {seed: value for seed, value in values.items() if not math.isnan(value)}
        if not values:
            raise MissingEvidenceError(
                f"{wanted.name} of {'/'.join(group.key)} is not in {wanted.summary}.csv"
            )
        return values

    def _metrics(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        rows = self.study.rows("metrics", key)

        def split(name: str) -> dict[int, float]:
            some = rows[(rows["split"] == name) & (rows["metric"] == wanted.parts[1])]
            return dict(zip(some["seed"].astype(int), some["value"], strict=True))

        if wanted.parts[0] != "gap":
            return split(wanted.parts[0])
        train, test = split("train_running"), split("test")
        return {seed: train[seed] - test[seed] for seed in train if seed in test}

    def _parameters(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        rows = self.study.rows("parameters", key)
        return dict(zip(rows["seed"].astype(int), rows[wanted.parts[0]], strict=True))

    def _costs(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        rows = self.study.rows("costs", key)
        return dict(zip(rows["seed"].astype(int), rows[wanted.parts[0]], strict=True))

    def _clinical(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        rows = self.study.rows("clinical", key)
        level, figure = wanted.parts
        rows = rows[(rows["level"] == level) & (rows["figure"] == figure)]
        return dict(zip(rows["seed"].astype(int), rows["value"], strict=True))

    def _stress(self, key: tuple[str, str, str], wanted: Quantity) -> dict[int, float]:
        corruption, rate, metric = wanted.parts
        rows = self.study.rows("stress", key)
        rows = rows[(rows["corruption"] == corruption) & (rows["metric"] == metric)]
        # First over the draws of a run: a seed is one observation.
        means = rows.groupby(["seed", "rate"])["value"].mean()
        curves: dict[int, dict[float, float]] = {}
        for (seed, at), value in means.items():
            curves.setdefault(int(seed), {})[round(float(at), 9)] = value
        if rate not in (AREA, LOSS):
            at = round(float(rate.removesuffix("%")) / 100, 9)
            return {seed: curve[at] for seed, curve in curves.items() if at in curve}
        curves = {seed: curve for seed, curve in curves.items() if len(curve) > 1}
        areas = {
            seed: float(curve_area(*zip(*sorted(curve.items())))) for seed, curve in curves.items()
        }
        if rate == AREA:
            return areas
        sign = -1 if metric in ERRORS else 1
        return {
            seed: sign * (curve[0.0] - areas[seed])
            for seed, curve in curves.items()
            if 0.0 in curve
        }

    def clinical_figures(self, group: Group, level: str) -> set[str]:
        """The names of the figures that clinical.csv has for a group."""
        rows = self.study.rows("clinical", group.key)
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
            papers_data=all(group.papers_data for group in groups),
            papers_models=all(
                group.protocol in PAPERS_PROTOCOLS and not group.overrides for group in groups
            ),
            synthetic=any(bool(group.synthetic) for group in groups),
        )

    def difference(self, groups: Sequence[Group], wanted: Quantity) -> Difference:
        """First less second, paired by seed.

        Where differences.csv or stress_differences.csv (over examples and seeds) has the comparison, its row is all
        that is known, also if it has no interval; else Student's t interval over the seeds' differences.

        Raises:
            MissingEvidenceError: one of the two does not have the figure, they share no seed, or the summaries have
                intervals of another confidence than claims are judged by.
        """
        figures = [self.per_seed(group, wanted) for group in groups]
        seeds = sorted(figures[0].keys() & figures[1].keys())
        found = self._compared(groups, wanted)
        if found is not None:
            return found
        if not seeds:
            raise MissingEvidenceError(_no_seed(groups, wanted))
        own = [figures[0][seed] - figures[1][seed] for seed in seeds]
        means = tuple(sum(figure[seed] for seed in seeds) / len(seeds) for figure in figures)
        counted = Interval(own[0], own[0], own[0], COUNTED)
        interval = t_interval(own) if wanted.needs_interval else counted
        return Difference(interval, means, len(seeds))

    def _compared(self, groups: Sequence[Group], wanted: Quantity) -> Difference | None:
        """The row of the summary of differences, turned round where it has the models the other way."""
        rows, summary, how = self._differences_of(wanted)
        rows = rows[
            (rows["dataset"] == groups[0].dataset) & (rows["protocol"] == groups[0].protocol)
        ]
        for sign, (first, second) in ((1, groups), (-1, groups[::-1])):
            here = rows[(rows["model_a"] == first.model) & (rows["model_b"] == second.model)]
            if here.empty:
                continue
            row = here.iloc[0]
            value, confidence = float(sign * row["difference"]), row["interval"]
            means = (float(row["value_a"]), float(row["value_b"]))[::sign]
            if confidence == NO_FIGURE:
                raise MissingEvidenceError(f"{_no_seed(groups, wanted)} in {summary}")
            if confidence == ONE_SEED:
                # Further seeds that metrics.csv has met other test examples: they are no pairs.
                return Difference(Interval(value, None, None, ONE_SEED), means, 1)
            if confidence != percent(CONFIDENCE):
                raise MissingEvidenceError(
                    f"{summary} has intervals of {confidence}, claims are judged at {percent(CONFIDENCE)}: "
                    f"set statistics.confidence to {CONFIDENCE}"
                )
            ends = sorted((float(sign * row["low"]), float(sign * row["high"])))
            if any(math.isnan(end) for end in ends):
                interval = Interval(value, None, None, f"none in {summary}")
            else:
                interval = Interval(value, *ends, f"{confidence}, {how}")
            p_holm = None if math.isnan(row["p_holm"]) else float(row["p_holm"])
            return Difference(interval, means, int(row["seeds"]), p_holm)
        return None

    def _differences_of(self, wanted: Quantity) -> tuple[pd.DataFrame, str, str]:
        """The rows about a figure in a summary of differences, maybe none; its name; how its intervals were had."""
        if wanted.summary == "stress":
            corruption, rate, metric = wanted.parts
            named = rate in (AREA, LOSS)
            figure = rate if named else f"{float(rate.removesuffix('%')) / 100:g}"
            frame = self.study.frames["stress_differences"]
            own = (frame["corruption"] == corruption) & (frame["figure"] == figure)
            rows = frame[own & (frame["metric"] == metric)]
            return rows, "stress_differences.csv", "paired, over examples and seeds"
        frame = self.study.frames["differences"]
        tested = wanted.summary == "metrics" and wanted.parts[0] == "test"
        rows = frame[frame["metric"] == (wanted.parts[-1] if tested else None)]
        return rows, "differences.csv", "paired bootstrap over examples and seeds"


def _no_seed(groups: Sequence[Group], wanted: Quantity) -> str:
    return f"{wanted.name}: {groups[0].model} and {groups[1].model} share no seed"

"""Rules that measured figures decide.

What a rule is, and where a new one is added, is told in claim_rule_kinds.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from liquidbench.reporting.claim_evidence import Difference
from liquidbench.reporting.claim_intervals import (
    COUNTED,
    Interval,
    MissingEvidenceError,
    ratio_interval,
    t_interval,
)
from liquidbench.reporting.claim_quantities import Quantity, quantity
from liquidbench.reporting.claim_values import Range, calculate, readable
from liquidbench.reporting.claim_verdicts import (
    CONTRADICTED,
    NOT_REPRODUCED,
    REPRODUCED,
    Context,
    Outcome,
    no_interval,
    not_testable,
    settled,
)
from liquidbench.reporting.setting_tables import used_values, verdict_on
from liquidbench.reporting.study import Group

# A matched recall is looked for among those that clinical.csv has, this far away at most.
NEAREST_RECALL = 0.05
# The widest half of a range that still says something of a printed share, if the rule does not say another.
USUAL_PRECISION = 0.02
_OTHER_MODELS = "counted for other models than the paper's"


def _with_ends(wanted: Quantity, interval: Interval, sign: bool = True) -> str:
    """A difference or figure with its interval, as a reader meets it."""
    text = wanted.shown(interval.value, sign)
    if interval.low is None or interval.low == interval.high:
        return text
    return f"{text} [{wanted.shown(interval.low, sign)}, {wanted.shown(interval.high, sign)}]"


def _means(groups: Sequence[Group], means: Sequence[float], wanted: Quantity) -> str:
    """The mean of each model."""
    pairs = zip(groups, means, strict=True)
    return ", ".join(f"{group.model} {wanted.shown(mean)}" for group, mean in pairs)


@dataclass(frozen=True)
class Greater:
    """The first model's figure exceeds the second's less `margin`: the interval of their difference decides."""

    dataset: str
    quantity: Quantity
    of: tuple[str, ...]
    margin: float = 0.0

    models: ClassVar = (2, 2)

    def judge(self, context: Context) -> Outcome:
        groups = context.evidence.groups(self.dataset, self.of, self.quantity)
        return _judge_difference(context, groups, self.quantity, least=-self.margin)


def _judge_difference(
    context: Context, groups: Sequence[Group], wanted: Quantity, note: str = "", least: float = 0.0
) -> Outcome:
    """Whether the first less the second is above `least`."""
    found = context.evidence.difference(groups, wanted)
    interval = found.interval
    basis = context.evidence.basis(groups, found.seeds)
    ours = f"{wanted.label}: {_means(groups, found.means, wanted)}, difference "
    ours += _with_ends(wanted, interval)
    if interval.low is None or interval.high is None:
        return no_interval(ours, basis, interval)
    if not wanted.needs_interval and not basis.papers_models and not basis.synthetic:
        return not_testable(_OTHER_MODELS, ours, basis)
    limit = "0" if least == 0 else wanted.shown(least, sign=True)
    if interval.low > least:
        verdict, says = REPRODUCED, f"excludes {limit} as the claim has it"
    elif interval.high < least:
        verdict, says = CONTRADICTED, f"excludes {limit} the other way"
    elif not wanted.needs_interval:
        verdict, says = CONTRADICTED, "is none: the two are equal"
    else:
        verdict, says = NOT_REPRODUCED, f"includes {limit}"
    what = "the interval" if wanted.needs_interval else "the difference"
    reason = f"{what} of {groups[0].model} − {groups[1].model} {says} ({interval.source})"
    p_holm = found.p_holm if least == 0 else None
    outcome = settled(verdict, ours, reason, basis, interval, p_holm)
    return _told(outcome, note)


def _told(outcome: Outcome, note: str) -> Outcome:
    """The outcome with Holm's p and a note among its reasons."""
    parts = [outcome.reason]
    if outcome.p_holm is not None:
        corrected = f"Holm's p = {outcome.p_holm:.3g}"
        if outcome.fails_correction:
            corrected += (
                ", ABOVE 0.05: corrected for the study's other comparisons, it does not exclude 0"
            )
        parts.append(corrected)
    return replace(outcome, reason="; ".join([*parts, *([note] if note else [])]))


@dataclass(frozen=True)
class PrintedValue:
    """The printed value lies where one further run of ours would fall with 95 %.

    A range too wide to tell says nothing: of a figure, wider than `precision` on either side; of a difference, wider
    than half the printed one. And a difference of ours must itself be told apart from 0.
    """

    dataset: str
    quantity: Quantity
    of: tuple[str, ...]
    printed: str
    precision: float | None = None

    models: ClassVar = (1, 2)

    @property
    def expressions(self) -> tuple[str, ...]:
        """The printed value that it takes."""
        return (self.printed,)

    def judge(self, context: Context) -> Outcome:
        groups = context.evidence.groups(self.dataset, self.of, self.quantity)
        found = context.evidence.difference(groups, self.quantity) if len(groups) > 1 else None
        interval, seeds = self._one_further_run(context, groups, found)
        basis = context.evidence.basis(groups, seeds)
        names = " − ".join(group.model for group in groups)
        shown = _with_ends(self.quantity, interval, sign=found is not None)
        ours = f"{self.quantity.label}: {names} {shown}"
        if not basis.synthetic and not (basis.papers_data and basis.papers_models):
            return not_testable(
                "a printed value can be met on the paper's data, models and training alone",
                ours,
                basis,
            )
        if interval.low is None or interval.high is None:
            return no_interval(ours, basis, interval)
        target = calculate(self.printed, context.values, context.place)
        printed = f"the printed {self.quantity.shown(target.shown, sign=found is not None)}"
        if target.low > interval.high or interval.low > target.high:
            reason = f"{printed} is outside the range of one further run"
            return settled(NOT_REPRODUCED, ours, reason, basis, interval)
        inside = f"{printed} is inside the range of one further run"
        widest = self._widest(target, found)
        half = (interval.high - interval.low) / 2
        if half > widest:
            reason = (
                f"too few seeds to tell: {inside}, but that is ±{self.quantity.shown(half)}, and beyond "
                f"±{self.quantity.shown(widest)} it would hold almost any value"
            )
            return not_testable(reason, ours, basis)
        if found is None:
            return settled(REPRODUCED, ours, inside, basis, interval)
        return self._told_apart(found, target, Outcome(None, None, ours, inside, basis, interval))

    def _one_further_run(
        self, context: Context, groups: Sequence[Group], found: Difference | None
    ) -> tuple[Interval, int]:
        """Where one further run would fall, or one further pair of runs; and the number of seeds."""
        figures = [context.evidence.per_seed(group, self.quantity) for group in groups]
        seeds = sorted(set.intersection(*(set(figure) for figure in figures)))
        if found is not None and found.seeds == 1:
            return found.interval, 1
        if found is not None and found.seeds != len(seeds):
            raise MissingEvidenceError(
                f"{self.quantity.name}: only {found.seeds} of {len(seeds)} seeds of both models met the same test "
                "examples, and which is not told"
            )
        own = [figures[0][s] - (figures[1][s] if len(figures) > 1 else 0.0) for s in seeds]
        return t_interval(own, one_more=True), len(seeds)

    def _widest(self, target: Range, found: Difference | None) -> float:
        """The widest half of a range that still tells."""
        if found is not None:
            return abs(target.shown) / 2
        return USUAL_PRECISION if self.precision is None else self.precision

    def _told_apart(self, found: Difference, target: Range, met: Outcome) -> Outcome:
        """The verdict on a printed difference that lies in our range: ours has to exclude 0 on the printed side."""
        low, high = found.interval.low, found.interval.high
        if low is None or high is None:
            return no_interval(met.ours, met.basis, found.interval)
        if (low if target.shown > 0 else -high) > 0:
            outcome = settled(
                REPRODUCED, met.ours, met.reason, met.basis, met.interval, found.p_holm
            )
            return _told(outcome, "")
        ends = _with_ends(self.quantity, found.interval)
        reason = (
            f"{met.reason}, but our mean difference {ends} is not told apart from 0 on that side"
        )
        return settled(NOT_REPRODUCED, met.ours, reason, met.basis, met.interval)


def _at_least(low: float, high: float, limit: float) -> str:
    """The verdict on "at least the limit" by an interval; turned round, on "at most"."""
    if low >= limit:
        return REPRODUCED
    return CONTRADICTED if high < limit else NOT_REPRODUCED


@dataclass(frozen=True)
class AtLeast:
    """The model's figure is at least `limit`: the interval of its mean decides."""

    dataset: str
    quantity: Quantity
    of: tuple[str, ...]
    limit: float

    models: ClassVar = (1, 1)

    def judge(self, context: Context) -> Outcome:
        groups = context.evidence.groups(self.dataset, self.of, self.quantity)
        figures = context.evidence.per_seed(groups[0], self.quantity)
        interval = t_interval(list(figures.values()))
        basis = context.evidence.basis(groups, len(figures))
        shown = _with_ends(self.quantity, interval, sign=False)
        ours = f"{self.quantity.label}: {groups[0].model} {shown}"
        if interval.low is None or interval.high is None:
            return no_interval(ours, basis, interval)
        verdict = _at_least(interval.low, interval.high, self.limit)
        says = {REPRODUCED: "at least", CONTRADICTED: "below"}.get(verdict, "not told apart from")
        reason = f"the mean is {says} {readable(self.limit)} ({interval.source})"
        return settled(verdict, ours, reason, basis, interval)


@dataclass(frozen=True)
class RatioAtMost:
    """The first model's figure is at most `limit` times the second's."""

    dataset: str
    quantity: Quantity
    of: tuple[str, ...]
    limit: float

    models: ClassVar = (2, 2)

    def judge(self, context: Context) -> Outcome:
        groups = context.evidence.groups(self.dataset, self.of, self.quantity)
        a, b = (context.evidence.per_seed(group, self.quantity) for group in groups)
        interval = ratio_interval(a, b)
        seeds = sorted(a.keys() & b.keys())
        basis = context.evidence.basis(groups, len(seeds))
        means = [sum(figure[seed] for seed in seeds) / len(seeds) for figure in (a, b)]
        ours = f"{self.quantity.label}: {_means(groups, means, self.quantity)}, ratio "
        ours += readable(interval.value)
        if not self.quantity.needs_interval:
            if not basis.papers_models and not basis.synthetic:
                return not_testable(_OTHER_MODELS, ours, basis)
            interval = Interval(interval.value, interval.value, interval.value, COUNTED)
        if interval.low is None or interval.high is None:
            return no_interval(ours, basis, interval)
        if interval.low < interval.high:
            ours += f" [{readable(interval.low)}, {readable(interval.high)}]"
        verdict = _at_least(-interval.high, -interval.low, -self.limit)
        says = {REPRODUCED: "at most", CONTRADICTED: "above"}.get(verdict, "not told apart from")
        reason = f"the ratio is {says} the limit {readable(self.limit)} ({interval.source})"
        return settled(verdict, ours, reason, basis, interval)


@dataclass(frozen=True)
class FalseAlarmsAtMatchedRecall:
    """At the same recall, the first model raises fewer false alarms than the second."""

    dataset: str
    of: tuple[str, ...]
    recall: str
    level: str = "patient"

    models: ClassVar = (2, 2)

    @property
    def expressions(self) -> tuple[str, ...]:
        """The printed value that it takes."""
        return (self.recall,)

    def judge(self, context: Context) -> Outcome:
        wanted = calculate(self.recall, context.values, context.place).shown
        probe = quantity(f"clinical/{self.level}/auroc", context.place)
        groups = context.evidence.groups(self.dataset, self.of, probe)
        prefix = "false_alarms_at_recall_"
        names = [context.evidence.clinical_figures(group, self.level) for group in groups]
        both = [
            name.removeprefix(prefix) for name in names[0] & names[1] if name.startswith(prefix)
        ]
        near = sorted(both, key=lambda text: (abs(float(text) - wanted), text))
        if not near or abs(float(near[0]) - wanted) > NEAREST_RECALL:
            have = f"it has {', '.join(sorted(both))}" if both else "it has none"
            raise MissingEvidenceError(
                f"clinical.csv has no false alarms at a recall near {readable(wanted)} for both models ({have})"
            )
        figure = quantity(f"clinical/{self.level}/{prefix}{near[0]}", context.place)
        # Fewer is the claim: the difference is taken the other way round.
        return _judge_difference(context, groups[::-1], figure, f"both at recall {near[0]}")


@dataclass(frozen=True)
class Setting:
    """Our runs were made with the settings that the paper's Table V prints for the data set.

    If they were not, no figure of ours counts in the claim: the rule vetoes the others.
    """

    dataset: str
    of: tuple[str, ...]

    models: ClassVar = (1, 9)

    def judge(self, context: Context) -> Outcome:
        probe = quantity("test/loss", context.place)
        groups = context.evidence.groups(self.dataset, self.of, probe)
        basis = context.evidence.basis(groups, min(len(group.finished) for group in groups))
        table, others = context.tables["5"], []
        for group in groups:
            settings = context.evidence.study.rows("settings", group.key)
            for row, figure in table.figures:
                printed = table.find(figure, self.dataset, group.model)
                used = used_values(settings, figure)
                if printed is not None and used and verdict_on(used, printed) != "same":
                    others.append(f"{row} {'; '.join(used)}, printed {printed.text}")
        if others:
            reason = f"ran otherwise than printed: {', '.join(dict.fromkeys(others))}"
            return not_testable(reason, "", basis)
        return Outcome(None, None, "", "ran with the printed settings", basis)

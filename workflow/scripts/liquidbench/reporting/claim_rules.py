"""The kinds of rules by which a claim is judged.

A rule is a class whose fields are its keys in `claims.yaml`, with a `judge` that gives an `Outcome`. A new kind is one
class and one line in `RULES`. What each kind asks is told in docs/claims.md.
"""

import statistics
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from liquidbench.errors import InputError
from liquidbench.reporting.claim_counts import Row, possible_splits
from liquidbench.reporting.claim_evidence import Quantity, quantity
from liquidbench.reporting.claim_intervals import (
    COUNTED,
    Interval,
    MissingEvidenceError,
    ratio_interval,
    t_interval,
)
from liquidbench.reporting.claim_values import calculate, check, readable
from liquidbench.reporting.claim_verdicts import (
    CONTRADICTED,
    INCONSISTENT,
    NOT_REPRODUCED,
    REPRODUCED,
    Context,
    Outcome,
    no_interval,
    not_testable,
    settled,
)
from liquidbench.reporting.setting_tables import used_values, verdict_on
from liquidbench.reporting.study import Group, select

# A matched recall is looked for among those that clinical.csv has, this far away at most.
NEAREST_RECALL = 0.05


def _with_ends(wanted: Quantity, interval: Interval, sign: bool = True) -> str:
    """A difference or figure with its interval, as a reader meets it."""
    text = wanted.shown(interval.value, sign)
    if interval.low is None or interval.low == interval.high:
        return text
    return f"{text} [{wanted.shown(interval.low, sign)}, {wanted.shown(interval.high, sign)}]"


def _means(context: Context, groups: Sequence[Group], wanted: Quantity) -> str:
    """The mean over seeds of each model."""
    parts = []
    for group in groups:
        mean = statistics.fmean(context.evidence.per_seed(group, wanted).values())
        parts.append(f"{group.model} {wanted.shown(mean)}")
    return ", ".join(parts)


@dataclass(frozen=True)
class Greater:
    """The figure of the first model exceeds that of the second: the interval of their difference decides."""

    dataset: str
    quantity: Quantity
    of: tuple[str, ...]

    models = (2, 2)

    def judge(self, context: Context) -> Outcome:
        groups = context.evidence.groups(self.dataset, self.of, self.quantity)
        return _judge_difference(context, groups, self.quantity)


def _judge_difference(
    context: Context, groups: Sequence[Group], wanted: Quantity, note: str = ""
) -> Outcome:
    interval, seeds, holm = context.evidence.difference(groups, wanted)
    basis = context.evidence.basis(groups, seeds)
    ours = f"{wanted.label}: {_means(context, groups, wanted)}, difference "
    ours += _with_ends(wanted, interval)
    if interval.low is None or interval.high is None:
        return no_interval(ours, basis, interval)
    if interval.low > 0:
        verdict, says = REPRODUCED, "excludes 0 as the claim has it"
    elif interval.high < 0:
        verdict, says = CONTRADICTED, "excludes 0 the other way"
    elif not wanted.needs_interval:
        verdict, says = CONTRADICTED, "is none: the two are equal"
    else:
        verdict, says = NOT_REPRODUCED, "includes 0"
    what = "the interval" if wanted.needs_interval else "the difference"
    reason = f"{what} of {groups[0].model} − {groups[1].model} {says} ({interval.source})"
    return settled(verdict, ours, "; ".join(filter(None, (reason, holm, note))), basis, interval)


@dataclass(frozen=True)
class PrintedValue:
    """The printed value lies where one further run of ours would fall with 95 %, or within a tolerance of our mean."""

    dataset: str
    quantity: Quantity
    of: tuple[str, ...]
    printed: str
    tolerance: float = 0.0

    models = (1, 2)

    def judge(self, context: Context) -> Outcome:
        groups = context.evidence.groups(self.dataset, self.of, self.quantity)
        figures = [context.evidence.per_seed(group, self.quantity) for group in groups]
        seeds = sorted(set.intersection(*(set(figure) for figure in figures)))
        if not seeds:
            raise MissingEvidenceError(f"{self.quantity.name}: the models share no seed")
        first, second = figures[0], figures[1] if len(figures) > 1 else {}
        interval = t_interval([first[s] - second.get(s, 0.0) for s in seeds], one_more=True)
        basis = context.evidence.basis(groups, len(seeds))
        names = " − ".join(group.model for group in groups)
        shown = _with_ends(self.quantity, interval, sign=len(groups) > 1)
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
        inside = target.low <= interval.high and interval.low <= target.high
        near = max(target.low - interval.value, interval.value - target.high, 0) <= self.tolerance
        printed = self.quantity.shown(target.shown, sign=len(groups) > 1)
        verdict = REPRODUCED if inside or near else NOT_REPRODUCED
        says = "inside" if inside else "within the tolerance of" if near else "outside"
        reason = f"the printed {printed} is {says} the range of one further run"
        return settled(verdict, ours, reason, basis, interval)


@dataclass(frozen=True)
class RatioAtMost:
    """The first model's figure is at most `limit` times the second's."""

    dataset: str
    quantity: Quantity
    of: tuple[str, ...]
    limit: str | float

    models = (2, 2)

    def judge(self, context: Context) -> Outcome:
        groups = context.evidence.groups(self.dataset, self.of, self.quantity)
        a, b = (context.evidence.per_seed(group, self.quantity) for group in groups)
        interval = ratio_interval(a, b)
        basis = context.evidence.basis(groups, len(a.keys() & b.keys()))
        limit = calculate(str(self.limit), context.values, context.place).shown
        ours = f"{self.quantity.label}: {_means(context, groups, self.quantity)}, ratio "
        ours += readable(interval.value)
        if not self.quantity.needs_interval:
            if not basis.papers_models and not basis.synthetic:
                return not_testable("counted for other models than the paper's", ours, basis)
            interval = Interval(interval.value, interval.value, interval.value, COUNTED)
        if interval.low is None or interval.high is None:
            return no_interval(ours, basis, interval)
        if interval.low < interval.high:
            ours += f" [{readable(interval.low)}, {readable(interval.high)}]"
        if interval.high <= limit:
            verdict, says = REPRODUCED, "at most"
        elif interval.low > limit:
            verdict, says = CONTRADICTED, "above"
        else:
            verdict, says = NOT_REPRODUCED, "not told apart from"
        reason = f"the ratio is {says} the limit {readable(limit)} ({interval.source})"
        return settled(verdict, ours, reason, basis, interval)


@dataclass(frozen=True)
class FalseAlarmsAtMatchedRecall:
    """At the same recall, the first model raises fewer false alarms than the second."""

    dataset: str
    of: tuple[str, ...]
    recall: str
    level: str = "patient"

    models = (2, 2)

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
class Consistency:
    """Comparisons that the printed values must pass. `settles`: they are the whole test, and passing reproduces."""

    holds: tuple[str, ...]
    settles: bool = False

    def judge(self, context: Context) -> Outcome:
        checks = [check(text, context.values, context.place) for text in self.holds]
        failed = [one.shown for one in checks if not one.holds]
        if failed:
            return Outcome(INCONSISTENT, INCONSISTENT, "", "; ".join(failed))
        verdict = REPRODUCED if self.settles else None
        return Outcome(verdict, verdict, "", "; ".join(one.shown for one in checks))


@dataclass(frozen=True)
class Counts:
    """Whole patients of one test split must give every row's precision, recall, accuracy and false positives."""

    rows: tuple[str, ...]
    doubted: str

    def judge(self, context: Context) -> Outcome:
        names = ("precision", "recall", "accuracy", "false_positives")
        rows = {
            name: Row(
                *(calculate(f"{name}_{figure}", context.values, context.place) for figure in names)
            )
            for name in self.rows
        }
        if possible_splits(list(rows.values())):
            reason = "one test split of whole patients can give all rows"
            return Outcome(None, None, "", reason)
        doubted = rows[self.doubted]
        kept = [row for name, row in rows.items() if name != self.doubted]
        without = possible_splits([*kept, doubted.without_accuracy()])
        reason = "no whole numbers of patients give all printed figures on one test split"
        if without:
            patients = [split.patients for split in without]
            best = [split.accuracies[-1] for split in without]
            reason += (
                f"; without the accuracy {readable(doubted.accuracy.shown)} in doubt, "
                f"{min(patients):,} to {max(patients):,} patients do, and the row's own counts then give "
                f"{min(best):.4f} to {max(best):.4f}"
            )
        return Outcome(INCONSISTENT, INCONSISTENT, "", reason)


@dataclass(frozen=True)
class Setting:
    """Our runs were made with the settings that the paper's Table V prints for the data set."""

    dataset: str
    of: tuple[str, ...]

    models = (1, 9)

    def judge(self, context: Context) -> Outcome:
        probe = quantity("test/loss", context.place)
        groups = context.evidence.groups(self.dataset, self.of, probe)
        basis = context.evidence.basis(groups, min(len(group.finished) for group in groups))
        table, others = context.tables[5], []
        for group in groups:
            key = (group.dataset, group.protocol, group.model)
            settings = select(context.evidence.study.frames["settings"], *key)
            for row, figure in table.figures:
                printed = table.find(figure, self.dataset, group.model)
                used = used_values(settings, figure)
                if printed is not None and used and verdict_on(used, printed) != "same":
                    others.append(f"{row} {'; '.join(used)}, printed {printed.text}")
        if others:
            reason = f"ran otherwise than printed: {', '.join(dict.fromkeys(others))}"
            return not_testable(reason, "", basis)
        return Outcome(None, None, "", "ran with the printed settings", basis)


@dataclass(frozen=True)
class Untestable:
    """Nothing that a run of the workflow can have tests it; `missing` says what would have to be there."""

    missing: str

    def judge(self, context: Context) -> Outcome:
        return not_testable(f"missing: {self.missing}")


RULES: dict[str, type] = {
    "greater": Greater,
    "value": PrintedValue,
    "ratio_at_most": RatioAtMost,
    "false_alarms_at_matched_recall": FalseAlarmsAtMatchedRecall,
    "consistency": Consistency,
    "counts": Counts,
    "setting": Setting,
    "untestable": Untestable,
}
_TEXTS = ("dataset", "printed", "recall", "level", "doubted", "missing")


def build_rule(spec: Any, dataset: str, roles: dict[str, Any], place: str) -> Any:
    """One rule of a claim, checked.

    Args:
        spec: its YAML: `kind` and the kind's keys.
        dataset: the claim's data set, for rules that name none.
        roles: data set to role to models, for rules that name roles.
        place: the file, the claim and the rule, for messages.

    Raises:
        InputError: an unknown kind, a key that is missing or unknown, a role, quantity or text that is none.
    """
    if not isinstance(spec, dict) or spec.get("kind") not in RULES:
        kind = spec.get("kind") if isinstance(spec, dict) else spec
        raise InputError(f"{place}, key kind", f"unknown {kind!r}", f"Use {', '.join(RULES)}")
    kind = RULES[spec["kind"]]
    known = {field.name: field for field in fields(kind)}
    given = {name: value for name, value in spec.items() if name != "kind"}
    if "dataset" in known:
        given.setdefault("dataset", dataset)
    for name in given:
        if name not in known:
            raise InputError(f"{place}, key {name}", "unknown key", f"Use {', '.join(known)}")
    for name, field in known.items():
        if name not in given and field.default is MISSING:
            raise InputError(f"{place}, key {name}", "missing", f"A rule {spec['kind']} needs it")
    for name in _TEXTS:
        if name in given and (not isinstance(given[name], str) or not given[name].strip()):
            raise InputError(f"{place}, key {name}", f"{given[name]!r} is no text", "Write one")
    if "dataset" in known and given["dataset"] not in roles:
        found = f"unknown data set {given['dataset']!r}"
        raise InputError(f"{place}, key dataset", found, f"Use {', '.join(roles)}")
    if "quantity" in given:
        given["quantity"] = quantity(given["quantity"], f"{place}, key quantity")
    for name in ("holds", "rows", "of"):
        if name in given:
            given[name] = _texts(given[name], f"{place}, key {name}")
    if "of" in given:
        least, most = kind.models
        if not least <= len(given["of"]) <= most:
            found = f"{len(given['of'])} roles, expected {least} to {most}"
            raise InputError(f"{place}, key of", found, "Name the models that are compared")
        for role in given["of"]:
            if role not in roles[given["dataset"]]:
                raise InputError(
                    f"{place}, key of",
                    f"unknown role {role!r}",
                    f"Use {', '.join(roles[given['dataset']])}, or add it to `roles`",
                )
    return kind(**given)


def _texts(value: Any, place: str) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise InputError(place, f"found {value!r}", "Write a text or a list of texts")
    return tuple(items)

"""Rules that need no run: the paper's printed values, its text and the authors' published code among each other.

What a rule is, and where a new one is added, is told in claim_rule_kinds.py.
"""

from dataclasses import dataclass
from typing import ClassVar

from liquidbench.reporting.claim_counts import Row, possible_splits
from liquidbench.reporting.claim_intervals import share_interval
from liquidbench.reporting.claim_values import Range, calculate, check, readable
from liquidbench.reporting.claim_verdicts import (
    INCONSISTENT,
    PRINTED,
    READING,
    REPRODUCED,
    Context,
    Outcome,
    by_argument,
    not_testable,
)
from liquidbench.reporting.printed import Printed
from liquidbench.reporting.setting_tables import verdict_on


@dataclass(frozen=True)
class Consistency:
    """Comparisons that the printed values must pass. `settles`: they are the whole test, and passing reproduces."""

    holds: tuple[str, ...]
    settles: bool = False

    on_paper: ClassVar = True

    @property
    def comparisons(self) -> tuple[str, ...]:
        """What is compared, in the language of claim_values.py."""
        return self.holds

    def judge(self, context: Context) -> Outcome:
        checks = [check(text, context.values, context.place) for text in self.holds]
        failed = [one for one in checks if not one.holds]
        verdict = INCONSISTENT if failed else REPRODUCED if self.settles else None
        shown = failed or checks
        by = READING if any(one.read for one in shown) else PRINTED
        return by_argument(verdict, "; ".join(one.shown for one in shown), by)


@dataclass(frozen=True)
class Counts:
    """Whole patients of one test split must give every row's precision, recall, accuracy and false positives."""

    rows: tuple[str, ...]
    doubted: str

    on_paper: ClassVar = True

    @property
    def expressions(self) -> tuple[str, ...]:
        """The printed values that it takes."""
        figures = ("precision", "recall", "accuracy", "false_positives")
        return tuple(f"{row}_{figure}" for row in self.rows for figure in figures)

    def judge(self, context: Context) -> Outcome:
        found = [calculate(text, context.values, context.place) for text in self.expressions]
        rows = {name: Row(*found[4 * at : 4 * at + 4]) for at, name in enumerate(self.rows)}
        if possible_splits(list(rows.values())):
            return by_argument(None, "one test split of whole patients can give all rows", PRINTED)
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
        return by_argument(INCONSISTENT, reason, PRINTED)


@dataclass(frozen=True)
class PrintedShare:
    """Whether a printed precision, with the counts behind it, bears out "at least `limit`".

    The interval is Clopper and Pearson's (1934) exact one, of the fewest to the most hits that round to the share.
    """

    share: str
    false_positives: str
    limit: float

    on_paper: ClassVar = True

    @property
    def expressions(self) -> tuple[str, ...]:
        """The printed values that it takes."""
        return self.share, self.false_positives

    def judge(self, context: Context) -> Outcome:
        precision, misses = (calculate(t, context.values, context.place) for t in self.expressions)
        nothing = Range(0.0, 1.0, 0.5)
        possible = Row(precision, nothing, nothing, misses).true_positives()
        if not possible:
            return by_argument(INCONSISTENT, "no whole number of hits gives the precision", PRINTED)
        wrong = int(misses.shown)
        # The more hits, the higher both ends.
        low, high = (
            share_interval(hits, hits + wrong)[end]
            for end, hits in enumerate((possible[0], possible[-1]))
        )
        reason = (
            f"{possible[0]} to {possible[-1]} hits with {wrong} false alarms give the printed "
            f"{readable(precision.shown)}; the exact 95 % interval of such a share is {low:.2f} to {high:.2f}"
        )
        if high < self.limit:
            return by_argument(INCONSISTENT, f"{reason}, below {readable(self.limit)}", PRINTED)
        says = "above" if low >= self.limit else "so few alarms do not show it to be at least"
        return by_argument(None, f"{reason}: {says} {readable(self.limit)}", PRINTED)


@dataclass(frozen=True)
class PublishedSettings:
    """Every setting that Table V prints for a data set is that of the authors' published code, row by row.

    All rows of Table V that the code answers are taken; an empty cell says that there is none of it.
    """

    dataset: str
    settles: bool = False

    on_paper: ClassVar = True

    def judge(self, context: Context) -> Outcome:
        table, code = context.tables["5"], context.tables["released"]
        same, other = [], []
        for row, figure in table.figures:
            used = code.find(figure, self.dataset)
            if used is None:
                continue
            printed = table.find(figure, self.dataset) or Printed(row, "none", None, "")
            agrees = verdict_on([used.text], printed) == "same"
            (same if agrees else other).append(f"{row} {printed.text} against {used.text}")
        if other:
            reason = f"printed against published code: {'; '.join(other)}"
            return by_argument(INCONSISTENT, reason, READING)
        if not same:
            return not_testable("missing: published code of this data set")
        verdict = REPRODUCED if self.settles else None
        return by_argument(
            verdict, f"the published code has all of them: {', '.join(same)}", READING
        )


@dataclass(frozen=True)
class Untestable:
    """Nothing that a run of the workflow can have tests it; `missing` says what would have to be there."""

    missing: str

    def judge(self, context: Context) -> Outcome:
        return not_testable(f"missing: {self.missing}")

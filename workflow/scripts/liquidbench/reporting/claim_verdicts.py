"""The five verdicts on a claim, and what a rule says before they are put together."""

from collections.abc import Sequence
from dataclasses import dataclass

from liquidbench.reporting.claim_evidence import Basis, Evidence
from liquidbench.reporting.claim_intervals import Interval
from liquidbench.reporting.claim_values import Values
from liquidbench.reporting.printed import PrintedTable

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
CONTRADICTED = "contradicted"
NOT_TESTABLE = "not testable here"
INCONSISTENT = "inconsistent in the paper itself"
# What the verdict on a claim of several rules is: the first of these that one of its rules gives.
ORDER = (INCONSISTENT, CONTRADICTED, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED)


@dataclass(frozen=True)
class Outcome:
    """What one rule says.

    Attributes:
        verdict: one of `ORDER`; None if the rule is met and settles nothing by itself.
        would_be: the verdict that the same numbers would give on real data; differs for synthetic data alone.
        ours: our figures with their interval, for a reader.
        reason: why.
        basis: what the figures rest on; None where nothing was measured.
        interval: the figure that decided; None where none did.
    """

    verdict: str | None
    would_be: str | None
    ours: str
    reason: str
    basis: Basis | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Context:
    """What rules are judged with: the study, the claim's values, its place for messages, and printed tables."""

    evidence: Evidence
    values: Values
    place: str
    tables: dict[int, PrintedTable]


def not_testable(reason: str, ours: str = "", basis: Basis | None = None) -> Outcome:
    """No verdict can be had, and why."""
    return Outcome(NOT_TESTABLE, NOT_TESTABLE, ours, reason, basis)


def settled(verdict: str, ours: str, reason: str, basis: Basis, interval: Interval) -> Outcome:
    """A verdict from measured figures: from synthetic data it is only what it would be."""
    own = NOT_TESTABLE if basis.synthetic else verdict
    return Outcome(own, verdict, ours, reason, basis, interval)


def no_interval(ours: str, basis: Basis, interval: Interval) -> Outcome:
    """A figure that varies with the seed and has no interval: one seed, or all alike."""
    return Outcome(
        NOT_TESTABLE, NOT_TESTABLE, ours, f"{interval.source}: no interval", basis, interval
    )


def combined(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """The verdict on a claim from those of its rules, and what it would be if synthetic data were real.

    The first of `ORDER` that is given; "not testable here" if every rule is met and settles nothing.
    """

    def first(verdicts: list[str | None]) -> str:
        return next((verdict for verdict in ORDER if verdict in verdicts), NOT_TESTABLE)

    return first([o.verdict for o in outcomes]), first([o.would_be for o in outcomes])

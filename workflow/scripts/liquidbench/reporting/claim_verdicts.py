"""The five verdicts on a claim, and what a rule says before they are put together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from liquidbench.reporting.claim_evidence import Basis, Evidence
from liquidbench.reporting.claim_intervals import CONFIDENCE, Interval
from liquidbench.reporting.claim_values import Values
from liquidbench.reporting.printed import PrintedTable

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
CONTRADICTED = "contradicted"
NOT_TESTABLE = "not testable here"
INCONSISTENT = "inconsistent in the paper itself"
# What the verdict on a claim of several rules is: the first of these that one of its rules gives.
ORDER = (INCONSISTENT, CONTRADICTED, NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED)

# What a rule decides by.
RUNS = "our runs"
PRINTED = "arithmetic on printed values"
READING = "our reading of text and code"


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
        on_paper: for a rule that needs no run, `PRINTED` or `READING`.
        p_holm: Holm's corrected p-value of the difference that decided; None where there is none.
    """

    verdict: str | None
    would_be: str | None
    ours: str
    reason: str
    basis: Basis | None = None
    interval: Interval | None = None
    on_paper: str = ""
    p_holm: float | None = None

    @property
    def evidence(self) -> str:
        """What the rule decided by, one of `RUNS`, `PRINTED` and `READING`; empty if by nothing."""
        return RUNS if self.basis is not None else self.on_paper

    @property
    def fails_correction(self) -> bool:
        """Whether an interval that excludes 0 would not, were it corrected for the study's other comparisons."""
        decided = self.would_be in (REPRODUCED, CONTRADICTED)
        return decided and self.p_holm is not None and self.p_holm > 1 - CONFIDENCE


@dataclass(frozen=True)
class Context:
    """What rules are judged with: the study, the claim's values, its place for messages, and printed tables by name."""

    evidence: Evidence
    values: Values
    place: str
    tables: dict[str, PrintedTable]


def not_testable(reason: str, ours: str = "", basis: Basis | None = None) -> Outcome:
    """No verdict can be had, and why."""
    return Outcome(NOT_TESTABLE, NOT_TESTABLE, ours, reason, basis)


def settled(
    verdict: str,
    ours: str,
    reason: str,
    basis: Basis,
    interval: Interval,
    p_holm: float | None = None,
) -> Outcome:
    """A verdict from measured figures: from synthetic data it is only what it would be."""
    own = NOT_TESTABLE if basis.synthetic else verdict
    return Outcome(own, verdict, ours, reason, basis, interval, p_holm=p_holm)


def by_argument(verdict: str | None, reason: str, on_paper: str) -> Outcome:
    """What the paper's printed values, or its text and code as we read them, say without a run."""
    return Outcome(verdict, verdict, "", reason, on_paper=on_paper)


def vetoed(outcome: Outcome) -> Outcome:
    """The same figures, which test nothing of the claim, because the runs had other settings than it speaks of."""
    if outcome.basis is None:
        return outcome
    reason = f"tells nothing of the claim, whose settings our runs did not have: {outcome.reason}"
    return replace(outcome, verdict=NOT_TESTABLE, would_be=NOT_TESTABLE, reason=reason, p_holm=None)


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

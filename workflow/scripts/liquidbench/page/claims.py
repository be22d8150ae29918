"""The claims as the page shows them: by verdict, and the main ones with what is printed and what was measured."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from liquidbench.reporting.claim_page import ON_PAPER, ON_PAPER_MEANING, SECTIONS, verdict_label
from liquidbench.reporting.claim_verdicts import (
    CONTRADICTED,
    INCONSISTENT,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
)
from liquidbench.reporting.claims import Claim, Judged
from liquidbench.reporting.study import title_of


@dataclass(frozen=True)
class MainClaim:
    """A main claim with the paper's values and our figures, a line each."""

    judged: Judged
    printed: tuple[str, ...]
    ours: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether our figures alone give another verdict than paper and figures together."""
        measured = self.judged.measured
        return measured is not None and verdict_label(measured) != verdict_label(self.judged)


def lead(papers: Sequence[Judged]) -> str:
    """What holds, in three sentences: by the runs, on paper alone, and of the main claims."""
    by_runs = Counter(one.verdict for one in papers if not one.on_paper_alone)
    decided = [name for name in (REPRODUCED, NOT_REPRODUCED, CONTRADICTED) if by_runs[name]]
    told = f"Our runs decide {sum(by_runs[name] for name in decided)} of {len(papers)} claims"
    if decided:
        told += ": " + ", ".join(f"{by_runs[name]} {name}" for name in decided) + "."
    else:
        bases = [outcome.basis for one in papers for outcome in one.outcomes if outcome.basis]
        synthetic = any(basis.synthetic for basis in bases)
        told = "Our runs decide none of the claims" + ": their data are synthetic." * synthetic
        told += "." * (not synthetic)
    on_paper = sum(one.on_paper_alone for one in papers)
    told += (
        f" On paper alone {on_paper} hold, and {by_runs[INCONSISTENT]} do not agree with the paper's own numbers, text "
        f"or code; {by_runs[NOT_TESTABLE]} cannot be told here."
    )
    mains = Counter(one.verdict for one in papers if one.claim.main)
    if mains:
        counts = ", ".join(f"{mains[name]} {name}" for name in SECTIONS if mains[name])
        told += f" Of the {sum(mains.values())} main claims: {counts}."
    return told


def main_claims(papers: Sequence[Judged]) -> list[MainClaim]:
    """Those that the file of claims says are."""
    return [MainClaim(one, _printed(one.claim), _ours(one)) for one in papers if one.claim.main]


def _printed(claim: Claim) -> tuple[str, ...]:
    """The printed values with their names."""
    lines = []
    for name, value in {**claim.values, **claim.shown}.items():
        several = value if isinstance(value, tuple) else (value,)
        lines.append(f"{name.replace('_', ' ')}: {', '.join(one.text for one in several)}")
    return tuple(lines)


def _ours(one: Judged) -> tuple[str, ...]:
    """Our figures; with the data set in front where a claim speaks of several."""
    told = [(o.ours, o.basis.dataset if o.basis else "") for o in one.outcomes if o.ours]
    several = len({dataset for _, dataset in told}) > 1
    lines = [f"{title_of(name)}: {text}" if several and name else text for text, name in told]
    return tuple(dict.fromkeys(lines))


def by_verdict(papers: Sequence[Judged]) -> list[tuple[str, list[Judged], str]]:
    """Title, claims and meaning of each verdict that occurs, in the order of the claims page."""
    found = []
    for name, meaning in SECTIONS.items():
        here = [one for one in papers if one.verdict == name]
        found.append((name, [one for one in here if not one.on_paper_alone], meaning))
        on_paper = [one for one in here if one.on_paper_alone]
        found.append((f"{name} {ON_PAPER}", on_paper, ON_PAPER_MEANING))
    return [entry for entry in found if entry[1]]

"""The claims page: `claims.md` for a reader with a minute, `claims.csv` for a program."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate

from liquidbench.files import write_text
from liquidbench.reporting.claim_evidence import Basis
from liquidbench.reporting.claim_intervals import COUNTED
from liquidbench.reporting.claim_rule_kinds import kind_of
from liquidbench.reporting.claim_verdicts import (
    CONTRADICTED,
    INCONSISTENT,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    ORDER,
    PRINTED,
    READING,
    REPRODUCED,
    Outcome,
)
from liquidbench.reporting.claims import Judged
from liquidbench.reporting.gap_summary import gap_summary
from liquidbench.reporting.significant import significant
from liquidbench.reporting.study import Study, synthetic_warning

# What fell comes first, what cannot be told comes last.
SECTIONS = {
    CONTRADICTED: "Our runs say the opposite",
    INCONSISTENT: (
        "The paper's own numbers, or its text and its published code as we read them, exclude one another; no run of "
        "ours decides here"
    ),
    NOT_REPRODUCED: "Our runs do not show it",
    REPRODUCED: "Our runs show it",
    NOT_TESTABLE: "What is missing stands beside each",
}
ON_PAPER = "on paper alone"
ON_PAPER_MEANING = (
    "No run was needed: arithmetic on the printed values, or the text and the published code as we read them, bear "
    "the claim out"
)
COLUMNS = (
    *(
        "id",
        "topic",
        "claim",
        "place",
        "printed",
        "extension",
        "verdict",
        "would_be_if_data_were_real",
        "measured_verdict",
    ),
    *("rule", "kind", "rule_verdict", "evidence", "ours", "value", "low", "high", "interval"),
    *("p_holm", "reason"),
    *("dataset", "protocol", "models", "seeds", "examples", "data", "papers_data"),
    *("papers_models", "synthetic"),
)


def verdict_label(one: Judged) -> str:
    """The verdict as the page shows it: shouted where it is had from synthetic data, with `qualifier` else."""
    synthetic = any(o.basis is not None and o.basis.synthetic for o in one.outcomes)
    if synthetic and one.verdict == NOT_TESTABLE:
        return f"SYNTHETIC DATA: {_would(one)}"
    return one.verdict + qualifier(one)


def _would(one: Judged) -> str:
    return one.verdict if one.would_be == one.verdict else f"would be {one.would_be}"


def qualifier(one: Judged) -> str:
    """What qualifies a verdict: no run, figures on what is not the paper's, no room for many comparisons; or empty."""
    if one.verdict == NOT_TESTABLE:
        return ""
    if one.on_paper_alone:
        return f" {ON_PAPER}"
    decided = [o for o in one.outcomes if o.verdict == one.verdict and o.basis is not None]
    # Counts are the same on any data.
    measured = [o.basis for o in decided if o.interval is None or o.interval.source != COUNTED]
    others = ["data"] if any(not basis.papers_data for basis in measured) else []
    others += ["models or training"] if any(not o.basis.papers_models for o in decided) else []
    text = f", on {' and '.join(others)} other than the paper's" if others else ""
    if any(o.fails_correction for o in decided):
        text += ", but Holm's p is above 0.05"
    return text


def as_csv(judged: Sequence[Judged]) -> str:
    """A line per claim and rule; numbers with eight significant digits, empty where nothing was measured."""
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in judged:
        for number, (rule, outcome) in enumerate(
            zip(one.claim.rules, one.outcomes, strict=True), start=1
        ):
            writer.writerow(_csv_line(one, number, kind_of(rule), outcome))
    return output.getvalue()


def _csv_line(one: Judged, number: int, kind: str, outcome: Outcome) -> dict[str, object]:
    claim, basis, interval = one.claim, outcome.basis, outcome.interval
    line: dict[str, object] = {
        **{name: getattr(claim, name) for name in ("id", "topic", "claim", "place", "printed")},
        "extension": claim.extension,
        "verdict": one.verdict,
        "would_be_if_data_were_real": one.would_be,
        "measured_verdict": one.measured.verdict if one.measured else "",
        "rule": number,
        "kind": kind,
        "rule_verdict": outcome.verdict or "met",
        "evidence": outcome.evidence,
        "ours": outcome.ours,
        "p_holm": outcome.p_holm,
        "reason": outcome.reason,
    }
    if interval is not None:
        line |= {"value": interval.value, "low": interval.low, "high": interval.high}
        line["interval"] = interval.source
    if basis is not None:
        names = ("dataset", "protocol", "seeds", "examples", "data", "papers_data")
        line |= {name: getattr(basis, name) for name in (*names, "papers_models", "synthetic")}
        line["models"] = " ".join(basis.models)
    return {
        name: significant(cell) if isinstance(cell, float) else cell for name, cell in line.items()
    }


def as_markdown(study: Study, judged: Sequence[Judged]) -> str:
    """The page: the study's own question, how many claims have which verdict and on which data, then all.

    What is no sentence of the paper comes last, and is counted nowhere.
    """
    name = f": {study.layout.study}" if study.layout.study else ""
    papers = [one for one in judged if not one.claim.extension]
    parts = [f"# The paper's claims{name}\n", synthetic_warning(study), gap_summary(study)]
    parts += [_counts(papers), _data(judged), _main(papers)]
    for verdict, meaning in SECTIONS.items():
        some = [one for one in papers if one.verdict == verdict and not one.on_paper_alone]
        parts.append(_section(verdict, meaning, some))
        if verdict == REPRODUCED:
            some = [one for one in papers if one.on_paper_alone]
            parts.append(_section(f"{verdict} {ON_PAPER}", ON_PAPER_MEANING, some))
    own = [one for one in judged if one.claim.extension]
    meaning = "No sentence of the paper says so, and the counts above leave them out"
    parts.append(_section("questions of this project's own", meaning, own))
    parts.append(
        "Every verdict is computed; docs/claims.md says how. `claims.csv` has every rule of every claim, with "
        "numbers of eight significant digits.\n"
    )
    return "\n".join(part for part in parts if part)


def _section(title: str, meaning: str, some: Sequence[Judged]) -> str:
    if not some:
        return ""
    heading = title[0].upper() + title[1:]
    return f"## {heading} ({len(some)})\n\n{meaning}.\n\n{_table(some)}\n"


def _counts(judged: Sequence[Judged]) -> str:
    counts = Counter(one.verdict for one in judged)
    on_paper = sum(one.on_paper_alone for one in judged)
    read = sum(one.verdict == INCONSISTENT and READING in one.evidence for one in judged)
    parts = {
        REPRODUCED: f" ({counts[REPRODUCED] - on_paper} by our runs, {on_paper} {ON_PAPER})",
        INCONSISTENT: f" ({counts[INCONSISTENT] - read} by {PRINTED}, {read} by {READING})",
    }
    told = [
        f"{counts[name]} {name}{parts.get(name, '') if counts[name] else ''}" for name in SECTIONS
    ]
    text = f"## Claim by claim\n\n**{len(judged)} claims of the paper: {', '.join(told)}.**\n"
    qualified = Counter(
        one.verdict + qualifier(one) for one in judged if qualifier(one) and not one.on_paper_alone
    )
    if qualified:
        listed = "; ".join(f"{number} {label}" for label, number in sorted(qualified.items()))
        text += f"\nOf these: {listed}.\n"
    would = Counter(one.would_be for one in judged if one.would_be != one.verdict)
    if would:
        listed = ", ".join(
            f"{would[verdict]} would be {verdict}" for verdict in ORDER if would[verdict]
        )
        text += f"\nOn SYNTHETIC DATA, and so counted as not testable: {listed}.\n"
    return text


def _bases(judged: Sequence[Judged]) -> list[Basis]:
    """What the figures rest on, once for each data set, protocol and number of seeds."""
    found: dict[tuple, Basis] = {}
    for basis in (outcome.basis for one in judged for outcome in one.outcomes):
        if basis is None:
            continue
        key = (basis.dataset, basis.protocol, basis.seeds)
        models = found[key].models if key in found else ()
        found[key] = replace(basis, models=tuple(dict.fromkeys((*models, *basis.models))))
    return list(found.values())


def _data(judged: Sequence[Judged]) -> str:
    """What the verdicts rest on."""
    bases = _bases(judged)
    if not bases:
        return "No run has finished: the verdicts rest on the paper's own numbers alone.\n"
    return "They rest on:\n\n" + "".join(f"- {basis.label}\n" for basis in bases)


def _main(judged: Sequence[Judged]) -> str:
    """The claims that the paper's abstract and conclusion stand on, in a line each."""
    lines = []
    for one in judged:
        if one.claim.main:
            measured = verdict_label(one.measured) if one.measured else "–"
            lines.append([one.claim.claim, verdict_label(one), measured])
    headings = ["Claim", "Verdict", "By our figures alone"]
    return f"## The main claims\n\n{_pipe(lines, headings)}\n" if lines else ""


def _table(judged: Sequence[Judged]) -> str:
    """Claims of one verdict, by topic in the order of the file."""
    topics = list(dict.fromkeys(one.claim.topic for one in judged))
    lines = []
    for one in sorted(judged, key=lambda one: topics.index(one.claim.topic)):
        first = [one.claim.topic, one.claim.claim, one.claim.place, one.claim.printed or "–"]
        ours = _joined([outcome.ours for outcome in one.outcomes]) or "–"
        reasons = _joined([outcome.reason for outcome in one.outcomes])
        bases = _joined([basis.label for basis in _bases([one])])
        decided = " and ".join(one.evidence) or "–"
        lines.append([*first, ours, verdict_label(one), decided, reasons, bases or "–"])
    headings = ["Topic", "Claim", "Place", "Printed", "Ours [95 % interval]", "Verdict"]
    headings += ["Decided by", "Why"]
    return _pipe(lines, [*headings, "Rests on"])


def _joined(texts: Sequence[str]) -> str:
    return "<br>".join(dict.fromkeys(text for text in texts if text))


def _pipe(lines: list[list[str]], headings: list[str]) -> str:
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    align = ["left"] * len(headings)
    return tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=align)


def write_claims(study: Study, judged: Sequence[Judged], out: str | Path) -> None:
    """Write `claims.md` and `claims.csv` into `out`."""
    write_text(Path(out, "claims.csv"), as_csv(judged))
    write_text(Path(out, "claims.md"), as_markdown(study, judged))

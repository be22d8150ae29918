"""`index.html`: one page that holds all it shows, and needs no network."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from liquidbench.files import write_text
from liquidbench.page import markdown
from liquidbench.page.animations import animations
from liquidbench.page.claims import by_verdict, lead, main_claims
from liquidbench.page.figures import Figures
from liquidbench.page.handwriting import written_lines
from liquidbench.page.overview import cautions, lines, machine, summary_line
from liquidbench.page.runs import run_rows
from liquidbench.page.sorting import sort_keys
from liquidbench.page.tables import anchor, page_table
from liquidbench.reporting.claim_page import verdict_label
from liquidbench.reporting.claims import Judged
from liquidbench.reporting.differences import percent
from liquidbench.reporting.gap_summary import gap_summary
from liquidbench.reporting.study import Study
from liquidbench.reporting.table import Table

SORTING = "vendored/sortable-4.1.7.min.js"


@dataclass(frozen=True)
class Inputs:
    """What the page is made of.

    Attributes:
        study: the summaries.
        tables: the tables, those of the paper first.
        judged: the claims.
        figures: the drawn figures.
        results: the results folder.
        out: the page's own path, from which links start.
    """

    study: Study
    tables: Sequence[Table]
    judged: Sequence[Judged]
    figures: Figures
    results: Path
    out: Path


def write_page(content: Inputs) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: an example or a prediction file is there and damaged.
    """
    write_text(content.out, render(content))


def render(content: Inputs) -> str:
    """The page's text."""
    environment = Environment(
        loader=PackageLoader("liquidbench.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"markdown": markdown.inline, "blocks": markdown.block}
    environment.filters |= {"slug": _slug, "sort_keys": sort_keys}
    folder = Path(__file__).parent
    scripts = [
        Markup((folder / name).read_text(encoding="utf-8"))
        for name in (SORTING, "templates/page.js")
    ]
    study, papers = content.study, [one for one in content.judged if not one.claim.extension]
    return environment.get_template("index.html.j2").render(
        title=study.layout.study or "Study",
        style=Markup((folder / "templates/page.css").read_text(encoding="utf-8")),
        scripts=scripts,
        policy=_policy(scripts),
        cautions=cautions(study),
        summary=summary_line(study),
        lines=lines(study),
        machine=machine(study),
        gap_summary=_gaps(study),
        verdicts=by_verdict(papers),
        own_questions=[one for one in content.judged if one.claim.extension],
        lead=lead(papers),
        main_claims=main_claims(papers),
        verdict_label=verdict_label,
        confidence=percent(study.layout.confidence),
        tables=[page_table(table) for table in content.tables],
        figures=content.figures,
        animations=animations(content.results, study.layout.main_protocols),
        written_lines=written_lines(study, content.results),
        runs=run_rows(study, content.results, content.out.parent),
    )


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def _policy(scripts: Sequence[str]) -> str:
    """The Content-Security-Policy: no network, and no script but these, whatever a text of the study holds."""
    sums = [hashlib.sha256(script.encode()).digest() for script in scripts]
    allowed = " ".join(f"'sha256-{base64.b64encode(one).decode('ascii')}'" for one in sums)
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'"
    )


def _gaps(study: Study) -> str:
    """The summary of gaps without its heading, its links within this page; empty without a pair."""
    text = gap_summary(study).partition("\n")[2]
    return re.sub(r"\(tables/(table_\w+)\.md\)", lambda link: f"(#{anchor(link[1])})", text)

"""`index.html`: one page that holds all it shows, and needs no network."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from liquidbench.files import write_text
from liquidbench.page import markdown
from liquidbench.page.animations import animations
from liquidbench.page.figures import Figures
from liquidbench.page.handwriting import written_lines
from liquidbench.page.overview import cautions, lines, machine, summary_line
from liquidbench.page.tables import page_table
from liquidbench.reporting.claim_page import (
    ON_PAPER,
    ON_PAPER_MEANING,
    SECTIONS,
    qualifier,
    verdict_label,
)
from liquidbench.reporting.claim_verdicts import NOT_TESTABLE
from liquidbench.reporting.claims import Judged
from liquidbench.reporting.gap_summary import gap_summary
from liquidbench.reporting.study import Study, title_of
from liquidbench.reporting.table import Table

# Of one run, what its row links to, if it is there.
RUN_FILES = ("metrics.json", "history.csv", "predictions.csv", "stress.csv", "provenance.json")
SORTING = "vendored/sortable-4.1.7.min.js"


@dataclass(frozen=True)
class RunRow:
    """A configured run; `files` are (name, address from the page)."""

    directory: str
    state: str
    data: str
    seconds: float | None
    peak_mebibytes: float | None
    files: tuple[tuple[str, str], ...]


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
    environment.filters["slug"] = lambda text: re.sub(r"\W+", "-", text.lower()).strip("-")
    folder = Path(__file__).parent
    study, papers = content.study, [one for one in content.judged if not one.claim.extension]
    return environment.get_template("index.html.j2").render(
        title=study.layout.study or "Study",
        style=Markup((folder / "templates/page.css").read_text(encoding="utf-8")),
        scripts=[
            Markup((folder / name).read_text(encoding="utf-8"))
            for name in (SORTING, "templates/page.js")
        ],
        cautions=cautions(study),
        summary=summary_line(study),
        lines=lines(study),
        machine=machine(study),
        gap_summary=gap_summary(study).partition("\n")[2],
        verdicts=_by_verdict(papers),
        own_questions=[one for one in content.judged if one.claim.extension],
        main_claims=[one for one in papers if one.claim.main],
        verdict_label=verdict_label,
        qualifier=qualifier,
        not_testable=NOT_TESTABLE,
        tables=[page_table(table) for table in content.tables],
        figures=content.figures,
        datasets=[(name, title_of(name)) for name in study.layout.main_protocols],
        animations=animations(content.results),
        written_lines=written_lines(study, content.results),
        runs=run_rows(study, content.results, content.out.parent),
    )


def _by_verdict(papers: Sequence[Judged]) -> list[tuple[str, list[Judged], str]]:
    """Title, claims and meaning of each verdict that occurs, in the order of the claims page."""
    found = []
    for name, meaning in SECTIONS.items():
        here = [one for one in papers if one.verdict == name]
        found.append((name, [one for one in here if not one.on_paper_alone], meaning))
        on_paper = [one for one in here if one.on_paper_alone]
        found.append((f"{name} {ON_PAPER}", on_paper, ON_PAPER_MEANING))
    return [entry for entry in found if entry[1]]


def run_rows(study: Study, results: Path, start: Path) -> list[RunRow]:
    """A row for each configured run, with links to its files relative to the folder `start`."""
    rows = []
    for run in study.frames["runs"].itertuples(index=False):
        folder = results / run.directory
        done = run.state == "finished"
        files = tuple(
            (name, Path(os.path.relpath(folder / name, start)).as_posix())
            for name in RUN_FILES
            if done and (folder / name).is_file()
        )
        rows.append(
            RunRow(
                run.directory,
                run.state,
                ("SYNTHETIC" if run.synthetic == "True" else run.source) if done else "–",
                _number(run.seconds),
                _number(run.peak_memory_bytes / 2**20),
                files,
            )
        )
    return rows


def _number(value: float) -> float | None:
    return None if value != value else float(value)

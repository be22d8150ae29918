"""The page of a hand-made study, and its text read as a browser reads it: elements with attributes and text."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from fake_study import LAYOUT
from liquidbench.page.figures import Figures
from liquidbench.page.page import Inputs, render
from liquidbench.reporting.claims import judge, read_claims
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.study import Study, read_study
from liquidbench.reporting.summaries import summarise, write_summaries
from liquidbench.reporting.table_files import build_tables

PROJECT = Path(__file__).parents[1]
PAPER = PROJECT / "resources/paper"
SCRIPT = PROJECT / "workflow/scripts/report.py"
CLAIMS = PAPER / "claims.yaml"
ALL_CLAIMS = read_claims(CLAIMS, PAPER)
# Elements without an end.
VOID = {"meta", "img", "br", "link"}


@dataclass
class Element:
    """An element of the page; `children` are elements and texts."""

    tag: str
    attributes: dict[str, str]
    children: list = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, as it stands; a line break is one."""
        if self.tag == "br":
            return "\n"
        return "".join(one if isinstance(one, str) else one.text for one in self.children)

    @property
    def words(self) -> str:
        """All text in it, with spaces as a browser shows them."""
        return " ".join(self.text.split())

    def all(self, tag: str = "", **attributes: str) -> list["Element"]:
        """Elements below it, in order; `class_` may be one of several."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        found = []
        for child in self.children:
            if isinstance(child, Element):
                own = child.attributes
                classes = own.get("class", "").split()
                if (not tag or child.tag == tag) and all(
                    value in classes if name == "class" else own.get(name) == value
                    for name, value in wanted.items()
                ):
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    def one(self, tag: str = "", **attributes: str) -> "Element":
        """The only such element."""
        found = self.all(tag, **attributes)
        assert len(found) == 1, (tag, attributes, len(found))
        return found[0]

    def rows(self) -> list[list["Element"]]:
        """The cells of a table's body."""
        return [row.all("td") for row in self.one("tbody").all("tr")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(text: str) -> Element:
    """The whole page; every element must be closed."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1
    return reader.open[0]


def study_of(results: Path, items: list[dict], layout: dict = LAYOUT) -> Study:
    """The study of hand-made run directories, its summaries written and read again."""
    frames = summarise(results, [RunKey(**item) for item in items])
    write_summaries(frames, results / "summary")
    return read_study(results / "summary", json.dumps(layout))


def content_of(study: Study, results: Path, figures: Figures | None = None, out=None) -> Inputs:
    """What the page is made of."""
    return Inputs(
        study=study,
        tables=build_tables(study, PAPER),
        judged=judge(ALL_CLAIMS, study),
        figures=figures or Figures((), (), True),
        results=results,
        out=out or results.parent / "reports/index.html",
    )


def page_of(results: Path, items: list[dict], layout: dict = LAYOUT, **options) -> Element:
    """The page of hand-made run directories."""
    study = study_of(results, items, layout)
    return parsed(render(content_of(study, results, **options)))


def write_figures(folder: Path, names: list[str], left_out: tuple = (), png: bool = True) -> None:
    """Small drawings with a listing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg"><title>{name}</title></svg>\n'
        )
    entries = [{"name": n, "title": f"Title of {n}", "caption": f"What {n} is."} for n in names]
    told = [{"name": name, "reason": reason} for name, reason in left_out]
    listing = {"png": png, "figures": entries, "left_out": told}
    (folder / "index.json").write_text(json.dumps(listing))


def arguments(folder: Path, layout: dict = LAYOUT) -> list:
    """The command's, for the results, summaries and figures in `folder`."""
    return [
        *("--summary", folder / "results/summary", "--results", folder / "results"),
        *("--figures", folder / "figures", "--claims", CLAIMS, "--paper", PAPER),
        *("--layout", json.dumps(layout), "--out", folder / "reports/index.html"),
    ]


def command(folder: Path) -> subprocess.CompletedProcess:
    """Run the command."""
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments(folder)],
        # Another order of sets than that of the tests' own process.
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )

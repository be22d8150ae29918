"""The report's tables as the page shows them: a row for each model, with what stands beside its figures in one cell."""

import math
import re
from dataclasses import dataclass

from liquidbench.reporting.table import NOTHING, Comparison, Table

# All pairs of many models are thousands of rows, which no reader of a page reads and no phone draws.
MOST_ROWS = 300
# Characters. Names of models fit.
SHORT = 16


@dataclass(frozen=True)
class Cell:
    """What a cell shows and how it sorts.

    Attributes:
        text: the measured value, or what the row is about.
        printed: the paper's value; empty: it prints none.
        compared: how the two compare; empty where they are not compared.
        sort: what the column is sorted by: a number as text, or text.
        numeric: whether it holds a figure.
        short: whether it is too short to be broken into lines.
    """

    text: str
    printed: str = ""
    compared: str = ""
    sort: str = ""
    numeric: bool = False
    short: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table of the page; `stem` names its files, `compared_as` what the third line of a cell is.

    `shared` are the columns that say the same of every row, with what they say: as columns they would push the figures
    out of sight. `left_out` counts the rows that are in the files alone.
    """

    anchor: str
    heading: str
    stem: str
    measured_as: str
    compared_as: str
    headings: tuple[str, ...]
    shared: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int
    notes: tuple[str, ...]


def page_table(table: Table) -> PageTable:
    """A table for the page."""
    shared = _shared(table)
    places = [place for place, name in enumerate(table.about) if name not in shared]
    rows = []
    for row in table.rows[:MOST_ROWS]:
        cells = [
            Cell(text or NOTHING, sort=_sortable(text), short=len(text) <= SHORT)
            for text in (row.about[place] for place in places)
        ]
        cells += [_figure(row.figures.get(name)) for name in table.figures]
        rows.append(tuple(cells))
    return PageTable(
        anchor=table.stem.replace("_", "-"),
        heading=table.heading,
        stem=table.stem,
        measured_as=table.measured_as,
        compared_as=table.compared_as,
        headings=(*(table.about[place] for place in places), *table.figures.values()),
        shared=tuple(shared.items()),
        rows=tuple(rows),
        left_out=len(table.rows) - len(rows),
        notes=tuple(table.notes),
    )


def _shared(table: Table) -> dict[str, str]:
    """Heading to text of what is the same in all rows; of a single row nothing, which would leave no name of it."""
    if len(table.rows) < 2:
        return {}
    columns = {
        name: {row.about[place] for row in table.rows} for place, name in enumerate(table.about)
    }
    return {name: texts.pop() for name, texts in columns.items() if len(texts) == 1}


def _figure(comparison: Comparison | None) -> Cell:
    if comparison is None:
        return Cell(NOTHING, sort="", numeric=True)
    measured = comparison.numbers[0]
    number = isinstance(measured, int | float) and math.isfinite(measured)
    return Cell(
        comparison.measured or NOTHING,
        comparison.printed,
        comparison.compared,
        repr(float(measured)) if number else _sortable(comparison.measured),
        number,
    )


def _sortable(text: str) -> str:
    """Text by which a column is sorted: a leading number alone, if there is one."""
    number = re.match(r"[+-]?\d[\d,]*(\.\d+)?", text)
    if number:
        return number[0].replace(",", "")
    return "" if text == NOTHING else text

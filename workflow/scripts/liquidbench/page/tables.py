"""The report's tables as the page shows them: a row for each model, with what stands beside its figures in one cell."""

import math
import re
from dataclasses import dataclass

from liquidbench.reporting.table import NOTHING, Comparison, Table


@dataclass(frozen=True)
class Cell:
    """What a cell shows and how it sorts.

    Attributes:
        text: the measured value, or what the row is about.
        printed: the paper's value; empty: it prints none.
        compared: how the two compare; empty where they are not compared.
        sort: what the column is sorted by: a number as text, or text.
        numeric: whether it holds a figure.
    """

    text: str
    printed: str = ""
    compared: str = ""
    sort: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table of the page; `stem` names its files, `compared_as` what the third line of a cell is."""

    anchor: str
    heading: str
    stem: str
    measured_as: str
    compared_as: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]


def page_table(table: Table) -> PageTable:
    """A table for the page."""
    rows = []
    for row in table.rows:
        cells = [Cell(text or NOTHING, sort=_sortable(text)) for text in row.about]
        cells += [_figure(row.figures.get(name)) for name in table.figures]
        rows.append(tuple(cells))
    return PageTable(
        anchor=table.stem.replace("_", "-"),
        heading=table.heading,
        stem=table.stem,
        measured_as=table.measured_as,
        compared_as=table.compared_as,
        headings=(*table.about, *table.figures.values()),
        rows=tuple(rows),
        notes=tuple(table.notes),
    )


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

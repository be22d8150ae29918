"""The report's tables as the page shows them: a row for each model, with what stands beside its figures in one cell."""

from collections.abc import Sequence
from dataclasses import dataclass

from liquidbench.page.sorting import sort_keys
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
        sort: what the column is sorted by: a number as text, or text; empty where there is nothing.
        printed: the paper's value; empty: it prints none.
        compared: how the two compare; empty where they are not compared.
        numeric: whether it holds a figure, or would if there were one.
        short: whether it is too short to be broken into lines.
    """

    text: str
    sort: str
    printed: str = ""
    compared: str = ""
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
    rows = table.rows[:MOST_ROWS]
    columns = [_about([row.about[place] for row in rows]) for place in places]
    columns += [_figures([row.figures.get(name) for row in rows]) for name in table.figures]
    return PageTable(
        anchor=anchor(table.stem),
        heading=table.heading,
        stem=table.stem,
        compared_as=table.compared_as,
        headings=(*(table.about[place] for place in places), *table.figures.values()),
        shared=tuple((name, text or NOTHING) for name, text in shared.items()),
        rows=tuple(zip(*columns, strict=True)),
        left_out=len(table.rows) - len(rows),
        notes=tuple(table.notes),
    )


def anchor(stem: str) -> str:
    """The place of a table in the page, from the name of its files."""
    return stem.replace("_", "-")


def _shared(table: Table) -> dict[str, str]:
    """Heading to text of what is the same in all rows; of a single row nothing, which would leave no name of it."""
    if len(table.rows) < 2:
        return {}
    columns = {
        name: {row.about[place] for row in table.rows} for place, name in enumerate(table.about)
    }
    return {name: texts.pop() for name, texts in columns.items() if len(texts) == 1}


def _about(texts: Sequence[str]) -> list[Cell]:
    """A column of what the rows are about."""
    return [
        Cell(text or NOTHING, key, short=len(text) <= SHORT)
        for text, key in zip(texts, sort_keys(texts), strict=True)
    ]


def _figures(comparisons: Sequence[Comparison | None]) -> list[Cell]:
    """A column of figures."""
    found = [comparison or Comparison(NOTHING) for comparison in comparisons]
    values = [comparison.numbers[0] for comparison in found]
    # Where there is no value, words say why, and are no text to sort by.
    texts = ["" if value is None else one.measured for value, one in zip(values, found)]
    numbers = [None if isinstance(value, str) else value for value in values]
    return [
        Cell(
            one.measured or NOTHING,
            key,
            one.printed,
            one.compared,
            numeric=not isinstance(value, str),
        )
        for one, value, key in zip(found, values, sort_keys(texts, numbers), strict=True)
    ]

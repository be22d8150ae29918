"""A table of measured values beside printed ones, and its three forms: CSV, Markdown, LaTeX.

A row carries what it is about (data set, protocol, model, ...) and one comparison per figure. On a
page, a row takes up to three lines (measured, paper, difference), so that models stay in one
column as in the paper; a table with a single figure has the three side by side, and one without
printed values only the measured ones. In CSV every comparison is a line of its own, with numbers
of eight significant digits.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import stdev

from tabulate import tabulate

from liquidbench.evaluation.statistics import mean_interval
from liquidbench.reporting.printed import Printed
from liquidbench.reporting.ranges import ANYTHING, Range
from liquidbench.reporting.significant import significant
from liquidbench.reporting.titles import ONE_SEED

NOTHING = "–"
ALL_ALIKE = "all seeds alike"
ROMAN = ("I", "II", "III", "IV", "V", "VI")


@dataclass(frozen=True)
class Comparison:
    """A measured value, the printed one and how they compare: as shown, and as numbers or text.

    `numbers` are (measured, standard deviation, low, high, observations, printed, compared) as CSV holds them;
    the interval's ends are words where there is none: "one seed", "1 of 5 seeds", "all seeds alike".
    """

    measured: str
    printed: str = ""
    compared: str = ""
    numbers: tuple[float | str | None, ...] = (None,) * 7


@dataclass(frozen=True)
class Row:
    """One row: what it is about, and comparisons by figure name."""

    about: tuple[str, ...]
    figures: dict[str, Comparison]


@dataclass
class Table:
    """A whole table.

    Attributes:
        name: "1" to "6", the paper's table of that number; or the name of one that the paper does not have.
        title: without the number.
        about: headings of the columns that say what a row is about.
        figures: figure name to heading, in order.
        measured_as: what the first line is: measured or used.
        compared_as: what the third line is: difference, ratio or verdict.
        rows: the rows.
        notes: lines under the table.
        synthetic: "none", "some" or "all" of the runs behind it.
    """

    name: str
    title: str
    about: tuple[str, ...]
    figures: dict[str, str]
    measured_as: str = "measured"
    compared_as: str = "difference"
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    synthetic: str = "none"

    @property
    def heading(self) -> str:
        """The title, numbered as in the paper, with a warning where synthetic data are behind it."""
        warning = {
            "none": "",
            "some": "SOME ROWS ARE ON SYNTHETIC DATA: ",
            "all": "SYNTHETIC DATA, NOT THE REAL DATA SETS: ",
        }[self.synthetic]
        number = f"Table {ROMAN[int(self.name) - 1]}" if self.is_papers else "Not in the paper"
        return f"{number}. {warning}{self.title}"

    @property
    def sets_beside(self) -> bool:
        """Whether something stands beside its figures: the printed ones, or comparisons."""
        cells = (cell for row in self.rows for cell in row.figures.values())
        return self.is_papers or any(cell.compared for cell in cells)

    @property
    def is_papers(self) -> bool:
        """Whether the paper has this table: numbers of its own to compare with."""
        return self.name.isdigit()

    @property
    def stem(self) -> str:
        """The name of its files, without the suffix."""
        return f"table_{self.name}"


def compare_numbers(
    values: Sequence[float] | None,
    printed: Printed | None,
    decimals: int,
    ratio: bool = False,
    comparable: bool = True,
    confidence: float = 0.95,
    exact: bool = False,
    possible: Range = ANYTHING,
) -> Comparison:
    """Set the mean over seeds, with standard deviation and interval, beside the printed number.

    The interval is Student's over the seeds (`liquidbench.evaluation.statistics.mean_interval`).

    Args:
        values: one per seed, NaN where a figure does not exist (precision without an alarm) and
            so does not enter the mean; None if nothing was measured.
        printed: the paper's value with a number, or None.
        decimals: shown digits after the point; a thousands separator if 0.
        ratio: compare as measured / printed instead of measured - printed.
        comparable: False where the two are not of the same thing (synthetic data): they stand
            beside each other, and no difference is taken.
        confidence: of the interval.
        exact: the values are counted and not estimated (parameters): no interval, where all are equal.
        possible: the least and the most that the figure can be, where an interval ends.
    """
    there = [value for value in values or [] if not math.isnan(value)]
    exact = exact and len(set(there)) == 1
    mean = math.fsum(there) / len(there) if there else None
    sd = stdev(there) if len(there) > 1 and not exact else None
    low, high = (None, None) if exact or not there else _ends(there, values, confidence, possible)
    target = printed.value if printed else None
    compared, shown_compared = None, ""
    if comparable and mean is not None and target is not None:
        compared = mean / target if ratio else mean - target
        shown_compared = f"× {compared:.2f}" if ratio else signed(compared, decimals)
    if mean is None:
        shown = NOTHING if values is None else "does not exist"
    else:
        # A mean of counts over seeds need not be whole.
        digits = 1 if decimals == 0 and mean % 1 else decimals
        shown = f"{mean:,.{digits}f}"
        if isinstance(low, str):
            shown += f" ({low})"
        elif low is not None:
            shown += f" ± {sd:,.{digits}f} {interval_text(low, high, digits)}"
            if len(there) < len(values):
                shown += f" ({len(there)} of {len(values)} seeds)"
    text = printed.text if printed else ""
    return Comparison(
        shown, text, shown_compared, (mean, sd, low, high, len(there), target, compared)
    )


def _ends(
    there: Sequence[float],
    values: Sequence[float],
    confidence: float,
    possible: Range,
) -> tuple[float, float] | tuple[str, str]:
    """The ends of the interval of a mean over seeds, or twice why there is none."""
    if len(there) == 1:
        why = ONE_SEED if len(values) == 1 else f"1 of {len(values)} seeds"
        return why, why
    # That a few seeds agree to the last digit does not tell how much others would differ.
    if len(set(there)) == 1:
        return ALL_ALIKE, ALL_ALIKE
    interval = mean_interval(there, confidence)
    return max(interval.low, possible[0]), min(interval.high, possible[1])


def interval_text(low: float, high: float, decimals: int) -> str:
    """The ends of an interval in brackets, a minus sign on none that rounds to zero."""
    ends = (signed(value, decimals).removeprefix("+") for value in (low, high))
    return f"[{', '.join(ends)}]"


def signed(value: float, decimals: int) -> str:
    """A difference with its sign; no sign on what rounds to zero."""
    shown = f"{value:+,.{decimals}f}"
    return shown[1:] if float(shown.replace(",", "")) == 0 else shown


def compare_texts(measured: str, printed: Printed | None, verdict: str = "") -> Comparison:
    """Set a measured text beside the printed one, with a verdict of the caller's."""
    text = printed.text if printed else ""
    return Comparison(measured, text, verdict, (measured, None, None, None, None, text, verdict))


def as_csv(table: Table) -> str:
    """One line per row and figure, numbers with eight significant digits, empty where nothing is measured or printed.

    A table of texts alone has no columns of standard deviation, interval and observations (the seeds that have
    the figure); one that the paper does not have has no columns of its numbers and of comparisons.
    """
    texts = table.compared_as == "verdict"
    headings = ["measured", "standard_deviation", "low", "high", "observations", "paper"]
    headings.append(table.compared_as)
    keep = ([0] if texts else list(range(5))) + (
        [5, 6] if table.is_papers else [6] * table.sets_beside
    )
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    about = [re.sub(r"\W+", "_", name.lower().replace("'s", "")) for name in table.about]
    writer.writerow([*about, "figure", *(headings[index] for index in keep)])
    for row in table.rows:
        for name, comparison in row.figures.items():
            numbers = [_csv_value(value) for value in comparison.numbers]
            writer.writerow([*row.about, name, *(numbers[index] for index in keep)])
    return output.getvalue()


def _csv_value(value: float | str | None) -> int | float | str:
    """Empty for None; counts without ".0", which a mean of numbers has."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return value
    value = significant(value)
    return int(value) if value.is_integer() else value


def page_lines(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings and lines as a page shows them; a row has one line where nothing stands beside its figures."""
    names = list(table.figures)
    if not table.sets_beside:
        lines = []
        for row in table.rows:
            cells = [row.figures.get(name) for name in names]
            lines.append([*row.about, *(cell.measured if cell else NOTHING for cell in cells)])
        return [*table.about, *table.figures.values()], lines
    if len(names) == 1:
        lines = []
        for row in table.rows:
            cell = row.figures[names[0]]
            shown = [cell.measured, cell.printed or NOTHING, cell.compared or NOTHING]
            lines.append([*row.about, *shown])
        headings = [table.figures[names[0]], "Paper", table.compared_as.capitalize()]
        if not any(row.figures[names[0]].compared for row in table.rows):
            headings, lines = headings[:-1], [line[:-1] for line in lines]
        return [*table.about, *headings], lines
    lines = []
    for row in table.rows:
        cells = [row.figures.get(name) for name in names]
        blank = [""] * len(row.about)
        shown = [cell.measured if cell else NOTHING for cell in cells]
        lines.append([*row.about, table.measured_as, *shown])
        if any(cell and cell.printed for cell in cells):
            shown = [(cell.printed if cell else "") or NOTHING for cell in cells]
            lines.append([*blank, "paper", *shown])
        shown = [(cell.compared if cell else "") or NOTHING for cell in cells]
        if any(cell and cell.compared for cell in cells):
            lines.append([*blank, table.compared_as, *shown])
    return [*table.about, "", *table.figures.values()], lines


def as_markdown(table: Table, level: int = 1) -> str:
    """Heading, table and notes; `level` is the heading's."""
    headings, lines = page_lines(table)
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    labelled = table.sets_beside and len(table.figures) > 1
    first_figure = len(table.about) + labelled
    numeric = table.compared_as != "verdict"
    align = ["right" if numeric and i >= first_figure else "left" for i in range(len(headings))]
    body = tabulate(
        lines, headings, tablefmt="pipe", disable_numparse=True, colalign=align if lines else None
    )
    notes = "".join(f"\n- {note}" for note in table.notes)
    return f"{'#' * level} {table.heading}\n\n{body}\n{notes}\n"


def as_latex(table: Table) -> str:
    """A `table*` environment that needs no package."""
    headings, lines = page_lines(table)
    columns = "l" * len(headings)
    body = []
    for line in lines:
        if line[0]:
            body.append(r"\hline")
        body.append(" & ".join(map(_latex_text, line)) + r" \\")
    notes = [rf"\par\footnotesize {_latex_text(note)}" for note in table.notes]
    head = " & ".join(map(_latex_text, headings)) + r" \\"
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_latex_text(table.heading.split('. ', 1)[1])}}}",
            rf"\label{{tab:{table.name}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\hline",
            head,
            *body,
            r"\hline",
            r"\end{tabular}",
            *notes,
            r"\end{table*}",
            "",
        ]
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": "$<$",
    "×": r"$\times$",
    "–": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)

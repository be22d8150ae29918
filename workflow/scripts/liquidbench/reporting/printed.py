"""The paper's printed numbers: `resources/paper/table_<n>.csv`, typed from its text.

Columns: `row` and `column` as the paper heads them, `printed` as it prints the value, `value` as a
number in our units (empty for text), `dataset` and `models` (names of ours that the row stands
for, divided by spaces; empty: all), `figure` (our name of the value) and `source` (where in the
paper it stands).
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from liquidbench.reporting.runs import read_table

COLUMNS = ["row", "column", "printed", "value", "dataset", "models", "figure", "source"]


@dataclass(frozen=True)
class Printed:
    """One printed value. `value` is None where the paper prints text."""

    row: str
    text: str
    value: float | None
    source: str


class PrintedTable:
    """The printed values of one table, found by our names."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        # Once: tables look for hundreds of values.
        self._rows = list(frame.itertuples(index=False))

    def find(self, figure: str, dataset: str = "", model: str = "") -> Printed | None:
        """The printed value of a figure for a data set and a model; None where none is printed."""
        for row in self._rows:
            names_model = not row.models or model in row.models.split()
            if row.figure == figure and row.dataset in ("", dataset) and names_model:
                value = None if pd.isna(row.value) else float(row.value)
                return Printed(row.row, row.printed, value, row.source)
        return None

    def row_name(self, dataset: str, model: str) -> str:
        """The paper's name of the row that a model of a data set stands for; "" if none."""
        for row in self._rows:
            if row.dataset == dataset and model in row.models.split():
                return row.row
        return ""

    def models_of(self, row: str) -> list[str]:
        """Our models that a row of the paper stands for; empty for all, or for a row that is not there."""
        named = self._frame.loc[self._frame["row"] == row, "models"]
        return [] if named.empty else named.iloc[0].split()

    def pairs(self, first: str, second: str) -> list[tuple[str, float, float]]:
        """(the paper's row, value of one figure, value of another) of each row that has both as numbers."""
        wide = self._frame[self._frame["value"].notna()]
        wide = wide.pivot_table(index="row", columns="figure", values="value", sort=False)
        if not {first, second} <= set(wide.columns):
            return []
        return list(wide[[first, second]].dropna().itertuples(name=None))

    def rows_without(self, present: set[tuple[str, str]]) -> list[str]:
        """The paper's rows of which no (data set, model) is among `present`, in its order."""
        rows = {}
        for row in self._rows:
            named = any((row.dataset, model) in present for model in row.models.split())
            rows[row.row] = rows.get(row.row, False) or named
        return [name for name, named in rows.items() if not named]

    @property
    def figures(self) -> list[tuple[str, str]]:
        """(the paper's row, our figure) pairs in the paper's order."""
        return list(dict.fromkeys(zip(self._frame["row"], self._frame["figure"])))


def read_printed(folder: str | Path, number: int) -> PrintedTable:
    """Read the printed values of table `number` (1 to 6).

    Raises:
        InputError: the file or a column is missing, or a number is none.
    """
    path = Path(folder, f"table_{number}.csv")
    remedy = "Restore it from the project's repository"
    return PrintedTable(read_table(path, COLUMNS, ["value"], remedy))

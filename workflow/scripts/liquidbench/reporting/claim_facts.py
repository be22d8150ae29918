"""Printed values by table, row and column, and facts of the paper's text and published code, checked on reading.

A fact that is no number is a word of a closed list, its *domain*: two facts can be compared only if they are words of
one domain, so that no verdict hangs on how something is written.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from liquidbench.errors import InputError
from liquidbench.reporting.claim_values import Range, Series, Value, printed_range
from liquidbench.reporting.printed import COLUMNS
from liquidbench.reporting.runs import read_table
from liquidbench.reporting.stated_counts import count

# Facts that a person found in the text or in the published code and logs; the others are the paper's tables.
FACTS = ("text", "released")
TABLES = ("1", "2", "3", "5", "6", *FACTS)
_REMEDY = "See docs/claims.md"


class PrintedValues:
    """Printed values by table, row and column; and counts that follow from stated architectures."""

    def __init__(self, paper: Path, architectures: Any, domains: Any, place: str) -> None:
        """Read the tables and facts.

        Args:
            paper: the folder of the printed values.
            architectures: name to layers, as stated_counts.py has them.
            domains: name to the words that a fact of it can be.
            place: the file of claims, for messages.

        Raises:
            InputError: a file is missing or damaged, or a fact has no source, no such number, or a word that its
                domain does not list; the message names the file and the line.
        """
        remedy = "Restore it from the project's repository"
        self._frames: dict[str, pd.DataFrame] = {}
        words = _read_domains(domains, f"{place}, key domains")
        for name in TABLES:
            file = paper / (f"{name}.csv" if name in FACTS else f"table_{name}.csv")
            columns = [*COLUMNS, "domain"] if name in FACTS else COLUMNS
            self._frames[name] = read_table(file, columns, ["value"], remedy)
            if name in FACTS:
                _check_facts(self._frames[name], words, file)
        if not isinstance(architectures, dict):
            raise InputError(f"{place}, key architectures", "expected names", _REMEDY)
        self._counts = {
            name: (count(layers, f"{place}, architecture {name}"), layers["place"])
            for name, layers in architectures.items()
        }

    def find(self, reference: Any, place: str) -> Value | Series:
        """The value that ``[table, row, column]`` names; a series where the column is a list of rates."""
        if not isinstance(reference, list) or len(reference) != 3:
            raise InputError(place, f"found {reference!r}", "Write [table, row, column]")
        table, row, column = reference
        if isinstance(column, list):
            return tuple(self._one(str(table), row, one, place) for one in column)
        return self._one(str(table), row, column, place)

    def _one(self, table: str, row: str, column: str, place: str) -> Value:
        if table == "architecture":
            return self._counted(row, column, place)
        if table not in self._frames:
            use = f"Use {', '.join((*TABLES, 'architecture'))}"
            raise InputError(place, f"unknown table {table!r}", use)
        frame = self._frames[table]
        found = frame[(frame["row"] == row) & (frame["column"] == column)]
        if found.empty:
            raise InputError(place, f"no {column!r} of {row!r} in {table}", "Correct the reference")
        cell = found.iloc[0]
        text, value = cell["printed"], cell["value"]
        rate = float(column.removesuffix("%")) / 100 if table == "3" else None
        if not pd.isna(value):
            numbers = printed_range(text, float(value))
            return Value(text, numbers, cell["source"], rate, read=table == "released")
        domain = cell["domain"] if table in FACTS else ""
        return Value(text, None, cell["source"], rate, domain, read=True)

    def _counted(self, name: str, part: str, place: str) -> Value:
        if name not in self._counts or part not in self._counts[name][0]:
            found = f"no {part!r} of an architecture {name!r}"
            raise InputError(place, found, "Add it to `architectures`, or correct the reference")
        counts, source = self._counts[name]
        return Value(f"{counts[part]:,}", Range.exact(counts[part]), f"counted from {source}")


def _read_domains(content: Any, place: str) -> Mapping[str, list[str]]:
    if not isinstance(content, dict):
        raise InputError(place, "expected domains", _REMEDY)
    for name, words in content.items():
        ok = isinstance(words, list) and words and all(isinstance(word, str) for word in words)
        if not ok:
            found = f"{words!r} is no list of words"
            raise InputError(f"{place}.{name}", found, "List texts; quote a word such as 'No'")
    return content


def _check_facts(frame: pd.DataFrame, domains: Mapping[str, list[str]], file: Path) -> None:
    """Every fact has a source, and is a number as it is printed or a word of its domain."""
    seen: set[tuple[str, str]] = set()
    for position, fact in enumerate(frame.itertuples(index=False)):
        # The headings are line 1.
        place = f"{file}, line {position + 2}"
        if (fact.row, fact.column) in seen:
            raise InputError(place, f"{fact.column!r} of {fact.row!r} again", "Leave one")
        seen.add((fact.row, fact.column))
        if not fact.source.strip():
            raise InputError(f"{place}, column source", "empty", "Say where it stands")
        if not pd.isna(fact.value):
            try:
                printed_range(fact.printed, float(fact.value))
            except ValueError as error:
                remedy = "Leave `value` empty for a word"
                raise InputError(f"{place}, column printed", str(error), remedy) from None
        elif fact.domain not in domains:
            found = f"unknown domain {fact.domain!r} of {fact.printed!r}"
            remedy = f"Use {', '.join(domains)}, or add it to `domains` of claims.yaml"
            raise InputError(f"{place}, column domain", found, remedy)
        elif fact.printed not in domains[fact.domain]:
            found = f"{fact.printed!r} is no word of the domain {fact.domain!r}"
            use = f"Use {', '.join(domains[fact.domain])}, or add it to the domain"
            raise InputError(f"{place}, column printed", found, use)

"""The paper's claims: read from `resources/paper/claims.yaml`, and judged against a study.

docs/claims.md tells the format of the file and how verdicts are computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from liquidbench.errors import InputError
from liquidbench.reporting.claim_evidence import Evidence
from liquidbench.reporting.claim_intervals import MissingEvidenceError
from liquidbench.reporting.claim_rules import (
    Consistency,
    Counts,
    PrintedValue,
    RatioAtMost,
    build_rule,
)
from liquidbench.reporting.claim_values import Range, Series, Value, calculate, check, printed_range
from liquidbench.reporting.claim_verdicts import Context, Outcome, combined, not_testable
from liquidbench.reporting.printed import COLUMNS, PrintedTable, read_printed
from liquidbench.reporting.runs import read_table
from liquidbench.reporting.stated_counts import count
from liquidbench.reporting.study import Study

TABLES = ("1", "2", "3", "5", "6", "text", "released")
_TOP = ("roles", "architectures", "claims")
_REQUIRED = ("id", "claim", "place", "topic", "rules")
_OPTIONAL = ("main", "dataset", "values")
_REMEDY = "See docs/claims.md"


@dataclass(frozen=True)
class Claim:
    """A checkable sentence of the paper, in our own words, with what it prints and the rules that test it."""

    id: str
    claim: str
    place: str
    topic: str
    rules: tuple[Any, ...]
    values: Mapping[str, Value | Series]
    main: bool = False
    where: str = ""

    @property
    def printed(self) -> str:
        """The printed values, as a reader meets them."""
        parts = []
        for name, value in self.values.items():
            shown = value if isinstance(value, tuple) else (value,)
            parts.append(f"{name.replace('_', ' ')} {', '.join(one.text for one in shown)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Judged:
    """A claim with the outcome of each of its rules, and the verdict."""

    claim: Claim
    outcomes: tuple[Outcome, ...]

    @property
    def verdict(self) -> str:
        """The verdict on the claim."""
        return combined(self.outcomes)[0]

    @property
    def would_be(self) -> str:
        """The verdict if synthetic data were real."""
        return combined(self.outcomes)[1]

    @property
    def measured(self) -> "Judged | None":
        """The claim judged by figures of ours alone, without the paper's arithmetic; None if it has no such rule."""
        arithmetic = (Consistency, Counts)
        pairs = zip(self.claim.rules, self.outcomes, strict=True)
        own = tuple(outcome for rule, outcome in pairs if not isinstance(rule, arithmetic))
        return Judged(self.claim, own) if own else None


@dataclass(frozen=True)
class Claims:
    """All claims, and what their rules need: which models play which role, and the printed tables."""

    claims: tuple[Claim, ...]
    roles: Mapping[str, Mapping[str, list[str]]]
    tables: dict[int, PrintedTable]


def read_claims(path: str | Path, paper: str | Path) -> Claims:
    """Read and check the claims.

    Args:
        path: `claims.yaml`.
        paper: the folder of the printed values.

    Raises:
        InputError: the file is no such YAML, or a claim has an unknown or missing key, rule, quantity, role or
            printed value; the message names the file, the claim and the key.
    """
    content = _read_yaml(Path(path))
    _check_keys(content, _TOP, (), str(path))
    roles = _read_roles(content["roles"], f"{path}, key roles")
    printed = _PrintedValues(Path(paper), content["architectures"], str(path))
    if not isinstance(content["claims"], list):
        raise InputError(f"{path}, key claims", "expected a list", _REMEDY)
    claims: dict[str, Claim] = {}
    for position, item in enumerate(content["claims"], start=1):
        claim = _read_claim(item, f"{path}, claim {position}", str(path), roles, printed)
        if claim.id in claims:
            raise InputError(f"{path}, claim {claim.id}", "there are two", "Give each its own id")
        claims[claim.id] = claim
    return Claims(tuple(claims.values()), roles, {5: read_printed(paper, 5)})


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "no such file", "Restore it from the project's repository") from None
    except yaml.YAMLError as error:
        raise InputError(path, f"not valid YAML ({error})", "Correct it") from None
    return content


def _check_keys(content: Any, required: tuple, optional: tuple, place: str) -> None:
    if not isinstance(content, dict):
        raise InputError(place, f"expected keys and values, found {content!r}", _REMEDY)
    for name in content:
        if name not in (*required, *optional):
            use = f"Use {', '.join((*required, *optional))}"
            raise InputError(f"{place}, key {name}", "unknown key", use)
    for name in required:
        if name not in content:
            raise InputError(f"{place}, key {name}", "missing", _REMEDY)


def _read_roles(content: Any, place: str) -> dict[str, dict[str, list[str]]]:
    if not isinstance(content, dict):
        raise InputError(place, "expected data sets", _REMEDY)
    for dataset, roles in content.items():
        ok = isinstance(roles, dict) and all(
            isinstance(models, list) and models and all(isinstance(name, str) for name in models)
            for models in roles.values()
        )
        if not ok:
            raise InputError(f"{place}.{dataset}", "expected lists of models", _REMEDY)
    return content


class _PrintedValues:
    """Printed values by table, row and column; and counts that follow from stated architectures."""

    def __init__(self, paper: Path, architectures: Any, place: str) -> None:
        remedy = "Restore it from the project's repository"
        self._frames: dict[str, pd.DataFrame] = {}
        for name in TABLES:
            file = paper / (f"table_{name}.csv" if name.isdigit() else f"{name}.csv")
            self._frames[name] = read_table(file, COLUMNS, ["value"], remedy)
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
        numbers = None if pd.isna(value) else printed_range(text, float(value))
        return Value(text, numbers, cell["source"], rate)

    def _counted(self, name: str, part: str, place: str) -> Value:
        if name not in self._counts or part not in self._counts[name][0]:
            found = f"no {part!r} of an architecture {name!r}"
            raise InputError(place, found, "Add it to `architectures`, or correct the reference")
        counts, source = self._counts[name]
        return Value(f"{counts[part]:,}", Range.exact(counts[part]), f"counted from {source}")


def _read_claim(
    item: Any, place: str, path: str, roles: dict[str, Any], printed: _PrintedValues
) -> Claim:
    if isinstance(item, dict) and isinstance(item.get("id"), str):
        place = f"{path}, claim {item['id']}"
    _check_keys(item, _REQUIRED, _OPTIONAL, place)
    for name in ("id", "claim", "place", "topic"):
        if not isinstance(item[name], str) or not item[name].strip():
            raise InputError(f"{place}, key {name}", f"{item[name]!r} is no text", "Write one")
    values = item.get("values", {})
    if not isinstance(values, dict):
        raise InputError(f"{place}, key values", "expected names", _REMEDY)
    values = {
        name: printed.find(reference, f"{place}, key values.{name}")
        for name, reference in values.items()
    }
    if not isinstance(item["rules"], list) or not item["rules"]:
        raise InputError(f"{place}, key rules", "expected a list of rules", _REMEDY)
    rules = []
    for number, spec in enumerate(item["rules"], start=1):
        where = f"{place}, rule {number}"
        rule = build_rule(spec, item.get("dataset", ""), roles, where)
        _check_expressions(rule, values, where)
        rules.append(rule)
    text = {name: " ".join(item[name].split()) for name in ("id", "claim", "place", "topic")}
    return Claim(
        **text, rules=tuple(rules), values=values, main=bool(item.get("main")), where=place
    )


def _check_expressions(rule: Any, values: Mapping[str, Value | Series], place: str) -> None:
    """Read every expression once, so that a mistake stops here and not in the middle of a study."""
    match rule:
        case Consistency(holds=texts):
            for text in texts:
                check(text, values, f"{place}, key holds")
        case PrintedValue(printed=text):
            calculate(text, values, f"{place}, key printed")
        case RatioAtMost(limit=limit):
            calculate(str(limit), values, f"{place}, key limit")
        case Counts(rows=rows, doubted=doubted):
            for row in rows:
                for figure in ("precision", "recall", "accuracy", "false_positives"):
                    calculate(f"{row}_{figure}", values, f"{place}, key rows")
            if doubted not in rows:
                raise InputError(f"{place}, key doubted", f"{doubted!r} is no row", "Name one")
    if getattr(rule, "recall", None):
        calculate(rule.recall, values, f"{place}, key recall")


def judge(claims: Claims, study: Study) -> list[Judged]:
    """Judge every claim; evidence that the study lacks gives "not testable here" with what is missing."""
    evidence = Evidence(study, claims.roles)
    judged = []
    for claim in claims.claims:
        outcomes = []
        for number, rule in enumerate(claim.rules, start=1):
            place = f"{claim.where}, rule {number}"
            context = Context(evidence, claim.values, place, claims.tables)
            try:
                outcomes.append(rule.judge(context))
            except MissingEvidenceError as missing:
                outcomes.append(not_testable(str(missing)))
        judged.append(Judged(claim, tuple(outcomes)))
    return judged

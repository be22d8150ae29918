"""The paper's claims: read from `resources/paper/claims.yaml`, and judged against a study.

docs/claims.md tells the format of the file and how verdicts are computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from liquidbench.errors import InputError
from liquidbench.reporting.claim_evidence import Evidence
from liquidbench.reporting.claim_facts import PrintedValues
from liquidbench.reporting.claim_intervals import MissingEvidenceError
from liquidbench.reporting.claim_rule_kinds import build_rule
from liquidbench.reporting.claim_rules import Setting
from liquidbench.reporting.claim_values import Series, Value, calculate, check, names_in
from liquidbench.reporting.claim_verdicts import (
    NOT_TESTABLE,
    REPRODUCED,
    RUNS,
    Context,
    Outcome,
    combined,
    not_testable,
    vetoed,
)
from liquidbench.reporting.printed import COLUMNS, PrintedTable, read_printed
from liquidbench.reporting.runs import read_table
from liquidbench.reporting.study import Study

_TOP = ("roles", "domains", "architectures", "claims")
_REQUIRED = ("id", "claim", "place", "topic", "rules")
_OPTIONAL = ("main", "extension", "dataset", "values", "shown")
_REMEDY = "See docs/claims.md"


@dataclass(frozen=True)
class Claim:
    """A checkable sentence of the paper, in our own words, with what it prints and the rules that test it.

    Attributes:
        id, claim, place, topic: as in the file.
        rules: in its order.
        values: printed values, for the rules to calculate with.
        shown: printed values that no rule uses.
        main: whether it stands in the short table.
        extension: whether no sentence of the paper says so: a question of this project's own beside them.
        where: the file and the claim, for messages.
    """

    id: str
    claim: str
    place: str
    topic: str
    rules: tuple[Any, ...]
    values: Mapping[str, Value | Series]
    shown: Mapping[str, Value | Series]
    main: bool = False
    extension: bool = False
    where: str = ""

    @property
    def printed(self) -> str:
        """The printed values, as a reader meets them."""
        parts = []
        for name, value in {**self.values, **self.shown}.items():
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
        pairs = zip(self.claim.rules, self.outcomes, strict=True)
        own = tuple(outcome for rule, outcome in pairs if not getattr(rule, "on_paper", False))
        return Judged(self.claim, own) if own else None

    @property
    def evidence(self) -> tuple[str, ...]:
        """What the verdict was decided by; empty if nothing could decide."""
        if self.verdict == NOT_TESTABLE:
            return ()
        own = [o.evidence for o in self.outcomes if o.verdict == self.verdict]
        return tuple(dict.fromkeys(own))

    @property
    def on_paper_alone(self) -> bool:
        """Whether the claim holds, and no run of ours was needed to say so."""
        return self.verdict == REPRODUCED and RUNS not in self.evidence


@dataclass(frozen=True)
class Claims:
    """All claims, and what their rules need: which models play which role, and the printed tables."""

    claims: tuple[Claim, ...]
    roles: Mapping[str, Mapping[str, list[str]]]
    tables: dict[str, PrintedTable]


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
    printed = PrintedValues(Path(paper), content["architectures"], content["domains"], str(path))
    if not isinstance(content["claims"], list):
        raise InputError(f"{path}, key claims", "expected a list", _REMEDY)
    claims: dict[str, Claim] = {}
    for position, item in enumerate(content["claims"], start=1):
        claim = _read_claim(item, f"{path}, claim {position}", str(path), roles, printed)
        if claim.id in claims:
            raise InputError(f"{path}, claim {claim.id}", "there are two", "Give each its own id")
        claims[claim.id] = claim
    remedy = "Restore it from the project's repository"
    released = read_table(Path(paper, "released.csv"), COLUMNS, ["value"], remedy)
    tables = {"5": read_printed(paper, 5), "released": PrintedTable(released)}
    return Claims(tuple(claims.values()), roles, tables)


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


def _read_claim(
    item: Any, place: str, path: str, roles: dict[str, Any], printed: PrintedValues
) -> Claim:
    if isinstance(item, dict) and isinstance(item.get("id"), str):
        place = f"{path}, claim {item['id']}"
    _check_keys(item, _REQUIRED, _OPTIONAL, place)
    for name in ("id", "claim", "place", "topic"):
        if not isinstance(item[name], str) or not item[name].strip():
            raise InputError(f"{place}, key {name}", f"{item[name]!r} is no text", "Write one")
    values = _read_values(item, "values", printed, place)
    shown = _read_values(item, "shown", printed, place)
    if not isinstance(item["rules"], list) or not item["rules"]:
        raise InputError(f"{place}, key rules", "expected a list of rules", _REMEDY)
    rules, used = [], set()
    for number, spec in enumerate(item["rules"], start=1):
        where = f"{place}, rule {number}"
        rule = build_rule(spec, item.get("dataset", ""), roles, where)
        used |= _check_expressions(rule, values, where)
        rules.append(rule)
    for name in values:
        if name not in used:
            remedy = "Use it, or move it to `shown`"
            raise InputError(f"{place}, key values.{name}", "no rule uses it", remedy)
    text = {name: " ".join(item[name].split()) for name in ("id", "claim", "place", "topic")}
    return Claim(
        **text,
        rules=tuple(rules),
        values=values,
        shown=shown,
        main=bool(item.get("main")),
        extension=bool(item.get("extension")),
        where=place,
    )


def _read_values(
    item: dict[str, Any], key: str, printed: PrintedValues, place: str
) -> dict[str, Value | Series]:
    content = item.get(key, {})
    if not isinstance(content, dict):
        raise InputError(f"{place}, key {key}", "expected names", _REMEDY)
    return {
        name: printed.find(reference, f"{place}, key {key}.{name}")
        for name, reference in content.items()
    }


def _check_expressions(rule: Any, values: Mapping[str, Value | Series], place: str) -> set[str]:
    """Read every expression once, so that a mistake stops here and not in the middle of a study.

    Returns:
        The names of the values that they use.
    """
    names = set()
    for text in getattr(rule, "comparisons", ()):
        check(text, values, f"{place}, key holds")
        names |= names_in(text, place)
    for text in getattr(rule, "expressions", ()):
        calculate(text, values, place)
        names |= names_in(text, place)
    doubted = getattr(rule, "doubted", None)
    if doubted is not None and doubted not in rule.rows:
        raise InputError(f"{place}, key doubted", f"{doubted!r} is no row", "Name one")
    return names


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
        judged.append(Judged(claim, _without_vetoed(claim.rules, outcomes)))
    return judged


def _without_vetoed(rules: tuple[Any, ...], outcomes: list[Outcome]) -> tuple[Outcome, ...]:
    """The outcomes; where our settings were others than the claim speaks of, no figure of ours has a verdict."""
    pairs = list(zip(rules, outcomes, strict=True))
    barred = any(
        isinstance(rule, Setting) and outcome.verdict and outcome.basis for rule, outcome in pairs
    )
    return tuple(
        vetoed(outcome) if barred and not isinstance(rule, Setting) else outcome
        for rule, outcome in pairs
    )

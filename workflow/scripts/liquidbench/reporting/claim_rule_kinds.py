"""The kinds of rules, and a rule built from its entry in `claims.yaml`.

A rule is a class whose fields are its keys in `claims.yaml`, with a `judge` that gives an `Outcome`. A new kind is one
class and one line in `RULES`. What each kind asks is told in docs/claims.md. A class may say, beside its fields:

- `models`: how many roles `of` takes, least and most;
- `expressions` and `comparisons`: what it calculates of printed values, so that mistakes stop when the file is read;
- `on_paper`: that it needs no run.
"""

from dataclasses import MISSING, fields
from typing import Any

from liquidbench.errors import InputError
from liquidbench.reporting.claim_paper_rules import (
    Consistency,
    Counts,
    PrintedShare,
    PublishedSettings,
    Untestable,
)
from liquidbench.reporting.claim_quantities import quantity
from liquidbench.reporting.claim_rules import (
    AtLeast,
    FalseAlarmsAtMatchedRecall,
    Greater,
    PrintedValue,
    RatioAtMost,
    Setting,
)

RULES: dict[str, type] = {
    "greater": Greater,
    "value": PrintedValue,
    "at_least": AtLeast,
    "ratio_at_most": RatioAtMost,
    "false_alarms_at_matched_recall": FalseAlarmsAtMatchedRecall,
    "consistency": Consistency,
    "counts": Counts,
    "printed_share": PrintedShare,
    "published_settings": PublishedSettings,
    "setting": Setting,
    "untestable": Untestable,
}
_TEXTS = (
    *("dataset", "printed", "recall", "level", "doubted", "missing", "share"),
    "false_positives",
)
_NUMBERS = ("precision", "margin", "limit")


def kind_of(rule: Any) -> str:
    """A rule's kind, as the claims file names it."""
    return next(name for name, kind in RULES.items() if type(rule) is kind)


def build_rule(spec: Any, dataset: str, roles: dict[str, Any], place: str) -> Any:
    """One rule of a claim, checked.

    Args:
        spec: its YAML: `kind` and the kind's keys.
        dataset: the claim's data set, for rules that name none.
        roles: data set to role to models, for rules that name roles.
        place: the file, the claim and the rule, for messages.

    Raises:
        InputError: an unknown kind, a key that is missing or unknown, a role, quantity or text that is none.
    """
    if not isinstance(spec, dict) or spec.get("kind") not in RULES:
        kind = spec.get("kind") if isinstance(spec, dict) else spec
        raise InputError(f"{place}, key kind", f"unknown {kind!r}", f"Use {', '.join(RULES)}")
    kind = RULES[spec["kind"]]
    known = {field.name: field for field in fields(kind)}
    given = {name: value for name, value in spec.items() if name != "kind"}
    if "dataset" in known:
        given.setdefault("dataset", dataset)
    for name in given:
        if name not in known:
            raise InputError(f"{place}, key {name}", "unknown key", f"Use {', '.join(known)}")
    for name, field in known.items():
        if name not in given and field.default is MISSING:
            raise InputError(f"{place}, key {name}", "missing", f"A rule {spec['kind']} needs it")
    _check_plain(given, place)
    if "dataset" in known and given["dataset"] not in roles:
        found = f"unknown data set {given['dataset']!r}"
        raise InputError(f"{place}, key dataset", found, f"Use {', '.join(roles)}")
    if "quantity" in given:
        given["quantity"] = quantity(given["quantity"], f"{place}, key quantity")
    for name in ("holds", "rows", "of"):
        if name in given:
            given[name] = _texts(given[name], f"{place}, key {name}")
    if "of" in given:
        _check_roles(given["of"], kind.models, roles[given["dataset"]], f"{place}, key of")
    if kind is PrintedValue:
        _check_precision(given, f"{place}, key precision")
    return kind(**given)


def _check_plain(given: dict[str, Any], place: str) -> None:
    """Texts that are texts, and numbers that are numbers."""
    for name in _TEXTS:
        if name in given and (not isinstance(given[name], str) or not given[name].strip()):
            raise InputError(f"{place}, key {name}", f"{given[name]!r} is no text", "Write one")
    for name in _NUMBERS:
        value = given.get(name, 1)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            found = f"{value!r} is no number above 0"
            raise InputError(f"{place}, key {name}", found, "Write one")


def _check_roles(
    named: tuple[str, ...], bounds: tuple[int, int], roles: dict[str, Any], place: str
) -> None:
    least, most = bounds
    if not least <= len(named) <= most:
        found = f"{len(named)} roles, expected {least} to {most}"
        raise InputError(place, found, "Name the models that are compared")
    for role in named:
        if role not in roles:
            use = f"Use {', '.join(roles)}, or add it to `roles`"
            raise InputError(place, f"unknown role {role!r}", use)


def _check_precision(given: dict[str, Any], place: str) -> None:
    """A difference has its own precision, a share the usual one; what is counted or timed must say."""
    if len(given["of"]) > 1 and "precision" in given:
        raise InputError(place, "of a difference it is half the printed one", "Leave it out")
    if len(given["of"]) == 1 and "precision" not in given and not given["quantity"].is_share:
        remedy = "Say how wide half the range of one further run may be, in the figure's unit"
        raise InputError(place, f"missing for {given['quantity'].name}", remedy)


def _texts(value: Any, place: str) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise InputError(place, f"found {value!r}", "Write a text or a list of texts")
    return tuple(items)

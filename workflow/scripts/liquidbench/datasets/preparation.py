"""What the preparations of all data sets share: checked settings and the cache's attributes."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar

from liquidbench.datasets.cache import CacheAttributes
from liquidbench.datasets.manifest import Manifest
from liquidbench.errors import InputError
from liquidbench.files import sha256_of_code
from liquidbench.stages import parts_of

S = TypeVar("S")


def read_settings(kind: type[S], values: Mapping[str, Any]) -> S:
    """Make the settings dataclass `kind` from configured values; it checks the values itself.

    Raises:
        InputError: a key is unknown or missing, or a value is refused.
    """
    known = {entry.name: entry for entry in fields(kind)}
    for key in values:
        if key not in known:
            problem = f"unknown key {key!r}, known are: {', '.join(known)}"
            raise InputError("preparation settings", problem, "Correct or remove it")
    for name, entry in known.items():
        if name not in values and entry.default is MISSING:
            raise InputError("preparation settings", f"the key {name!r} is missing", "Add it")
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def check_count(key: str, value: Any, *, optional: bool = False) -> None:
    """Raise `InputError` unless `value` is an integer of at least 1 (or None, if optional)."""
    if optional and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        expected = "an integer of at least 1" + (", or null" if optional else "")
        raise InputError(key, f"is {value!r}, expected {expected}", "Change the configuration")


def check_choice(key: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise `InputError` unless `value` is one of `choices`, of the same type."""
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        expected = " or ".join(repr(choice) for choice in choices)
        raise InputError(key, f"is {value!r}, expected {expected}", "Change the configuration")


def check_names(key: str, value: Any, *, at_least: int) -> None:
    """Raise `InputError` unless `value` is a tuple of different names, `at_least` so many."""
    if (
        not isinstance(value, tuple)
        or not all(isinstance(name, str) and name for name in value)
        or len(set(value)) != len(value)
        or len(value) < at_least
    ):
        expected = f"a list of at least {at_least} different name(s)"
        raise InputError(key, f"is {value!r}, expected {expected}", "Change the configuration")


def cache_attributes(
    manifest: Manifest,
    settings: Any,
    *,
    task: str,
    elapsed_unit: str,
    feature_names: tuple[str, ...],
    classes: tuple[str, ...],
    roles: tuple[str, ...],
) -> CacheAttributes:
    """The root attributes of the cache made from `roles` of `manifest` with `settings`."""
    return CacheAttributes(
        dataset=manifest.dataset,
        source=manifest.source,
        synthetic=manifest.synthetic,
        task=task,
        elapsed_unit=elapsed_unit,
        feature_names=feature_names,
        classes=classes,
        settings=asdict(settings),
        raw_sha256={role: manifest.file(role).sha256 for role in roles},
        code_sha256=sha256_of_code(*parts_of("prepare", manifest.dataset)),
    )

"""Options of the generators: what each may be, and one clear message where it is not."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from liquidbench.errors import InputError


class Option(Protocol):
    """A default value and a check; `check` returns the value or says what was expected."""

    default: Any

    def check(self, value: Any) -> Any:
        """Return `value` in its final type, or raise ValueError with what was expected."""


def _is_whole(value: Any) -> bool:
    # bool is a subclass of int, yet `true` is no size.
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Whole:
    """A whole number from `minimum` to `maximum`, both included."""

    default: int
    minimum: int
    maximum: int

    def check(self, value: Any) -> int:
        """The number itself."""
        if not _is_whole(value) or not self.minimum <= value <= self.maximum:
            raise ValueError(f"a whole number from {self.minimum} to {self.maximum}")
        return value


@dataclass(frozen=True)
class Fraction:
    """A number from `minimum` to `maximum`, both included."""

    default: float
    minimum: float
    maximum: float

    def check(self, value: Any) -> float:
        """The number as a float."""
        number = isinstance(value, float) or _is_whole(value)
        if not number or not self.minimum <= value <= self.maximum:
            raise ValueError(f"a number from {self.minimum} to {self.maximum}")
        return float(value)


@dataclass(frozen=True)
class Interval:
    """Two whole numbers [low, high] with minimum <= low <= high <= maximum."""

    default: tuple[int, int]
    minimum: int
    maximum: int

    def check(self, value: Any) -> tuple[int, int]:
        """The pair as a tuple."""
        pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_whole, value))
        if not pair or not self.minimum <= value[0] <= value[1] <= self.maximum:
            raise ValueError(
                f"two whole numbers [low, high] with {self.minimum} <= low <= high"
                f" <= {self.maximum}"
            )
        return value[0], value[1]


@dataclass(frozen=True)
class Flag:
    """True or false."""

    default: bool

    def check(self, value: Any) -> bool:
        """The flag itself."""
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value


@dataclass(frozen=True)
class Names:
    """A list of at least `least` different names out of the default."""

    default: tuple[str, ...]
    least: int

    def check(self, value: Any) -> tuple[str, ...]:
        """The names as a tuple."""
        names = tuple(value) if isinstance(value, list | tuple) else ()
        known = all(name in self.default for name in names)
        if len(names) < self.least or not known or len(set(names)) != len(names):
            raise ValueError(
                f"a list of at least {self.least} different names out of {', '.join(self.default)}"
            )
        return names


SEED = Whole(0, 0, 2**32 - 1)


def checked_options(
    dataset: str, allowed: Mapping[str, Option], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Fill in the defaults and check every option.

    Args:
        dataset: the data set's name, for messages.
        allowed: the options that the generator knows.
        given: the options as configured; those that are absent get their default.

    Returns:
        every allowed option with its value.

    Raises:
        InputError: an option is unknown or its value is not allowed.
    """
    for name in given:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            meant = f"Did you mean '{near[0]}'? " if near else ""
            raise InputError(
                f"{dataset}, synthetic option '{name}'",
                "there is no such option",
                f"{meant}The options are {', '.join(allowed)}",
            )
    values = {}
    for name, option in allowed.items():
        value = given.get(name, option.default)
        try:
            values[name] = option.check(value)
        except ValueError as expected:
            raise InputError(
                f"{dataset}, synthetic option '{name}'",
                f"found {value!r}, expected {expected}",
                "Change it in the configuration",
            ) from None
    return values

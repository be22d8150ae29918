"""Arithmetic on printed values: what a claim of the paper says against the paper's own numbers.

A printed number is every number that rounds to it: 0.35 stands for 0.345 to 0.355. A check fails only if no numbers
that round to the printed ones pass it, so rounding alone never makes a claim inconsistent. Whole numbers without a
sign of rounding (`%`, `~`) are counts, and exact.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from liquidbench.errors import InputError

_NUMBER = re.compile(r"(~?)-?\d+(?:\.(\d+))?(e-?\d+)?(M?)(%?)")


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, and the one that is shown for them."""

    low: float
    high: float
    shown: float

    @staticmethod
    def exact(value: float) -> "Range":
        """One number alone."""
        return Range(value, value, value)


@dataclass(frozen=True)
class Value:
    """A value of the paper, or of its published code and logs: as printed, as a range, and where it stands.

    Attributes:
        range: None for a text.
        rate: the share of lost steps that a column "30%" names, else None.
        domain: for a text that can be compared, the name of the closed list of words that it is one of.
        read: whether a person read it in text or code, and it is not simply printed.
    """

    text: str
    range: Range | None
    source: str
    rate: float | None = None
    domain: str = ""
    read: bool = False


Series = tuple[Value, ...]


def printed_range(text: str, value: float) -> Range:
    """The numbers that are printed as `text`; `value` is the number in our units.

    Raises:
        ValueError: the text is no number.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no printed number")
    about, digits, exponent, millions, percent = match.groups()
    if exponent or not (about or digits or percent):
        return Range.exact(value)
    half = 0.5 * 10.0 ** -len(digits or "") * (1e6 if millions else 1)
    return Range(value - half, value + half, value)


def _corners(function: Callable[[float, float], float], a: Range, b: Range) -> Range:
    ends = [function(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range(min(ends), max(ends), function(a.shown, b.shown))


def _divide(a: Range, b: Range) -> Range:
    if b.low <= 0 <= b.high:
        raise ZeroDivisionError
    return _corners(operator.truediv, a, b)


def _absolute(a: Range) -> Range:
    ends = (abs(a.low), abs(a.high))
    return Range(0.0 if a.low <= 0 <= a.high else min(ends), max(ends), abs(a.shown))


def _each(function: Callable[..., float], *ranges: Range) -> Range:
    return Range(*(function(getattr(r, end) for r in ranges) for end in ("low", "high", "shown")))


def _area(series: Series) -> Range:
    """The mean of a curve over its rates, by the trapezium rule."""
    rates = [value.rate for value in series]
    weights = [0.0] * len(series)
    for left, right in zip(range(len(series) - 1), range(1, len(series)), strict=True):
        for end in (left, right):
            weights[end] += (rates[right] - rates[left]) / 2 / (rates[-1] - rates[0])

    def mean(end: str) -> float:
        return sum(w * getattr(value.range, end) for w, value in zip(weights, series, strict=True))

    return Range(mean("low"), mean("high"), mean("shown"))


def _loss(series: Series) -> Range:
    """What a curve loses on average: its value at rate 0 less the mean."""
    if series[0].rate != 0:
        raise ValueError("the series does not begin at rate 0")
    first, mean = series[0].range, _area(series)
    return Range(first.low - mean.high, first.high - mean.low, first.shown - mean.shown)


_OPERATORS: dict[type, Callable[[Range, Range], Range]] = {
    ast.Add: lambda a, b: Range(a.low + b.low, a.high + b.high, a.shown + b.shown),
    ast.Sub: lambda a, b: Range(a.low - b.high, a.high - b.low, a.shown - b.shown),
    ast.Mult: lambda a, b: _corners(operator.mul, a, b),
    ast.Div: _divide,
}
_FUNCTIONS: dict[str, Callable[..., Range]] = {
    "abs": _absolute,
    "min": lambda *ranges: _each(min, *ranges),
    "max": lambda *ranges: _each(max, *ranges),
    "area": _area,
    "loss": _loss,
}
_OF_SERIES = ("area", "loss")
# Whether some number of each range passes. Ranges that only touch pass `<=` and `==`.
_POSSIBLE: dict[type, Callable[[Range, Range], bool]] = {
    ast.Lt: lambda a, b: a.low < b.high,
    ast.LtE: lambda a, b: a.low <= b.high,
    ast.Gt: lambda a, b: a.high > b.low,
    ast.GtE: lambda a, b: a.high >= b.low,
    ast.Eq: lambda a, b: a.low <= b.high and b.low <= a.high,
    # The same printed number twice is the same number.
    ast.NotEq: lambda a, b: (a.low, a.high) != (b.low, b.high),
}

Values = Mapping[str, Value | Series]


@dataclass(frozen=True)
class Check:
    """The outcome of one check: whether it can hold, its arithmetic, and whether a value was read and not printed."""

    holds: bool
    shown: str
    read: bool = False


def _parsed(text: str, place: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise InputError(place, f"{text!r} cannot be read ({error.msg})", _LANGUAGE) from None


_LANGUAGE = (
    "Write names of the claim's `values`, numbers, + - * /, abs(), min(), max(), area() and loss() of a series, and "
    "for a check one of < <= > >= == != between two such, or == or != between two words of one domain"
)


def calculate(text: str, values: Values, place: str) -> Range:
    """The value of an expression such as ``lnn - lstm``.

    Args:
        text: the expression.
        values: what its names stand for.
        place: the claim and key, for messages.

    Raises:
        InputError: it cannot be read, uses an unknown name, or divides by what may be zero.
    """
    result = _walk(_parsed(text, place), values, place, text)
    if not isinstance(result, Range):
        raise InputError(place, f"{text!r} is not a number", _LANGUAGE)
    return result


def check(text: str, values: Values, place: str) -> Check:
    """Whether a comparison such as ``lnn < lstm`` can hold for numbers that round to the printed ones.

    Raises:
        InputError: as `calculate`; it is no comparison of two sides; or it compares a word with a number, or with a
            word of another domain, which could never be equal.
    """
    tree = _parsed(text, place)
    if not isinstance(tree, ast.Compare) or len(tree.ops) != 1:
        raise InputError(place, f"{text!r} is no comparison of two sides", _LANGUAGE)
    left, right = (_walk(side, values, place, text) for side in (tree.left, tree.comparators[0]))
    kind = type(tree.ops[0])
    if isinstance(left, tuple) or isinstance(right, tuple) or kind not in _POSSIBLE:
        raise InputError(place, f"{text!r} compares what cannot be compared", _LANGUAGE)
    if isinstance(left, Range) and isinstance(right, Range):
        holds = _POSSIBLE[kind](left, right)
    else:
        _check_words(left, right, kind, f"{place}, {text!r}")
        holds = (left.text == right.text) is (kind is ast.Eq)
    shown = " against ".join(
        readable(side.shown) if isinstance(side, Range) else f"“{side.text}”"
        for side in (left, right)
    )
    values_read = any(
        isinstance(values[name], Value) and values[name].read for name in names_in(text, place)
    )
    return Check(holds, f"`{text}` {'holds' if holds else 'does not hold'}: {shown}", values_read)


def _check_words(left: Range | Value, right: Range | Value, kind: type, place: str) -> None:
    """That both sides are words of one domain: else the outcome would lie in how they are written."""
    sides = (left, right)
    if not all(isinstance(side, Value) for side in sides):
        word = next(side for side in sides if isinstance(side, Value))
        raise InputError(place, f"compares the word {word.text!r} with a number", _LANGUAGE)
    if kind not in (ast.Eq, ast.NotEq):
        raise InputError(place, "orders words", "Compare words by == or !=")
    if not left.domain or left.domain != right.domain:
        found = " and ".join(f"{side.text!r} of domain {side.domain or 'none'!r}" for side in sides)
        raise InputError(place, f"compares {found}", "Compare words of one domain")


def names_in(text: str, place: str) -> set[str]:
    """The names of values that an expression or comparison uses.

    Raises:
        InputError: it cannot be read.
    """
    nodes = [node for node in ast.walk(_parsed(text, place)) if isinstance(node, ast.Name)]
    return {node.id for node in nodes} - set(_FUNCTIONS)


def readable(number: float) -> str:
    """At most four significant digits after leading zeros; whole thousands with separators."""
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.4g}"


def _walk(node: ast.expr, values: Values, place: str, text: str) -> Range | Value | Series:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return Range.exact(float(number))
        case ast.Name(id=name):
            if name not in values:
                raise InputError(place, f"unknown name {name!r} in {text!r}", _LANGUAGE)
            value = values[name]
            if isinstance(value, tuple):
                return value
            return value if value.range is None else value.range
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _number(_walk(operand, values, place, text), place, text)
            return Range(-inner.high, -inner.low, -inner.shown)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            a, b = (
                _number(_walk(side, values, place, text), place, text) for side in (left, right)
            )
            try:
                return _OPERATORS[type(op)](a, b)
            except ZeroDivisionError:
                raise InputError(place, f"{text!r} divides by what may be 0", _LANGUAGE) from None
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            results = [_walk(argument, values, place, text) for argument in arguments]
            series = name in _OF_SERIES
            if series != all(isinstance(result, tuple) for result in results) or (
                len(results) != 1 if name in ("abs", *_OF_SERIES) else not results
            ):
                raise InputError(place, f"{text!r} gives {name}() what it cannot take", _LANGUAGE)
            if not series:
                results = [_number(result, place, text) for result in results]
            try:
                return _FUNCTIONS[name](*results)
            except ValueError as error:
                raise InputError(place, f"{text!r}: {error}", _LANGUAGE) from None
    raise InputError(place, f"{ast.unparse(node)!r} in {text!r} is not allowed", _LANGUAGE)


def _number(result: Range | Value | Series, place: str, text: str) -> Range:
    if not isinstance(result, Range):
        raise InputError(place, f"{text!r} calculates with what is not a number", _LANGUAGE)
    return result

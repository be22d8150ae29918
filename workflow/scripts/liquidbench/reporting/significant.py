"""Numbers without the last digits of a float, in which processors differ: the same runs give the same files anywhere.

Numpy and OpenBLAS choose how to add up by the instructions that a processor has, and sums in another order differ in
their last bits. Rounded as they are written, the summaries, the tables and what is drawn from them do not, but for a
number that lies within those bits of a rounding edge, which is one in millions.
"""

DIGITS = 8
"""Significant digits that are written: far fewer than a float's 16, of which a difference or a p-value loses some."""


def significant(value: float) -> float:
    """A float with `DIGITS` significant digits; whole numbers (bytes, counts), NaN and infinities as they are."""
    whole = isinstance(value, int) or value.is_integer()
    return value if whole else float(f"{value:.{DIGITS}g}")

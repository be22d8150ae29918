"""SVG files that are the same on every processor.

Matplotlib lays a figure out with floats whose last bits differ between processors. It writes coordinates with six
decimals, so one that lies on a rounding edge, as layouts have them, differs; and it names clip paths and markers by a
hash of all digits.
"""

import re

DECIMALS = 3
"""Of a coordinate in points: a pixel of a screen is a thousand times as wide."""

# Where coordinates stand. Not `scale(...)`, whose small factors need their digits, and never text.
_COORDINATES = re.compile(r'(?<= )(?:d|x|y|x1|x2|y1|y2|width|height|points)="[^"]*"')
_PLACES = re.compile(r"\b(?:translate|rotate)\([^)]*\)")
_LONG = re.compile(rf"-?\d+\.\d{{{DECIMALS + 1},}}")
_NAME = r"([A-Za-z0-9_]*?)[0-9a-f]{10}"
_HASHED = re.compile(rf'(?<= id="){_NAME}(?=")')
_USED = re.compile(rf'(?<=["#]){_NAME}(?=[")])')


def rounded_svg(text: str) -> str:
    """The text of a figure's SVG file with rounded coordinates and numbered names in place of hashed ones."""
    for place in (_COORDINATES, _PLACES):
        text = place.sub(lambda found: _LONG.sub(_shorter, found[0]), text)
    names: dict[str, str] = {}
    for found in _HASHED.finditer(text):
        names.setdefault(found[0], f"{found[1]}-{len(names) + 1}")
    return _USED.sub(lambda found: names.get(found[0], found[0]), text)


def _shorter(number: re.Match) -> str:
    shown = f"{float(number[0]):.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if shown in ("-0", "") else shown

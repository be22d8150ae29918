"""The figures of the figures stage, as the page holds them: each a picture in the page's own text."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from liquidbench.errors import InputError
from liquidbench.files import read_json
from liquidbench.reporting.figure_names import LISTING

# Of the characters of a drawing those that need no escape, in an attribute in double quotes and in a data address.
SAFE = " !'()*+,-./:;<=>?@[]^_`{|}~"
REMEDY = "Draw the figures again: the target figures with --forcerun figures"
# Title, what to see, and names of figures, or how they begin (with a "_" at the end), in the page's order.
GROUPS = (
    (
        "Losses and gaps",
        "the more that is lost, the further right. Compare how far a line falls and where it ends: one that starts "
        "higher may fall faster. Whether two models differ is in the table of differences in the stress test: whether "
        "bands overlap does not tell.",
        ("stress_",),
    ),
    (
        "Alarms for sepsis",
        "at one recall, the line further up has fewer false alarms for the patients that it finds. Hollow marks are "
        "the paper's operating points.",
        ("alarms_",),
    ),
    (
        "Cost against quality",
        "which model is as good for less, in parameters, operations, time, memory and energy.",
        ("costs_",),
    ),
    (
        "Learning curves",
        "whether the test curve has levelled off, how far apart the seeds are, and whether the training curve runs "
        "away from the test curve: then the model learns the training examples by heart.",
        ("training_curves_",),
    ),
    (
        "Confusions and line lengths",
        "a dark diagonal is right; a dark cell beside it is a class taken for another. Of lines, whether errors grow "
        "with the length.",
        ("confusion_", "line_length_"),
    ),
    (
        "Data",
        "what the models are given.",
        ("figure_1", "figure_2", "figure_3", "figure_4"),
    ),
    (
        "Models",
        "what differs between two models of a data set: the core in the middle, and its size.",
        ("figure_5", "figure_6", "figure_7", "figure_8"),
    ),
)


@dataclass(frozen=True)
class PageFigure:
    """A figure: `source` is a data address, `name` that of its files."""

    name: str
    title: str
    caption: str
    source: Markup


@dataclass(frozen=True)
class Figures:
    """The figures in order, and (name, reason) of those that could not be drawn.

    `png`: whether each has a PNG file, too.
    """

    drawn: tuple[PageFigure, ...]
    left_out: tuple[tuple[str, str], ...]
    png: bool

    def grouped(self) -> list[tuple[str, str, list[PageFigure]]]:
        """Title, what to see, and figures of each group that has any; every figure is in one."""
        found = []
        rest = list(self.drawn)
        for title, to_see, names in (*GROUPS, ("Others", "", ("",))):
            here = [figure for name in names for figure in rest if _is_named(figure, name)]
            rest = [figure for figure in rest if figure not in here]
            if here:
                found.append((title, to_see, here))
        return found


def _is_named(figure: PageFigure, name: str) -> bool:
    # An empty name is the beginning of all.
    begins = not name or name.endswith("_")
    return figure.name.startswith(name) if begins else figure.name == name


def read_figures(folder: Path) -> Figures:
    """Read what the figures stage wrote.

    Raises:
        InputError: the listing or a figure is missing or broken.
    """
    listing = read_json(folder / LISTING)
    try:
        entries = [_texts(one, "name", "title", "caption") for one in listing["figures"]]
        left_out = tuple(_texts(one, "name", "reason") for one in listing["left_out"])
        png = listing["png"]
        if not isinstance(png, bool):
            raise TypeError(f"png {png!r}")
    except (KeyError, TypeError) as error:
        raise InputError(folder / LISTING, f"no list of figures ({error!r})", REMEDY) from None
    drawn = [
        PageFigure(name, title, caption, _picture(folder / f"{name}.svg"))
        for name, title, caption in entries
    ]
    return Figures(tuple(drawn), left_out, png)


def _texts(entry: dict[str, str], *names: str) -> tuple[str, ...]:
    found = tuple(entry[name] for name in names)
    if not all(isinstance(text, str) for text in found):
        raise TypeError(f"{entry!r}")
    return found


def _picture(path: Path) -> Markup:
    """A drawing as a data address, ready to stand in an attribute in double quotes."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", REMEDY) from None
    # The end of a drawing: one that was cut off shows as a broken picture, or as half of one.
    if not content.rstrip().endswith(b"</svg>"):
        raise InputError(path, "no whole SVG drawing", REMEDY)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(path, f"no UTF-8 text ({error})", REMEDY) from None
    # No blanks between elements: a drawing's texts are paths. Quoted, a drawing is a quarter shorter than in base64.
    text = re.sub(r">\s+<", "><", text.strip()).replace("\n", " ")
    return Markup(f"data:image/svg+xml,{quote(text, safe=SAFE)}")

"""The figures of the figures stage, as the page holds them: each a picture in the page's own text."""

import base64
from dataclasses import dataclass
from pathlib import Path

from liquidbench.errors import InputError
from liquidbench.files import read_json
from liquidbench.reporting.gallery import LISTING


@dataclass(frozen=True)
class PageFigure:
    """A figure: `source` is a data address, `name` that of its files."""

    name: str
    title: str
    caption: str
    source: str


@dataclass(frozen=True)
class Figures:
    """The figures in order, and (name, reason) of those that could not be drawn."""

    drawn: tuple[PageFigure, ...]
    left_out: tuple[tuple[str, str], ...]

    def named(self, *starts: str) -> list[PageFigure]:
        """The figures whose names begin with one of `starts`, in that order."""
        return [
            figure for start in starts for figure in self.drawn if figure.name.startswith(start)
        ]


def read_figures(folder: Path) -> Figures:
    """Read what the figures stage wrote.

    Raises:
        InputError: the listing or a figure is missing or broken.
    """
    remedy = "Draw the figures again"
    listing = read_json(folder / LISTING)
    try:
        entries = [(one["name"], one["title"], one["caption"]) for one in listing["figures"]]
        left_out = tuple((one["name"], one["reason"]) for one in listing["left_out"])
    except (KeyError, TypeError) as error:
        raise InputError(folder / LISTING, f"no list of figures ({error!r})", remedy) from None
    drawn = []
    for name, title, caption in entries:
        path = folder / f"{name}.svg"
        if not path.is_file():
            raise InputError(path, "no such file", remedy)
        content = base64.b64encode(path.read_bytes()).decode("ascii")
        drawn.append(PageFigure(name, title, caption, f"data:image/svg+xml;base64,{content}"))
    return Figures(tuple(drawn), left_out)

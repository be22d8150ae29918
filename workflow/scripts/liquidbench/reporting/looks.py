"""A model's colour, marker and dashes: one look in all figures of a study."""

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.lines import Line2D

from liquidbench.reporting.study import Study
from liquidbench.reporting.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
)

Dashes = tuple[int, tuple[float, ...]]
SOLID, DASHED = (0, ()), (0, (5, 1.6))
DASH_DOTTED, LONG = (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2))


@dataclass(frozen=True)
class Look:
    """Colour, marker, and dashes for figures whose line styles mean nothing else."""

    colour: str
    marker: str
    dashes: Dashes


# The paper's own models, whatever else is configured.
PAPERS = {
    "lstm": Look(VERMILION, "o", SOLID),
    "cfc": Look(BLUE, "s", DASHED),
    "lstm-128": Look(VERMILION, "D", SOLID),
    "cfc-128": Look(BLUE, "v", DASHED),
    "cfc-256": Look(SKY, "^", DASH_DOTTED),
    "lstm-256": Look(VERMILION, "p", LONG),
}
# Colours and markers run round together; as many of one as of the other would repeat at once.
_COLOURS = (GREEN, PURPLE, BLACK, ORANGE, GREY)
_MARKERS = ("X", "P", "*", "h", "<", ">", "d", "H")
_DASHES = (LONG, DASHED, DASH_DOTTED, SOLID)

# A further protocol of a model is told by the filling of its marker. Hollow markers are the paper's printed values.
FILLS = ("full", "left", "right", "top", "bottom")


def model_looks(models: Iterable[str]) -> dict[str, Look]:
    """A look for each model: the paper's models have their own, others the next free one in their order.

    Where none of the paper's models of a family (LSTM, CfC) is there, the family's first model has that look.
    """
    models = list(dict.fromkeys(models))
    looks = {model: PAPERS[model] for model in models if model in PAPERS}
    for family in ("lstm", "cfc"):
        own = [model for model in models if model.split("-")[0] == family]
        if own and not any(model in PAPERS for model in own):
            looks[own[0]] = PAPERS[family]
    others = [model for model in models if model not in looks]
    rounds = len(_COLOURS) * len(_MARKERS)
    for place, model in enumerate(others):
        dashes = _DASHES[(place + place // rounds) % len(_DASHES)]
        looks[model] = Look(
            _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)], dashes
        )
    return looks


def study_looks(study: Study) -> dict[str, Look]:
    """The look of every configured model of a study, finished or not: the same in all of its figures."""
    return model_looks(group.model for group in study.groups())


def protocol_fills(protocols: Iterable[str]) -> dict[str, str]:
    """matplotlib's `fillstyle` for the markers of each protocol of a panel."""
    unique = dict.fromkeys(protocols)
    return {protocol: FILLS[place % len(FILLS)] for place, protocol in enumerate(unique)}


def line_options(look: Look, fill: str = "full") -> dict:
    """matplotlib's options of a model's line, in a figure whose dashes are the model's own."""
    return {
        "color": look.colour,
        "marker": look.marker,
        "ls": look.dashes,
        "fillstyle": fill,
        "markerfacecoloralt": "white",
    }


def printed_options(look: Look, colour: str = "") -> dict:
    """matplotlib's options of the points that the paper printed for a model: hollow, and never joined."""
    colour = colour or look.colour
    return {
        "color": colour,
        "marker": look.marker,
        "ls": "none",
        "ms": 10,
        "mfc": "none",
        "mew": 1.4,
        "zorder": 3,
    }


def model_handles(models: Iterable[str], looks: dict[str, Look], *, dashed: bool) -> list[Line2D]:
    """What a legend shows for each model, once; `dashed`: with the model's own dashes."""
    handles = []
    for model in dict.fromkeys(models):
        options = line_options(looks[model]) | ({} if dashed else {"ls": "-"})
        handles.append(Line2D([], [], **options, ms=5, label=model))
    return handles


def protocol_handles(fills: dict[str, str]) -> list[Line2D]:
    """What a legend shows for the protocols of a panel; nothing for a single one."""
    if len(fills) < 2:
        return []
    grey = {"color": GREY, "marker": "o", "ls": "none", "ms": 6, "markerfacecoloralt": "white"}
    return [
        Line2D([], [], **grey, fillstyle=fill, label=f"protocol “{protocol}”")
        for protocol, fill in fills.items()
    ]

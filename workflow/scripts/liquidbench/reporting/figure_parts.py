"""More models than a figure of lines can show: several figures, each with the paper's pair to compare with."""

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from liquidbench.reporting.gallery import Gallery
from liquidbench.reporting.looks import PAPERS
from liquidbench.reporting.study import Group

MOST_LINES = 6
"""Models of a figure, at most: of more, the bands of their intervals hide one another."""
REFERENCES = 2


def in_parts(groups: Sequence[Group], most: int = MOST_LINES) -> list[list[Group]]:
    """Groups in order, at most `most` to a part. If there are several, each is of one protocol.

    The first two of the paper's models that a protocol has are in all of its parts, and come first.

    Args:
        groups: what is to be drawn.
        most: at least three.
    """
    if len(groups) <= most:
        return [list(groups)]
    parts = []
    for protocol in dict.fromkeys(group.protocol for group in groups):
        own = [group for group in groups if group.protocol == protocol]
        references = references_of(own)
        others = [group for group in own if group not in references]
        room = most - len(references)
        starts = range(0, max(len(others), 1), room)
        parts += [references + others[start : start + room] for start in starts]
    return parts


def references_of(groups: Sequence[Group]) -> list[Group]:
    """The paper's models that all parts of a protocol show."""
    return [group for group in groups if group.model in PAPERS][:REFERENCES]


def add_in_parts(
    gallery: Gallery,
    name: str,
    groups: Sequence[Group],
    draw: Callable[[list[Group]], tuple[Figure, str, str]],
) -> None:
    """Add the figures that `draw` makes of each part: `name`, then `name_2` and so on.

    Args:
        gallery: where the figures go.
        name: of the first.
        groups: what is to be drawn.
        draw: gives the figure, its title and its caption.
    """
    parts = in_parts(groups)
    for number, part in enumerate(parts, start=1):
        figure, title, caption = draw(part)
        if len(parts) == 1:
            gallery.add(name, figure, title, caption)
            continue
        caption += " The other models are in figures of their own."
        if common := " and ".join(group.model for group in references_of(part)):
            caption += f" In all of this protocol: {common}."
        own = name if number == 1 else f"{name}_{number}"
        gallery.add(own, figure, f"{title} ({number} of {len(parts)})", caption)

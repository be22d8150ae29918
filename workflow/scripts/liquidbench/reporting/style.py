"""How every figure looks: colours, fonts, the synthetic banner. (A model's own look: `looks.py`.)"""

from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# Okabe and Ito's palette (Color Universal Design, 2008), told apart with any colour vision.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"
GREY, LIGHT_GREY = "#666666", "#DDDDDD"

BLUES = LinearSegmentedColormap.from_list("blues", ["#FFFFFF", SKY, BLUE, "#002B44"])
REDS = LinearSegmentedColormap.from_list("reds", ["#FFFFFF", ORANGE, VERMILION, "#4A1F00"])
GREYS = LinearSegmentedColormap.from_list("greys", ["#FFFFFF", "#888888", "#000000"])
DIVERGING = LinearSegmentedColormap.from_list("diverging", [VERMILION, "#FFFFFF", BLUE])

TITLE_HEIGHT, BANNER_HEIGHT = 0.45, 0.35  # inches

SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": False,
    "figure.facecolor": "white",
    "lines.linewidth": 1.6,
    "image.interpolation": "nearest",
    # Fixed names inside the file: the same figure is the same bytes.
    "svg.hashsalt": "liquidbench",
}


def apply_style() -> None:
    """Set matplotlib's defaults for all figures of the project."""
    matplotlib.rcdefaults()
    matplotlib.use("Agg")
    matplotlib.rcParams.update(SETTINGS)


def new_figure(
    width: float, height: float, title: str, synthetic: bool, *, square: bool = False
) -> Figure:
    """An empty figure with its title and, on synthetic data, a banner above it.

    Args:
        width: of the figure, inches.
        height: of what lies below the heading, inches.
        title: one line.
        synthetic: whether the figure shows anything made from synthetic data.
        square: whether panels keep their own shape, as images do: then they are moved together.
    """
    heading = TITLE_HEIGHT + BANNER_HEIGHT * synthetic
    total = height + heading
    figure = plt.figure(figsize=(width, total), layout="compressed" if square else "constrained")
    # The layout engine keeps clear of neither texts nor a suptitle under a banner: give the heading
    # room of its own.
    figure.get_layout_engine().set(
        rect=(0, 0, 1, 1 - heading / total), w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03
    )
    middle = 1 - (heading - TITLE_HEIGHT / 2) / total
    figure.text(0.5, middle, title, size=12, weight="bold", ha="center", va="center")
    if synthetic:
        _add_banner(figure, BANNER_HEIGHT / total)
    return figure


def legend_below(figure: Figure, handles: Sequence[Artist], most: int, **options) -> None:
    """One legend for all panels, below them: in as many columns as fit into the figure, at most `most`.

    Args:
        figure: with its final width.
        handles: what the legend shows, each with a label.
        most: columns.
        options: of matplotlib's legend.
    """
    renderer = figure.canvas.get_renderer()
    for columns in range(min(most, len(handles)), 0, -1):
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, **options
        )
        if columns == 1 or legend.get_window_extent(renderer).width <= figure.bbox.width:
            return
        legend.remove()


def _add_banner(figure: Figure, height: float) -> None:
    """Head the figure with a bar that no reader overlooks; `height` is a share of the figure."""
    bar = plt.Rectangle((0, 1 - height), 1, height, transform=figure.transFigure, lw=0)
    bar.set(facecolor=VERMILION, in_layout=False)
    figure.add_artist(bar)
    text = "SYNTHETIC DATA: generated, not the real data set"
    heavy = {"color": "white", "weight": "bold", "size": 10}
    figure.text(0.5, 1 - height / 2, text, ha="center", va="center", **heavy)

"""What curves of means over seeds say of the seeds: each of two, or from three on the interval of the mean."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from liquidbench.evaluation.statistics import mean_interval
from liquidbench.reporting.differences import percent
from liquidbench.reporting.ranges import Range

# Student's interval of two seeds is 12.7 standard errors wide on either side, and would leave nothing else to see.
FEWEST_SEEDS = 3
# Light enough that half a dozen bands over each other leave the lines readable; the edges tell whose band it is.
BAND_ALPHA, EDGE_ALPHA = 0.10, 0.45


def seed_count(by_seed: pd.DataFrame) -> int:
    """How many columns of a table of curves have any value."""
    return int(by_seed.notna().any().sum())


def seed_lines(axes: Axes, by_seed: pd.DataFrame, colour: str, line: object = "-") -> None:
    """Draw every seed's own curve, thin, where there are two or more but too few for a band.

    Args:
        by_seed: a row per point of the horizontal axis (its index), a column per seed.
        line: matplotlib's line style.
    """
    if not 1 < seed_count(by_seed) < FEWEST_SEEDS:
        return
    for _, values in by_seed.items():
        axes.plot(by_seed.index, values, ls=line, color=colour, lw=0.7, alpha=0.6, zorder=1.5)


def interval_band(
    axes: Axes,
    by_seed: pd.DataFrame,
    colour: str,
    confidence: float = 0.95,
    possible: Range = (-math.inf, math.inf),
) -> None:
    """Shade the interval of the mean at every point, from three seeds on.

    The limits of the axes stay as they are: an interval can be many times as wide as the curves are apart.

    Args:
        by_seed: a row per point of the horizontal axis (its index), a column per seed.
        confidence: of the interval.
        possible: the values that the figure can take, in the unit of `by_seed`; the band ends there.
    """
    if seed_count(by_seed) < FEWEST_SEEDS:
        return
    intervals = [mean_interval(row, confidence) for row in by_seed.to_numpy(dtype=float)]
    low, high = np.array([[one.low, one.high] for one in intervals], dtype=float).T
    low, high = low.clip(*possible), high.clip(*possible)
    limits = axes.get_xlim(), axes.get_ylim()
    face, edge = to_rgba(colour, BAND_ALPHA), to_rgba(colour, EDGE_ALPHA)
    axes.fill_between(list(by_seed.index), low, high, facecolor=face, edgecolor=edge, lw=0.6)
    axes.set(xlim=limits[0], ylim=limits[1])


def spread_text(seeds: list[int], confidence: float) -> str:
    """What lines and bands are, for captions.

    Args:
        seeds: how many finished ones each model of the figure has.
        confidence: of the intervals.
    """
    if max(seeds, default=0) < 2:
        return "One seed, hence no interval."
    parts = ["Lines: mean over seeds."]
    if any(1 < count < FEWEST_SEEDS for count in seeds):
        parts.append(
            "Thin lines: each of two seeds; the interval of two is too wide to be drawn, and is in the tables."
        )
    if max(seeds) >= FEWEST_SEEDS:
        parts.append(
            f"Bands: {percent(confidence)} interval of the mean (Student's t over the seeds), of models with three "
            "seeds or more; cut at what the figure can be, and where they leave the picture."
        )
    if min(seeds) < 2:
        parts.append("A model with one seed has its line alone.")
    return " ".join(parts)

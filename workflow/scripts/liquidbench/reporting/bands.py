"""Bands around curves of means over seeds: the interval of each mean, as in the tables."""

import pandas as pd
from matplotlib.axes import Axes

from liquidbench.evaluation.statistics import mean_interval


def interval_band(axes: Axes, by_seed: pd.DataFrame, colour: str, confidence: float = 0.95) -> None:
    """Shade the interval of the mean at every point; nothing where a single seed has no interval.

    The limits of the axes stay as they are: with two seeds an interval can be many times as wide as the curves
    are apart, and would leave nothing else to see.

    Args:
        by_seed: a row per point of the horizontal axis (its index), a column per seed.
        confidence: of the interval.
    """
    intervals = [mean_interval(row, confidence) for row in by_seed.to_numpy(dtype=float)]
    low, high = [one.low for one in intervals], [one.high for one in intervals]
    if pd.isna(low).all():
        return
    limits = axes.get_xlim(), axes.get_ylim()
    axes.fill_between(list(by_seed.index), low, high, color=colour, alpha=0.15, lw=0)
    axes.set(xlim=limits[0], ylim=limits[1])

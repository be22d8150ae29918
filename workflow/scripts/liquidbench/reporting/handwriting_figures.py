"""Two readings of the same network: errors by the length of the line."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liquidbench.evaluation.statistics import mean_interval
from liquidbench.reporting import style
from liquidbench.reporting.bands import FEWEST_SEEDS, seed_count, seed_lines
from liquidbench.reporting.differences import percent
from liquidbench.reporting.line_errors import BIN
from liquidbench.reporting.looks import Look, model_handles, study_looks
from liquidbench.reporting.result_figures import about_runs, any_synthetic
from liquidbench.reporting.study import Group, Study, title_of

READING_LINES = {"greedy": "-", "beam": "--"}
READING_SIZES = {"greedy": 6.5, "beam": 4}
READING_NAMES = {"greedy": "greedy", "beam": "beam search"}
# A mean over fewer test lines is no point of a curve.
FEWEST_LINES = 5


def line_length_figure(study: Study, groups: list[Group]) -> tuple[Figure, str, str]:
    """CER by the length of the line, a line per model and reading; below it, how many lines there are.

    Args:
        groups: finished groups of one data set and protocol that have readings.

    Returns:
        The figure, its title and its caption.
    """
    title = f"{title_of(groups[0].dataset)}: character error rate by the length of the line"
    figure = style.new_figure(7.5, 4.8, title, any_synthetic(groups))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    looks = study_looks(study)
    for group in groups:
        rows = study.rows("handwriting", group.key)
        for reading in READING_LINES:
            own = rows[rows["reading"] == reading]
            _draw_rates(top, own, reading, looks[group.model], study.layout.confidence)
    lines = rows[(rows["reading"] == "greedy") & (rows["seed"] == rows["seed"].min())]
    bars = bottom.bar(
        _middle(lines["shortest"]), lines["lines"], width=0.8 * BIN, color=style.LIGHT_GREY
    )
    bottom.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=1)
    bottom.margins(y=0.25)
    top.set(ylabel="CER (mean over lines)", ylim=(0, None))
    bottom.set(ylabel="Test lines", xlabel="Characters of the line")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    handles = model_handles((group.model for group in groups), looks, dashed=False)
    handles += [
        Line2D([], [], color=style.GREY, ls=look, label=READING_NAMES[reading])
        for reading, look in READING_LINES.items()
    ]
    style.legend_below(figure, handles, most=len(handles))
    caption = (
        f"{about_runs(groups)} Solid: greedy reading; dashed: beam search. {BIN} neighbouring lengths "
        f"share a point. Hollow and not joined: fewer than {FEWEST_LINES} test lines, which say little. "
        f"{_spread(groups, study.layout.confidence)} Below: test lines of each length."
    )
    return figure, title, caption


def _spread(groups: list[Group], confidence: float) -> str:
    """What a caption says of the seeds."""
    seeds = [len(group.finished) for group in groups]
    if max(seeds) < 2:
        return "One seed, hence no interval."
    text = "Points: mean over seeds."
    if any(1 < count < FEWEST_SEEDS for count in seeds):
        text += " Thin lines: each of two seeds."
    if max(seeds) >= FEWEST_SEEDS:
        text += f" Bars: {percent(confidence)} interval of that mean (Student's t)"
        text += "." if min(seeds) >= FEWEST_SEEDS else ", of models with three seeds or more."
    return text


def _middle(shortest: pd.Series) -> pd.Series:
    return shortest + (BIN - 1) / 2


def _draw_rates(
    axes: Axes, rows: pd.DataFrame, reading: str, look: Look, confidence: float
) -> None:
    """One reading of one model: means over seeds, and what the seeds say; bins of few lines stand alone."""
    by_seed = rows.pivot(index="shortest", columns="seed", values="cer")
    many = rows.groupby("shortest")["lines"].min() >= FEWEST_LINES
    dashes = READING_LINES[reading]
    # Smaller the second time, so that of readings on each other both are seen.
    options = {"color": look.colour, "marker": look.marker, "ms": READING_SIZES[reading]}
    for some, how in ((many, {"ls": dashes}), (~many, {"ls": "none", "mfc": "white"})):
        if some.any():
            own = by_seed[some]
            axes.plot(_middle(own.index.to_series()), own.mean(axis=1), **options, **how)
    joined = by_seed[many].set_axis(_middle(by_seed[many].index.to_series()))
    seed_lines(axes, joined, look.colour, dashes)
    if seed_count(by_seed) < FEWEST_SEEDS:
        return
    mean = by_seed.mean(axis=1)
    reach = by_seed.agg(half_interval, axis=1, confidence=confidence)
    # An error rate is not negative.
    below = np.minimum(reach, mean)
    bars = {"fmt": "none", "ecolor": look.colour, "elinewidth": 1, "capsize": 2}
    axes.errorbar(_middle(by_seed.index.to_series()), mean, yerr=[below, reach], **bars)


def half_interval(values: pd.Series, confidence: float) -> float:
    """Half the width of Student's interval of a mean over seeds; NaN with one seed."""
    interval = mean_interval(values, confidence)
    return math.nan if interval.low is None else (interval.high - interval.low) / 2

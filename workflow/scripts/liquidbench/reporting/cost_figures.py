"""The figure of what quality costs: a panel for each kind of cost, a point for each model."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from liquidbench.evaluation.statistics import mean_interval
from liquidbench.reporting import style
from liquidbench.reporting.bands import FEWEST_SEEDS
from liquidbench.reporting.cost_table import QUALITY, cost_values
from liquidbench.reporting.looks import (
    Look,
    model_handles,
    protocol_fills,
    protocol_handles,
    study_looks,
)
from liquidbench.reporting.ranges import NOT_NEGATIVE, SHARE, Range
from liquidbench.reporting.result_figures import about_runs, any_synthetic
from liquidbench.reporting.study import Group, Study, title_of

# Cost of `cost_table.COSTS` to what its axis says.
PANELS = {
    "core_parameters": "core parameters",
    "flops_per_example": "million FLOPs per example",
    "latency_one": "latency of one example (ms)",
    "training": "training (s)",
    "memory": "peak memory of the process (MiB)",
    "energy": "energy of the training (kJ)",
}
IN_A_ROW = 3
# From this ratio of its ends on, an axis has ticks at powers of ten alone.
WIDE = 100


def costs_figure(study: Study, groups: list[Group]) -> tuple[Figure, str, str]:
    """Quality over each cost that was measured, on logarithmic axes.

    Args:
        study: the summaries.
        groups: finished groups of one data set.

    Returns:
        The figure, its title and its caption.
    """
    metric, heading = QUALITY[groups[0].dataset]
    costs = [name for name in PANELS if any(_mean_cost(study, group, name) for group in groups)]
    rows = -(-len(costs) // IN_A_ROW)
    title = f"{title_of(groups[0].dataset)}: what quality costs"
    figure = style.new_figure(10, 3.1 * rows + 0.6, title, any_synthetic(groups))
    panels = figure.subplots(rows, IN_A_ROW, squeeze=False, sharey=True).flat
    looks, fills = study_looks(study), protocol_fills(group.protocol for group in groups)
    possible = NOT_NEGATIVE if metric == "cer" else SHARE
    for cost, axes in zip(costs, panels):
        for group in groups:
            quality = study.metric(group, "test", metric)
            mean = _mean_cost(study, group, cost)
            if quality and mean:
                error = _error(quality, study.layout.confidence, possible)
                point = (mean, float(np.mean(quality)))
                _draw_point(axes, point, error, looks[group.model], fills[group.protocol])
        axes.set(xlabel=PANELS[cost], xscale="log")
        _widen(axes)
        low, high = axes.get_xlim()
        # As one reads them, and few enough to stand beside each other.
        ticks = {"subs": (1, 2, 5), "numticks": 5} if high / low < WIDE else {"numticks": 4}
        axes.xaxis.set_major_locator(LogLocator(**ticks))
        axes.xaxis.set_major_formatter(lambda value, _: _read_out(value))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    for axes in list(panels):
        axes.set_axis_off()
    for row in range(rows):
        figure.axes[row * IN_A_ROW].set_ylabel(heading)
    hourly = any(study.is_hourly(group) for group in groups)
    handles = model_handles((group.model for group in groups), looks, dashed=False)
    handles = [_without_line(handle) for handle in handles] + protocol_handles(fills)
    style.legend_below(figure, handles, most=5)
    return figure, title, f"{about_runs(groups)} {_what_to_see(groups, metric, heading, hourly)}"


def _read_out(value: float) -> str:
    """A number of an axis without an exponent."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.6g}"


def _mean_cost(study: Study, group: Group, name: str) -> float:
    """0 where there is none, which has no place on a logarithmic axis either."""
    values = cost_values(study, group, name)
    return float(np.mean(values)) if values else 0.0


def _widen(axes: Axes) -> None:
    """Show a factor of five at least, so that the axis has two ticks and small differences look small."""
    low, high = axes.get_xlim()
    middle, reach = (low * high) ** 0.5, max((high / low) ** 0.5, 5**0.5)
    axes.set_xlim(middle / reach, middle * reach)


def _draw_point(
    axes: Axes, point: tuple[float, float], error: list[list[float]] | None, look: Look, fill: str
) -> None:
    axes.errorbar(
        *([point[0]], [point[1]]),
        yerr=error,
        color=look.colour,
        marker=look.marker,
        fillstyle=fill,
        markerfacecoloralt="white",
        ms=7,
        lw=1,
        capsize=3,
    )


def _error(values: list[float], confidence: float, possible: Range) -> list[list[float]] | None:
    """How far the interval of a mean reaches down and up; None with too few seeds for one to be of use."""
    if len(values) < FEWEST_SEEDS:
        return None
    interval, mean = mean_interval(values, confidence), float(np.mean(values))
    low, high = max(interval.low, possible[0]), min(interval.high, possible[1])
    return [[mean - low], [high - mean]]


def _without_line(handle):
    handle.set_linestyle("none")
    return handle


def _what_to_see(groups: list[Group], metric: str, heading: str, hourly: bool) -> str:
    better = "lower" if metric == "cer" else "higher"
    seeds = max(len(group.finished) for group in groups)
    text = (
        f"To see: a model that is worth its cost stands further to the left, or {better}, than the others. Points: "
        f"means over seeds of {heading} on the test split and of each cost. "
    )
    if hourly:
        text += "Figures by the hour do not compare with those by the stay. "
    if seeds >= FEWEST_SEEDS:
        text += "Bars: intervals of the mean quality, where there are three seeds or more. "
    return (
        text
        + "Times, memory and energy are those of the machine that ran, and of whatever shared it; parameters and "
        "FLOPs are counted. A model stands in those panels alone of which it has the cost: trees have no FLOPs that "
        "are counted. Times of jobs that ran beside others do not rank models."
    )

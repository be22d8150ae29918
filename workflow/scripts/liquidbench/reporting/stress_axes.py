"""The vertical axes of stress curves: limits that leave the curves readable, and what a model without skill has."""

import math
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from liquidbench.reporting import style
from liquidbench.reporting.study import Group, Study

CHANCE_AUROC = 50.0
# How much of their height rates above 100 % keep.
SQUEEZE = 0.2


def values_drawn(panels: Iterable[Axes]) -> np.ndarray:
    """All finite heights of the lines and points of some panels."""
    values = [np.asarray(line.get_ydata(), float) for axes in panels for line in axes.lines]
    values = np.concatenate([*values, [0.0][: not values]])
    return values[np.isfinite(values)]


def set_scale(metric: str, panels: list[Axes], values: np.ndarray) -> str:
    """Set the limits of panels that share their vertical axis.

    Args:
        metric: a name of `STRESS_RANGES`.
        panels: the panels of the metric.
        values: everything that is drawn, in percent.

    Returns:
        What a caption must say of the axis; may be empty.
    """
    highest = float(values.max(initial=0.0))
    if metric == "cer":
        return _set_error_scale(panels, highest)
    # Room for the markers at 100 %.
    low, high = 0.0, 102.0
    if metric == "auroc":
        lowest = float(values.min(initial=CHANCE_AUROC))
        low = 10 * math.floor((lowest - 2.5) / 10) if lowest < CHANCE_AUROC else CHANCE_AUROC - 5
    elif metric == "average_precision":
        # Without skill it is the share of septic cases, often a few percent.
        high = min(high, 10 * math.ceil(1.05 * highest / 10))
    panels[0].set_ylim(low, high)
    return ""


def _set_error_scale(panels: list[Axes], highest: float) -> str:
    text = "Lower is better."
    if highest <= 100:
        panels[0].set_ylim(0, max(1.05 * highest, 1))
        return text
    panels[0].set_yscale("function", functions=(squeezed, stretched))
    step = 50 if highest <= 300 else 100 * math.ceil(highest / 600)
    top = step * math.ceil(highest / step) + 0.1 * step
    panels[0].set_ylim(0, top)
    ticks = [*range(0, 101, 20), *range(100 + step, math.floor(top) + 1, step)]
    panels[0].yaxis.set_major_locator(FixedLocator(ticks))
    panels[0].yaxis.set_minor_locator(FixedLocator([]))
    for axes in panels:
        axes.axhspan(100, top, color=style.LIGHT_GREY, alpha=0.5, lw=0, zorder=0)
    return (
        f"{text} Above 100 % (grey, squeezed to a fifth) a reading has more characters than the line: how many says "
        "little, and the rate falls as more is lost and the reading gets shorter."
    )


def squeezed(rates: np.ndarray) -> np.ndarray:
    """Error rates in percent as heights: even up to 100 %, `SQUEEZE` times as steep above."""
    return np.where(rates <= 100, rates, 100 + SQUEEZE * (rates - 100))


def stretched(heights: np.ndarray) -> np.ndarray:
    """The inverse of `squeezed`."""
    return np.where(heights <= 100, heights, 100 + (heights - 100) / SQUEEZE)


def add_no_skill(study: Study, groups: list[Group], panels: dict[tuple[str, str], Axes]) -> str:
    """Dot the level of a model without skill into the panels (by metric and corruption) that have one.

    Returns:
        What it is, for the caption; empty without any.
    """
    levels = {"auroc": [CHANCE_AUROC], "average_precision": prevalences(study, groups)}
    for (metric, _), axes in panels.items():
        for level in levels.get(metric, []):
            axes.axhline(level, color=style.GREY, ls=":", lw=1.2, zorder=1)
    told = {"auroc": "50 % of AUROC"}
    if levels["average_precision"]:
        shares = " or ".join(f"{level:.1f} %" for level in levels["average_precision"])
        told["average_precision"] = (
            f"the share of septic cases in the test split ({shares}) of average precision"
        )
    parts = [text for metric, text in told.items() if any(metric == name for name, _ in panels)]
    return f"Dotted: without skill, {' and '.join(parts)}." if parts else ""


def prevalences(study: Study, groups: list[Group]) -> list[float]:
    """The share of septic cases in the test splits, in percent, mean over runs: one per way of telling."""
    shares: dict[str, list[float]] = {}
    for group in groups:
        own = study.rows("clinical", group.key)
        own = own[own["figure"] == "prevalence"]
        for level, values in own.groupby("level")["value"]:
            shares.setdefault(level, []).extend(values)
    return [100 * float(np.mean(values)) for values in shares.values()]

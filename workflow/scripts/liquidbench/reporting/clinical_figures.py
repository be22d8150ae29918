"""The figure of the sepsis models' probabilities and alarms: calibration above, precision over recall below."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from liquidbench.evaluation.utility import EARLIEST
from liquidbench.reporting import style
from liquidbench.reporting.printed import PrintedTable
from liquidbench.reporting.result_figures import about_runs, any_synthetic
from liquidbench.reporting.study import Group, Study, select

LEVELS = {False: "by the stay, as the paper", True: "by the hour"}
PAPERS_MARKERS = ("*", "P", "X")


def alarms_figure(
    study: Study, groups: list[Group], printed: PrintedTable | None
) -> tuple[Figure, str, str]:
    """Calibration and precision over recall, a column of panels per level.

    Args:
        study: the summaries.
        groups: finished groups of sepsis runs.
        printed: the paper's Table II, for its operating points; None: they are not drawn.

    Returns:
        The figure, its title and its caption.
    """
    title = "PhysioNet (sepsis): calibration and alarms on the test split"
    levels = [level for level in LEVELS if any(study.is_hourly(g) == level for g in groups)]
    figure = style.new_figure(max(6.5, 5.2 * len(levels)), 8.4, title, any_synthetic(groups))
    grid = figure.subplots(2, len(levels), squeeze=False)
    labels = {group: _label(group, groups) for group in groups}
    looks = style.model_styles(list(dict.fromkeys(labels.values())))
    for column, hourly in enumerate(levels):
        here = [group for group in groups if study.is_hourly(group) == hourly]
        upper, lower = grid[:, column]
        for group in here:
            key = (group.dataset, group.protocol, group.model)
            look = looks[labels[group]]
            _draw_calibration(upper, select(study.frames["calibration"], *key), look)
            _draw_precision(lower, select(study.frames["operating_points"], *key), look)
        _frame_calibration(upper, hourly)
        _mark_papers_points(lower, printed, "none" if hourly else "black")
        lower.set(title=f"Told {LEVELS[hourly]}", ylim=(0, 1.02), xlim=(0, 1))
        found = "stays found in time" if hourly else "stays found"
        lower.set(xlabel=f"recall ({found})", ylabel="precision")
        lower.grid(alpha=0.3)
    handles = [
        grid[0, 0].plot([], [], color=colour, marker=marker, ms=5, label=label)[0]
        for label, (colour, marker) in looks.items()
    ]
    points, names = grid[1, 0].get_legend_handles_labels()
    handles += points
    shown = [*looks, *names]
    figure.legend(handles, shown, loc="outside lower center", ncols=min(4, len(shown)))
    return figure, title, f"{about_runs(groups)} {_what_to_see(levels, printed)}"


def _label(group: Group, groups: list[Group]) -> str:
    """The model, and its protocol where the figure has several."""
    several = len({other.protocol for other in groups}) > 1
    return f"{group.model} ({group.protocol})" if several else group.model


def _draw_calibration(axes: Axes, rows: pd.DataFrame, look: tuple[str, str]) -> None:
    colour, marker = look
    for _, own in rows.groupby("seed"):
        axes.plot(
            own["mean_probability"], own["observed"], color=colour, marker=marker, ms=4, lw=1.2
        )


def _frame_calibration(axes: Axes, hourly: bool) -> None:
    largest = max([0.05, *(max(*line.get_data()[0], *line.get_data()[1]) for line in axes.lines)])
    axes.axline((0, 0), slope=1, color=style.GREY, ls=":", lw=1)
    limits = (0, min(1.0, 1.08 * largest))
    axes.set(title=f"Told {LEVELS[hourly]}", xlim=limits, ylim=limits)
    unit = "hours" if hourly else "stays"
    axes.set(xlabel="mean predicted probability", ylabel=f"observed share of septic {unit}")
    axes.grid(alpha=0.3)


def _draw_precision(axes: Axes, rows: pd.DataFrame, look: tuple[str, str]) -> None:
    if rows.empty:
        return
    values = rows["precision"].groupby(rows["recall"])
    recalls = list(values.groups)
    axes.plot(recalls, values.mean(), color=look[0])
    if rows["seed"].nunique() > 1:
        axes.fill_between(recalls, values.min(), values.max(), color=look[0], alpha=0.15, lw=0)


def _mark_papers_points(axes: Axes, printed: PrintedTable | None, filling: str) -> None:
    points = printed.pairs("recall", "precision") if printed else []
    for (row, recall, precision), marker in zip(points, PAPERS_MARKERS):
        axes.plot(
            *(recall, precision, marker),
            **{"color": "black", "mfc": filling, "ms": 9, "ls": "none", "label": f"paper: {row}"},
        )


def _what_to_see(levels: list[bool], printed: PrintedTable | None) -> str:
    text = (
        "Above: calibration in ten bins of equal size, a line per seed. On the dotted diagonal a probability is what "
        "it says; below it the model alarms too readily. Below: the best precision at each recall, mean over seeds; "
        "bands: range."
    )
    if printed:
        text += (
            " Black: the three operating points of the paper's Table II. A model whose line runs above a point has "
            "more right alarms at the same recall: points at different recalls do not rank models."
        )
    if True in levels:
        text += (
            f" By the hour a stay is found by an alarm in the {-EARLIEST} hours before the onset; a stay with an "
            "earlier one, or with any and no sepsis, is a false alarm."
        )
    if True in levels and False in levels:
        text += " By the stay the model has read the hours after the onset and knows the length of the record."
        if printed:
            text += " The paper's points belong to the latter, and are hollow beside the former."
    return text

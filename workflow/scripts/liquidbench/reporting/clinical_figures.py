"""The figure of the sepsis models' probabilities and alarms: calibration above, precision over recall below."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from liquidbench.evaluation.utility import EARLIEST
from liquidbench.reporting import style
from liquidbench.reporting.bands import interval_band, seed_lines
from liquidbench.reporting.looks import (
    PAPERS,
    Look,
    line_options,
    model_handles,
    printed_options,
    protocol_fills,
    protocol_handles,
    study_looks,
)
from liquidbench.reporting.printed import PrintedTable
from liquidbench.reporting.ranges import SHARE
from liquidbench.reporting.result_figures import about_runs, any_synthetic, bands_text
from liquidbench.reporting.study import Group, Study

# Of the hundred recalls, those that carry a model's marker.
MARKED_EVERY = 14
LEVELS = {False: "by the stay, as the paper", True: "by the hour"}


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
    looks = study_looks(study)
    keys = []
    for column, hourly in enumerate(levels):
        here = [group for group in groups if study.is_hourly(group) == hourly]
        fills = protocol_fills(group.protocol for group in here)
        keys += protocol_handles(fills)
        upper, lower = grid[:, column]
        _draw_curves(study, (upper, lower), here, looks, fills)
        _frame_calibration(upper, hourly)
        models = [group.model for group in groups]
        _mark_papers_points(lower, printed, models, looks, style.GREY if hourly else "")
        lower.set(title=f"Told {LEVELS[hourly]}", ylim=(0, 1.02), xlim=(0, 1))
        found = "stays found in time" if hourly else "stays found"
        lower.set(xlabel=f"recall ({found})", ylabel="precision")
        lower.grid(alpha=0.3)
    handles = model_handles((group.model for group in groups), looks, dashed=True) + keys
    handles += grid[1, 0].get_legend_handles_labels()[0]
    style.legend_below(figure, handles, most=4, handlelength=3)
    return figure, title, f"{about_runs(groups)} {_what_to_see(study, groups, levels, printed)}"


def _draw_curves(
    study: Study,
    panels: tuple[Axes, Axes],
    groups: list[Group],
    looks: dict[str, Look],
    fills: dict[str, str],
) -> None:
    """Calibration and precision of the groups of one level."""
    upper, lower = panels
    bands = []
    for place, group in enumerate(groups):
        look, fill = looks[group.model], fills[group.protocol]
        _draw_calibration(upper, study.rows("calibration", group.key), look, fill)
        points = study.rows("operating_points", group.key)
        if points.empty:
            continue
        by_seed = points.pivot(index="recall", columns="seed", values="precision")
        # Markers of models stand at recalls of their own, so that lines on each other still show theirs.
        first = round(place * MARKED_EVERY / len(groups))
        lower.plot(
            *(by_seed.index, by_seed.mean(axis=1)),
            **line_options(look, fill),
            markevery=(first, MARKED_EVERY),
            ms=5,
            lw=1.5,
        )
        seed_lines(lower, by_seed, look.colour, look.dashes)
        bands.append((by_seed, look.colour))
    for by_seed, colour in bands:
        interval_band(lower, by_seed, colour, study.layout.confidence, SHARE)


def _draw_calibration(axes: Axes, rows: pd.DataFrame, look: Look, fill: str) -> None:
    seeds = rows.groupby("seed")
    # The more lines, the thinner.
    weight = {"ms": 4, "lw": 1.2} if len(seeds) == 1 else {"ms": 3, "lw": 0.8}
    for _, own in seeds:
        axes.plot(own["mean_probability"], own["observed"], **line_options(look, fill), **weight)


def _frame_calibration(axes: Axes, hourly: bool) -> None:
    largest = max([0.05, *(max(*line.get_data()[0], *line.get_data()[1]) for line in axes.lines)])
    axes.axline((0, 0), slope=1, color=style.GREY, ls=":", lw=1)
    limits = (0, min(1.0, 1.08 * largest))
    axes.set(title=f"Told {LEVELS[hourly]}", xlim=limits, ylim=limits)
    unit = "hours" if hourly else "stays"
    axes.set(xlabel="mean predicted probability", ylabel=f"observed share of septic {unit}")
    axes.grid(alpha=0.3)


def _mark_papers_points(
    axes: Axes, printed: PrintedTable | None, models: list[str], looks: dict[str, Look], colour: str
) -> None:
    """Mark the paper's operating points as its model is drawn; `colour`: instead of the model's own."""
    for row, recall, precision in printed.pairs("recall", "precision") if printed else []:
        named = printed.models_of(row)
        # Of several names the one that is drawn; else the longest, which says the size.
        name = next((name for name in named if name in models), named[-1])
        look = looks.get(name) or PAPERS[name]
        axes.plot(recall, precision, **printed_options(look, colour), label=f"paper: {row}")


def _what_to_see(
    study: Study, groups: list[Group], levels: list[bool], printed: PrintedTable | None
) -> str:
    text = (
        "Above: calibration in ten bins of equal size, a line per seed. On the dotted diagonal a probability is what "
        "it says; below it the model alarms too readily. Below: the best precision at each recall; "
        f"markers only tell the models apart. {bands_text(study, groups)}"
    )
    if printed:
        text += (
            " Hollow: the three operating points of the paper's Table II, as their models are drawn. A model "
            "whose line runs above a point has more right alarms at the same recall: points at different recalls do "
            "not rank models."
        )
        if any_synthetic(groups):
            text += " They were measured on the real data set, and the lines on synthetic data."
    if True in levels:
        text += (
            f" By the hour a stay is found by an alarm in the {-EARLIEST} hours before the onset; a stay with an "
            "earlier one, or with any and no sepsis, is a false alarm."
        )
    if True in levels and False in levels:
        text += " By the stay the model has read the hours after the onset and knows the length of the record."
        if printed:
            text += " The paper's points belong to the latter, and are grey beside the former."
    return text

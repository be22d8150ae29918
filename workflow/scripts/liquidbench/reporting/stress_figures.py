"""Stress curves, from the summaries, beside what the paper printed."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liquidbench.reporting import style
from liquidbench.reporting.bands import interval_band, seed_lines
from liquidbench.reporting.looks import (
    PAPERS,
    line_options,
    model_handles,
    printed_options,
    protocol_fills,
    protocol_handles,
    study_looks,
)
from liquidbench.reporting.printed import PrintedTable
from liquidbench.reporting.ranges import STRESS_RANGES
from liquidbench.reporting.result_figures import about_runs, any_synthetic, bands_text
from liquidbench.reporting.stress_axes import add_no_skill, set_scale, values_drawn
from liquidbench.reporting.stress_tables import PRINTED_RATES, rate_text
from liquidbench.reporting.study import Group, Study, select, title_of
from liquidbench.reporting.titles import STRESS_METRIC_TITLES, corruption_title

# What a figure shows, the first that a data set has any of: accuracy says little where one class is rare.
SHOWN = (("cer",), ("auroc", "average_precision"), ("accuracy",))
# Panels beside each other, by how many metrics stand below each other.
COLUMNS = {1: 3, 2: 5}
PRINTED_LABEL = "printed in the paper (Table III)"


def stress_figure(
    study: Study, groups: list[Group], printed: PrintedTable | None = None
) -> tuple[Figure, str, str]:
    """A figure over the share that is lost; a panel per corruption and metric, a line per model.

    Args:
        study: the summaries.
        groups: stress-tested groups of one data set.
        printed: the paper's Table III, for its accuracies; None: they are not drawn.

    Returns:
        The figure, its title and its caption.
    """
    title = f"{title_of(groups[0].dataset)}: with steps or values lost at inference"
    stress = study.frames["stress"]
    of_dataset = stress[stress["dataset"] == groups[0].dataset]
    taken = set(of_dataset["metric"])
    metrics = next([name for name in some if name in taken] for some in SHOWN if taken & {*some})
    corruptions = list(dict.fromkeys(of_dataset["corruption"]))
    figure, panels = _panels(title, corruptions, metrics, any_synthetic(groups))
    with_printed = False
    for metric in metrics:
        for corruption in corruptions:
            axes = panels[metric, corruption]
            rows = of_dataset[of_dataset["corruption"] == corruption]
            _draw_curves(study, axes, groups, rows[rows["metric"] == metric])
            if metric == "accuracy" and printed is not None:
                with_printed |= _mark_printed(study, axes, groups, corruption, printed)
    # Once all is drawn: panels of a metric share the scale.
    scales = {}
    for metric in metrics:
        own = [panels[metric, corruption] for corruption in corruptions]
        scales[metric] = set_scale(metric, own, values_drawn(own))
    no_skill = add_no_skill(study, groups, panels)
    _legend(study, figure, groups, with_printed, no_skill)
    caption = (
        f"{about_runs(groups)} Each seed is the mean over its draws of what is lost, which is the same for every "
        f"model. {bands_text(study, groups)}"
    )
    notes = [*scales.values(), no_skill, _about_printed(groups) if with_printed else ""]
    return figure, title, " ".join([caption, *filter(None, notes)])


def _panels(
    title: str, corruptions: list[str], metrics: list[str], synthetic: bool
) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """An empty figure and its panels by metric and corruption; the metrics of a corruption stand below each other."""
    count = len(metrics)
    columns = min(COLUMNS[count], len(corruptions))
    lines = -(-len(corruptions) // columns)
    size = (max(6.5, (4.2 if count == 1 else 3.0) * columns), 3.4 * lines * count + 0.6)
    figure = style.new_figure(*size, title, synthetic)
    grid = figure.subplots(lines * count, columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    panels, first = {}, {}
    for place, corruption in enumerate(corruptions):
        line, column = divmod(place, columns)
        for row, metric in enumerate(metrics):
            axes = panels[metric, corruption] = grid[line * count + row, column]
            axes.set_axis_on()
            axes.grid(alpha=0.3)
            axes.sharey(first.setdefault(metric, axes))
            axes.tick_params(labelleft=column == 0)
            if column == 0:
                axes.set_ylabel(f"test {STRESS_METRIC_TITLES[metric]} (%)")
        _head(panels[metrics[0], corruption], corruption)
        axes.set_xlabel("share that is lost (%)")
    return figure, panels


def _head(axes: Axes, corruption: str) -> None:
    """The corruption in words, and below it, small, its name in the configuration."""
    axes.set_title(corruption_title(corruption), pad=15)
    small = {"fontsize": 7.5, "color": style.GREY, "family": "DejaVu Sans Mono"}
    above = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
    axes.annotate(corruption, (0.5, 1), (0, 4), **above, **small)


def _draw_curves(study: Study, axes: Axes, groups: list[Group], rows: pd.DataFrame) -> None:
    """A line per group over the rates, and what its seeds say."""
    looks, fills = study_looks(study), protocol_fills(group.protocol for group in groups)
    bands = []
    for group, size in zip(groups, np.linspace(7.5, 4.5, len(groups))):
        own = select(rows, group.key)
        if own.empty:
            continue
        # First over the draws of a run, then over runs: a seed is one observation.
        percents = own.assign(rate=own["rate"] * 100, value=own["value"] * 100)
        by_seed = percents.pivot_table(index="rate", columns="seed", values="value")
        look = looks[group.model]
        # Smaller from model to model, so that of points on each other all are seen.
        options = line_options(look, fills[group.protocol]) | {"ms": size, "label": group.model}
        axes.plot(by_seed.index, by_seed.mean(axis=1), **options)
        seed_lines(axes, by_seed, look.colour, look.dashes)
        bands.append((by_seed, look.colour, STRESS_RANGES[own["metric"].iloc[0]]))
    for by_seed, colour, possible in bands:
        interval_band(axes, by_seed, colour, study.layout.confidence, possible)


def _mark_printed(
    study: Study, axes: Axes, groups: list[Group], corruption: str, printed: PrintedTable
) -> bool:
    """Mark what the paper printed for the models of its stress test, hollow; say whether there was anything."""
    looks, marked = study_looks(study), set()
    for group in groups:
        if group.protocol != study.layout.stress_protocol:
            continue
        found = {
            100 * rate: printed.find(f"{corruption}/{rate_text(rate)}", group.dataset, group.model)
            for rate in PRINTED_RATES
        }
        points = {rate: one for rate, one in found.items() if one is not None and one.value}
        # A row of the paper may stand for several of our models: the first one's marker.
        rows = {one.row for one in points.values()}
        if not points or rows <= marked:
            continue
        marked |= rows
        axes.plot(
            *(list(points), [one.value for one in points.values()]),
            **printed_options(looks[group.model]),
            label=f"{PRINTED_LABEL}: {min(rows)}",
        )
    return bool(marked)


def _legend(
    study: Study, figure: Figure, groups: list[Group], with_printed: bool, no_skill: str
) -> None:
    handles = model_handles((group.model for group in groups), study_looks(study), dashed=True)
    handles += protocol_handles(protocol_fills(group.protocol for group in groups))
    if with_printed:
        elsewhere = ", on the real data" if any_synthetic(groups) else ""
        label = f"hollow: {PRINTED_LABEL}{elsewhere}"
        hollow = printed_options(PAPERS["lstm"], style.GREY)
        handles.append(Line2D([], [], **hollow, label=label))
    if no_skill:
        handles.append(Line2D([], [], color=style.GREY, ls=":", lw=1.2, label="no skill"))
    style.legend_below(figure, handles, most=6, handlelength=3)


def _about_printed(groups: list[Group]) -> str:
    text = "Hollow: the accuracies that the paper's Table III prints, in the colour of the model that they belong to"
    if any_synthetic(groups):
        return f"{text}; they were measured on the real data set, and the lines on synthetic data."
    return f"{text}."

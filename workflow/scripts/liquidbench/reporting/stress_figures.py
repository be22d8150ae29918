"""Stress curves, from the summaries."""

import pandas as pd
from matplotlib.figure import Figure

from liquidbench.reporting import style
from liquidbench.reporting.result_figures import about_runs, any_synthetic
from liquidbench.reporting.stress_tables import METRIC_TITLES
from liquidbench.reporting.study import Group, Study, select, title_of

# What a panel shows, of the figures that a data set has: accuracy says little where one class is rare.
SHOWN = ("cer", "auroc", "accuracy")
COLUMNS = 3


def stress_figure(study: Study, groups: list[Group]) -> tuple[Figure, str, str]:
    """A figure over the share that is lost; a panel per corruption, a line per model.

    Args:
        groups: stress-tested groups of one data set.

    Returns:
        The figure, its title and its caption.
    """
    title = f"{title_of(groups[0].dataset)}: with steps or values lost at inference"
    stress = study.frames["stress"]
    of_dataset = stress[stress["dataset"] == groups[0].dataset]
    metric = next(name for name in SHOWN if name in set(of_dataset["metric"]))
    of_dataset = of_dataset[of_dataset["metric"] == metric]
    corruptions = list(dict.fromkeys(of_dataset["corruption"]))
    columns = min(COLUMNS, len(corruptions))
    lines = -(-len(corruptions) // columns)
    size = (max(6.5, 4.2 * columns), 3.6 * lines + 0.3)
    figure = style.new_figure(*size, title, any_synthetic(groups))
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    protocols = {group.protocol for group in groups}
    labels = [
        f"{group.model} ({group.protocol})" if len(protocols) > 1 else group.model
        for group in groups
    ]
    styles = style.model_styles(labels)
    for axes in grid[len(corruptions) :]:
        axes.set_axis_off()
    for axes, corruption in zip(grid, corruptions):
        for group, label in zip(groups, labels):
            rows = select(of_dataset, group.dataset, group.protocol, group.model)
            _draw_curve(axes, rows[rows["corruption"] == corruption], label, styles[label])
        axes.set(title=corruption, xlabel="share that is lost (%)")
        axes.grid(alpha=0.3)
    # Error rates may exceed 1. Of all panels, once all is drawn: they share the scale.
    grid[0].set_ylim(0, None if metric == "cer" else 100)
    for axes in grid[::columns]:
        axes.set_ylabel(f"test {METRIC_TITLES[metric]} (%)")
    shown = {
        label: handle
        for axes in grid[: len(corruptions)]
        for handle, label in zip(*axes.get_legend_handles_labels())
    }
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=len(shown))
    caption = (
        f"{about_runs(groups)} Lines: mean over seeds and draws of what is lost, which is the same for every model; "
        "bands: range over seeds and draws."
    )
    return figure, title, caption


def _draw_curve(axes, rows: pd.DataFrame, label: str, look: tuple[str, str]) -> None:
    if rows.empty:
        return
    values = (rows["value"] * 100).groupby(rows["rate"])
    rates = [rate * 100 for rate in values.groups]
    colour, marker = look
    axes.plot(rates, values.mean(), color=colour, marker=marker, ms=5, label=label)
    axes.fill_between(rates, values.min(), values.max(), color=colour, alpha=0.15, lw=0)

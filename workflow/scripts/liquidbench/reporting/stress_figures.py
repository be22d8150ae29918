"""Stress curves, from the summaries."""

import pandas as pd
from matplotlib.figure import Figure

from liquidbench.reporting import style
from liquidbench.reporting.bands import interval_band
from liquidbench.reporting.result_figures import about_runs, any_synthetic, bands_text
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
            rows = rows[rows["corruption"] == corruption]
            _draw_curve(axes, rows, label, styles[label], study.layout.confidence)
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
        f"{about_runs(groups)} Each seed is the mean over its draws of what is lost, which is the same for every "
        f"model. {bands_text(study, groups)}"
    )
    return figure, title, caption


def _draw_curve(
    axes, rows: pd.DataFrame, label: str, look: tuple[str, str], confidence: float
) -> None:
    if rows.empty:
        return
    # First over the draws of a run, then over runs: a seed is one observation.
    percents = rows.assign(rate=rows["rate"] * 100, value=rows["value"] * 100)
    by_seed = percents.pivot_table(index="rate", columns="seed", values="value")
    colour, marker = look
    axes.plot(by_seed.index, by_seed.mean(axis=1), color=colour, marker=marker, ms=5, label=label)
    interval_band(axes, by_seed, colour, confidence)

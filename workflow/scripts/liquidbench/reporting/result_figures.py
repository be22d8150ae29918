"""Training curves and confusion matrices, from the summaries."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liquidbench.reporting import style
from liquidbench.reporting.bands import interval_band
from liquidbench.reporting.differences import percent
from liquidbench.reporting.study import Group, Study, select, title_of

METRIC_TITLES = {"accuracy": "Accuracy", "cer": "CER (mean over lines)"}
SPLIT_LINES = {"test": "-", "train": ":"}
MOST_COUNTS = 15
MOST_IN_A_ROW = 6


def any_synthetic(groups: list[Group]) -> bool:
    """Whether a figure of these groups must carry the banner."""
    return any(group.synthetic for group in groups)


def about_runs(groups: list[Group]) -> str:
    """Data set, data, models and seeds, for captions."""
    sources = ", ".join(dict.fromkeys(group.data for group in groups))
    models = ", ".join(f"{group.protocol}/{group.model} ({group.seeds})" for group in groups)
    missing = "; ".join(note for group in groups for note in group.missing_notes)
    return f"Data: {sources}. Models: {models}." + (f" Note {missing}." if missing else "")


def training_figure(study: Study, groups: list[Group]) -> tuple[Figure, str, str]:
    """Loss and metric over the epochs of one data set; a row of panels per protocol.

    Lines are means over seeds, bands the interval of the mean.

    Args:
        groups: finished groups of one data set.

    Returns:
        The figure, its title and its caption.
    """
    protocols = list(dict.fromkeys(group.protocol for group in groups))
    title = f"{title_of(groups[0].dataset)}: training curves"
    size = (10, 3.4 * len(protocols) + 0.3)
    figure = style.new_figure(*size, title, any_synthetic(groups))
    grid = figure.subplots(len(protocols), 2, squeeze=False)
    styles = style.model_styles(list(dict.fromkeys(group.model for group in groups)))
    for row, protocol in zip(grid, protocols):
        for group in (group for group in groups if group.protocol == protocol):
            history = select(study.frames["history"], group.dataset, protocol, group.model)
            metric = "cer" if _present(history, "test_cer") else "accuracy"
            for axes, name in zip(row, ("loss", metric)):
                axes.set(title=f"Protocol “{protocol}”", xlabel="epoch")
                axes.set_ylabel("Loss" if name == "loss" else METRIC_TITLES[name])
                for split in SPLIT_LINES:
                    _draw_curve(axes, history, f"{split}_{name}", styles[group.model], split)
        # After all lines, which alone decide what the axes show.
        for group in (group for group in groups if group.protocol == protocol):
            _draw_bands(study, row, group, styles[group.model][0])
        for axes in row:
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
    _legend(figure, styles)
    caption = (
        f"{about_runs(groups)} Solid: test split, after each epoch; dotted: training split, as the epoch "
        f"went (a character error rate is not taken while training). {bands_text(study, groups)}"
    )
    return figure, title, caption


def bands_text(study: Study, groups: list[Group]) -> str:
    """What lines and bands are, for captions."""
    if all(len(group.finished) < 2 for group in groups):
        return "One seed, hence no interval."
    interval = percent(study.layout.confidence)
    return (
        f"Lines: mean over seeds; bands: {interval} interval of the mean (Student's t over the "
        "seeds), cut where it leaves the picture; none for a model with one seed."
    )


def _draw_bands(study: Study, row, group: Group, colour: str) -> None:
    history = select(study.frames["history"], group.dataset, group.protocol, group.model)
    metric = "cer" if _present(history, "test_cer") else "accuracy"
    for axes, name in zip(row, ("loss", metric)):
        for column in (f"{split}_{name}" for split in SPLIT_LINES):
            if _present(history, column):
                values = history.assign(value=pd.to_numeric(history[column]))
                by_seed = values.pivot(index="epoch", columns="seed", values="value")
                interval_band(axes, by_seed, colour, study.layout.confidence)


def _present(history: pd.DataFrame, name: str) -> bool:
    return name in history and (history[name] != "").any()


def _draw_curve(axes, history: pd.DataFrame, name: str, look: tuple[str, str], split: str) -> None:
    if not _present(history, name):
        return
    values = pd.to_numeric(history[name]).groupby(history["epoch"])
    epochs = list(values.groups)
    colour, marker = look
    few = len(epochs) <= 40
    axes.plot(
        epochs,
        values.mean(),
        SPLIT_LINES[split],
        color=colour,
        marker=marker if few and split == "test" else None,
        ms=3.5,
    )


def _legend(figure: Figure, styles: dict[str, tuple[str, str]]) -> None:
    """One legend for all panels: a model's colour and marker, then what the line styles say."""
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=5, label=model)
        for model, (colour, marker) in styles.items()
    ]
    names = {"test": "test", "train": "train, as the epoch went"}
    handles += [
        Line2D([], [], color=style.GREY, ls=line, label=names[split])
        for split, line in SPLIT_LINES.items()
    ]
    columns = min(len(handles), MOST_IN_A_ROW)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def confusion_figure(study: Study, groups: list[Group]) -> tuple[Figure, str, str]:
    """Confusion matrices of the models of one data set and protocol, summed over seeds.

    Colour is the share of the true class; the numbers are counts.
    """
    title = f"{title_of(groups[0].dataset)}: confusion on the test split"
    matrices = [confusion_matrix(study, group) for group in groups]
    classes = max(len(names) for names, _ in matrices)
    side = 2.6 if classes <= 3 else min(5.0, 1.2 + 0.42 * classes)
    longest = max(len(name) for names, _ in matrices for name in names)
    columns = min(MOST_IN_A_ROW, len(groups))
    rows = -(-len(groups) // columns)
    size = ((side + 0.07 * longest) * columns + 1.2, (side + 0.07 * longest + 0.6) * rows)
    figure = style.new_figure(max(6.0, size[0]), size[1], title, any_synthetic(groups))
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in all_axes[len(groups) :]:
        axes.set_axis_off()
    for axes, group, (names, counts) in zip(all_axes, groups, matrices):
        totals = counts.sum(axis=1, keepdims=True)
        share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        image = axes.imshow(share, cmap=style.BLUES, vmin=0, vmax=1)
        axes.set(title=f"{group.model} ({group.seeds})", xlabel="predicted")
        axes.set_xticks(range(len(names)), names, rotation=90 if longest > 2 and classes > 3 else 0)
        axes.set_yticks(range(len(names)), names)
        if len(names) <= MOST_COUNTS:
            _write_counts(axes, counts, share)
    for axes in all_axes[: len(groups) : columns]:
        axes.set_ylabel("true class")
    figure.colorbar(image, ax=all_axes, shrink=0.8 / rows, label="share of the true class")
    caption = f"{about_runs(groups)} Counts over all seeds; colour: share of the true class."
    return figure, title, caption


def confusion_matrix(study: Study, group: Group) -> tuple[list[str], np.ndarray]:
    """Class names and counts (true class, predicted class), int64, summed over seeds."""
    rows = select(study.frames["confusion"], group.dataset, group.protocol, group.model)
    # As the run lists them, which is the order of its classes.
    names = list(dict.fromkeys([*rows["target"], *rows["prediction"]]))
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    where = {name: index for index, name in enumerate(names)}
    for row in rows.itertuples(index=False):
        counts[where[row.target], where[row.prediction]] += int(row.count)
    return names, counts


def _write_counts(axes, counts: np.ndarray, share: np.ndarray) -> None:
    size = 11 if len(counts) <= 3 else 8
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if share[row, column] > 0.55 else "black"
            axes.text(
                column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size
            )

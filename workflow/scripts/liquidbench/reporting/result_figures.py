"""Training curves and confusion matrices, from the summaries."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from liquidbench.reporting import style
from liquidbench.reporting.bands import (
    interval_band,
    seed_lines,
    spread_text,
)
from liquidbench.reporting.looks import Look, model_handles, study_looks
from liquidbench.reporting.ranges import NOT_NEGATIVE, SHARE
from liquidbench.reporting.study import Group, Study, title_of

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

    Lines are means over seeds, with what `bands` draws of the seeds.

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
    looks = study_looks(study)
    for row, protocol in zip(grid, protocols):
        bands = []
        for group in (group for group in groups if group.protocol == protocol):
            history = study.rows("history", group.key)
            metric = "cer" if _present(history, "test_cer") else "accuracy"
            for axes, name in zip(row, ("loss", metric)):
                axes.set(title=f"Protocol “{protocol}”", xlabel="epoch")
                axes.set_ylabel("Loss" if name == "loss" else METRIC_TITLES[name])
                possible = SHARE if name == "accuracy" else NOT_NEGATIVE
                for split in SPLIT_LINES:
                    if _present(history, f"{split}_{name}"):
                        by_seed = _by_seed(history, f"{split}_{name}")
                        _draw_curve(axes, by_seed, looks[group.model], split)
                        bands.append((axes, by_seed, looks[group.model].colour, possible))
        # After all lines, which alone decide what the axes show.
        for axes, by_seed, colour, possible in bands:
            interval_band(axes, by_seed, colour, study.layout.confidence, possible)
        for axes in row:
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
    handles = model_handles((group.model for group in groups), looks, dashed=False)
    _legend(figure, handles)
    caption = (
        f"{about_runs(groups)} Solid: test split, after each epoch; dotted: training split, as the epoch "
        "went (a character error rate is not taken while training). "
        f"{bands_text(study, groups)}{_threshold_text(study, groups)}"
    )
    return figure, title, caption


def bands_text(study: Study, groups: list[Group]) -> str:
    """What lines and bands are, for captions."""
    return spread_text([len(group.finished) for group in groups], study.layout.confidence)


def _threshold_text(study: Study, groups: list[Group]) -> str:
    """That the curves' threshold is not the tables', where a threshold was chosen after training."""
    chosen = [
        f"{group.protocol}/{group.model}" for group in groups if study.chooses_threshold(group)
    ]
    if not chosen:
        return ""
    return (
        " Accuracies along the epochs are at a threshold of 0.5; those in the tables are at the threshold that was "
        f"chosen after training: {', '.join(chosen)}."
    )


def _present(history: pd.DataFrame, name: str) -> bool:
    return name in history and (history[name] != "").any()


def _by_seed(history: pd.DataFrame, name: str) -> pd.DataFrame:
    """One column of the history as curves: a row per epoch, a column per seed."""
    values = history.assign(value=pd.to_numeric(history[name]))
    return values.pivot(index="epoch", columns="seed", values="value")


def _draw_curve(axes: Axes, by_seed: pd.DataFrame, look: Look, split: str) -> None:
    few = len(by_seed) <= 40
    axes.plot(
        list(by_seed.index),
        by_seed.mean(axis=1),
        SPLIT_LINES[split],
        color=look.colour,
        marker=look.marker if few and split == "test" else None,
        ms=3.5,
    )
    seed_lines(axes, by_seed, look.colour, SPLIT_LINES[split])


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    """One legend for all panels: the models, then what the line styles say."""
    names = {"test": "test", "train": "train, as the epoch went"}
    handles += [
        Line2D([], [], color=style.GREY, ls=line, label=names[split])
        for split, line in SPLIT_LINES.items()
    ]
    style.legend_below(figure, handles, most=MOST_IN_A_ROW)


def confusion_figure(study: Study, groups: list[Group]) -> tuple[Figure, str, str]:
    """Confusion matrices of the models of one data set and one way of telling, summed over seeds.

    Colour is the share of the true class; the numbers are counts.
    """
    hours = ", told by the hour" if study.is_hourly(groups[0]) else ""
    title = f"{title_of(groups[0].dataset)}: confusion on the test split{hours}"
    matrices = [confusion_matrix(study, group) for group in groups]
    # Rows as equally full as can be.
    rows = -(-len(groups) // MOST_IN_A_ROW)
    columns = -(-len(groups) // rows)
    size = _matrices_size(matrices, rows, columns)
    figure = style.new_figure(*size, title, any_synthetic(groups), square=True)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    all_axes = grid.ravel()
    for axes in all_axes[len(groups) :]:
        axes.set_axis_off()
    several = len({group.protocol for group in groups}) > 1
    for axes, group, (names, counts) in zip(all_axes, groups, matrices):
        image = _draw_matrix(axes, names, counts)
        protocol = f"{group.protocol}, " if several else ""
        axes.set(title=f"{group.model}\n({protocol}{group.seeds})", xlabel="predicted")
    for axes in grid[:, 0]:
        axes.set_ylabel("true class")
    wide = size[0]
    label = "share of the true class"
    # A bar 0.15 inches thick, whatever the figure's size.
    figure.colorbar(image, ax=grid, label=label, fraction=0.15 / wide, pad=0.15 / wide, aspect=15)
    caption = f"{about_runs(groups)} Counts over all seeds; colour: share of the true class."
    if hours:
        caption += " An alarm is a probability from the run's own threshold on, at every hour."
    return figure, title, caption


def _matrices_size(
    matrices: list[tuple[list[str], np.ndarray]], rows: int, columns: int
) -> tuple[float, float]:
    """Width and height in inches of a grid of matrices with their labels."""
    classes = max(len(names) for names, _ in matrices)
    longest = max(len(name) for names, _ in matrices for name in names)
    side = 1.9 if classes <= 3 else min(4.0, 0.9 + 0.34 * classes)
    turned = 0.08 * longest if _turns(longest, classes) else 0.2
    return max(6.0, (side + 0.2) * columns + 0.08 * longest + 1.4), rows * (side + turned + 0.8)


def _turns(longest: int, classes: int) -> bool:
    """Whether names below a matrix need more room than a column has."""
    return longest > 2 and classes > 3


def _draw_matrix(axes: Axes, names: list[str], counts: np.ndarray) -> AxesImage:
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    image = axes.imshow(share, cmap=style.BLUES, vmin=0, vmax=1)
    turned = _turns(max(map(len, names)), len(names))
    axes.set_xticks(range(len(names)), names, rotation=90 if turned else 0)
    axes.set_yticks(range(len(names)), names)
    if len(names) <= MOST_COUNTS:
        _write_counts(axes, counts, share)
    return image


def confusion_matrix(study: Study, group: Group) -> tuple[list[str], np.ndarray]:
    """Class names and counts (true class, predicted class), int64, summed over seeds."""
    rows = study.rows("confusion", group.key)
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

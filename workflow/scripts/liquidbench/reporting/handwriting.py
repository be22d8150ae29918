"""Two readings of the same network: the table of error rates, and the figure of errors by the length of the line."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liquidbench.evaluation.edits import KINDS
from liquidbench.evaluation.statistics import mean_interval
from liquidbench.reporting import style
from liquidbench.reporting.bands import FEWEST_SEEDS, seed_count, seed_lines
from liquidbench.reporting.differences import percent
from liquidbench.reporting.line_errors import BIN, READINGS
from liquidbench.reporting.looks import Look, model_handles, study_looks
from liquidbench.reporting.printed import COLUMNS as PRINTED_COLUMNS
from liquidbench.reporting.printed import PrintedTable
from liquidbench.reporting.ranges import NOT_NEGATIVE
from liquidbench.reporting.result_figures import about_runs, any_synthetic
from liquidbench.reporting.result_tables import TRANSCRIPTION, common_notes, synthetic_share
from liquidbench.reporting.study import Group, Study, title_of
from liquidbench.reporting.table import Row, Table, compare_numbers

READING_LINES = {"greedy": "-", "beam": "--"}
READING_SIZES = {"greedy": 6.5, "beam": 4}
READING_NAMES = {"greedy": "greedy", "beam": "beam search"}
# A mean over fewer test lines is no point of a curve.
FEWEST_LINES = 5
RATES = {name: heading for name, heading in TRANSCRIPTION if name != "loss"}
ABOUT = ("Data set", "Data", "Protocol", "Model", "Reading", "Seeds", "Examples train / test")


def transcribing(study: Study) -> list[Group]:
    """The groups that read lines. The configuration tells nothing of the task; IAM is known."""
    return [
        group
        for group in study.groups()
        if group.dataset == "iam" or study.metric(group, "test", "cer") is not None
    ]


def handwriting_table(study: Study) -> Table:
    """CER and WER on the test lines, averaged both ways, and the kinds of errors: a row per model and reading."""
    table = Table(
        name="handwriting",
        title="Handwriting, test split: two readings of the same network",
        about=ABOUT,
        figures=RATES | {kind: f"{kind.capitalize()} per 100 characters" for kind in KINDS},
    )
    groups = transcribing(study)
    for group in groups:
        for reading, (_, suffix) in READINGS.items():
            figures = {
                name: compare_numbers(
                    study.metric(group, "test", f"{name}{suffix}"),
                    *(None, 4),
                    confidence=study.layout.confidence,
                    possible=NOT_NEGATIVE,
                )
                for name in RATES
            }
            shares = _errors_per_100_characters(study, group, reading)
            confidence = study.layout.confidence
            figures |= {
                kind: compare_numbers(
                    shares.get(kind), None, 2, confidence=confidence, possible=NOT_NEGATIVE
                )
                for kind in KINDS
            }
            about = (title_of(group.dataset), group.data, group.protocol_label, group.model)
            how = f"beam search{_width(study, group)}" if reading == "beam" else reading
            table.rows.append(Row((*about, how, group.seeds, group.examples), figures))
    table.synthetic = synthetic_share(groups)
    table.notes = [
        *common_notes(study, groups, PrintedTable(pd.DataFrame(columns=PRINTED_COLUMNS))),
        "greedy: the likeliest character of each step, as the paper's code reads; beam search: the likeliest text, "
        "summed over its paths, without a language model",
        "substitutions, insertions (read and not written) and deletions (written and not read) add up "
        "to the pooled CER",
    ]
    return table


def _width(study: Study, group: Group) -> str:
    """How wide the beam was, ", 10 wide"; empty before anything was read."""
    widths = dict.fromkeys(study.metric(group, "test", "beam_width") or [])
    return f", {'/'.join(f'{width:.0f}' for width in widths)} wide" if widths else ""


def _errors_per_100_characters(study: Study, group: Group, reading: str) -> dict[str, list[float]]:
    """Each kind of error for every finished seed; empty if nothing was read."""
    rows = study.rows("handwriting", group.key)
    sums = rows[rows["reading"] == reading].groupby("seed")[["characters", *KINDS]].sum()
    if sums.empty:
        return {}
    return {kind: (100 * sums[kind] / sums["characters"].clip(lower=1)).tolist() for kind in KINDS}


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

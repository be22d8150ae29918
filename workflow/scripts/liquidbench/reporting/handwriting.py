"""Two readings of the same network: the table of error rates, and the figure of errors by the length of the line."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liquidbench.evaluation.edits import KINDS
from liquidbench.evaluation.statistics import mean_interval
from liquidbench.reporting import style
from liquidbench.reporting.differences import percent
from liquidbench.reporting.line_errors import BIN, READINGS
from liquidbench.reporting.printed import COLUMNS as PRINTED_COLUMNS
from liquidbench.reporting.printed import PrintedTable
from liquidbench.reporting.result_figures import about_runs, any_synthetic
from liquidbench.reporting.result_tables import TRANSCRIPTION, common_notes, synthetic_share
from liquidbench.reporting.study import Group, Study, select, title_of
from liquidbench.reporting.table import NOT_NEGATIVE, Row, Table, compare_numbers

READING_LINES = {"greedy": "-", "beam": "--"}
READING_NAMES = {"greedy": "greedy", "beam": "beam search"}
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
    rows = select(study.frames["handwriting"], group.dataset, group.protocol, group.model)
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
    styles = style.model_styles([group.model for group in groups])
    for group in groups:
        rows = select(study.frames["handwriting"], group.dataset, group.protocol, group.model)
        for reading, look in READING_LINES.items():
            own, colours = rows[rows["reading"] == reading], styles[group.model]
            _draw_rates(top, own, look, colours, study.layout.confidence)
    lines = rows[(rows["reading"] == "greedy") & (rows["seed"] == rows["seed"].min())]
    bottom.bar(_middle(lines["shortest"]), lines["lines"], width=0.8 * BIN, color=style.LIGHT_GREY)
    top.set(ylabel="CER (mean over lines)", ylim=(0, None))
    bottom.set(ylabel="Test lines", xlabel="Characters of the line")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=5, label=model)
        for model, (colour, marker) in styles.items()
    ]
    handles += [
        Line2D([], [], color=style.GREY, ls=look, label=READING_NAMES[reading])
        for reading, look in READING_LINES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    caption = (
        f"{about_runs(groups)} Solid: greedy reading; dashed: beam search. {BIN} neighbouring lengths "
        f"share a point. {_spread(groups, study.layout.confidence)} Below: test lines of each length."
    )
    return figure, title, caption


def _spread(groups: list[Group], confidence: float) -> str:
    """What a caption says of the seeds."""
    several = [group for group in groups if len(group.finished) > 1]
    if not several:
        return "One seed, hence no interval."
    text = (
        f"Points: mean over seeds; bars: {percent(confidence)} interval of that mean (Student's t)."
    )
    return text if several == groups else f"{text} A model with one seed has no bars."


def _middle(shortest: pd.Series) -> pd.Series:
    return shortest + (BIN - 1) / 2


def _draw_rates(
    axes: Axes, rows: pd.DataFrame, look: str, colours: tuple[str, str], confidence: float
) -> None:
    """One reading of one model: means over seeds, and intervals where a bin has several seeds."""
    colour, marker = colours
    rates = rows.groupby("shortest")["cer"]
    mean = rates.mean()
    places = _middle(mean.index.to_series())
    axes.plot(places, mean, look, color=colour, marker=marker, ms=4)
    reach = rates.agg(half_interval, confidence)
    axes.errorbar(places, mean, yerr=reach, fmt="none", ecolor=colour, elinewidth=1, capsize=2)


def half_interval(values: pd.Series, confidence: float) -> float:
    """Half the width of Student's interval of a mean over seeds; NaN with one seed."""
    interval = mean_interval(values, confidence)
    return math.nan if interval.low is None else (interval.high - interval.low) / 2

"""The study's question in one table: with gaps, is a liquid network ahead of an LSTM that was trained alike?"""

from itertools import product

import pandas as pd
from tabulate import tabulate

from liquidbench.reporting.differences import ONE_SEED
from liquidbench.reporting.stress_differences import AREA, LOSS
from liquidbench.reporting.study import Group, Study, select, title_of
from liquidbench.reporting.table import NOTHING, interval_text, signed
from liquidbench.reporting.titles import corruption_title

LIQUID = ("cfc", "ltc")
# One figure for each data set, of which errors are better low.
FIGURES = {"nmnist": "accuracy", "quickdraw": "accuracy", "iam": "cer"}
OF_STAYS = "average_precision"
# The paper's test, and that of steps that are not there.
LOSSES = (("zero_steps",), ("remove_steps", "drop_hours"))
_FRONT = ("Data set", "Data", "Protocol", "Liquid", "LSTM", "Figure", "Seeds")


def gap_summary(study: Study) -> str:
    """Markdown: a row per pair of a liquid network and an LSTM that were trained and told alike; empty without one.

    Differences are liquid less LSTM, in percent: on whole sequences, of the mean over the rates (area), and of what is
    lost on average.
    """
    lines = [line for pair in _pairs(study) for line in _line(study, *pair)]
    if not lines:
        return ""
    headings = [*_FRONT, "Whole sequences"]
    for corruptions in LOSSES:
        title = corruption_title(corruptions[0])
        headings += [f"{title}: mean over the rates", f"{title}: loss"]
    body = tabulate(
        lines, headings, tablefmt="pipe", disable_numparse=True, colalign=["left"] * len(headings)
    )
    return (
        "## With gaps: liquid less LSTM\n\n"
        "Percent, liquid less LSTM, of pairs that had the same training and were both told the elapsed times or both "
        "not. In brackets the interval over seeds, examples and losses, not corrected; behind it who is better by it, "
        "or “open”. A loss is the figure on whole sequences less the mean over the rates: who loses less is better. "
        "Of error rates the lower is better. All pairs and losses, with Holm's p: "
        f"[Paired differences in the stress test](tables/table_stress_differences.md).\n\n{body}\n"
    )


def _pairs(study: Study) -> list[tuple[Group, Group]]:
    """Stress-tested groups of one protocol, with a liquid core and with an LSTM, that were trained and told alike."""
    tested = study.frames["stress_differences"]
    names = set(zip(tested["dataset"], tested["protocol"], tested["model_a"]))
    names |= set(zip(tested["dataset"], tested["protocol"], tested["model_b"]))
    groups = [g for g in study.groups() if (g.dataset, g.protocol, g.model) in names]
    cores = {group: study.core_of(group) for group in groups}
    liquid = [group for group in groups if cores[group] in LIQUID]
    lstms = [group for group in groups if cores[group] == "lstm"]
    return [
        (a, b)
        for a, b in product(liquid, lstms)
        if (a.dataset, a.protocol) == (b.dataset, b.protocol) and _told(study, a) == _told(study, b)
    ]


def _told(study: Study, group: Group) -> tuple:
    """How a group was trained, and whether it was told the elapsed times."""
    rows = select(study.frames["settings"], group.dataset, group.protocol, group.model)
    own = dict(zip(rows["setting"], rows["value"]))
    training = {name: value for name, value in own.items() if name.startswith("training.")}
    timed = own.get("architecture.elapsed", "none") != "none"
    return tuple(sorted(training.items())), timed


def _line(study: Study, liquid: Group, lstm: Group) -> list[list[str]]:
    """The pair's row; none where no row of differences has it."""
    frame = study.frames["stress_differences"]
    metric = FIGURES.get(liquid.dataset, OF_STAYS)
    rows = frame[(frame["dataset"] == liquid.dataset) & (frame["protocol"] == liquid.protocol)]
    rows = rows[(rows["metric"] == metric)]
    turned = (rows["model_a"] == lstm.model) & (rows["model_b"] == liquid.model)
    rows = rows[turned | ((rows["model_a"] == liquid.model) & (rows["model_b"] == lstm.model))]
    if rows.empty:
        return []
    better = -1 if metric == "cer" else 1
    whole = rows[rows["figure"] == "0"].head(1)
    cells = [_cell(whole, lstm.model, better)]
    for corruptions in LOSSES:
        own = rows[rows["corruption"].isin(corruptions)]
        first = own["corruption"].iloc[0] if not own.empty else ""
        own = own[own["corruption"] == first]
        cells.append(_cell(own[own["figure"] == AREA], lstm.model, better))
        # The loss of an error rate is negative where errors rise: less of a loss is a higher number there too.
        cells.append(_cell(own[own["figure"] == LOSS], lstm.model, -better))
    front = [title_of(liquid.dataset), liquid.data, liquid.protocol_label]
    front += [liquid.model, lstm.model, metric.replace("_", " "), f"{int(rows['seeds'].max())}"]
    return [[*front, *cells]]


def _cell(rows: pd.DataFrame, lstm: str, better: int) -> str:
    """A difference in percent, liquid less LSTM, with its interval and who is better by it.

    Args:
        rows: one row of differences, or none.
        lstm: the LSTM's name: where it is `model_a`, the signs turn.
        better: 1 where a higher figure is better, else -1.
    """
    if rows.empty:
        return NOTHING
    row = rows.iloc[0]
    sign = -100 if row["model_a"] == lstm else 100
    shown = signed(sign * row["difference"], 2)
    if row["low"] != row["low"]:
        return f"{shown} ({ONE_SEED if row['interval'] == ONE_SEED else row['interval']})"
    low, high = sorted((sign * row["low"], sign * row["high"]))
    who = "open" if low <= 0 <= high else "liquid" if (low > 0) == (better > 0) else "LSTM"
    return f"{shown} {interval_text(low, high, 2)} **{who}**"

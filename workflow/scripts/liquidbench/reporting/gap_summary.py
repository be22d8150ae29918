"""The study's question in one table: with gaps, is a liquid network ahead of an LSTM that was trained alike?"""

from dataclasses import dataclass, replace
from itertools import chain, product

import numpy as np
import pandas as pd
from tabulate import tabulate

from liquidbench.evaluation.statistics import holm
from liquidbench.reporting.stress_differences import AREA, ERRORS, LOSS
from liquidbench.reporting.stress_notes import stress_notes, untrained_or_padded
from liquidbench.reporting.study import Group, Study, title_of
from liquidbench.reporting.table import NOTHING, interval_text, signed

LIQUID = ("cfc", "ltc")
# One figure for each data set.
FIGURES = {
    "nmnist": "accuracy",
    "quickdraw": "accuracy",
    "iam": "cer",
    "physionet": "average_precision",
}
# The paper's test, and that of steps that are not there: hours of stays, moves of a pen, frames, columns.
LOSSES = {"Zeroed": ("zero_steps",), "Removed": ("remove_steps", "drop_hours")}

FRONT = ("Data set", "Data", "Protocol", "Liquid", "LSTM", "Figure", "Seeds")

Pair = tuple[Group, Group]


@dataclass(frozen=True)
class Cell:
    """A difference as text, and what can be said of it.

    Attributes:
        text: in percent, liquid less LSTM, with its interval.
        seeds: that both models have; 0 where there is no difference.
        ahead: who is better, "liquid" or "LSTM", by an interval without 0; else empty.
        p_value: before any correction; NaN where nobody may be called better.
        is_loss: whether it is what is lost, and not a level.
        clear: whether it outlasts the correction over all differences of its data set.
    """

    text: str = NOTHING
    seeds: int = 0
    ahead: str = ""
    p_value: float = np.nan
    is_loss: bool = False
    clear: bool = False

    @property
    def judged(self) -> bool:
        """Whether somebody may be called better."""
        return not np.isnan(self.p_value)


def gap_summary(study: Study) -> str:
    """Markdown: a row per pair of a liquid network and an LSTM that were trained and told alike; empty without one.

    Differences are liquid less LSTM, in percent: on whole sequences, of the mean over the rates (area), and of what is
    lost on average.
    """
    pairs, alone = _pairs(study)
    if not pairs:
        return ""
    rows = [(pair, _row(study, *pair)) for pair in pairs]
    # Two models may be tested and share no seed yet.
    rows = [(pair, row) for pair, row in rows if any(cell.seeds for cell in row)]
    rows = _judged(rows, 1 - study.layout.confidence)
    lines = [
        [*_front(study, *pair, row), *(_shown(cell, row[0]) for cell in row)] for pair, row in rows
    ]
    headings = [*FRONT, *_headings()]
    body = tabulate(
        lines, headings, tablefmt="pipe", disable_numparse=True, colalign=["left"] * len(headings)
    )
    notes = [
        "who is better is named in bold where Holm's p says so, over a data set's differences in this table; not on "
        "synthetic data, nor where a note below bars it; who is worse on whole sequences has less to lose",
        "removed: steps, of sepsis stays hours; the time that they took goes to the next step",
        *stress_notes(study, [group for pair in pairs for group in pair]),
        *(
            f"no LSTM was trained and told like {title_of(g.dataset)} {g.protocol}/{g.model}"
            for g in alone
        ),
        "all pairs and kinds of loss: [Paired differences in the stress test](tables/table_stress_differences.md)",
    ]
    return (
        "## With gaps: liquid less LSTM\n\n"
        "Pairs that had the same training and were both told the elapsed times or both not; what else may differ of "
        "them stands beside the names. In percent, liquid less LSTM; in brackets the interval over seeds, "
        "examples and losses. Of an error rate the lower is better. A loss is how much worse the mean over the rates "
        f"is than whole sequences: the lower, the more robust.\n\n{body}\n\n"
        + "".join(f"- {note}\n" for note in notes)
    )


def _headings() -> list[str]:
    """The columns of figures."""
    kinds = ([f"{kind}: mean over the rates", f"{kind}: loss"] for kind in LOSSES)
    return ["Whole sequences", *chain.from_iterable(kinds)]


def _pairs(study: Study) -> tuple[list[Pair], list[Group]]:
    """Stress-tested groups with a liquid core and with an LSTM, trained and told alike; and the liquid without one."""
    tested = study.frames["stress_differences"]
    names = set(zip(tested["dataset"], tested["protocol"], tested["model_a"]))
    names |= set(zip(tested["dataset"], tested["protocol"], tested["model_b"]))
    groups = [g for g in study.groups() if g.key in names]
    cores = {group: study.core_of(group) for group in groups}
    conditions = {group: _conditions(study, group) for group in groups}
    liquid = [group for group in groups if cores[group] in LIQUID]
    lstms = [group for group in groups if cores[group] == "lstm"]
    pairs = [
        (a, b)
        for a, b in product(liquid, lstms)
        if (a.dataset, a.protocol) == (b.dataset, b.protocol) and conditions[a] == conditions[b]
    ]
    paired = {group for group, _ in pairs}
    return pairs, [group for group in liquid if group not in paired]


def _settings(study: Study, group: Group) -> dict[str, str]:
    rows = study.rows("settings", group.key)
    return dict(zip(rows["setting"], rows["value"]))


def _conditions(study: Study, group: Group) -> tuple:
    """How a group was trained, and whether it was told the elapsed times."""
    own = _settings(study, group)
    training = {name: value for name, value in own.items() if name.startswith("training.")}
    timed = own.get("architecture.elapsed", "none") != "none"
    return tuple(sorted(training.items())), timed


def _described(study: Study, group: Group) -> str:
    """The model's name, with what two models that were trained alike may differ in."""
    own = _settings(study, group)
    rows = study.rows("parameters", group.key)
    facts = [f"{int(count):,} core parameters" for count in rows["core"].dropna().unique()[:1]]
    layers = own.get("architecture.core.layers", "1")
    facts += [f"{layers} layers"] * (layers not in ("1", "null"))
    facts += ["both directions"] * (own.get("architecture.core.bidirectional") == "true")
    return f"{group.model} ({', '.join(facts)})" if facts else group.model


def _front(study: Study, liquid: Group, lstm: Group, row: list[Cell]) -> list[str]:
    """What stands before the pair's figures."""
    seeds = sorted({cell.seeds for cell in row if cell.seeds})
    front = [title_of(liquid.dataset), liquid.data, liquid.protocol_label]
    front += [_described(study, liquid), _described(study, lstm)]
    front += [FIGURES[liquid.dataset].replace("_", " ")]
    return [*front, " to ".join(map(str, seeds[:1] + seeds[1:][-1:]))]


def _row(study: Study, liquid: Group, lstm: Group) -> list[Cell]:
    """The pair's figures: on whole sequences, then of each kind of loss the mean over the rates and the loss."""
    frame, metric = study.frames["stress_differences"], FIGURES[liquid.dataset]
    rows = frame[(frame["dataset"] == liquid.dataset) & (frame["protocol"] == liquid.protocol)]
    rows = rows[rows["metric"] == metric]
    turned = (rows["model_a"] == lstm.model) & (rows["model_b"] == liquid.model)
    rows = rows[turned | ((rows["model_a"] == liquid.model) & (rows["model_b"] == lstm.model))]
    better = "lower" if metric in ERRORS else "higher"
    row = [_cell(rows[rows["figure"] == "0"].head(1), lstm.model, better, liquid.synthetic)]
    for corruptions in LOSSES.values():
        own = rows[rows["corruption"].isin(corruptions)]
        own = own[own["corruption"] == own["corruption"].iloc[0]] if len(own) else own
        barred = liquid.synthetic or any(
            untrained_or_padded(study, group, corruptions[0]) for group in (liquid, lstm)
        )
        row.append(_cell(own[own["figure"] == AREA], lstm.model, better, barred))
        row.append(_cell(own[own["figure"] == LOSS], lstm.model, "lower", barred, is_loss=True))
    return row


def _cell(rows: pd.DataFrame, lstm: str, better: str, barred: bool, is_loss: bool = False) -> Cell:
    """A difference in percent, liquid less LSTM.

    Args:
        rows: one row of differences, or none.
        lstm: the LSTM's name: where it is `model_a`, the signs turn.
        better: "higher" or "lower".
        barred: whether nobody may be called better.
        is_loss: whether it is what is lost.
    """
    if rows.empty:
        return Cell()
    row = rows.iloc[0]
    sign = -100 if row["model_a"] == lstm else 100
    shown, seeds = signed(sign * row["difference"], 2), int(row["seeds"])
    if row["low"] != row["low"]:
        return Cell(f"{shown} ({row['interval']})", seeds)
    low, high = sorted((sign * row["low"], sign * row["high"]))
    liquid = (sign * row["difference"] > 0) == (better == "higher")
    return Cell(
        text=f"{shown} {interval_text(low, high, 2)}",
        seeds=seeds,
        ahead="" if low <= 0 <= high else "liquid" if liquid else "LSTM",
        p_value=np.nan if barred else row["p_value"],
        is_loss=is_loss,
    )


def _judged(rows: list[tuple[Pair, list[Cell]]], level: float) -> list[tuple[Pair, list[Cell]]]:
    """The rows with what is `clear`: Holm's p over the differences of the data set is at most `level`."""
    families: dict[str, list[float]] = {}
    for (liquid, _), row in rows:
        families.setdefault(liquid.dataset, []).extend(cell.p_value for cell in row if cell.judged)
    corrected = {dataset: iter(holm(values)) for dataset, values in families.items()}
    return [
        (
            pair,
            [replace(c, clear=c.judged and next(corrected[pair[0].dataset]) <= level) for c in row],
        )
        for pair, row in rows
    ]


def _shown(cell: Cell, whole: Cell) -> str:
    """A cell with who is better, where that is clear."""
    if not cell.clear:
        return cell.text
    worse_start = cell.is_loss and whole.ahead not in ("", cell.ahead)
    return f"{cell.text} **{cell.ahead}**{', from a worse start' if worse_start else ''}"

"""Table III, and one number per model and corruption: what is left when steps or values are lost."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from liquidbench.evaluation.statistics import curve_area
from liquidbench.reporting.printed import Printed, PrintedTable
from liquidbench.reporting.ranges import STRESS_RANGES
from liquidbench.reporting.result_tables import (
    ABOUT,
    about_group,
    common_notes,
    comparison_notes,
    synthetic_share,
)
from liquidbench.reporting.stress_notes import stress_notes
from liquidbench.reporting.study import PAPERS_PROTOCOLS, Group, Study
from liquidbench.reporting.table import Comparison, Row, Table, compare_numbers
from liquidbench.reporting.titles import STRESS_METRIC_TITLES

PRINTED_RATES = (0.0, 0.3, 0.5, 0.7)


def stress_table(study: Study, printed: PrintedTable) -> Table:
    """Table III: figures in % by the share that is lost at inference; the paper printed zeroed steps."""
    rates = sorted({*PRINTED_RATES, *study.frames["stress"]["rate"]})
    table = Table(
        name="3",
        title="Stress test: accuracy and other figures (%) by the share that is lost at inference",
        about=(*ABOUT, "Corruption", "Metric", "Draws"),
        figures={rate_text(rate): f"{rate_text(rate)}%" for rate in rates},
    )
    groups = stressed_groups(study)
    for group in groups:
        for corruption, metric, rows in _curves(study, group):
            figures = {}
            # First over the draws of a run, then over runs: a seed is one observation.
            of_rate = dict(iter(rows.groupby(["rate", "seed"])["value"].mean().groupby("rate")))
            for rate in rates:
                name = rate_text(rate)
                target = None
                if group.protocol == study.layout.stress_protocol and metric == "accuracy":
                    target = printed.find(f"{corruption}/{name}", group.dataset, group.model)
                values = (of_rate[rate] * 100).tolist() if rate in of_rate else None
                figures[name] = _compared(study, group, metric, values, target)
            about = (
                *about_group(_as_tested(group, rows), printed),
                corruption,
                STRESS_METRIC_TITLES[metric],
                _draws(rows),
            )
            table.rows.append(Row(about, figures))
    table.synthetic = synthetic_share(groups)
    table.notes = [
        *common_notes(study, groups, printed),
        *comparison_notes(study, groups),
        *_untested(study, groups),
        *stress_notes(study, groups),
        "mean over the draws; what is lost is the same for every model, and what is lost at a rate is lost at every "
        "higher one",
        "the paper printed accuracies with zeroed steps alone",
    ]
    return table


def stress_area_table(study: Study) -> Table:
    """One number per model and corruption: the normalised area under the curve of Table III."""
    table = Table(
        name="stress_area",
        title="Stress test in one number: area under the curve of a figure over the share that is lost",
        about=(
            *("Data set", "Data", "Protocol", "Model", "Seeds"),
            *("Corruption", "Metric", "Rates", "Draws"),
        ),
        figures={"area": "Area (%)"},
    )
    groups = stressed_groups(study)
    for group in groups:
        for corruption, metric, rows in _curves(study, group):
            values = [
                100 * area for _, own in rows.groupby("seed") for area in normalised_area(own)
            ]
            rates = " ".join(rate_text(rate) for rate in sorted(set(rows["rate"]))) or "–"
            front = _as_tested(group, rows).front
            about = (*front, corruption, STRESS_METRIC_TITLES[metric], rates, _draws(rows))
            table.rows.append(
                Row(about, {"area": _compared(study, group, metric, values or None, None)})
            )
    table.synthetic = synthetic_share(groups)
    table.notes = [
        "trapezoids over the rates (%), divided by the distance from the lowest to the highest: a mean over the rates; "
        "one number per seed, from the mean over its draws",
        "a model with a higher figure on whole sequences has a higher area, robust or not: see Table III's first rate",
        *_untested(study, groups),
        *stress_notes(study, groups),
    ]
    return table


def normalised_area(rows: pd.DataFrame) -> list[float]:
    """The area under the curve of one run, divided by the span of its rates; empty for fewer than two rates.

    Args:
        rows: `rate` and `value`, all draws of one corruption and metric.
    """
    curve = rows.groupby("rate")["value"].mean()
    return [float(curve_area(curve.index, curve))] if len(curve) > 1 else []


def stressed_groups(study: Study) -> list[Group]:
    """Groups under the stress test's own protocol, and others that were tested."""
    return [
        group
        for group in study.groups()
        if group.protocol == study.layout.stress_protocol
        or not study.rows("stress", group.key).empty
    ]


def _curves(study: Study, group: Group) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Corruption, metric and rows of each curve of a group; a group without any has an empty one, of the paper's."""
    rows = study.rows("stress", group.key)
    if rows.empty:
        yield "zero_steps", "accuracy", rows
    for corruption in dict.fromkeys(rows["corruption"]):
        some = rows[rows["corruption"] == corruption]
        for metric in dict.fromkeys(some["metric"]):
            yield corruption, metric, some[some["metric"] == metric]


def _compared(
    study: Study, group: Group, metric: str, values: list[float] | None, target: Printed | None
) -> Comparison:
    return compare_numbers(
        *(values, target),
        decimals=2,
        comparable=group.papers_data and group.protocol in PAPERS_PROTOCOLS,
        confidence=study.layout.confidence,
        possible=STRESS_RANGES[metric],
    )


def _as_tested(group: Group, rows: pd.DataFrame) -> Group:
    """The group with the seeds of `rows` alone as finished: a run may have finished and not be tested yet."""
    tested = set(rows["seed"].astype(int))
    planned = group.finished + group.missing
    return replace(
        group,
        finished=tuple(seed for seed in planned if seed in tested),
        missing=tuple(seed for seed in planned if seed not in tested),
    )


def _draws(rows: pd.DataFrame) -> str:
    return "–" if rows.empty else str(rows["draw"].nunique())


def _untested(study: Study, groups: list[Group]) -> list[str]:
    """A line per finished run without a stress test, in groups that have one."""
    notes = []
    for group in groups:
        rows = study.rows("stress", group.key)
        tested = set(rows["seed"].astype(int))
        notes += [
            f"not stress-tested: {group.dataset}/{group.protocol}/{group.model} seed {seed}"
            for seed in group.finished
            if seed not in tested
        ]
    return notes


def rate_text(rate: float) -> str:
    """0.3 as "30"; more digits where there are any."""
    return f"{rate * 100:g}" if abs(rate * 100 - round(rate * 100)) > 1e-9 else f"{rate * 100:.0f}"

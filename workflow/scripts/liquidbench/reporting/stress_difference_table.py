"""Table of differences in the stress test: every pair of models, which the paper does not have."""

from typing import Any

from liquidbench.reporting.difference_table import (
    difference_shown,
    number_shown,
    p_shown,
)
from liquidbench.reporting.differences import percent
from liquidbench.reporting.result_tables import synthetic_share
from liquidbench.reporting.stress_differences import AREA, LOSS
from liquidbench.reporting.stress_notes import stress_notes
from liquidbench.reporting.study import Study, title_of
from liquidbench.reporting.table import Comparison, Row, Table, compare_texts
from liquidbench.reporting.titles import STRESS_METRIC_TITLES

FIGURES = {
    "area_a": "Area A (%)",
    "area_b": "Area B (%)",
    "area": "A - B",
    "area_p": "p",
    "area_p_holm": "p (Holm)",
    "loss_a": "Loss A (%)",
    "loss_b": "Loss B (%)",
    "loss": "Loss, A - B",
    "loss_p": "p",
    "loss_p_holm": "p (Holm)",
    "comparisons": "Comparisons",
}
DECIMALS = 2


def stress_differences_table(study: Study) -> Table:
    """Every pair of models under every corruption: the areas under their curves, and what each of them loses."""
    table = Table(
        name="stress_differences",
        title="Paired differences in the stress test: area under the curve, and loss on average (%)",
        about=(
            "Data set",
            "Data",
            "Protocol",
            "Model A",
            "Model B",
            "Corruption",
            "Metric",
            "Seeds",
            "Examples",
        ),
        figures=FIGURES,
    )
    frame = study.frames["stress_differences"]
    groups = {group.key: group for group in study.groups()}
    keys = ["dataset", "protocol", "model_a", "model_b", "corruption", "metric"]
    order = list(dict.fromkeys(key[:2] for key in groups))
    frame = frame[frame["figure"].isin([AREA, LOSS])]
    own = dict(iter(frame.groupby(keys, sort=False)))
    for key in sorted(own, key=lambda key: order.index(key[:2])):
        dataset, _, model_a, model_b, corruption, metric = key
        rows = {row.figure: row for row in own[key].itertuples(index=False)}
        group = groups[key[0], key[1], model_a]
        area = rows[AREA]
        about = (
            *(title_of(dataset), group.data, group.protocol_label, model_a, model_b),
            *(corruption, STRESS_METRIC_TITLES[metric]),
            *(f"{int(area.seeds)}", f"{int(area.examples):,}"),
        )
        table.rows.append(Row(about, _figures(rows)))
    compared = dict.fromkeys((*key[:2], key[position]) for key in own for position in (2, 3))
    shown = [groups[key] for key in compared]
    table.synthetic = synthetic_share(shown)
    table.notes = [
        "area: the mean of the curve over the rates, by trapezoids; loss: how much worse it is than the figure on "
        "whole sequences, so a positive difference says that A loses more than B",
        f"in brackets the {percent(study.layout.confidence)} interval, for other seeds, test examples and losses at "
        "once, paired by seed and example, not corrected; both models lose the same",
        *stress_notes(study, shown),
        "p (Holm) is corrected for all pairs and corruptions of a data set, a protocol and a metric, areas and losses "
        "each by themselves",
        "the differences at each rate are in stress_differences.csv of the summaries",
    ]
    return table


def _figures(rows: dict[str, Any]) -> dict[str, Comparison]:
    """The cells of one pair, corruption and metric, from its rows by figure."""
    cells: dict[str, Comparison] = {}
    for name in (AREA, LOSS):
        if name not in rows:
            continue
        row = rows[name]
        scaled = ("value_a", "value_b", "difference", "low", "high")
        row = row._replace(**{column: getattr(row, column) * 100 for column in scaled})
        cells |= {
            f"{name}_a": number_shown(row.value_a, DECIMALS),
            f"{name}_b": number_shown(row.value_b, DECIMALS),
            name: difference_shown(row, DECIMALS),
            f"{name}_p": p_shown(row.p_value, row.interval),
            f"{name}_p_holm": p_shown(row.p_holm, row.interval),
        }
    cells["comparisons"] = compare_texts(f"{int(rows[AREA].comparisons)}", None)
    return {name: cells[name] for name in FIGURES if name in cells}

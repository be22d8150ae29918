"""Table of differences: every pair of models, which the paper does not have."""

import json
import math

from liquidbench.reporting.differences import FAMILIES, NO_FIGURE, ONE_SEED, percent
from liquidbench.reporting.result_tables import synthetic_share
from liquidbench.reporting.study import Group, Study, title_of
from liquidbench.reporting.table import (
    NOTHING,
    Comparison,
    Row,
    Table,
    compare_texts,
    interval_text,
    signed,
)

METRICS = {
    "accuracy": ("Accuracy", 4),
    "precision": ("Precision", 3),
    "recall": ("Recall", 3),
    "f1": ("F1", 3),
    "false_positives": ("False positives", 1),
    "auroc": ("AUROC", 3),
    "average_precision": ("Average precision", 3),
    "cer": ("CER, mean over lines", 4),
    "cer_pooled": ("CER, pooled over characters", 4),
    "wer": ("WER, mean over lines", 4),
    "wer_pooled": ("WER, pooled over words", 4),
}
FIGURES = {
    "value_a": "A",
    "value_b": "B",
    "difference": "A - B",
    "p_value": "p",
    "p_holm": "p (Holm)",
    "comparisons": "Comparisons",
    "mcnemar": "McNemar, p (Holm) by seed",
    "p_these_models": "p, these models",
}
FEWEST_SHOWN = 1e-4


def differences_table(study: Study) -> Table:
    """Every pair of models on every metric: both means, the paired difference with its interval, and the tests."""
    table = Table(
        name="differences",
        title="Paired differences between models, test split",
        about=("Data set", "Data", "Protocol", "Model A", "Model B", "Metric", "Seeds", "Examples"),
        figures=FIGURES,
    )
    frame = study.frames["differences"]
    groups = {group.key: group for group in study.groups()}
    order = list(dict.fromkeys(key[:2] for key in groups))
    for dataset, protocol in order:
        of_protocol = frame[(frame["dataset"] == dataset) & (frame["protocol"] == protocol)]
        for row in of_protocol.itertuples(index=False):
            group = groups[dataset, protocol, row.model_a]
            table.rows.append(_row(row, group))
    finished = [group for group in groups.values() if group.finished]
    table.synthetic = synthetic_share(finished)
    table.notes = [note for group in groups.values() for note in group.missing_notes]
    table.notes += _not_compared(study, list(groups.values()))
    table.notes += _meaning(study)
    return table


def _row(row, group: Group) -> Row:
    heading, decimals = METRICS[row.metric]
    about = (
        title_of(row.dataset),
        group.data,
        group.protocol_label,
        *(row.model_a, row.model_b, heading),
        f"{int(row.seeds)}",
        f"{int(row.examples):,}",
    )
    figures = {name: number_shown(getattr(row, name), decimals) for name in ("value_a", "value_b")}
    figures["difference"] = difference_shown(row, decimals)
    for name in ("p_value", "p_holm"):
        figures[name] = p_shown(getattr(row, name), row.interval)
    figures["p_these_models"] = p_shown(row.p_these_models)
    figures["comparisons"] = compare_texts(f"{int(row.comparisons)}", None)
    tests = zip(json.loads(row.mcnemar), json.loads(row.mcnemar_holm))
    shown = "; ".join(f"{p_text(p)} ({p_text(corrected)})" for p, corrected in tests)
    figures["mcnemar"] = compare_texts(shown or NOTHING, None)
    return Row(about, {name: figures[name] for name in FIGURES})


def number_shown(value: float, decimals: int) -> Comparison:
    """One model's figure, or that it does not exist."""
    if math.isnan(value):
        return Comparison(NO_FIGURE)
    return Comparison(f"{value:,.{decimals}f}", numbers=(value, *(None,) * 6))


def difference_shown(row, decimals: int) -> Comparison:
    """The difference of a row of differences with its interval, or with why it has none."""
    if row.interval == NO_FIGURE:
        return Comparison(NO_FIGURE)
    shown = signed(row.difference, decimals)
    if row.interval == ONE_SEED:
        numbers = (row.difference, None, ONE_SEED, ONE_SEED, 1, None, None)
        return Comparison(f"{shown} ({ONE_SEED})", numbers=numbers)
    numbers = (row.difference, None, row.low, row.high, int(row.seeds), None, None)
    return Comparison(f"{shown} {interval_text(row.low, row.high, decimals)}", numbers=numbers)


def p_shown(value: float, interval: str = "") -> Comparison:
    """A p-value, or why there is none: what `interval` says of a single seed, or of none that has the figure."""
    without = interval if interval in (ONE_SEED, NO_FIGURE) else NOTHING
    numbers = (None if math.isnan(value) else value, *(None,) * 6)
    return Comparison(p_text(value) or without, numbers=numbers)


def p_text(value: float) -> str:
    """A p-value with three digits after the point, or "< 0.0001"; empty for none."""
    if math.isnan(value):
        return ""
    if value < FEWEST_SHOWN:
        return "< 0.0001"
    return f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def _not_compared(study: Study, groups: list[Group]) -> list[str]:
    """Finished models that share data set and protocol with another, and are in no pair."""
    frame = study.frames["differences"]
    notes = []
    for group in groups:
        if not group.finished:
            continue
        beside = [
            other.model
            for other in groups
            if (other.dataset, other.protocol) == (group.dataset, group.protocol)
            and other.finished
            and other.model != group.model
        ]
        same = (frame["dataset"] == group.dataset) & (frame["protocol"] == group.protocol)
        named = set(frame.loc[same, "model_a"]) | set(frame.loc[same, "model_b"])
        if beside and group.model not in named:
            notes.append(
                f"not compared: {group.dataset}/{group.protocol}/{group.model}, which shares no "
                "seed with the same test examples with another model, or has no predictions"
            )
    return notes


def _meaning(study: Study) -> list[str]:
    families = {}
    for metric, family in FAMILIES.items():
        families.setdefault(family, []).append(METRICS[metric][0])
    grouped = "; ".join(", ".join(names) for names in families.values())
    return [
        f"in brackets the {percent(study.layout.confidence)} interval of the difference, for other seeds and other "
        "test examples at once, paired by seed and example; p is below 5 % exactly when the 95 % "
        "interval excludes 0; “one seed”: a single training each, so nothing is known of others",
        "all intervals speak of models trained on this data set's examples: what another training "
        "set would change, one data set cannot tell",
        "p (Holm) is corrected for the comparisons within a data set, a protocol and a family of "
        f"metrics (families: {grouped}); intervals are not corrected",
        "McNemar's exact test and “p, these models” (examples drawn anew, normal) are conditional on "
        "the very models that were trained, seed by seed and on average over their seeds: another "
        "training is not considered",
    ]

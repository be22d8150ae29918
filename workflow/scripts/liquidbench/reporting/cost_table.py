"""What a model's quality costs: parameters, operations and time, beside those of the first LSTM."""

from dataclasses import replace

from liquidbench.reporting.ranges import NOT_NEGATIVE, SHARE
from liquidbench.reporting.result_tables import synthetic_share
from liquidbench.reporting.study import Group, Study, title_of
from liquidbench.reporting.table import Comparison, Row, Table, compare_numbers

QUALITY = {
    "nmnist": ("accuracy", "accuracy"),
    "quickdraw": ("accuracy", "accuracy"),
    "iam": ("cer", "CER"),
    # Most patients have no sepsis: accuracy says little.
    "physionet": ("average_precision", "average precision"),
}
"""The figure of the test split that stands for a data set."""

# Figure to its column of `costs.csv`, what it is multiplied by, and the digits that are shown.
COSTS = {
    "core_parameters": ("core_parameters", 1, 0),
    "flops_per_example": ("flops_per_example", 1e-6, 3),
    "latency_one": ("latency_one_example_seconds", 1e3, 3),
    "latency_batch": ("latency_per_example_seconds", 1e3, 3),
    "epoch": ("median_epoch_seconds", 1, 2),
    "training": ("training_seconds", 1, 0),
    "memory": ("peak_memory_bytes", 2**-20, 0),
    "energy": ("energy_joules", 1e-3, 2),
}
# What is counted and not measured: the same for all seeds of a model, unless its wiring or data differ.
COUNTED = ("core_parameters", "flops_per_example")


def costs_table(study: Study) -> Table:
    """Quality against core parameters, operations, latency, training time, memory and energy."""
    table = Table(
        name="costs",
        title="What quality costs",
        about=("Data set", "Data", "Protocol", "Model", "Seeds", "Quality is"),
        figures={
            "quality": "Quality",
            "core_parameters": "Core parameters",
            "flops_per_example": "Million FLOPs per example",
            "latency_one": "Latency of one example (ms)",
            "latency_batch": "Latency per example in a batch (ms)",
            "epoch": "Epoch (s)",
            "training": "Training (s)",
            "memory": "Peak memory of the process (MiB)",
            "energy": "Energy of the training (kJ)",
        },
        compared_as="ratio",
    )
    groups = study.groups()
    references = _first_lstms(study, groups)
    for group in groups:
        metric, heading = QUALITY[group.dataset]
        reference = references.get((group.dataset, group.protocol))
        figures = {
            "quality": compare_numbers(
                study.metric(group, "test", metric),
                *(None, 4),
                confidence=study.layout.confidence,
                possible=NOT_NEGATIVE if metric == "cer" else SHARE,
            )
        }
        for name in COSTS:
            figures[name] = _cost(study, group, reference, name)
        table.rows.append(Row((*group.front, heading), figures))
    table.synthetic = synthetic_share(groups)
    table.notes = [note for group in groups for note in group.missing_notes]
    table.notes += [
        *_about_ratios(references),
        "FLOPs: of the forward pass of a test example of the median length, two for each multiply-add with a weight; "
        "activation functions do not count, which flatters the LTC, whose synapses are sigmoids",
        "core parameters are nominal: of a CfC that is not told the time, the two time maps act as one "
        "(docs/protocols.md, “Equal sizes”, has the numbers)",
        "latencies and epochs are medians, the training is the sum of its epochs, on the machine of the run. They do "
        "not compare between machines, nor where several jobs shared one: the record of runs says which it was. Memory "
        "is the most that the process held, the training split and torch itself among it, and without what a card held",
        *_about_energy(study),
        *_matches(study, groups),
    ]
    return table


def _first_lstms(study: Study, groups: list[Group]) -> dict[tuple[str, str], Group]:
    """For each data set and protocol the first model with an LSTM for a core that has finished."""
    first: dict[tuple[str, str], Group] = {}
    for group in groups:
        if group.finished and study.core_of(group) == "lstm":
            first.setdefault((group.dataset, group.protocol), group)
    return first


def _cost(study: Study, group: Group, reference: Group | None, name: str) -> Comparison:
    """A cost, with its ratio to that of the reference where both have it."""
    column, _, decimals = COSTS[name]
    values = cost_values(study, group, name)
    comparison = compare_numbers(
        *(values, None, decimals),
        confidence=study.layout.confidence,
        exact=column in COUNTED,
        possible=NOT_NEGATIVE,
    )
    beside = cost_values(study, reference, name) if reference else None
    if not values or not beside:
        return comparison
    if not _mean(beside):
        return comparison
    ratio = _mean(values) / _mean(beside)
    shown = f"× {ratio:.2f}" if ratio >= 0.01 else f"× {ratio:.1e}"
    return replace(comparison, compared=shown, numbers=(*comparison.numbers[:-1], ratio))


def cost_values(study: Study, group: Group, name: str) -> list[float] | None:
    """The values of a cost: of each seed that has one, or once where it is counted; None if no seed has any."""
    column, factor, _ = COSTS[name]
    rows = study.rows("costs", group.key)
    values = (rows[column].dropna() * factor).tolist()
    if column in COUNTED:
        values = list(dict.fromkeys(values))
    return values or None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _about_ratios(references: dict[tuple[str, str], Group]) -> list[str]:
    """Which models the ratios are to."""
    names = ", ".join(
        f"{title_of(dataset)} {protocol}: {group.model}"
        for (dataset, protocol), group in references.items()
    )
    return [f"ratios are to the first LSTM of the same data set and protocol ({names})"] * bool(
        names
    )


def _about_energy(study: Study) -> list[str]:
    """What the energy is, or why there is none."""
    if study.frames["costs"]["energy_joules"].notna().any():
        return [
            "energy: as the processors' packages and the card count it in a training, whatever else they do"
        ]
    return [
        "no energy: the machine that ran does not count it, or lets root alone read its counters"
    ]


def _matches(study: Study, groups: list[Group]) -> list[str]:
    """Which widths were solved for."""
    notes = []
    for group in groups:
        settings = study.rows("settings", group.key)
        told = dict(zip(settings["setting"], settings["value"]))
        if "match.model" in told:
            notes.append(
                f"{title_of(group.dataset)} {group.protocol}/{group.model} has "
                f"{told['architecture.core.units']} units, to have the {int(told['match.other_core_parameters']):,} "
                f"core parameters of {told['match.model']}: {int(told['match.core_parameters']):,}"
            )
    return notes

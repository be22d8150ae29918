"""Tables IV to VI: environment, hyper-parameters and parameter counts, actual beside printed."""

from collections.abc import Iterable

import pandas as pd

from liquidbench.reporting.printed import Printed, PrintedTable
from liquidbench.reporting.result_tables import common_notes, synthetic_share
from liquidbench.reporting.runs import RUN_COLUMNS
from liquidbench.reporting.study import Group, Study, data_label, title_of
from liquidbench.reporting.table import Row, Table, compare_numbers, compare_texts

FURTHER_FACTS = {
    "hardware.processor": "Processor",
    "hardware.cores": "Cores",
    "hardware.memory_bytes": "Memory",
    "hardware.cuda": "CUDA",
    "device": "Device",
    "threads": "Threads",
    "deterministic": "Deterministic",
    "precision": "Precision",
    "core_implementation": "Core implementation",
}

SETTINGS = {
    "training.epochs": "Epochs",
    "training.batch_size": "Batch size",
    "training.optimizer": "Optimizer",
    "training.learning_rate": "Lr",
    "training.schedule": "Lr scheduler",
    "architecture.core.units": "RNN units",
    "training.gradient_clip": "Grad clip",
    "training.weight_decay": "Weight decay",
    "architecture.core": "Core, further settings",
}

COUNTS = {"total": "Total", "core": "Core", "encoder": "Encoder", "head": "Head"}


def environment_table(study: Study, printed: PrintedTable) -> Table:
    """Table IV: what the runs recorded of software and machine; all differing values are listed."""
    facts = study.frames["environment"]
    table = Table(
        name="4",
        title="Software and hardware environment of the runs",
        about=("Component", "Data", "Runs"),
        figures={"version": "What ran"},
        compared_as="verdict",
    )
    listed = dict.fromkeys(fact for _, fact in printed.figures)
    rows = [(row, fact) for row, fact in printed.figures]
    rows += [(name, fact) for fact, name in FURTHER_FACTS.items() if fact not in listed]
    rows += [
        (fact.removeprefix("versions."), fact)
        for fact in sorted(set(facts["fact"]))
        if fact.startswith("versions.") and fact not in listed
    ]
    runs = study.frames["runs"]
    done = runs[runs["state"] == "finished"]
    marks = set(done["synthetic"])
    table.synthetic = "none" if "True" not in marks else "all" if marks == {"True"} else "some"
    data = ", ".join(
        sorted({data_label([r.source], r.synthetic == "True") for r in done.itertuples()})
    )
    for name, fact in rows:
        here = facts[facts["fact"] == fact]
        cell = compare_texts(_values_of_runs(here, fact), printed.find(fact))
        table.rows.append(
            Row((name, data or "–", f"{len(here)} of {len(done)}"), {"version": cell})
        )
    table.notes = [note for group in study.groups() for note in group.missing_notes]
    table.notes.append(
        "what the finished runs recorded while training; a package that no run had is not recorded"
    )
    return table


def _values_of_runs(rows: pd.DataFrame, fact: str) -> str:
    """The value of a fact; if runs differ, each value, the commonest first and the others with
    their runs."""
    if rows.empty:
        return "not recorded"
    counts = rows["value"].value_counts(sort=False)
    ordered = sorted(counts.index, key=lambda value: (-counts[value], value))
    if len(ordered) == 1:
        return _readable(fact, ordered[0])
    texts = [f"{_readable(fact, ordered[0])} ({counts[ordered[0]]} runs)"]
    for value in ordered[1:]:
        keys = rows.loc[rows["value"] == value, RUN_COLUMNS].itertuples(index=False)
        names = ", ".join(f"{k.dataset}/{k.protocol}/{k.model} seed {int(k.seed)}" for k in keys)
        texts.append(f"{_readable(fact, value)} ({names})")
    return "; ".join(texts)


def _readable(fact: str, value: str) -> str:
    if value in ("null", ""):
        return "none"
    if fact.endswith("_bytes") and value.isdigit():
        return f"{int(value) / 2**30:.1f} GiB"
    return value


def settings_table(study: Study, printed: PrintedTable) -> Table:
    """Table V: the settings that were used, each marked as the same as the printed one or not."""
    table = Table(
        name="5",
        title="Training hyper-parameters that were used",
        about=("Data set", "Data", "Protocol", "Model", "Seeds"),
        figures=SETTINGS,
        measured_as="used",
        compared_as="verdict",
    )
    groups = study.groups()
    for group in groups:
        settings = study.rows("settings", group.key)
        figures = {}
        for name in SETTINGS:
            used = used_values(settings, name)
            target = (
                printed.find(name, group.dataset, group.model) if study.is_main(group) else None
            )
            verdict = verdict_on(used, target) if used and target else ""
            figures[name] = compare_texts("; ".join(used) or "–", target, verdict)
        table.rows.append(Row(group.front, figures))
    table.synthetic = synthetic_share(groups)
    table.notes = [note for group in groups for note in group.missing_notes]
    table.notes += [
        "the paper's table has no column for the stress test's own models",
        "the paper's row of schedulers prints Cosine and Step for four data sets: Cosine belongs "
        "to N-MNIST by its Appendix B, and Step is read as IAM's",
    ]
    return table


def used_values(settings: pd.DataFrame, name: str) -> list[str]:
    """The different values that runs of a group have of a setting, in the order of the runs.

    A setting with parts of its own is written as its name and the rest in brackets, such as
    ``step (every_epochs=10, factor=0.5)``; for the core, only what other columns do not say.
    """
    values = []
    for _, rows in settings.groupby("seed", sort=False):
        parts = dict(zip(rows["setting"], rows["value"]))
        if name in parts:
            text = "none" if parts[name] == "null" else parts[name]
        else:
            inner = {
                key.removeprefix(f"{name}."): value
                for key, value in parts.items()
                if key.startswith(f"{name}.")
            }
            if name == "architecture.core":
                inner.pop("units", None)
            if not inner:
                continue
            title = inner.pop("name", "")
            rest = ", ".join(f"{key}={value}" for key, value in inner.items())
            text = f"{title} ({rest})" if title and rest else title or rest
        if text not in values:
            values.append(text)
    return values


def verdict_on(used: Iterable[str], printed: Printed) -> str:
    """Whether every used value is the printed one: "same" or "different".

    "No" is the same as none and as 0; "128/256" is the same as either; a scheduler is told by its
    name.
    """
    allowed = {_canonical(part) for part in printed.text.split("/")}
    return "same" if all(_canonical(value) in allowed for value in used) else "different"


def _canonical(text: str) -> str:
    text = text.split(" (")[0].strip().lower()
    if text in ("no", "none", ""):
        text = "0"
    try:
        return repr(float(text))
    except ValueError:
        return text


def parameters_table(study: Study, printed: PrintedTable) -> Table:
    """Table VI: trainable parameters, in all and by part."""
    table = Table(
        name="6",
        title="Parameter counts",
        about=("Data set", "Data", "Protocol", "Model", "RNN units", "Paper's row", "Seeds"),
        figures=COUNTS,
        compared_as="ratio",
    )
    groups = study.groups()
    for group in groups:
        counts = study.rows("parameters", group.key)
        main = study.is_main(group)
        figures = {}
        for name in COUNTS:
            values = counts[name].tolist() or None
            target = printed.find(name, group.dataset, group.model) if main else None
            figures[name] = compare_numbers(values, target, decimals=0, ratio=True, exact=True)
        table.rows.append(Row(_about_counts(study, group, printed if main else None), figures))
    table.synthetic = synthetic_share(groups)
    table.notes = common_notes(study, groups, printed, estimates=False)
    table.notes.append("counts are exact and the same for every seed: no interval")
    table.notes.append(
        "the paper's counts are approximations of the whole model; the ratio is measured / paper"
    )
    return table


def _about_counts(study: Study, group: Group, printed: PrintedTable | None) -> tuple[str, ...]:
    settings = study.rows("settings", group.key)
    units = "; ".join(used_values(settings, "architecture.core.units")) or "–"
    if "true" in used_values(settings, "architecture.core.bidirectional"):
        units += " per direction"
    row = printed.row_name(group.dataset, group.model) if printed else ""
    return (
        title_of(group.dataset),
        group.data,
        group.protocol_label,
        group.model,
        units,
        row or "–",
        group.seeds,
    )

"""What was run, on what, when and how: what must not be overlooked."""

from dataclasses import dataclass

import pandas as pd

from liquidbench.reporting.study import PAPERS_PROTOCOLS, Group, Study, title_of


@dataclass(frozen=True)
class Caution:
    """Something about the data or the runs that decides what the figures are worth."""

    title: str
    text: str


@dataclass(frozen=True)
class Line:
    """The runs of one data set under one protocol, in words."""

    dataset: str
    data: str
    synthetic: bool
    partial: str
    protocol: str
    papers_protocol: bool
    examples: str
    models: str
    seeds: str


# What a reader asks first about the machine, with the fact of the environment summary that answers.
FACTS = {
    "Processor": "hardware.processor",
    "Cores": "hardware.cores",
    "GPU": "hardware.gpu",
    "Device": "device",
    "Threads of a run": "threads",
    "Operating system": "hardware.operating_system",
    "Python": "versions.python",
    "PyTorch": "versions.torch",
}


def lines(study: Study) -> list[Line]:
    """A line for each data set and protocol, in the study's order."""
    together: dict[tuple[str, ...], list[Group]] = {}
    for group in study.groups():
        key = (group.dataset, group.protocol_label, group.data, group.examples)
        together.setdefault(key, []).append(group)
    found = []
    for (dataset, protocol, data, examples), groups in together.items():
        first = groups[0]
        found.append(
            Line(
                dataset=title_of(dataset),
                data=data,
                synthetic=bool(first.synthetic),
                partial=_partial(first),
                protocol=protocol,
                papers_protocol=first.protocol in PAPERS_PROTOCOLS and not first.overrides,
                examples=examples,
                models=", ".join(group.model for group in groups),
                seeds="; ".join(dict.fromkeys(group.seeds for group in groups)),
            )
        )
    return found


def _partial(group: Group) -> str:
    """How the data differ from the paper's; empty where they do not, or where nothing has run."""
    if not group.finished or group.papers_data:
        return ""
    if group.synthetic:
        return "synthetic"
    return "the paper's task, from a mirror" if group.whole else "not all of the paper's data"


def cautions(study: Study) -> list[Caution]:
    """What must be read before any figure: synthetic, partial, few seeds, missing runs."""
    groups = study.groups()
    found = []
    synthetic = _titles(group for group in groups if group.synthetic)
    if synthetic:
        found.append(
            Caution(
                f"Synthetic data: {synthetic}",
                "Generated, not the real data sets. The figures show that the workflow works, and say nothing about "
                "the real data.",
            )
        )
    partial = _titles(g for g in groups if g.finished and not g.synthetic and not g.whole)
    if partial:
        found.append(
            Caution(
                f"Not all of the paper's data: {partial}",
                "Prepared with a limit, or with other classes than the paper's: a smaller or another task.",
            )
        )
    single = _titles(group for group in groups if len(group.finished) == 1)
    if single:
        found.append(
            Caution(
                f"One seed: {single}",
                "A difference of two single runs may be chance; no interval over seeds can be given.",
            )
        )
    missing = sum(len(group.missing) for group in groups)
    if missing:
        found.append(
            Caution(
                f"{missing} of {len(study.frames['runs'])} configured runs have not finished",
                "They are named under the tables and in the list of all runs.",
            )
        )
    return found


def summary_line(study: Study) -> str:
    """What was run, in a line: data sets, models, runs, machine and time."""
    groups, runs = study.groups(), study.frames["runs"]
    finished = int((runs["state"] == "finished").sum())
    facts = dict(machine(study))
    seeds = sorted({len(group.finished) for group in groups if group.finished})
    counts = [
        _counted(len({group.dataset for group in groups}), "data set"),
        _counted(len({group.model for group in groups}), "model"),
        f"{finished} of {_counted(len(runs), 'run')} finished",
    ]
    if seeds:
        span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        counts.append(f"{span} " + ("seed" if seeds == [1] else "seeds") + " each")
    counts += [facts[name] for name in ("GPU", "Processor", "Trained") if name in facts][-2:]
    return " · ".join(counts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _titles(groups) -> str:
    return ", ".join(dict.fromkeys(title_of(group.dataset) for group in groups))


def machine(study: Study) -> list[tuple[str, str]]:
    """What the finished runs recorded of machine and software; every value that occurs, the commonest first."""
    facts = study.frames["environment"]
    found = []
    for title, fact in FACTS.items():
        values = facts.loc[facts["fact"] == fact, "value"]
        values = values[~values.isin(["", "null"])].value_counts()
        if len(values):
            found.append((title, ", ".join(map(str, values.index))))
    when = facts[facts["fact"].isin(["started", "finished"])]["value"]
    times = pd.to_datetime(when, utc=True, errors="coerce").dropna()
    if len(times):
        first, last = (f"{time:%Y-%m-%d %H:%M} UTC" for time in (times.min(), times.max()))
        found.append(("Trained", f"{first} to {last}"))
    return found

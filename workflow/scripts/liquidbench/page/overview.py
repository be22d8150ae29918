"""What was run, on what, when and how: what must not be overlooked."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

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
                papers_protocol=_as_the_paper(first),
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
    return "not the paper's data" if _other_data(group) else "the paper's task, from a mirror"


def _other_data(group: Group) -> bool:
    """Whether real data are known not to be the paper's: limited, of other classes, or more or fewer examples."""
    known = not group.whole or group.official_size is False
    return bool(group.finished) and not group.synthetic and not group.papers_data and known


def _as_the_paper(group: Group) -> bool:
    return group.protocol in PAPERS_PROTOCOLS and not group.overrides


def _models_or_titles(groups: list[Group], some: list[Group]) -> str:
    """The data sets of some groups; of one whose other groups are not among them, the models."""
    told = {}
    for group in some:
        whole = all(
            other in some for other in groups if other.dataset == group.dataset and other.finished
        )
        title = title_of(group.dataset)
        told[title if whole else f"{title} {group.protocol}/{group.model}"] = None
    return ", ".join(told)


def _stands_for_the_papers(study: Study, group: Group) -> bool:
    """Whether the group has run and is set beside the paper's figures; further protocols are additions to it."""
    layout = study.layout
    names = (layout.main_protocols.get(group.dataset), layout.stress_protocol)
    return bool(group.finished) and group.protocol in names


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
    partial = _titles(group for group in groups if _other_data(group))
    if partial:
        found.append(
            Caution(
                f"Not the paper's data: {partial}",
                "Other files, a part of the official ones, or other classes: a smaller or another task.",
            )
        )
    own = [group for group in groups if _stands_for_the_papers(study, group)]
    other = _titles(group for group in own if not _as_the_paper(group))
    if other:
        found.append(
            Caution(
                f"Not the paper's models or training: {other}",
                "Run under a protocol of this project's own, or with changes to the paper's: not its experiments.",
            )
        )
    single = [group for group in groups if len(group.finished) == 1]
    if single:
        found.append(
            Caution(
                f"One seed: {_models_or_titles(groups, single)}",
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
    seeds = sorted({len(group.finished) for group in groups if group.finished})
    counts = [
        _counted(len({group.dataset for group in groups}), "data set"),
        _counted(len({group.model for group in groups}), "model"),
        f"{finished} of {_counted(len(runs), 'run')} finished",
    ]
    if seeds:
        span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        counts.append(f"{span} " + ("seed" if seeds == [1] else "seeds") + " each")
    facts = list(run_facts(study).values())
    counts += [
        text for text in (_commonest_first(map(computed_on, facts)), _trained(facts)) if text
    ]
    return " · ".join(counts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _titles(groups: Iterable[Group]) -> str:
    return ", ".join(dict.fromkeys(title_of(group.dataset) for group in groups))


def run_facts(study: Study) -> dict[tuple, dict[str, str]]:
    """Of each finished run (data set, protocol, model, seed), what it recorded of machine and software."""
    found: dict[tuple, dict[str, str]] = {}
    for row in study.frames["environment"].itertuples(index=False):
        if row.value not in ("", "null"):
            key = (row.dataset, row.protocol, row.model, row.seed)
            found.setdefault(key, {})[row.fact] = row.value
    return found


def computed_on(facts: dict[str, str]) -> str:
    """The card or the processor that computed a run; a card that is there need not be the one."""
    card = facts.get("hardware.gpu", "") if facts.get("device", "cpu") != "cpu" else ""
    return card or facts.get("hardware.processor", "")


def moment(text: str) -> str:
    """A recorded time as the page shows it, to the minute in UTC; empty if it is none."""
    when = _parsed(text)
    return f"{when:%Y-%m-%d %H:%M}" if when else ""


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def _trained(facts: Iterable[dict[str, str]]) -> str:
    """From the first start to the last end; empty if no run says."""
    recorded = [own.get(name, "") for own in facts for name in ("started", "finished")]
    times = sorted(when for when in map(_parsed, recorded) if when)
    if not times:
        return ""
    first, last = times[0], times[-1]
    end = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} to {end} UTC"


def _commonest_first(values: Iterable[str]) -> str:
    """Every value that occurs, but the empty one; as often as another, the earlier one first."""
    return ", ".join(value for value, _ in Counter(filter(None, values)).most_common())


def machine(study: Study) -> list[tuple[str, str]]:
    """What the finished runs recorded of machine and software; every value that occurs, the commonest first."""
    facts = list(run_facts(study).values())
    found = [
        (title, _commonest_first(own.get(fact, "") for own in facts))
        for title, fact in FACTS.items()
    ]
    return [(title, text) for title, text in [*found, ("Trained", _trained(facts))] if text]

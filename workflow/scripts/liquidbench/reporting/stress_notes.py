"""What a reader of the stress test must know: models that know no gap, padding in the mean, protocols of our own."""

from collections.abc import Iterable

from liquidbench.evaluation.corruptions import CORRUPTIONS
from liquidbench.reporting.study import PAPERS_PROTOCOLS, Group, Study, select


def stress_notes(study: Study, groups: list[Group]) -> list[str]:
    """The notes under every table of the stress test.

    Args:
        study: the summaries.
        groups: those that the table shows.
    """
    return [
        *_never_met_a_gap(study, groups),
        *_padding_in_the_mean(study, groups),
        *_own_protocols(study, groups),
    ]


def untrained_or_padded(study: Study, group: Group, corruption: str) -> bool:
    """Whether a note bars reading what a corruption does to a group."""
    barred = _never_met_a_gap(study, [group])
    if _takes_steps_out(corruption):
        barred += _padding_in_the_mean(study, [group])
    return bool(barred)


def _never_met_a_gap(study: Study, groups: list[Group]) -> list[str]:
    """Models that are told the time and were trained on steps of one length."""
    facts = study.frames["environment"]
    constant = facts[(facts["fact"] == "elapsed_varies") & (facts["value"] == "false")]
    named = _named(group for group in groups if not select(constant, group.key).empty)
    return [
        f"{named}: told the time, but in training all steps of a sequence took equally long. Such a model knows no "
        "gap: what it makes of a longer step is an untrained time response"
    ] * bool(named)


def _padding_in_the_mean(study: Study, groups: list[Group]) -> list[str]:
    """Removals under a mean that takes in the padding."""
    settings, stress = study.frames["settings"], study.frames["stress"]
    pooled = settings[
        (settings["setting"] == "architecture.pooling") & (settings["value"] == "mean_with_padding")
    ]
    removed = stress[stress["corruption"].map(_takes_steps_out).astype(bool)]
    named = _named(
        group
        for group in groups
        if not (select(pooled, group.key).empty or select(removed, group.key).empty)
    )
    return [
        f"{named}: the mean takes in the padding, and a removal changes how much of it a batch has. Read "
        "removals under a protocol that pools by the mean over valid steps, as `gaps` does"
    ] * bool(named)


def _own_protocols(study: Study, groups: list[Group]) -> list[str]:
    """A stress test under another protocol than the paper's."""
    protocol = study.layout.stress_protocol
    if protocol in PAPERS_PROTOCOLS or not any(group.protocol == protocol for group in groups):
        return []
    return [
        f"protocol {protocol} is this project's own, with other models or training than the paper's stress test: "
        "printed figures stand beside it for orientation, and no difference is taken"
    ]


def _takes_steps_out(corruption: str) -> bool:
    return getattr(CORRUPTIONS.get(corruption), "removes", False)


def _named(groups: Iterable[Group]) -> str:
    return ", ".join(f"{group.dataset}/{group.protocol}/{group.model}" for group in groups)

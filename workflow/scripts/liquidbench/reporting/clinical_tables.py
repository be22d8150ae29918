"""What a clinician asks of the sepsis models: their probabilities, by the stay and by the hour, and their alarms."""

import math

import pandas as pd

from liquidbench.evaluation.alarms import LONG_STAY, WARD_RECALLS
from liquidbench.evaluation.clinical import FALSE_ALARMS, PAPERS_NEGATIVES, RECALLS
from liquidbench.evaluation.utility import EARLIEST, LABEL_LEAD
from liquidbench.reporting.ranges import ANYTHING, NOT_NEGATIVE, SHARE, Range
from liquidbench.reporting.result_tables import synthetic_share
from liquidbench.reporting.study import Group, Study
from liquidbench.reporting.table import Comparison, Row, Table, compare_numbers

# Name in `clinical.csv` to heading and shown digits.
PROBABILITIES = {
    "auroc": ("AUROC", 3),
    "average_precision": ("Average precision", 3),
    "prevalence": ("Share of positives", 3),
    "brier": ("Brier score", 4),
    "calibration_error": ("Calibration error", 4),
    **{f"false_alarms_at_recall_{r:.2f}": (f"False alarms at recall {r:.2f}", 0) for r in RECALLS},
    **{f"precision_at_recall_{r:.2f}": (f"Precision at recall {r:.2f}", 3) for r in RECALLS},
    **{
        f"recall_at_false_alarms_{n}": (f"Recall at the paper's {n} false alarms", 3)
        for n in FALSE_ALARMS
    },
}
ALARMS = {
    "utility": ("Utility", 3),
    "found_in_time": ("Found in time", 3),
    "lead_time_hours_median": ("Median lead, hours", 1),
    "false_alarms_per_patient_day": ("False alarms per patient-day", 2),
    "false_alarm_hours_per_patient_day": ("Hours of false alarm per patient-day", 2),
    "alarmed_too_early": ("Septic stays alarmed too early", 3),
    "alarmed_without_sepsis": ("Other stays alarmed", 3),
    "threshold": ("Threshold", 3),
}
# How a threshold was come by, to the end of the figures' names there.
THRESHOLDS = {
    "own threshold": "",
    **{f"recall {r:.2f}": f"_at_recall_{r:.2f}" for r in WARD_RECALLS},
}
ABOUT = ("Data", "Protocol", "Model", "Seeds", "Stays train / test")


def clinical_table(study: Study) -> Table:
    """A row per group of sepsis runs, both levels: what their probabilities are worth at any threshold."""
    table = Table(
        name="clinical",
        title="Sepsis as a clinician judges it: probabilities and matched operating points, test split",
        about=("Told by the", *ABOUT),
        figures={name: heading for name, (heading, _) in PROBABILITIES.items()},
    )
    groups = _groups(study)
    for group in groups:
        level = "hour" if study.is_hourly(group) else "stay"
        table.rows.append(Row((level, *_about(group)), _figures(study, group, PROBABILITIES)))
    table.synthetic = synthetic_share(groups)
    table.notes = [note for group in groups for note in group.missing_notes]
    table.notes += [*_what_matched_points_mean(), *leak_notes(study, groups)]
    return table


def alarms_table(study: Study) -> Table:
    """A row per threshold and group of runs that tell sepsis by the hour; models of one threshold stand together."""
    table = Table(
        name="alarms",
        title="Sepsis as a clinician judges it: alarms by the hour, test split",
        about=("Alarms at", *ABOUT),
        figures={name: heading for name, (heading, _) in ALARMS.items()},
    )
    groups = [group for group in _groups(study) if study.is_hourly(group)]
    for data, protocol in dict.fromkeys((group.data, group.protocol) for group in groups):
        for threshold, ending in THRESHOLDS.items():
            for group in groups:
                if (group.data, group.protocol) == (data, protocol):
                    figures = _figures(study, group, ALARMS, ending)
                    table.rows.append(Row((threshold, *_about(group)), figures))
    table.synthetic = synthetic_share(groups)
    table.notes = [note for group in groups for note in group.missing_notes]
    table.notes += _what_alarms_mean()
    return table


def _groups(study: Study) -> list[Group]:
    return [group for group in study.groups() if group.dataset == "physionet"]


def _about(group: Group) -> tuple[str, ...]:
    return (group.data, group.protocol_label, group.model, group.seeds, group.examples)


def _figures(
    study: Study, group: Group, wanted: dict[str, tuple[str, int]], ending: str = ""
) -> dict[str, Comparison]:
    """The figures of a group that `clinical.csv` has under their names with an ending."""
    rows = study.rows("clinical", group.key)
    figures = {}
    for name, (_, decimals) in wanted.items():
        values = rows.loc[rows["figure"] == f"{name}{ending}", "value"].tolist()
        if values:
            confidence = study.layout.confidence
            figures[name] = compare_numbers(
                values, None, decimals, confidence=confidence, possible=_possible(name)
            )
    return figures


def _possible(name: str) -> Range:
    """What a figure can be. All but the utility, counts, hours and rates per day are shares."""
    if name == "utility":
        return ANYTHING
    counted = name.startswith(("false_alarm", "lead_time"))
    return NOT_NEGATIVE if counted else SHARE


def _what_matched_points_mean() -> list[str]:
    counts = ", ".join(map(str, FALSE_ALARMS))
    return [
        "by the stay, AUROC, average precision, Brier score and calibration are over stays; by the hour they are over "
        "all hours, as in the Challenge's own report. The two do not compare",
        "false alarms and recalls at matched points count stays at both levels. By the hour a stay with sepsis is "
        f"found if one of the {-EARLIEST} hours before its onset has an alarm. False alarms are the stays without "
        "sepsis that have an alarm, and those with sepsis that have an earlier one. These hours are more than such a "
        "window, so a false alarm is the likelier the longer the stay: table_alarms has them per patient-day",
        "matched points: thresholds are observed probabilities. At a recall it is the highest threshold that reaches "
        f"at least so much; at the paper's {counts} false alarms, scaled from its {PAPERS_NEGATIVES:,} stays without "
        "sepsis to those here in which an alarm can be false and rounded, it is the lowest threshold with at most so "
        "many",
    ]


def _what_alarms_mean() -> list[str]:
    return [
        "own threshold: the protocol's number, or chosen on the validation split alone: what a ward would have got. "
        "At a recall: the highest threshold at which at least that share of the test split's stays with sepsis is "
        "found in time; to compare models, which find different shares at their own thresholds",
        f"the onset is {LABEL_LEAD} hours after the first labelled hour. Found in time: the share of stays with sepsis "
        f"with an alarm in the {-EARLIEST} hours before the onset, those that the Challenge's utility rewards; lead is "
        f"from the first of these alarms to the onset, at most {-EARLIEST} hours, over the stays found in time",
        "a false alarm is one in a stay without sepsis, or earlier than those hours; alarms from the onset on are "
        "neither. Consecutive hours with an alarm are one alarm. A patient-day is 24 hours in which an alarm would be "
        "false",
        "a model that is never silent has one false alarm a stay, and 24 hours of false alarm per patient-day: so read "
        "both",
        "utility is the Challenge's (Reyna et al., Critical Care Medicine 48(2), 2020): 1 is the best, 0 is never "
        "alarming, and below 0 is worse than that",
    ]


def leak_notes(study: Study, groups: list[Group]) -> list[str]:
    """What the paper's task gives away; in numbers of the test split where hours are on record."""
    told = [group for group in groups if not study.is_hourly(group)]
    if not told:
        return []
    notes = [
        "by the stay, as in the paper, is no early warning: a model reads the whole record, with the hours after the "
        "onset in it, and its length, and says once whether there was sepsis. docs/protocols.md has the numbers of "
        "hospital A"
    ]
    for group in groups:
        rows = study.rows("clinical", group.key)
        rows = rows[rows["level"] == "hour"]
        if not rows.empty:
            seed = int(rows["seed"].iloc[0])
            notes.append(_leak_in_numbers(rows[rows["seed"] == seed], group, seed))
            break
    return notes


def _leak_in_numbers(rows: pd.DataFrame, group: Group, seed: int) -> str:
    value = dict(zip(rows["figure"], rows["value"]))
    length = value["length_auroc"]
    area = "" if math.isnan(length) else f"; the length alone has an AUROC of {length:.3f}"
    whose = "SYNTHETIC test split" if group.synthetic else "test split"
    return (
        f"in numbers, {whose} of {group.protocol} with seed {seed}: of {value['septic_stays']:,.0f} stays with "
        f"sepsis {value['septic_past_onset']:,.0f} are recorded past the onset; of {value['stays']:,.0f} stays "
        f"{value['long_stays']:,.0f} exceed {LONG_STAY} hours, and {value['long_stays_septic']:,.0f} of those have "
        f"sepsis{area}. Labelled from the first hour on, so that the onset may have been earlier than we count: "
        f"{value['septic_from_first_hour']:,.0f}"
    )

"""The table of what a clinician asks of the sepsis models: by the stay, as in the paper, and by the hour."""

import math

import pandas as pd

from liquidbench.evaluation.clinical import FALSE_ALARMS, LONG_STAY, PAPERS_NEGATIVES, RECALLS
from liquidbench.reporting.result_tables import synthetic_share
from liquidbench.reporting.study import Group, Study, select
from liquidbench.reporting.table import Row, Table, compare_numbers

# Name in `clinical.csv` to heading and shown digits.
FIGURES = {
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
    "threshold": ("Threshold", 3),
    "utility": ("Utility", 3),
    "alarmed_before_onset": ("Alarmed before the onset", 3),
    "alarmed_without_sepsis": ("Alarmed without sepsis", 3),
    "lead_time_hours_median": ("Lead time, hours", 1),
    "alarms_per_patient_day": ("Alarms per patient-day", 2),
}


def clinical_table(study: Study) -> Table:
    """A row per group of sepsis runs, both levels."""
    table = Table(
        name="clinical",
        title="Sepsis as a clinician judges it, test split",
        about=("Told by the", "Data", "Protocol", "Model", "Seeds", "Stays train / test"),
        figures={name: heading for name, (heading, _) in FIGURES.items()},
    )
    groups = [group for group in study.groups() if group.dataset == "physionet"]
    frame = study.frames["clinical"]
    for group in groups:
        rows = select(frame, group.dataset, group.protocol, group.model)
        figures = {}
        for name, (_, decimals) in FIGURES.items():
            values = rows.loc[rows["figure"] == name, "value"].tolist()
            if values:
                figures[name] = compare_numbers(
                    values, None, decimals, confidence=study.layout.confidence
                )
        about = (
            "hour" if study.is_hourly(group) else "stay",
            group.data,
            group.protocol_label,
            group.model,
            group.seeds,
            group.examples,
        )
        table.rows.append(Row(about, figures))
    table.synthetic = synthetic_share(groups)
    table.notes = [note for group in groups for note in group.missing_notes]
    table.notes += [*_what_figures_mean(), *leak_notes(study, groups)]
    return table


def _what_figures_mean() -> list[str]:
    counts = ", ".join(map(str, FALSE_ALARMS))
    return [
        "by the stay, AUROC, average precision, Brier score and calibration are over stays; by the hour they are over "
        "all hours, as in the Challenge's own report. The two do not compare",
        "false alarms and recalls at matched points count stays at both levels. By the hour a stay with sepsis is "
        "found if an hour before its onset has an alarm, and any alarm in a stay without sepsis is a false one",
        "matched points: thresholds are observed probabilities. At a recall it is the highest threshold that reaches "
        f"at least so much; at the paper's {counts} false alarms, scaled from its {PAPERS_NEGATIVES:,} stays without "
        "sepsis to those here and rounded, it is the lowest threshold with at most so many",
        "the threshold is the protocol's number, or was chosen on the validation split alone; utility, lead time and "
        "alarms are at it. Utility is the Challenge's (Reyna et al., Critical Care Medicine 48(2), 2020): 1 is the "
        "best, 0 is never alarming, and below 0 is worse than that; it exists by the hour alone",
        "the onset is six hours after the first labelled hour. Lead time: from the first alarm to the onset, median "
        "over the stays with sepsis that have an alarm before it",
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
        rows = study.frames["clinical"]
        rows = select(rows, group.dataset, group.protocol, group.model)
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

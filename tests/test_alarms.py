"""Alarms by the hour: found in time, lead, false alarms. Small cohorts by hand, then a plain loop over random ones."""

import numpy as np
import pytest

from liquidbench.evaluation.alarms import (
    FIGURES,
    WARD_RECALLS,
    alarm_figures,
    alarm_figures_at_recalls,
    leak_figures,
    stay_scores,
)
from liquidbench.evaluation.clinical import matched_figures

# A stay of 30 hours, labelled from hour 16: the onset is at 22, the window are the hours 10 to 21.
LATE = [0] * 16 + [1] * 14
# Labelled from its first hour: the onset is at 6, the window are the hours 0 to 5. No hour is too early.
FROM_START = [1] * 10
WELL = [0] * 20


def figures_of(*stays: tuple[list[int], list[int]]) -> dict:
    """Figures of stays of (labels, alarmed hours)."""
    labels = np.concatenate([own for own, _ in stays])
    alarms = np.concatenate([[hour in told for hour in range(len(own))] for own, told in stays])
    return alarm_figures(labels, alarms, np.cumsum([0, *(len(own) for own, _ in stays)]))


@pytest.mark.parametrize(
    ("stay", "alarms", "found", "too_early", "lead", "false_alarms", "false_hours"),
    [
        pytest.param(LATE, [], 0, 0, None, 0, 0, id="no alarm"),
        pytest.param(LATE, [0, 9], 0, 1, None, 2, 2, id="too early only"),
        pytest.param(LATE, [10], 1, 0, 12, 0, 0, id="first hour of the window"),
        pytest.param(LATE, [17, 19], 1, 0, 5, 0, 0, id="in the window"),
        pytest.param(LATE, [21], 1, 0, 1, 0, 0, id="last hour before the onset"),
        pytest.param(LATE, [3, 4, 18], 1, 1, 4, 1, 2, id="too early and in the window"),
        pytest.param(LATE, [8, 9, 10, 11], 1, 1, 12, 1, 2, id="from too early into the window"),
        pytest.param(LATE, [22, 23, 29], 0, 0, None, 0, 0, id="from the onset on only"),
        pytest.param(FROM_START, [0], 1, 0, 6, 0, 0, id="septic from the first hour"),
        pytest.param(FROM_START, [6, 7], 0, 0, None, 0, 0, id="septic from the start, too late"),
        # The record ends before the onset: the window is cut to it.
        pytest.param(LATE[:18], [17], 1, 0, 5, 0, 0, id="ends before the onset"),
    ],
)
def test_a_septic_stay(stay, alarms, found, too_early, lead, false_alarms, false_hours):
    figures = figures_of((stay, alarms))
    assert figures["found_in_time"] == found
    assert figures["alarmed_too_early"] == too_early
    assert figures["lead_time_hours_median"] == lead
    assert figures["alarmed_without_sepsis"] is None
    # Alarms can be false in the hours 0 to 9.
    early = 10 if stay[0] == 0 else 0
    rates = [None] * 2 if not early else [24 * n / early for n in (false_alarms, false_hours)]
    assert figures["false_alarms_per_patient_day"] == rates[0]
    assert figures["false_alarm_hours_per_patient_day"] == rates[1]
    assert figures["alarmed_hours_per_patient_day"] == pytest.approx(24 * len(alarms) / len(stay))


def test_a_run_of_alarmed_hours_is_one_alarm_and_ends_with_its_stay():
    figures = figures_of((WELL, [2, 3, 4, 19]), (WELL, [0, 1]), (WELL, []))
    assert figures["false_alarms_per_patient_day"] == 24 * 3 / 60
    assert figures["alarms_per_patient_day"] == 24 * 3 / 60
    assert figures["false_alarm_hours_per_patient_day"] == 24 * 6 / 60
    assert figures["alarmed_without_sepsis"] == 2 / 3
    nothing = ("utility", "found_in_time", "alarmed_too_early", "lead_time_hours_median")
    assert all(figures[name] is None for name in nothing)


def test_a_cohort_by_hand():
    figures = figures_of(
        (LATE, [0, 1, 12, 13, 25]),
        (FROM_START, [5, 6]),
        (LATE, [9, 23]),
        (WELL, [4, 6]),
        (WELL, []),
    )
    assert figures["found_in_time"] == 2 / 3
    assert figures["alarmed_too_early"] == 2 / 3
    assert figures["alarmed_without_sepsis"] == 1 / 2
    # 22 - 12 and 6 - 5.
    assert figures["lead_time_hours_q25"] == pytest.approx(3.25)
    assert figures["lead_time_hours_median"] == pytest.approx(5.5)
    assert figures["lead_time_hours_q75"] == pytest.approx(7.75)
    # Alarms can be false in 10 + 0 + 10 + 20 + 20 hours: hours 0 and 1, 9, 4, 6.
    assert figures["false_alarms_per_patient_day"] == pytest.approx(24 * 4 / 60)
    assert figures["false_alarm_hours_per_patient_day"] == pytest.approx(24 * 5 / 60)
    assert figures["alarms_per_patient_day"] == pytest.approx(24 * 8 / 110)
    assert figures["alarmed_hours_per_patient_day"] == pytest.approx(24 * 11 / 110)


def test_an_alarm_at_admission_alone_finds_nobody():
    septic = [0] * 60 + [1] * 10
    figures = figures_of(*[(septic, [0])] * 20, *[([0] * 40, [0])] * 180)
    assert figures["utility"] < 0
    assert figures["found_in_time"] == 0
    assert figures["alarmed_too_early"] == figures["alarmed_without_sepsis"] == 1
    assert figures["lead_time_hours_median"] is None
    # The first 54 hours of a septic stay.
    exposed = 20 * 54 + 180 * 40
    assert figures["false_alarms_per_patient_day"] == pytest.approx(24 * 200 / exposed)


def test_stays_are_judged_by_the_window_and_by_the_hours_in_which_alarms_are_false():
    stays = [LATE, FROM_START, WELL]
    scores = [np.linspace(0, 0.29, 30), np.linspace(0.5, 0.59, 10), np.linspace(0.9, 0.71, 20)]
    offsets = np.array([0, 30, 40, 60])
    targets, highest = stay_scores(np.concatenate(stays), np.concatenate(scores), offsets)
    assert targets.tolist() == [1, 1, 0, 0]
    # Hours 21 and 5 of the windows; hour 9, the last that is too early, and the first of the well stay.
    assert highest == pytest.approx([0.21, 0.55, 0.09, 0.9])


# A plain loop, an hour at a time, as the definitions are written.


def plain_stay(labels: list[int], alarms: list[bool]) -> dict:
    onset = labels.index(1) + 6 if 1 in labels else None
    told = {"septic": onset is not None, "lead": None, "hours": 0, "runs": 0, "false_hours": 0}
    told |= {"false_runs": 0, "exposed": 0}
    for hour, alarm in enumerate(alarms):
        is_false = onset is None or hour < onset - 12
        was_alarmed = hour > 0 and alarms[hour - 1]
        told["exposed"] += is_false
        if not alarm:
            continue
        told["hours"] += 1
        told["runs"] += not was_alarmed
        told["false_hours"] += is_false
        told["false_runs"] += is_false and not was_alarmed
        if onset is not None and onset - 12 <= hour < onset and told["lead"] is None:
            told["lead"] = onset - hour
    return told


def plain_figures(stays: list[list[int]], alarms: list[list[bool]]) -> dict:
    told = [plain_stay(*stay) for stay in zip(stays, alarms, strict=True)]
    septic = [one for one in told if one["septic"]]
    well = [one for one in told if not one["septic"]]
    lead = [one["lead"] for one in septic if one["lead"] is not None]
    hours, exposed = sum(map(len, stays)), sum(one["exposed"] for one in told)
    quartiles = np.percentile(lead, [25, 50, 75]) if lead else [None] * 3
    return {
        "found_in_time": len(lead) / len(septic),
        "alarmed_too_early": sum(one["false_hours"] > 0 for one in septic) / len(septic),
        "alarmed_without_sepsis": sum(one["hours"] > 0 for one in well) / len(well),
        **dict(zip([f"lead_time_hours_{q}" for q in ("q25", "median", "q75")], quartiles)),
        "false_alarms_per_patient_day": 24 * sum(one["false_runs"] for one in told) / exposed,
        "false_alarm_hours_per_patient_day": 24 * sum(one["false_hours"] for one in told) / exposed,
        "alarms_per_patient_day": 24 * sum(one["runs"] for one in told) / hours,
        "alarmed_hours_per_patient_day": 24 * sum(one["hours"] for one in told) / hours,
    }


def random_cohort(random: np.random.Generator) -> tuple[list[list[int]], np.ndarray, np.ndarray]:
    """Stays of 1 to 50 hours, some septic from any hour on, at least one of either; all labels, and the offsets."""
    stays = [[0, 1], [0] * 4]
    for _ in range(15):
        hours = int(random.integers(1, 51))
        first = int(random.integers(0, hours)) if random.random() < 0.5 else hours
        stays.append([int(hour >= first) for hour in range(hours)])
    return stays, np.concatenate(stays), np.cumsum([0, *map(len, stays)])


def test_random_cohorts_have_the_figures_of_the_plain_loop():
    random = np.random.default_rng(17)
    for share in (0.0, 0.05, 0.5, 1.0, *random.random(60)):
        stays, labels, offsets = random_cohort(random)
        alarms = random.random(len(labels)) < share
        parts = [part.tolist() for part in np.split(alarms, offsets[1:-1])]
        found = alarm_figures(labels, alarms, offsets)
        assert tuple(found) == FIGURES
        del found["utility"]
        assert found == pytest.approx(plain_figures(stays, parts))


def test_at_a_matched_recall_figures_are_those_of_the_highest_threshold_that_finds_so_many():
    random = np.random.default_rng(18)
    for _ in range(10):
        stays, labels, offsets = random_cohort(random)
        scores = np.round(random.random(len(labels)) + 0.2 * labels, 2)
        found = alarm_figures_at_recalls(labels, scores, offsets)
        counted = matched_figures(*stay_scores(labels, scores, offsets))
        for recall in WARD_RECALLS:
            for threshold in sorted(set(scores.tolist()), reverse=True):
                told = [(part >= threshold).tolist() for part in np.split(scores, offsets[1:-1])]
                plain = plain_figures(stays, told)
                if plain["found_in_time"] >= recall - 1e-9:
                    break
            name = f"at_recall_{recall:.2f}"
            assert found[f"threshold_{name}"] == threshold
            assert {key: found[f"{key}_{name}"] for key in plain} == pytest.approx(plain)
            if f"false_alarms_{name}" in counted:
                falsely = [plain_stay(*one)["false_hours"] > 0 for one in zip(stays, told)]
                assert counted[f"false_alarms_{name}"] == sum(falsely)


def test_without_sepsis_there_is_no_threshold_to_match():
    labels, offsets = np.zeros(12, dtype=int), np.array([0, 5, 12])
    figures = alarm_figures_at_recalls(labels, np.linspace(0, 1, 12), offsets)
    assert len(figures) == len(WARD_RECALLS) * (1 + len(FIGURES))
    assert set(figures.values()) == {None}


def test_what_the_record_gives_away():
    stays = [[0] * 4 + [1] * 8, [0] * 6, [1] * 8, [0] * 10, [0] * 61]
    figures = leak_figures(np.concatenate(stays), np.cumsum([0, *map(len, stays)]))
    assert figures == {
        "stays": 5,
        "septic_stays": 2,
        "septic_past_onset": 2,
        "septic_from_first_hour": 1,
        "long_stays": 1,
        "long_stays_septic": 0,
        # Lengths 12 and 8 against 6, 10 and 61: of six pairs three are won.
        "length_auroc": pytest.approx(3 / 6),
    }
    # A record of ten hours ends before its onset, at hour 10.
    cut = leak_figures(np.array([0] * 4 + [1] * 6), np.array([0, 10]))
    assert (cut["septic_past_onset"], cut["length_auroc"]) == (0, None)

"""The Challenge's utility: every branch by hand, then against a plain loop over random cohorts."""

import numpy as np
import pytest

from liquidbench.evaluation.utility import (
    best_utility_threshold,
    hourly_utilities,
    normalised_utility,
    onsets,
)

# A stay of 30 hours, labelled from hour 14: the onset is at 20, the last hour that counts is 23.
ONSET = 20
SEPTIC = np.array([0] * 14 + [1] * 16)
WELL = np.zeros(10, dtype=int)


def cohort(*stays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels of all hours, and where each stay begins."""
    return np.concatenate(stays), np.cumsum([0, *map(len, stays)])


@pytest.mark.parametrize(
    ("since", "alarm", "silence"),
    [
        # Too early: as bad as any false alarm. The rising line goes through -1/6 at -13.
        (-20, -0.05, 0),
        (-13, -0.05, 0),
        # Early: rises by a sixth an hour.
        (-12, 0, 0),
        (-11, 1 / 6, 0),
        (-9, 1 / 2, 0),
        (-7, 5 / 6, 0),
        # Optimal.
        (-6, 1, 0),
        # Late: an alarm is worth a ninth less each hour, silence costs two ninths more.
        (-5, 8 / 9, -2 / 9),
        (-3, 2 / 3, -2 / 3),
        (0, 1 / 3, -4 / 3),
        (2, 1 / 9, -16 / 9),
        # The last hour that counts.
        (3, 0, -2),
        # Beyond it nothing counts, alarm or none.
        (4, 0, 0),
        (9, 0, 0),
    ],
)
def test_an_hour_of_a_septic_stay(since, alarm, silence):
    with_alarm, without = hourly_utilities(*cohort(WELL, SEPTIC, WELL))
    place = len(WELL) + ONSET + since
    assert with_alarm[place] == pytest.approx(alarm, abs=1e-12)
    assert without[place] == pytest.approx(silence, abs=1e-12)


def test_an_hour_without_sepsis():
    with_alarm, without = hourly_utilities(*cohort(WELL, SEPTIC))
    assert (with_alarm[: len(WELL)] == -0.05).all()
    assert (without[: len(WELL)] == 0).all()


def test_the_onset_is_six_hours_after_the_first_label():
    twice = np.array([0, 1, 0, 1, 1])
    labels, offsets = cohort(WELL, SEPTIC, np.ones(3, dtype=int), twice)
    # Also where the record ends before it, where the first hour is labelled, and where a label is taken back.
    assert onsets(labels, offsets).tolist() == [np.inf, ONSET, 6, 7]


@pytest.mark.parametrize(
    ("labels", "alarms", "observed", "best", "inaction"),
    [
        # The whole stay: alarms from -12 to +3 give 0 + 1/6 + .. + 5/6 + 1 + 8/9 + .. + 1/9 + 0 = 2.5 + 5,
        # silence costs 2/9 + .. + 18/9 = 10. One alarm at -6 gains 1, at -3 it saves 2/3 and gains 2/3.
        (SEPTIC, [14], -9, 7.5, -10),
        (SEPTIC, [17], -10 + 4 / 3, 7.5, -10),
        # One eight hours too early and one after the last hour that counts.
        (SEPTIC, [0, 29], -10.05, 7.5, -10),
        # Labelled from the first hour: the onset is at 6, and the record ends at -2.
        # Best: 1 + 8/9 + 7/9 + 6/9 + 5/9. Silence: -(2 + 4 + 6 + 8)/9.
        (np.ones(5, dtype=int), [], -20 / 9, 35 / 9, -20 / 9),
        (np.ones(5, dtype=int), [4], -12 / 9 + 5 / 9, 35 / 9, -20 / 9),
        # Cut before the labels would have cost anything: one labelled hour at -6.
        (np.array([0, 0, 1]), [0, 1, 2], 4 / 6 + 5 / 6 + 1, 2.5, 0),
    ],
)
def test_the_score_of_a_stay_worked_by_hand(labels, alarms, observed, best, inaction):
    raised = np.zeros(len(labels), dtype=bool)
    raised[alarms] = True
    score = normalised_utility(*cohort(labels)[:1], raised, cohort(labels)[1])
    assert score == pytest.approx((observed - inaction) / (best - inaction))


def test_a_false_alarm_lowers_the_score_of_the_cohort():
    labels, offsets = cohort(SEPTIC, WELL)
    alarms = np.zeros(len(labels), dtype=bool)
    alarms[8:24] = True
    assert normalised_utility(labels, alarms, offsets) == pytest.approx(1)
    alarms[-2:] = True
    assert normalised_utility(labels, alarms, offsets) == pytest.approx(1 - 0.1 / 17.5)


def test_silence_scores_nothing_and_may_be_better_than_alarms():
    labels, offsets = cohort(SEPTIC, *[WELL] * 50)
    silent = np.zeros(len(labels), dtype=bool)
    assert normalised_utility(labels, silent, offsets) == 0
    # 500 false alarms cost 25, the septic stay's gain 17.5 less 0.05 for each of its first eight hours.
    assert normalised_utility(labels, ~silent, offsets) == pytest.approx((17.5 - 0.4 - 25) / 17.5)


def test_a_cohort_without_sepsis_has_no_score():
    labels, offsets = cohort(WELL, WELL)
    assert normalised_utility(labels, labels == 0, offsets) is None


def plain_utility(labels: list[int], alarms: list[bool]) -> float:
    """One stay, an hour at a time, as the definition is written."""
    total = 0.0
    for hour, alarm in enumerate(alarms):
        if 1 not in labels:
            total += -0.05 if alarm else 0
            continue
        since = hour - (labels.index(1) + 6)
        if since > 3:
            continue
        if alarm and since <= -6:
            total += max((since + 12) / 6, -0.05)
        elif alarm:
            total += 1 - (since + 6) / 9
        elif since > -6:
            total += -2 * (since + 6) / 9
    return total


def plain_score(stays: list[list[int]], alarms: list[list[bool]]) -> float:
    observed = best = inaction = 0.0
    for labels, raised in zip(stays, alarms, strict=True):
        observed += plain_utility(labels, raised)
        inaction += plain_utility(labels, [False] * len(labels))
        onset = labels.index(1) + 6 if 1 in labels else None
        ideal = [onset is not None and -12 <= hour - onset <= 3 for hour in range(len(labels))]
        best += plain_utility(labels, ideal)
    return (observed - inaction) / (best - inaction)


def random_stays(random: np.random.Generator, count: int) -> list[list[int]]:
    """Stays of 1 to 40 hours, a third of them septic from any hour on; one certainly."""
    stays = [[0, 1]]
    for _ in range(count):
        hours = int(random.integers(1, 41))
        first = int(random.integers(0, hours)) if random.random() < 1 / 3 else hours
        stays.append([int(hour >= first) for hour in range(hours)])
    return stays


def test_random_cohorts_score_as_in_the_plain_loop():
    random = np.random.default_rng(7)
    for share in (0.0, 0.1, 0.5, 1.0, *random.random(40)):
        stays = random_stays(random, 12)
        alarms = [(random.random(len(stay)) < share).tolist() for stay in stays]
        labels, offsets = cohort(*map(np.array, stays))
        score = normalised_utility(labels, np.concatenate(alarms), offsets)
        assert score == pytest.approx(plain_score(stays, alarms))


def test_the_best_threshold_is_the_best_of_all_there_are():
    random = np.random.default_rng(8)
    for _ in range(20):
        labels, offsets = cohort(*map(np.array, random_stays(random, 12)))
        # With ties, and leaning towards the labels.
        scores = np.round(np.clip(0.3 * labels + random.random(len(labels)), 0, 1), 1)
        chosen = best_utility_threshold(labels, scores, offsets)
        every = {t: normalised_utility(labels, scores >= t, offsets) for t in np.unique(scores)}
        found = normalised_utility(labels, scores >= chosen, offsets)
        assert found == pytest.approx(max(0, *every.values()))
        assert not any(t > chosen and u >= found - 1e-12 for t, u in every.items())


def test_where_silence_is_best_the_threshold_lies_above_all():
    labels, offsets = cohort(np.array([0, 0, 1]), *[WELL] * 20)
    scores = np.where(labels == 1, 0.1, 0.9)
    chosen = best_utility_threshold(labels, scores, offsets)
    assert chosen > 0.9 and not (scores >= chosen).any()

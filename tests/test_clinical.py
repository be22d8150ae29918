"""What a clinician asks of probabilities: calibration and matched operating points. By hand and by plain loops."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from liquidbench.evaluation.clinical import (
    OperatingCurve,
    allowed_false_alarms,
    best_f1_threshold,
    calibration,
    matched_figures,
    probability_figures,
)

# Ten patients, four of them septic, from the highest score down; two share 0.6.
TARGETS = np.array([0, 1, 1, 0, 0, 1, 0, 0, 1, 0])
SCORES = np.array([0.9, 0.8, 0.6, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


def test_a_curve_has_a_place_for_every_score_that_differs():
    curve = OperatingCurve.of(TARGETS, SCORES)
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    assert curve.found.tolist() == [0, 1, 2, 2, 3, 3, 3, 4, 4]
    assert curve.false_alarms.tolist() == [1, 1, 2, 3, 3, 4, 5, 5, 6]
    assert (curve.positives, curve.negatives) == (4, 6)


@pytest.mark.parametrize(
    ("recall", "false_alarms", "precision"),
    [
        (0.0, 1, 0),
        (0.25, 1, 1 / 2),
        # Just above what one patient gives: the next threshold, with its tie.
        (0.26, 2, 2 / 4),
        (0.5, 2, 2 / 4),
        # The highest of the thresholds that reach it.
        (0.75, 3, 3 / 6),
        (1.0, 5, 4 / 9),
    ],
)
def test_the_operating_point_at_a_recall(recall, false_alarms, precision):
    curve = OperatingCurve.of(TARGETS, SCORES)
    place = curve.at_recall(recall)
    assert curve.false_alarms[place] == false_alarms
    assert curve.precision(place) == pytest.approx(precision)


@pytest.mark.parametrize(("count", "found"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (99, 4)])
def test_the_operating_point_at_a_number_of_false_alarms(count, found):
    curve = OperatingCurve.of(TARGETS, SCORES)
    assert curve.found[curve.at_false_alarms(count)] == found


def test_the_first_alarms_may_be_too_many_already():
    assert OperatingCurve.of(TARGETS, SCORES).at_false_alarms(0) is None


def test_a_recall_that_is_a_whole_number_of_patients_is_reached_in_spite_of_rounding():
    targets = np.array([1] * 100 + [0])
    scores = np.linspace(1, 0, 101)
    # 0.07 * 100 is above 7 in floating point.
    assert OperatingCurve.of(targets, scores).at_recall(0.07) == 6


def plain_points(targets, scores):
    """(found, false alarms) at every threshold, by counting."""
    return [
        (
            sum(t and s >= threshold for t, s in zip(targets, scores)),
            sum(not t and s >= threshold for t, s in zip(targets, scores)),
        )
        for threshold in set(scores.tolist())
    ]


def test_matched_figures_are_the_best_points_that_qualify():
    random = np.random.default_rng(3)
    targets = (random.random(3000) < 0.1).astype(int)
    scores = np.round(random.random(3000) + 0.2 * targets, 2)
    figures, points = matched_figures(targets, scores), plain_points(targets, scores)
    positives = targets.sum()
    for recall in (0.08, 0.10, 0.22):
        found, false = min(
            (p for p in points if p[0] >= recall * positives), key=lambda p: (p[1], p[0])
        )
        assert figures[f"false_alarms_at_recall_{recall:.2f}"] == false
        assert figures[f"precision_at_recall_{recall:.2f}"] == pytest.approx(
            found / (found + false)
        )
    for count in (2, 12, 151):
        allowed = round(count * (3000 - positives) / 3710)
        assert figures[f"false_alarms_allowed_{count}"] == allowed
        best = max((found for found, false in points if false <= allowed), default=0)
        assert figures[f"recall_at_false_alarms_{count}"] == pytest.approx(best / positives)


def test_false_alarms_are_scaled_to_the_patients_without_sepsis():
    assert [allowed_false_alarms(count, 3710) for count in (2, 12, 151)] == [2, 12, 151]
    assert [allowed_false_alarms(count, 371) for count in (2, 12, 151)] == [0, 1, 15]


def test_without_sepsis_there_is_nothing_to_match():
    figures = matched_figures(np.zeros(5, dtype=int), np.linspace(0, 1, 5))
    assert figures["false_alarms_at_recall_0.10"] is None
    assert figures["recall_at_false_alarms_2"] is None


def test_figures_of_probabilities():
    targets, scores = np.array([0, 0, 1, 1]), np.array([0.0, 0.5, 0.4, 1.0])
    figures = probability_figures(targets, scores)
    assert figures["brier"] == pytest.approx((0 + 0.25 + 0.36 + 0) / 4)
    assert figures["prevalence"] == 0.5
    assert figures["mean_probability"] == pytest.approx(1.9 / 4)
    assert figures["auroc"] == roc_auc_score(targets, scores) == 0.75
    assert figures["average_precision"] == average_precision_score(targets, scores)
    one_class = probability_figures(np.zeros(4), scores)
    assert one_class["auroc"] is None and one_class["average_precision"] is None


def test_calibration_has_bins_of_equal_size_and_counts_them():
    random = np.random.default_rng(4)
    scores = random.random(1000)
    targets = (random.random(1000) < scores**2).astype(int)
    bins = calibration(targets, scores)
    assert [row["bin"] for row in bins] == list(range(1, 11))
    assert [row["count"] for row in bins] == [100] * 10
    order = np.argsort(scores)
    for place, row in enumerate(bins):
        here = order[100 * place : 100 * (place + 1)]
        assert row["mean_probability"] == pytest.approx(scores[here].mean())
        assert row["observed"] == pytest.approx(targets[here].mean())
    error = np.mean([abs(row["observed"] - row["mean_probability"]) for row in bins])
    assert probability_figures(targets, scores)["calibration_error"] == pytest.approx(error)


def test_equal_probabilities_share_a_bin():
    scores = np.array([0.1] * 90 + [0.9] * 10)
    targets = np.array([0] * 80 + [1] * 10 + [1] * 9 + [0])
    bins = calibration(targets, scores)
    assert sum(row["count"] for row in bins) == 100
    assert [row["mean_probability"] for row in bins] == pytest.approx([0.1, 0.9])
    assert [row["observed"] for row in bins] == pytest.approx([1 / 9, 0.9])


def test_the_threshold_with_the_best_f1_is_the_best_of_all_there_are():
    random = np.random.default_rng(5)
    for _ in range(20):
        targets = (random.random(80) < 0.3).astype(int)
        targets[0] = 1
        scores = np.round(random.random(80) + 0.3 * targets, 1)
        every = {t: f1_score(targets, scores >= t) for t in np.unique(scores)}
        chosen = best_f1_threshold(targets, scores)
        assert every[chosen] == pytest.approx(max(every.values()))
        assert not any(t > chosen and f >= every[chosen] for t, f in every.items())

"""Differences between models that answer by the hour: patients are drawn, and rankings of hours come in closed form."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from liquidbench.evaluation.paired import PairedDraws, bootstrap_counts, draw_figures
from liquidbench.evaluation.weighted_metrics import BinaryAnswers, figures_of_draws

PATIENTS, TESTED, SEEDS = 1500, 900, 4
RANKINGS = ("auroc", "average_precision")


@pytest.fixture(scope="module")
def splits():
    """Two models over random splits that overlap; stays of 1 to 30 hours, a quarter of them end in labelled ones."""
    random = np.random.default_rng(21)
    septic, hours = random.random(PATIENTS) < 0.25, random.integers(1, 31, PATIENTS)
    risk = random.normal(size=PATIENTS)
    # Which patients a model judges well, whatever its seed: what the seeds' splits share.
    leaning = {model: random.normal(size=PATIENTS) for model in "ab"}
    chosen = [np.sort(random.choice(PATIENTS, TESTED, replace=False)) for _ in range(SEEDS)]
    everyone = np.unique(np.concatenate(chosen))
    answers, places = {}, {}
    for seed, own in enumerate(chosen):
        units = np.repeat(np.arange(TESTED), hours[own])
        left = np.concatenate([np.arange(count)[::-1] for count in hours[own]])
        targets = septic[own][units] & (left < 8)
        for model, skill in (("a", 1.2), ("b", 1.0)):
            # A model is wrong about a patient at all its hours: these depend on each other.
            seen = (risk + leaning[model])[own] + 0.2 * random.normal(size=TESTED)
            noise = 0.6 * random.normal(size=len(units))
            scores = np.round(seen[units] + skill * targets + noise, 2)
            answers[model, seed] = BinaryAnswers(targets, scores > 1.5, scores, units, TESTED)
        places[seed] = np.searchsorted(everyone, own)
    return answers, places


@pytest.fixture(scope="module")
def both_ways(splits):
    """The differences in closed form, and those whose rankings are drawn as well."""
    answers, places = splits
    closed = draw_figures(answers, places, 3000)
    parts = {key: [] for key in answers}
    for counts in bootstrap_counts(closed.units, 3000, np.random.default_rng(5)):
        for key, one in answers.items():
            parts[key] += figures_of_draws([one], counts[places[key[1]]])
    drawn = {
        key: {name: np.concatenate([part[name] for part in some]) for name in RANKINGS}
        for key, some in parts.items()
    }
    return closed, PairedDraws(closed.units, closed.values, drawn)


@pytest.mark.parametrize("metric", RANKINGS)
def test_rankings_of_hours_have_the_interval_that_drawing_patients_gives(both_ways, metric):
    closed, drawn = (way.difference("a", "b", metric) for way in both_ways)
    assert closed.value == drawn.value > 0
    assert closed.standard_error == pytest.approx(drawn.standard_error, rel=0.04)
    assert closed.high - closed.low == pytest.approx(drawn.high - drawn.low, rel=0.05)
    # Drawn intervals are a little lopsided, those in closed form are not.
    assert closed.low == pytest.approx(drawn.low, abs=0.1 * (drawn.high - drawn.low))
    these = [way.of_these_models("a", "b", metric).standard_error for way in both_ways]
    assert these[0] == pytest.approx(these[1], rel=0.05)


def test_hours_as_units_of_their_own_would_be_too_sure(splits, both_ways):
    answers, _ = splits
    apart = {}
    for (model, seed), one in answers.items():
        hours = np.arange(len(one.targets))
        alone = BinaryAnswers(one.targets, one.alarms, one.scores, hours, len(hours))
        apart[model, seed] = alone.ranking_influences()["auroc"]
    for seed in range(SEEDS):
        gaps = apart["a", seed] - apart["b", seed]
        of_patients = both_ways[0].influences
        clustered = of_patients["a", seed]["auroc"] - of_patients["b", seed]["auroc"]
        assert math.sqrt(np.sum(clustered**2)) > 1.5 * math.sqrt(np.sum(gaps**2))


@pytest.mark.parametrize(
    ("metric", "weighted"),
    [
        ("auroc", sklearn_metrics.roc_auc_score),
        ("average_precision", sklearn_metrics.average_precision_score),
    ],
)
def test_a_patients_influence_is_the_derivative_by_the_weight_of_all_its_hours(metric, weighted):
    random = np.random.default_rng(2)
    units = np.repeat(np.arange(12), random.integers(2, 9, 12))
    targets = random.random(len(units)) < 0.4
    scores = np.round(random.normal(size=len(units)) + targets, 1)
    answers = BinaryAnswers(targets, scores > 0, scores, units, 12)
    assert answers.has_several_rows
    influences = answers.ranking_influences()[metric]
    for unit in range(12):
        up, down = (
            weighted(targets, scores, sample_weight=1 + sign * 1e-5 * (units == unit))
            for sign in (1, -1)
        )
        assert influences[unit] == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_other_metrics_of_hours_and_rankings_of_patients_are_drawn(splits):
    answers, places = splits
    by_hour = draw_figures(answers, places, 20)
    assert set(by_hour.values["a", 0]) == set(BinaryAnswers.names)
    assert set(by_hour.draws["a", 0]) == set(BinaryAnswers.names) - set(RANKINGS)
    first = {}
    for key, one in answers.items():
        # The last hour of each patient alone: a row per unit.
        last = np.append(np.flatnonzero(np.diff(one.units)), len(one.units) - 1)
        told = one.targets[last], one.alarms[last], one.scores[last]
        first[key] = BinaryAnswers(*told, np.arange(TESTED), TESTED)
    by_patient = draw_figures(first, places, 20)
    assert by_patient.influences == {}
    assert set(by_patient.draws["a", 0]) == set(BinaryAnswers.names)


def test_a_seed_without_a_labelled_hour_is_left_out_of_the_rankings(splits):
    answers, places = splits
    without = dict(answers)
    for model in "ab":
        one = answers[model, 2]
        nothing = np.zeros_like(one.targets)
        without[model, 2] = BinaryAnswers(nothing, one.alarms, one.scores, one.units, one.count)
    drawn = draw_figures(without, places, 20)
    assert drawn.common_seeds("a", "b", "auroc") == [0, 1, 3]
    found = drawn.difference("a", "b", "auroc")
    assert math.isfinite(found.low)

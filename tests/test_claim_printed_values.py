"""Printed values met by figures of ours: the range of one further run, and when it tells nothing."""

import math

import pytest

from claim_helpers import Summaries, judged, two_models
from liquidbench.errors import InputError
from liquidbench.reporting.claim_intervals import t_interval

LSTM = [0.90, 0.91, 0.92]
CLEAR = [0.910, 0.921, 0.932]
VALUES = {"printed": [1, "N-MNIST LNN", "Test Acc"]}
VALUE = {"kind": "value", "quantity": "test/accuracy", "of": ["lnn"], "printed": "printed"}


@pytest.mark.parametrize(
    ("lnn", "more", "verdict"),
    [
        # 0.9938 lies within 0.985 ± 4.302653 x 0.005 x sqrt(1 + 1/3) = 0.0248, and not within the mean's 0.0124
        # around 0.980. Half of that range is wider than the usual 0.02.
        ([0.980, 0.985, 0.990], {"precision": 0.03}, "reproduced"),
        ([0.975, 0.980, 0.985], {"precision": 0.03}, "reproduced"),
        ([0.975, 0.980, 0.985], {"precision": 0.0248}, "not testable here"),
        ([0.980, 0.985, 0.990], {}, "not testable here"),
        # 4.302653 x 0.003 x sqrt(4/3) = 0.0149.
        ([0.985, 0.988, 0.991], {}, "reproduced"),
        # Outside is outside, however wide the range.
        ([0.960, 0.961, 0.962], {}, "not reproduced"),
        ([0.700, 0.710, 0.720], {}, "not reproduced"),
        # Two wild seeds: -4.2 to 5.7, which holds any accuracy.
        ([0.50, 0.95], {}, "not testable here"),
        ([0.9938], {}, "not testable here"),
    ],
)
def test_a_printed_value_is_one_further_run_if_the_range_tells_anything(
    tmp_path, lnn, more, verdict
):
    study = two_models(lnn, LSTM).study()
    one = judged(tmp_path, study, {**VALUE, **more}, values=VALUES)
    assert one.verdict == verdict
    wide = one.outcomes[0].basis.seeds > 1 and verdict == "not testable here"
    assert ("too few seeds to tell" in one.outcomes[0].reason) is wide


LEAD_VALUES = {"lnn": [3, "N-MNIST LNN", "30%"], "lstm": [3, "N-MNIST LSTM", "30%"]}
LEAD = {"kind": "value", "quantity": "stress/zero_steps/30%/accuracy", "of": ["lnn", "lstm"]}
LEAD["printed"] = "(lnn - lstm) / 100"


def leads(lnn, lstm):
    """The accuracies at 30 % of two models."""
    summaries = Summaries()
    for model, figures in (("cfc", lnn), ("lstm", lstm)):
        figures = {"stress/zero_steps/30%/accuracy": figures}
        summaries.add(model, figures, protocol="stress")
    return summaries


@pytest.mark.parametrize(
    ("lnn", "lstm"),
    [
        # A mean lead of -5 points; and one that is right, with as wide a range.
        ([0.60, 0.72, 0.75], [0.78, 0.70, 0.74]),
        ([0.70, 0.80], [0.75, 0.79]),
        ([0.80, 0.92, 1.00], [0.78, 0.76, 0.75]),
    ],
)
def test_a_wide_range_reproduces_no_printed_lead_least_of_all_the_other_way_round(
    tmp_path, lnn, lstm
):
    one = judged(tmp_path, leads(lnn, lstm).study(), LEAD, values=LEAD_VALUES)
    assert one.verdict == "not testable here"
    assert "too few seeds to tell" in one.outcomes[0].reason


def test_a_printed_lead_needs_a_mean_of_ours_that_is_told_apart_from_0(tmp_path):
    summaries = leads([0.92, 0.93, 0.94], [0.78, 0.79, 0.802])
    assert judged(tmp_path, summaries.study(), LEAD, values=LEAD_VALUES).verdict == "reproduced"
    # Over the examples, too, the same mean may be anything.
    pair = {"dataset": "nmnist", "protocol": "stress", "model_a": "cfc", "model_b": "lstm"}
    summaries.stress_differences(
        **pair, corruption="zero_steps", figure="0.3", difference=0.14, low=-0.1, high=0.4, seeds=3
    )
    one = judged(tmp_path, summaries.study(), LEAD, values=LEAD_VALUES)
    assert one.verdict == "not reproduced"
    assert "not told apart from 0" in one.outcomes[0].reason


def test_a_share_has_a_usual_precision_and_other_figures_must_name_theirs(tmp_path):
    counts = {**VALUE, "quantity": "test/false_positives"}
    with pytest.raises(InputError, match="key precision: missing for test/false_positives"):
        judged(tmp_path, two_models(CLEAR, LSTM).study(), counts, values=VALUES)
    with pytest.raises(InputError, match="key precision: of a difference"):
        judged(tmp_path, leads(LSTM, LSTM).study(), {**LEAD, "precision": 0.1}, values=LEAD_VALUES)


def test_the_range_of_one_further_run_is_wider_than_that_of_the_mean():
    values = [0.975, 0.980, 0.985]
    mean, run = t_interval(values), t_interval(values, one_more=True)
    assert mean.high < 0.9938 < run.high
    assert run.high - run.value == pytest.approx(4.302653 * 0.005 * math.sqrt(4 / 3), abs=1e-8)


@pytest.mark.parametrize(
    ("lnn", "verdict"),
    [([0.92, 0.93, 0.94], "reproduced"), ([0.80, 0.81, 0.821], "not reproduced")],
)
def test_a_printed_difference_is_met_by_a_difference(tmp_path, lnn, verdict):
    study = leads(lnn, [0.78, 0.79, 0.802]).study()
    assert judged(tmp_path, study, LEAD, values=LEAD_VALUES).verdict == verdict


def test_a_printed_value_cannot_be_met_on_other_data(tmp_path):
    summaries = Summaries(source="mirror")
    values = {"test/accuracy": [0.980, 0.985, 0.990]}
    one = judged(
        tmp_path, summaries.add("cfc", values, examples=(10, 5)).study(), VALUE, values=VALUES
    )
    assert one.verdict == "not testable here"
    assert "paper's data" in one.outcomes[0].reason

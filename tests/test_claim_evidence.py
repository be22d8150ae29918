"""Where the figures come from that claims are judged by: summaries of differences, or else the seeds."""

import math

import pandas as pd
import pytest

from claim_helpers import Summaries, judged, two_models
from liquidbench.reporting.claim_page import verdict_label
from liquidbench.reporting.study import Study

GREATER = {"kind": "greater", "quantity": "test/accuracy", "of": ["lnn", "lstm"]}
LSTM = [0.90, 0.91, 0.92]
# Student's intervals over these seeds exclude 0, and include it.
CLEAR = [0.910, 0.921, 0.932]
UNCLEAR = [0.91, 0.93, 0.95]
PAIR = {"dataset": "nmnist", "protocol": "released", "model_a": "cfc", "model_b": "lstm"}
PAIR |= {"metric": "accuracy", "difference": 0.011, "low": 0.001, "high": 0.021}


# Differences.


@pytest.mark.parametrize("turned", [False, True])
def test_differences_csv_wins_over_the_seeds_whichever_way_it_has_the_pair(tmp_path, turned):
    names = ("lstm", "cfc") if turned else ("cfc", "lstm")
    ends = (-0.03, -0.01) if turned else (0.01, 0.03)
    summaries = two_models(UNCLEAR, LSTM).differences(
        dataset="nmnist",
        protocol="released",
        **dict(zip(("model_a", "model_b"), names, strict=True)),
        metric="accuracy",
        difference=-0.02 if turned else 0.02,
        **dict(zip(("low", "high"), ends, strict=True)),
    )
    one = judged(tmp_path, summaries.study(), GREATER)
    (outcome,) = one.outcomes
    assert one.verdict == "reproduced"
    assert (outcome.interval.low, outcome.interval.high) == (0.01, 0.03)
    assert "95 %, paired bootstrap" in outcome.reason
    assert "Holm's p = 0.02" in outcome.reason


def test_differences_of_another_metric_or_protocol_are_not_taken(tmp_path):
    summaries = two_models(UNCLEAR, LSTM)
    pair = {"model_a": "cfc", "model_b": "lstm", "difference": 0.02, "low": 0.01, "high": 0.03}
    summaries.differences(dataset="nmnist", protocol="released", metric="loss", **pair)
    summaries.differences(dataset="nmnist", protocol="paper", metric="accuracy", **pair)
    assert judged(tmp_path, summaries.study(), GREATER).verdict == "not reproduced"


def test_intervals_of_another_confidence_are_refused(tmp_path):
    summaries = two_models(CLEAR, LSTM).differences(**PAIR, interval="50 %")
    (outcome,) = judged(tmp_path, summaries.study(), GREATER).outcomes
    assert outcome.verdict == "not testable here"
    assert "differences.csv has intervals of 50 %, claims are judged at 95 %" in outcome.reason


def test_a_pair_that_met_the_same_examples_once_has_no_interval_over_other_seeds(tmp_path):
    assert judged(tmp_path, two_models(CLEAR, LSTM).study(), GREATER).verdict == "reproduced"
    nothing = {"low": math.nan, "high": math.nan, "p_value": math.nan, "p_holm": math.nan}
    summaries = two_models(CLEAR, LSTM)
    summaries.differences(**(PAIR | nothing), interval="one seed", seeds=1)
    (outcome,) = judged(tmp_path, summaries.study(), GREATER).outcomes
    assert (outcome.verdict, outcome.basis.seeds) == ("not testable here", 1)
    assert "one seed" in outcome.reason
    summaries = two_models(CLEAR, LSTM)
    summaries.differences(**(PAIR | nothing), interval="does not exist", seeds=0)
    (outcome,) = judged(tmp_path, summaries.study(), GREATER).outcomes
    assert outcome.verdict == "not testable here"
    assert "share no seed in differences.csv" in outcome.reason


@pytest.mark.parametrize("turned", [False, True])
def test_a_rows_own_seeds_and_means_are_shown(tmp_path, turned):
    row = PAIR | {"value_a": 0.955, "value_b": 0.944, "seeds": 2}
    if turned:
        row |= {"model_a": "lstm", "model_b": "cfc", "value_a": 0.944, "value_b": 0.955}
        row |= {"difference": -0.011, "low": -0.021, "high": -0.001}
    summaries = two_models([*CLEAR, 0.1, 0.2], [*LSTM, 0.3, 0.4]).differences(**row)
    (outcome,) = judged(tmp_path, summaries.study(), GREATER).outcomes
    assert outcome.basis.seeds == 2
    assert "cfc 0.9550, lstm 0.9440, difference +0.0110" in outcome.ours


def test_means_over_common_seeds_differ_by_the_difference(tmp_path):
    study = two_models([0.95, 0.9501, 0.5, 0.5, 0.5], [0.9, 0.9]).study()
    (outcome,) = judged(tmp_path, study, GREATER).outcomes
    assert "cfc 0.9500, lstm 0.9000, difference +0.0500" in outcome.ours
    ratio = {"kind": "ratio_at_most", "quantity": "costs/median_epoch_seconds", "limit": 1}
    study = two_models([2.0, 2.2, 99.0], [1.0, 1.1], "costs/median_epoch_seconds").study()
    (outcome,) = judged(tmp_path, study, {**ratio, "of": ["lnn", "lstm"]}).outcomes
    assert "cfc 2.100, lstm 1.050, ratio 2" in outcome.ours


@pytest.mark.parametrize(("p_holm", "told"), [(0.6, True), (0.04, False)])
def test_an_interval_that_holms_correction_would_not_let_pass_is_told(tmp_path, p_holm, told):
    summaries = two_models(UNCLEAR, LSTM).differences(**PAIR, p_value=0.04, p_holm=p_holm)
    one = judged(tmp_path, summaries.study(), GREATER)
    assert one.verdict == "reproduced"
    assert ("Holm's p is above 0.05" in verdict_label(one)) is told
    assert ("ABOVE 0.05" in one.outcomes[0].reason) is told


def test_a_printed_lead_of_pairs_that_are_not_told_cannot_be_met(tmp_path):
    values = {"lnn": [1, "N-MNIST LNN", "Test Acc"], "lstm": [1, "N-MNIST LSTM", "Test Acc"]}
    rule = {**GREATER, "kind": "value", "printed": "lnn - lstm"}
    for seeds, text in ((1, "one seed: no interval"), (2, "only 2 of 3 seeds")):
        interval = "one seed" if seeds == 1 else "95 %"
        summaries = two_models(CLEAR, LSTM).differences(**PAIR, seeds=seeds, interval=interval)
        (outcome,) = judged(tmp_path, summaries.study(), rule, values=values).outcomes
        assert outcome.verdict == "not testable here"
        assert text in outcome.reason


# Stress.


def test_the_area_is_the_mean_over_the_rates(tmp_path):
    summaries = Summaries()
    for model, low in (("cfc", [0.5, 0.52]), ("lstm", [0.3, 0.31])):
        curve = {"stress/zero_steps/0%": [1.0, 1.0], "stress/zero_steps/30%": [0.9, 0.9]}
        curve["stress/zero_steps/70%"] = low
        summaries.add(model, curve, protocol="stress")
    rule = {**GREATER, "quantity": "stress/zero_steps/area/accuracy"}
    one = judged(tmp_path, summaries.study(), rule)

    def area(low):
        return (0.3 * (1.0 + 0.9) / 2 + 0.4 * (0.9 + low) / 2) / 0.7

    wanted = (area(0.5) - area(0.3) + area(0.52) - area(0.31)) / 2
    assert one.outcomes[0].interval.value == pytest.approx(wanted)
    assert one.verdict == "reproduced"


def test_stress_rows_with_a_metric_are_read_by_it(tmp_path):
    study = Summaries()
    for model in ("cfc", "lstm"):
        study.add(model, {"stress/zero_steps/30%": [0.1, 0.1]}, protocol="stress")
    study = study.study()
    wide = study.frames["stress"]
    rows = [
        {**row, "metric": metric, "value": value + 0.01 * row["seed"] * (row["model"] == "cfc")}
        for row in wide.to_dict("records")
        for metric, value in (("auroc", 0.6 if row["model"] == "lstm" else 0.9), ("accuracy", 0.1))
    ]
    frame = pd.DataFrame(rows).drop(columns=["accuracy"], errors="ignore")
    study = Study({**study.frames, "stress": frame}, study.layout)
    rule = {**GREATER, "quantity": "stress/zero_steps/30%/auroc"}
    (outcome,) = judged(tmp_path, study, rule).outcomes
    assert outcome.interval.value == pytest.approx(0.305)


@pytest.mark.parametrize("asked", ["area", "loss", "30%"])
def test_stress_differences_csv_wins_over_the_seeds_for_its_own_figure(tmp_path, asked):
    summaries = Summaries()
    for model, shift in (("cfc", 0.0), ("lstm", 0.01)):
        curve = {"stress/zero_steps/0%": [0.9, 0.8], "stress/zero_steps/30%": [0.5, 0.7 - shift]}
        summaries.add(model, curve, protocol="stress")
    pair = {"dataset": "nmnist", "protocol": "stress", "model_a": "lstm", "model_b": "cfc"}
    own = {"30%": "0.3"}.get(asked, asked)
    summaries.stress_differences(
        **pair, corruption="zero_steps", figure=own, difference=-0.02, low=-0.03, high=-0.01
    )
    for other in ({"corruption": "zero_bursts", "figure": own}, {"figure": "0.5"}):
        row = {"corruption": "zero_steps", "difference": 0.5, "low": 0.4, "high": 0.6}
        summaries.stress_differences(**pair, **(row | other))
    rule = {**GREATER, "quantity": f"stress/zero_steps/{asked}/accuracy"}
    (outcome,) = judged(tmp_path, summaries.study(), rule).outcomes
    assert (outcome.interval.low, outcome.interval.high) == (0.01, 0.03)
    assert outcome.verdict == "reproduced"
    assert "95 %, paired, over examples and seeds" in outcome.reason


def test_the_loss_is_the_clean_figure_less_the_area(tmp_path):
    summaries = Summaries()
    # Mean heights: (0.3 x 0.95 + 0.4 x (0.9 + low) / 2) / 0.7.
    for model, clean, low in (("cfc", 0.9, [0.5, 0.52]), ("lstm", 1.0, [0.5, 0.51])):
        curve = {"stress/zero_steps/0%": [clean] * 2, "stress/zero_steps/30%": [0.9, 0.9]}
        summaries.add(model, curve | {"stress/zero_steps/70%": low}, protocol="stress")
    rule = {**GREATER, "quantity": "stress/zero_steps/loss/accuracy", "of": ["lstm", "lnn"]}
    (outcome,) = judged(tmp_path, summaries.study(), rule).outcomes

    def loss(clean, low):
        return clean - (0.3 * (clean + 0.9) / 2 + 0.4 * (0.9 + low) / 2) / 0.7

    lstm, lnn = (loss(1.0, 0.5) + loss(1.0, 0.51)) / 2, (loss(0.9, 0.5) + loss(0.9, 0.52)) / 2
    assert outcome.interval.value == pytest.approx(lstm - lnn)
    assert outcome.verdict == "reproduced"
    assert "with steps zeroed (paper), lost on average over the rates" in outcome.ours


def test_a_curve_without_the_clean_figure_has_no_loss(tmp_path):
    summaries = Summaries()
    for model in ("cfc", "lstm"):
        curve = {"stress/zero_steps/30%": [0.9, 0.8], "stress/zero_steps/70%": [0.5, 0.4]}
        summaries.add(model, curve, protocol="stress")
    rule = {**GREATER, "quantity": "stress/zero_steps/loss/accuracy"}
    (outcome,) = judged(tmp_path, summaries.study(), rule).outcomes
    assert "not in stress.csv" in outcome.reason

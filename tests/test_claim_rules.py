"""Each kind of rule on hand-made studies: every verdict that it can give, and what it needs."""

import math

import pandas as pd
import pytest

from claim_helpers import Summaries, judged, two_models
from liquidbench.reporting.claim_intervals import t_interval
from liquidbench.reporting.claim_page import verdict_label
from liquidbench.reporting.claim_verdicts import ORDER, Outcome, combined
from liquidbench.reporting.study import Study

GREATER = {"kind": "greater", "quantity": "test/accuracy", "of": ["lnn", "lstm"]}
LSTM = [0.90, 0.91, 0.92]
# Three seeds: t of two degrees of freedom is 4.302653 (tables). Differences of deviation 0.001 and 0.01.
CLEAR = [0.910, 0.921, 0.932]
UNCLEAR = [0.91, 0.93, 0.95]


# Differences.


@pytest.mark.parametrize(
    ("lnn", "verdict"),
    [
        (CLEAR, "reproduced"),
        (UNCLEAR, "not reproduced"),
        ([0.890, 0.899, 0.908], "contradicted"),
        ([0.95], "not testable here"),
        ([0.95, 0.9601, math.nan], "reproduced"),
    ],
)
def test_the_interval_of_the_difference_decides(tmp_path, lnn, verdict):
    one = judged(tmp_path, two_models(lnn, LSTM).study(), GREATER)
    assert one.verdict == one.would_be == verdict


def test_the_interval_is_students_over_paired_seeds(tmp_path):
    one = judged(tmp_path, two_models(CLEAR, LSTM).study(), GREATER)
    (outcome,) = one.outcomes
    half = 4.302653 * 0.001 / math.sqrt(3)
    found = (outcome.interval.value, outcome.interval.low, outcome.interval.high)
    assert found == pytest.approx((0.011, 0.011 - half, 0.011 + half), abs=1e-8)
    assert outcome.ours == (
        "test accuracy: cfc 0.9210, lstm 0.9100, difference +0.0110 [+0.0085, +0.0135]"
    )
    assert outcome.basis.seeds == 3
    assert "N-MNIST: download; protocol released; cfc and lstm; 3 seeds" in outcome.basis.label
    # Unpaired, the two would overlap: the pairing is what tells them apart.
    assert max(LSTM) > min(CLEAR)


def test_one_seed_has_no_verdict_and_says_so(tmp_path):
    (outcome,) = judged(tmp_path, two_models([0.95], [0.90]).study(), GREATER).outcomes
    assert "one seed" in outcome.reason
    assert "+0.0500" in outcome.ours


def test_seeds_that_agree_to_the_last_digit_have_no_interval(tmp_path):
    (outcome,) = judged(tmp_path, two_models([0.95] * 3, [0.90] * 3).study(), GREATER).outcomes
    assert (outcome.verdict, outcome.reason) == (
        "not testable here",
        "all seeds alike: no interval",
    )


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


def test_a_figure_that_is_not_there_is_named(tmp_path):
    absent = judged(tmp_path, Summaries().add("cfc", {"test/accuracy": CLEAR}).study(), GREATER)
    assert absent.verdict == "not testable here"
    assert absent.outcomes[0].reason == "no finished run of nmnist/released/lstm"
    precision = {**GREATER, "quantity": "test/precision"}
    (outcome,) = judged(tmp_path, two_models(CLEAR, LSTM).study(), precision).outcomes
    assert "test/precision of nmnist/released/cfc is not in metrics.csv" in outcome.reason


def test_the_gap_is_training_as_it_went_less_test(tmp_path):
    summaries = Summaries()
    for model, train, test in (("cfc", 0.99, [0.98, 0.981]), ("lstm", 0.99, [0.95, 0.952])):
        values = {"train_running/accuracy": [train] * 2, "test/accuracy": test}
        summaries.add(model, values)
    rule = {"kind": "greater", "quantity": "gap/accuracy", "of": ["lstm", "lnn"]}
    (outcome,) = judged(tmp_path, summaries.study(), rule).outcomes
    assert outcome.interval.value == pytest.approx((0.04 + 0.038) / 2 - (0.01 + 0.009) / 2)


# Data.


def test_synthetic_data_say_only_what_the_verdict_would_be(tmp_path):
    study = two_models(CLEAR, LSTM, source="synthetic", synthetic=True).study()
    one = judged(tmp_path, study, GREATER)
    assert (one.verdict, one.would_be) == ("not testable here", "reproduced")
    assert verdict_label(one) == "SYNTHETIC DATA: would be reproduced"


@pytest.mark.parametrize(
    ("source", "examples", "papers"),
    [
        ("download", None, True),
        ("mirror", None, True),
        ("mirror", (60_000, 9_999), False),
        ("mirror", (1_000, 100), False),
    ],
)
def test_a_mirrors_files_are_the_papers_data_if_they_are_all_there(
    tmp_path, source, examples, papers
):
    summaries = Summaries(source=source)
    for model, values in (("cfc", CLEAR), ("lstm", LSTM)):
        summaries.add(model, {"test/accuracy": values}, examples=examples)
    one = judged(tmp_path, summaries.study(), GREATER)
    assert one.outcomes[0].basis.papers_data is papers
    label = "reproduced" if papers else "reproduced, on data other than the paper's"
    assert verdict_label(one) == label


def test_set_a_is_told_by_its_patients_in_all(tmp_path):
    rule = {**GREATER, "dataset": "physionet"}
    for sizes, papers in (
        ((16_269, 4_067), True),
        ((16_000, 4_336), True),
        ((16_000, 4_000), False),
    ):
        summaries = Summaries(source="mirror")
        for model, values in (("cfc-256", CLEAR), ("lstm-128", LSTM)):
            options = {"dataset": "physionet", "protocol": "paper", "examples": sizes}
            summaries.add(model, {"test/accuracy": values}, **options)
        (outcome,) = judged(tmp_path, summaries.study(), rule).outcomes
        assert outcome.basis.papers_data is papers, sizes


def test_a_changed_training_is_told(tmp_path):
    summaries = Summaries()
    for model, values in (("cfc", CLEAR), ("lstm", LSTM)):
        summaries.add(model, {"test/accuracy": values}, settings={"overrides.epochs": "3"})
    one = judged(tmp_path, summaries.study(), GREATER)
    assert verdict_label(one) == "reproduced, on models or training other than the paper's"
    assert "released, but epochs=3" in one.outcomes[0].basis.label


# Printed values.


VALUES = {"printed": [1, "N-MNIST LNN", "Test Acc"]}
VALUE = {"kind": "value", "quantity": "test/accuracy", "of": ["lnn"], "printed": "printed"}


@pytest.mark.parametrize(
    ("lnn", "more", "verdict"),
    [
        # 0.9938 lies within 0.985 ± 4.302653 x 0.005 x sqrt(1 + 1/3) = 0.0248, and not within the mean's 0.0124
        # around 0.980.
        ([0.980, 0.985, 0.990], {}, "reproduced"),
        ([0.975, 0.980, 0.985], {}, "reproduced"),
        ([0.960, 0.961, 0.962], {}, "not reproduced"),
        ([0.960, 0.961, 0.962], {"tolerance": 0.04}, "reproduced"),
        ([0.960, 0.961, 0.962], {"tolerance": 0.03}, "not reproduced"),
        ([0.9938], {}, "not testable here"),
    ],
)
def test_a_printed_value_is_one_further_run(tmp_path, lnn, more, verdict):
    study = two_models(lnn, LSTM).study()
    assert judged(tmp_path, study, {**VALUE, **more}, values=VALUES).verdict == verdict


def test_the_range_of_one_further_run_is_wider_than_that_of_the_mean():
    values = [0.975, 0.980, 0.985]
    mean, run = t_interval(values), t_interval(values, one_more=True)
    assert mean.high < 0.9938 < run.high
    assert run.high - run.value == pytest.approx(4.302653 * 0.005 * math.sqrt(4 / 3), abs=1e-8)


def test_a_printed_difference_is_met_by_a_difference(tmp_path):
    values = {"lnn": [3, "N-MNIST LNN", "30%"], "lstm": [3, "N-MNIST LSTM", "30%"]}
    rule = {"kind": "value", "quantity": "stress/zero_steps/30%/accuracy", "of": ["lnn", "lstm"]}
    rule["printed"] = "(lnn - lstm) / 100"
    for lnn, verdict in (
        ([0.92, 0.93, 0.94], "reproduced"),
        ([0.80, 0.81, 0.821], "not reproduced"),
    ):
        summaries = Summaries()
        for model, figures in (("cfc", lnn), ("lstm", [0.78, 0.79, 0.802])):
            figures = {"stress/zero_steps/30%/accuracy": figures}
            summaries.add(model, figures, protocol="stress")
        assert judged(tmp_path, summaries.study(), rule, values=values).verdict == verdict


def test_a_printed_value_cannot_be_met_on_other_data(tmp_path):
    summaries = Summaries(source="mirror")
    values = {"test/accuracy": [0.980, 0.985, 0.990]}
    one = judged(
        tmp_path, summaries.add("cfc", values, examples=(10, 5)).study(), VALUE, values=VALUES
    )
    assert one.verdict == "not testable here"
    assert "paper's data" in one.outcomes[0].reason


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


@pytest.mark.parametrize("asked", ["area", "30%"])
def test_stress_differences_csv_wins_over_the_seeds_for_its_own_figure(tmp_path, asked):
    summaries = Summaries()
    for model, shift in (("cfc", 0.0), ("lstm", 0.01)):
        curve = {"stress/zero_steps/0%": [0.9, 0.8], "stress/zero_steps/30%": [0.5, 0.7 - shift]}
        summaries.add(model, curve, protocol="stress")
    pair = {"dataset": "nmnist", "protocol": "stress", "model_a": "lstm", "model_b": "cfc"}
    own = "area" if asked == "area" else "0.3"
    summaries.stress_differences(
        **pair, corruption="zero_steps", figure=own, difference=-0.02, low=-0.03, high=-0.01
    )
    for other in ({"corruption": "zero_bursts", "figure": own}, {"figure": "loss"}):
        row = {"corruption": "zero_steps", "difference": 0.5, "low": 0.4, "high": 0.6}
        summaries.stress_differences(**pair, **(row | other))
    rule = {**GREATER, "quantity": f"stress/zero_steps/{asked}/accuracy"}
    (outcome,) = judged(tmp_path, summaries.study(), rule).outcomes
    assert (outcome.interval.low, outcome.interval.high) == (0.01, 0.03)
    assert outcome.verdict == "reproduced"
    assert "95 %, paired, over examples and seeds" in outcome.reason


# Ratios.


def ratio(quantity, limit):
    return {"kind": "ratio_at_most", "quantity": quantity, "of": ["lnn", "lstm"], "limit": limit}


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        ([1.0, 1.1, 1.05], "reproduced"),
        ([5.0, 5.1, 5.2], "contradicted"),
        ([0.5, 1.2, 2.4], "not reproduced"),
        ([0.9, 1.6, 2.9], "not reproduced"),
        ([5.0], "not testable here"),
    ],
)
def test_a_measured_ratio_needs_an_interval(tmp_path, seconds, verdict):
    study = two_models(seconds, [1.0] * 3, "costs/median_epoch_seconds").study()
    one = judged(tmp_path, study, ratio("costs/median_epoch_seconds", 1.25))
    assert one.verdict == verdict, one.outcomes[0].reason


def test_the_ratios_interval_is_that_of_its_logarithm(tmp_path):
    study = two_models([2.0, 8.0], [1.0, 1.0], "costs/median_epoch_seconds").study()
    (outcome,) = judged(tmp_path, study, ratio("costs/median_epoch_seconds", 1.25)).outcomes
    # Geometric mean 4; deviation of the logarithms ln 4 / sqrt 2; t of one degree of freedom 12.7062.
    half = 12.7062 * math.log(4) / math.sqrt(2) / math.sqrt(2)
    assert outcome.interval.value == pytest.approx(4.0)
    assert outcome.interval.high == pytest.approx(4 * math.exp(half), rel=1e-4)


@pytest.mark.parametrize(("limit", "verdict"), [(0.6, "reproduced"), (0.4, "contradicted")])
def test_counts_need_no_interval_and_no_data(tmp_path, limit, verdict):
    summaries = Summaries(source="mirror")
    for model, value in (("cfc", 50), ("lstm", 100)):
        summaries.add(model, {"parameters/core": [value]}, examples=(10, 5))
    one = judged(tmp_path, summaries.study(), ratio("parameters/core", limit))
    assert not one.outcomes[0].basis.papers_data
    assert (one.verdict, verdict_label(one)) == (verdict, verdict)


def test_a_count_of_other_models_tells_nothing(tmp_path):
    summaries = Summaries()
    for model, value in (("cfc", 50), ("lstm", 100)):
        options = {"settings": {"overrides.epochs": "3"}}
        summaries.add(model, {"parameters/core": [value]}, **options)
    assert judged(tmp_path, summaries.study(), ratio("parameters/core", 0.6)).verdict == (
        "not testable here"
    )


def test_without_costs_there_is_no_verdict(tmp_path):
    study = two_models(CLEAR, LSTM).study()
    (outcome,) = judged(tmp_path, study, ratio("costs/flops_per_example", 1)).outcomes
    assert outcome.verdict == "not testable here"
    assert "costs.csv" in outcome.reason


# False alarms at the same recall.


MATCHED = {
    "kind": "false_alarms_at_matched_recall",
    "dataset": "physionet",
    "of": ["lnn", "lstm"],
    "recall": "recall",
}


@pytest.mark.parametrize(
    ("lnn", "lstm", "verdict"),
    [
        ([100, 110, 121], [150, 161, 170], "reproduced"),
        ([150, 161, 170], [100, 110, 121], "contradicted"),
        ([100, 200, 300], [150, 160, 170], "not reproduced"),
        ([100], [150], "not testable here"),
    ],
)
def test_false_alarms_are_compared_at_the_recall_that_is_nearest(tmp_path, lnn, lstm, verdict):
    summaries = Summaries()
    for model, alarms in (("cfc-256", lnn), ("lstm-128", lstm)):
        prefix = "clinical/patient/false_alarms_at_recall_"
        # At the printed 0.22; and the other way round far from it.
        values = {f"{prefix}0.20": alarms, f"{prefix}0.50": [1000 - a for a in alarms]}
        summaries.add(model, values, dataset="physionet", protocol="paper")
    one = judged(
        tmp_path, summaries.study(), MATCHED, values={"recall": [2, "LSTM (128)", "Recall"]}
    )
    assert one.verdict == verdict
    reason = one.outcomes[0].reason
    assert "both at recall 0.20" in reason or verdict == "not testable here"


def test_no_recall_near_the_printed_one_is_no_match(tmp_path):
    summaries = Summaries()
    for model in ("cfc-256", "lstm-128"):
        values = {"clinical/patient/false_alarms_at_recall_0.50": [1, 2]}
        summaries.add(model, values, dataset="physionet", protocol="paper")
    values = {"recall": [2, "LSTM (128)", "Recall"]}
    (outcome,) = judged(tmp_path, summaries.study(), MATCHED, values=values).outcomes
    assert outcome.verdict == "not testable here"
    assert "near 0.22" in outcome.reason
    assert "0.50" in outcome.reason


# What the paper says of itself; settings; what cannot be tested.


def test_arithmetic_makes_a_claim_inconsistent_or_leaves_it_to_the_figures(tmp_path):
    study = two_models(CLEAR, LSTM).study()
    values = {"lnn": [1, "IAM LNN", "Test CER"], "lstm": [1, "IAM LSTM", "Test CER"]}

    def verdict(holds, *rules, **more):
        rule = {"kind": "consistency", "holds": holds, **more}
        return judged(tmp_path, study, rule, *rules, values=values).verdict

    assert verdict("lnn < lstm") == "inconsistent in the paper itself"
    assert verdict("lnn < lstm", GREATER) == "inconsistent in the paper itself"
    assert verdict(["lnn > lstm", "lnn < lstm"]) == "inconsistent in the paper itself"
    assert verdict("lnn > lstm") == "not testable here"
    assert verdict("lnn > lstm", settles=True) == "reproduced"
    assert verdict("lnn > lstm", GREATER) == "reproduced"


def test_settings_other_than_printed_bar_a_verdict(tmp_path):
    printed = {"training.epochs": "30", "training.batch_size": "64", "training.optimizer": "adamw"}
    rule = {"kind": "setting", "of": ["lnn", "lstm"]}
    for settings, verdict, reason in (
        (printed, "reproduced", "ran with the printed settings"),
        (printed | {"training.epochs": "10"}, "not testable here", "Epochs 10, printed 30"),
    ):
        summaries = Summaries()
        for model, values in (("cfc", CLEAR), ("lstm", LSTM)):
            summaries.add(model, {"test/accuracy": values}, settings=settings)
        one = judged(tmp_path, summaries.study(), rule, GREATER)
        assert one.verdict == verdict
        assert reason in one.outcomes[0].reason


def test_what_cannot_be_tested_names_what_is_missing(tmp_path):
    rule = {"kind": "untestable", "missing": "a ward"}
    one = judged(tmp_path, two_models(CLEAR, LSTM).study(), rule)
    assert (one.verdict, one.outcomes[0].reason) == ("not testable here", "missing: a ward")


def test_the_figures_verdict_stands_beside_that_of_the_arithmetic(tmp_path):
    study = two_models(CLEAR, LSTM).study()
    false = {"kind": "consistency", "holds": "2 < 1"}
    one = judged(tmp_path, study, false, GREATER)
    assert (one.verdict, one.measured.verdict) == (
        "inconsistent in the paper itself",
        "reproduced",
    )
    assert judged(tmp_path, study, false).measured is None


# Several rules.


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", None], "reproduced"),
        ([None], "not testable here"),
        (["reproduced", "not testable here"], "not testable here"),
        (["not testable here", "not reproduced"], "not reproduced"),
        (["not reproduced", "contradicted", "reproduced"], "contradicted"),
        (["contradicted", "inconsistent in the paper itself"], "inconsistent in the paper itself"),
    ],
)
def test_the_worst_rule_gives_the_verdict(verdicts, expected):
    outcomes = [Outcome(verdict, verdict, "", "") for verdict in verdicts]
    assert combined(outcomes) == (expected, expected)
    assert expected in ORDER

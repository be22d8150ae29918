"""Each kind of rule on hand-made studies: every verdict that it can give, and what it needs."""

import math

import pytest

from claim_helpers import Summaries, judged, two_models
from liquidbench.reporting.claim_page import verdict_label
from liquidbench.reporting.claim_verdicts import ORDER, Outcome, combined

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


@pytest.mark.parametrize(
    ("lnn", "verdict"),
    [
        # Differences of -0.011, with an interval of ± 0.0025, against -0.02 and more.
        ([0.888, 0.899, 0.910], "reproduced"),
        ([0.880, 0.889, 0.899], "not reproduced"),
        ([0.870, 0.879, 0.888], "contradicted"),
    ],
)
def test_comparable_is_less_than_a_margin_worse(tmp_path, lnn, verdict):
    one = judged(tmp_path, two_models(lnn, LSTM).study(), {**GREATER, "margin": 0.02})
    assert one.verdict == verdict
    assert "0.0200" in one.outcomes[0].reason


@pytest.mark.parametrize(
    ("core", "verdict"), [(99, "reproduced"), (100, "contradicted"), (101, "contradicted")]
)
def test_as_many_parameters_are_not_fewer(tmp_path, core, verdict):
    study = two_models([core], [100], "parameters/core").study()
    rule = {"kind": "greater", "quantity": "parameters/core", "of": ["lstm", "lnn"]}
    assert judged(tmp_path, study, rule).verdict == verdict
    changed = Summaries()
    for model, count in (("cfc", core), ("lstm", 100)):
        changed.add(model, {"parameters/core": [count]}, settings={"overrides.epochs": "3"})
    assert judged(tmp_path, changed.study(), rule).verdict == "not testable here"


@pytest.mark.parametrize(
    ("lnn", "verdict"),
    [
        # ± 4.302653 x 0.01 / sqrt(3) = 0.0248.
        ([0.92, 0.93, 0.94], "reproduced"),
        ([0.91, 0.92, 0.93], "not reproduced"),
        ([0.85, 0.86, 0.87], "contradicted"),
        ([0.95], "not testable here"),
    ],
)
def test_a_figure_is_at_least_a_limit_if_its_mean_is(tmp_path, lnn, verdict):
    rule = {"kind": "at_least", "quantity": "test/accuracy", "of": ["lnn"], "limit": 0.9}
    assert judged(tmp_path, two_models(lnn, LSTM).study(), rule).verdict == verdict


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


def test_patients_kept_for_validation_count(tmp_path):
    summaries = Summaries(source="mirror")
    options = {"dataset": "physionet", "protocol": "paper", "examples": (13_828, 4_068)}
    summaries.add("cfc-256", {"test/accuracy": CLEAR}, **options)
    summaries.add("lstm-128", {"test/accuracy": LSTM}, **options)
    for row in summaries.rows["runs"]:
        row["validation_examples"] = 2_440
    one = judged(tmp_path, summaries.study(), {**GREATER, "dataset": "physionet"})
    assert one.outcomes[0].basis.papers_data


def test_a_changed_training_is_told(tmp_path):
    summaries = Summaries()
    for model, values in (("cfc", CLEAR), ("lstm", LSTM)):
        summaries.add(model, {"test/accuracy": values}, settings={"overrides.epochs": "3"})
    one = judged(tmp_path, summaries.study(), GREATER)
    assert verdict_label(one) == "reproduced, on models or training other than the paper's"
    assert "released, but epochs=3" in one.outcomes[0].basis.label


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


def test_other_settings_veto_what_the_claims_other_rules_say(tmp_path):
    settings = {"training.batch_size": "63"}
    summaries = Summaries()
    for model, values in (("cfc", [0.960, 0.961, 0.962]), ("lstm", CLEAR)):
        summaries.add(model, {"test/accuracy": values}, settings=settings)
    value = {**GREATER, "kind": "value", "of": ["lnn"], "printed": "printed"}
    rules = [{"kind": "setting", "of": ["lnn", "lstm"]}, value, GREATER]
    values = {"printed": [1, "N-MNIST LNN", "Test Acc"]}
    one = judged(tmp_path, summaries.study(), *rules, values=values)
    free = judged(tmp_path, summaries.study(), *rules[1:], values=values)
    assert [o.verdict for o in free.outcomes] == ["not reproduced", "reproduced"]
    assert (one.verdict, one.would_be) == ("not testable here", "not testable here")
    for outcome in one.outcomes[1:]:
        assert outcome.verdict == "not testable here"
        assert "settings our runs did not have" in outcome.reason
        assert outcome.ours


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

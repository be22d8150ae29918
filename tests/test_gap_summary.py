"""The table at the head of the claims page: pairs that were trained alike, and who is better by which interval."""

import pytest

from claim_helpers import Summaries
from liquidbench.reporting.claim_page import as_markdown
from liquidbench.reporting.gap_summary import gap_summary


def study_with(*models, rows=(), dataset="nmnist", **options):
    """Models as (name, core, further settings); rows of differences over them."""
    summaries = Summaries(**options)
    for name, core, *more in models:
        settings = [("architecture.core.name", core), ("training.epochs", "30"), *more]
        summaries.add(
            name, {"test/loss": [0.1]}, dataset=dataset, protocol="gaps", settings=settings
        )
    for row in rows:
        summaries.stress_differences(dataset=dataset, protocol="gaps", seeds=5, **row)
    return summaries.study()


def difference(a, b, figure, value, low, high, corruption="zero_steps", **more):
    names = {"model_a": a, "model_b": b, "figure": figure, "corruption": corruption}
    return names | {"difference": value, "low": low, "high": high} | more


def cells(study) -> list[list[str]]:
    """The table's rows."""
    lines = [line for line in gap_summary(study).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


MODELS = (("cfc", "cfc"), ("lstm", "lstm"))


def test_a_pair_has_its_differences_liquid_less_lstm_and_who_is_better():
    rows = [
        difference("lstm", "cfc", "0", 0.001, -0.002, 0.004),
        difference("lstm", "cfc", "area", -0.05, -0.07, -0.03),
        difference("lstm", "cfc", "loss", 0.051, 0.02, 0.08),
        difference("lstm", "cfc", "area", 0.05, 0.03, 0.07, "remove_steps"),
        difference("lstm", "cfc", "loss", -0.01, -0.03, 0.01, "remove_steps"),
    ]
    ((*front, whole, kept, lost, kept_removed, lost_removed),) = cells(
        study_with(*MODELS, rows=rows)
    )
    assert front == ["N-MNIST", "download", "gaps", "cfc", "lstm", "accuracy", "5"]
    assert whole == "-0.10 [-0.40, 0.20] **open**"
    assert kept == "+5.00 [3.00, 7.00] **liquid**"
    # It loses less.
    assert lost == "-5.10 [-8.00, -2.00] **liquid**"
    assert kept_removed == "-5.00 [-7.00, -3.00] **LSTM**"
    assert lost_removed == "+1.00 [-1.00, 3.00] **open**"


def test_an_error_rate_is_better_low_and_its_loss_negative():
    rows = [
        difference("cfc", "lstm", "area", -0.1, -0.12, -0.08, metric="cer"),
        # The CfC's error rate rises by less: 0.3 - 0.5 against 0.3 - 0.6.
        difference("cfc", "lstm", "loss", 0.1, 0.08, 0.12, metric="cer"),
    ]
    ((*_, kept, lost, removed, _),) = cells(study_with(*MODELS, rows=rows, dataset="iam"))
    assert kept.endswith("**liquid**") and lost == "+10.00 [8.00, 12.00] **liquid**"
    assert removed == "–"


def test_stays_are_judged_by_average_precision_and_lost_hours():
    rows = [
        difference("cfc", "lstm", "area", 0.5, 0.4, 0.6, "drop_hours", metric="accuracy"),
        difference(
            "cfc", "lstm", "area", -0.2, -0.3, -0.1, "drop_hours", metric="average_precision"
        ),
    ]
    ((*front, removed, _),) = cells(study_with(*MODELS, rows=rows, dataset="physionet"))
    assert front[5] == "average precision" and removed == "-20.00 [-30.00, -10.00] **LSTM**"


def test_one_seed_has_no_interval_and_nobody_is_better():
    row = difference("cfc", "lstm", "area", 0.5, float("nan"), float("nan"), interval="one seed")
    ((*_, kept, _, _, _),) = cells(study_with(*MODELS, rows=[row]))
    assert kept == "+50.00 (one seed)"


@pytest.mark.parametrize(
    ("liquid", "lstm", "paired"),
    [
        ([("architecture.elapsed", "core")], [("architecture.elapsed", "feature")], True),
        ([("architecture.elapsed", "core")], [], False),
        ([("architecture.elapsed", "none")], [], True),
        ([("training.gradient_clip", "1.0")], [("training.gradient_clip", "null")], False),
        ([("training.step_dropout.how", "removed")], [], False),
    ],
)
def test_only_models_that_were_trained_and_told_alike_are_paired(liquid, lstm, paired):
    models = (("cfc-x", "cfc", *liquid), ("lstm-x", "lstm", *lstm), ("gru", "gru"))
    rows = [
        difference(a, b, "area", 0.1, 0.05, 0.15)
        for a, b in (("cfc-x", "lstm-x"), ("cfc-x", "gru"), ("lstm-x", "gru"))
    ]
    study = study_with(*models, rows=rows)
    assert len(cells(study)) == paired
    assert bool(gap_summary(study)) == paired


def test_the_claims_page_has_it_before_the_claims():
    row = difference("cfc", "lstm", "area", 0.05, 0.03, 0.07)
    page = as_markdown(study_with(*MODELS, rows=[row], synthetic=True, source="synthetic"), [])
    assert "## With gaps: liquid less LSTM" in page and "SYNTHETIC" in page
    assert "With gaps" not in as_markdown(study_with(*MODELS), [])

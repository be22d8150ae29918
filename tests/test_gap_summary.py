"""The table at the head of the claims page: pairs that were trained alike, and who is better by which interval."""

import pandas as pd
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
            name,
            {"test/loss": [0.1], "parameters/core": [1234]},
            dataset=dataset,
            protocol="gaps",
            settings=settings,
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
        difference("lstm", "cfc", "0", 0.001, -0.002, 0.004, p_value=0.5),
        difference("lstm", "cfc", "area", -0.05, -0.07, -0.03),
        difference("lstm", "cfc", "loss", 0.051, 0.02, 0.08),
        difference("lstm", "cfc", "area", 0.05, 0.03, 0.07, "remove_steps"),
        # Its interval excludes 0, but the second largest of five p-values counts twice.
        difference("lstm", "cfc", "loss", -0.02, -0.03, -0.01, "remove_steps", p_value=0.03),
    ]
    ((*front, whole, kept, lost, kept_removed, lost_removed),) = cells(
        study_with(*MODELS, rows=rows)
    )
    sizes = ["cfc (1,234 core parameters)", "lstm (1,234 core parameters)"]
    assert front == ["N-MNIST", "download", "gaps", *sizes, "accuracy", "5"]
    assert whole == "-0.10 [-0.40, 0.20]"
    assert kept == "+5.00 [3.00, 7.00] **liquid**"
    # It loses less.
    assert lost == "-5.10 [-8.00, -2.00] **liquid**"
    assert kept_removed == "-5.00 [-7.00, -3.00] **LSTM**"
    assert lost_removed == "+2.00 [1.00, 3.00]"


def test_who_loses_less_from_a_worse_start_is_told_so():
    rows = [
        difference("lstm", "cfc", "0", 0.3, 0.2, 0.4),
        difference("lstm", "cfc", "area", 0.1, -0.1, 0.3, p_value=0.6),
        difference("lstm", "cfc", "loss", 0.2, 0.1, 0.3),
        difference("lstm", "cfc", "loss", -0.2, -0.3, -0.1, "remove_steps"),
    ]
    ((*_, whole, _, lost, _, lost_removed),) = cells(study_with(*MODELS, rows=rows))
    assert whole == "-30.00 [-40.00, -20.00] **LSTM**"
    assert lost == "-20.00 [-30.00, -10.00] **liquid**, from a worse start"
    assert lost_removed == "+20.00 [10.00, 30.00] **LSTM**"


def test_pairs_that_the_table_does_not_have_count_for_no_correction():
    """A model that is added for another question makes no difference here less clear."""
    row = difference("cfc", "lstm", "area", 0.05, 0.03, 0.07, p_value=0.03, p_holm=1.0)
    others = [
        difference("gru", name, "area", 0.1, 0.05, 0.15, p_value=0.9) for name in ("cfc", "lstm")
    ]
    ((*_, kept, _, _, _),) = cells(study_with(*MODELS, ("gru", "gru"), rows=[row, *others]))
    assert kept == "+5.00 [3.00, 7.00] **liquid**"


def test_what_pairs_may_differ_in_stands_beside_their_names():
    lstm = ("lstm", "lstm", ("architecture.core.layers", "2"))
    lstm += (("architecture.core.bidirectional", "true"),)
    row = difference("cfc", "lstm", "area", 0.05, 0.03, 0.07)
    ((*front, _, _, _, _, _),) = cells(study_with(MODELS[0], lstm, rows=[row]))
    assert front[4] == "lstm (1,234 core parameters, 2 layers, both directions)"


def test_an_error_rate_is_better_low_and_so_is_every_loss():
    rows = [
        difference("cfc", "lstm", "area", -0.1, -0.12, -0.08, metric="cer"),
        difference("cfc", "lstm", "loss", 0.1, 0.08, 0.12, metric="cer"),
    ]
    ((*_, kept, lost, removed, _),) = cells(study_with(*MODELS, rows=rows, dataset="iam"))
    assert kept.endswith("**liquid**") and lost == "+10.00 [8.00, 12.00] **LSTM**"
    assert removed == "–"


def test_nobody_is_better_on_synthetic_data_or_where_a_note_bars_it():
    rows = [
        difference("cfc", "lstm", "area", 0.05, 0.03, 0.07, kind)
        for kind in ("zero_steps", "remove_steps")
    ]
    synthetic = study_with(*MODELS, rows=rows, synthetic=True, source="synthetic")
    assert "**" not in gap_summary(synthetic).split("|", 1)[1]
    pooled = [(name, core, ("architecture.pooling", "mean_with_padding")) for name, core in MODELS]
    study = study_with(*pooled, rows=rows)
    removed = {"dataset": "nmnist", "protocol": "gaps", "model": "cfc", "seed": 0}
    removed |= {"corruption": "remove_steps", "rate": 0.3, "draw": 0, "value": 0.5}
    frame = study.frames["stress"]
    study.frames["stress"] = pd.concat([frame, pd.DataFrame([removed])], ignore_index=True)
    ((*_, zeroed, _, taken_out, _),) = cells(study)
    assert zeroed.endswith("**liquid**") and taken_out == "+5.00 [3.00, 7.00]"
    assert "the mean takes in the padding" in gap_summary(study)


def test_stays_are_judged_by_average_precision_and_lost_hours():
    rows = [
        difference("cfc", "lstm", "area", 0.5, 0.4, 0.6, "drop_hours", metric="accuracy"),
        difference(
            "cfc", "lstm", "area", -0.2, -0.3, -0.1, "drop_hours", metric="average_precision"
        ),
    ]
    ((*front, removed, _),) = cells(study_with(*MODELS, rows=rows, dataset="physionet"))
    assert (
        front[5] == "average precision"
        and front[6] == "5"
        and removed == "-20.00 [-30.00, -10.00] **LSTM**"
    )


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


def test_a_pair_without_a_seed_in_common_has_no_row():
    models = (*MODELS, ("cfc-b", "cfc"))
    rows = [
        difference("cfc", "lstm", "area", 0.05, 0.03, 0.07),
        # Compared with the other CfC alone.
        difference("cfc", "cfc-b", "area", 0.05, 0.03, 0.07),
    ]
    assert [row[3].split()[0] for row in cells(study_with(*models, rows=rows))] == ["cfc"]


def test_a_liquid_network_without_a_rival_is_named():
    models = (*MODELS, ("cfc-timed", "cfc", ("architecture.elapsed", "core")))
    rows = [
        difference("cfc", "lstm", "area", 0.05, 0.03, 0.07),
        difference("cfc-timed", "lstm", "area", 0.05, 0.03, 0.07),
    ]
    text = gap_summary(study_with(*models, rows=rows))
    assert "- no LSTM was trained and told like N-MNIST gaps/cfc-timed" in text


def test_the_claims_page_has_it_before_the_claims():
    row = difference("cfc", "lstm", "area", 0.05, 0.03, 0.07)
    page = as_markdown(study_with(*MODELS, rows=[row], synthetic=True, source="synthetic"), [])
    assert "## With gaps: liquid less LSTM" in page and "SYNTHETIC" in page
    assert "With gaps" not in as_markdown(study_with(*MODELS), [])

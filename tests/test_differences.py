"""`differences.csv` and its table from hand-made runs, and what cannot be compared."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fake_study import run_item, write_csv, write_run
from liquidbench.errors import InputError
from liquidbench.reporting.difference_table import differences_table, p_text
from liquidbench.reporting.differences import COLUMNS, Settings, parse_settings
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.summaries import summarise
from liquidbench.reporting.table import as_csv, as_latex, as_markdown
from test_tables import lines_of, study_of


def write_answers(results, dataset, protocol, model, seed, right, ids=None):
    """A run of a classification in which the answers `right` are right, the others not."""
    item = run_item(dataset, protocol, model, seed)
    accuracy = sum(right) / len(right)
    folder = write_run(results, item)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["test"]["accuracy"], metrics["examples"]["test"] = accuracy, len(right)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    counts = [["0", "0", sum(right)], ["0", "1", len(right) - sum(right)]]
    write_csv(folder / "confusion.csv", ["target", "prediction", "count"], counts)
    ids = ids or [f"e{n}" for n in range(len(right))]
    rows = [[name, "0", "0" if hit else "1"] for name, hit in zip(ids, right)]
    write_csv(folder / "predictions.csv", ["id", "target", "prediction"], rows)
    return item


def compared(results, items, **settings) -> pd.DataFrame:
    found = summarise(results, [RunKey(**item) for item in items], Settings(**settings))
    assert found["differences"].columns.tolist() == COLUMNS
    return found["differences"]


def answers(seed, share, count=200):
    return (np.random.default_rng(seed).random(count) < share).tolist()


def test_a_pair_over_three_seeds_has_its_means_difference_and_tests(tmp_path):
    right = {
        (m, s): answers(10 * s + k, 0.9 - 0.2 * k) for k, m in enumerate("ab") for s in range(3)
    }
    items = [write_answers(tmp_path, "nmnist", "released", m, s, r) for (m, s), r in right.items()]
    (row,) = compared(tmp_path, items, draws=500).itertuples()
    means = [np.mean([np.mean(right[m, s]) for s in range(3)]) for m in "ab"]
    assert (row.value_a, row.value_b) == pytest.approx(means)
    assert row.difference == pytest.approx(means[0] - means[1])
    assert row.low < row.difference < row.high and row.low > 0 and row.p_value < 0.05
    assert (row.seeds, row.examples, row.comparisons, row.interval) == (3, 200, 1, "95 %")
    assert row.p_holm == row.p_value
    expected = []
    for s in range(3):
        a, b = (np.array(right[m, s]) for m in "ab")
        only = [int((a & ~b).sum()), int((b & ~a).sum())]
        expected.append(stats.binomtest(only[0], sum(only)).pvalue)
    assert json.loads(row.mcnemar) == pytest.approx(expected)
    # One pair alone: nothing to correct.
    assert json.loads(row.mcnemar_holm) == pytest.approx(expected)


def test_one_seed_is_said_in_place_of_an_interval(tmp_path):
    items = [
        write_answers(tmp_path, "nmnist", "released", m, 0, answers(k, 0.9))
        for k, m in enumerate("ab")
    ]
    (row,) = compared(tmp_path, items, draws=200).itertuples()
    assert row.interval == "one seed" and row.seeds == 1
    assert all(map(math.isnan, (row.low, row.high, row.p_value, row.p_holm)))
    assert len(json.loads(row.mcnemar)) == 1 and 0 <= row.p_these_models <= 1
    study = study_of(tmp_path, items)
    table = differences_table(study)
    (line,) = [line for line in lines_of(table) if line["figure"] == "difference"]
    assert (line["low"], line["high"]) == ("one seed", "one seed")
    page = as_markdown(table)
    assert "(one seed)" in page and "| one seed |" in page
    assert "conditional on the very models" in page


def test_holm_counts_all_pairs_and_metrics_of_a_family(tmp_path):
    models = ("lstm-128", "cfc-128", "cfc-256")
    items = [run_item("physionet", "paper", m, s) for m in models for s in (0, 1)]
    for item in items:
        write_run(tmp_path, item)
    rows = compared(tmp_path, items, draws=100)
    counts = dict(zip(rows["metric"], rows["comparisons"]))
    assert len(rows) == 3 * 7
    assert counts == {
        "accuracy": 3,
        **dict.fromkeys(("precision", "recall", "f1", "false_positives"), 12),
        **dict.fromkeys(("auroc", "average_precision"), 6),
    }
    assert set(rows["examples"]) == {100}


def test_mcnemar_is_corrected_within_a_seed(tmp_path):
    shares = {"a": 0.95, "b": 0.85, "c": 0.84}
    items = [
        write_answers(tmp_path, "nmnist", "released", m, 0, answers(k, share))
        for k, (m, share) in enumerate(shares.items())
    ]
    rows = compared(tmp_path, items, draws=100)
    raw = np.array([json.loads(text)[0] for text in rows["mcnemar"]])
    corrected = [json.loads(text)[0] for text in rows["mcnemar_holm"]]
    assert corrected[raw.argmin()] == pytest.approx(min(1, 3 * raw.min()))


def test_runs_with_other_examples_or_without_predictions_are_not_paired_and_this_is_said(
    tmp_path, capsys
):
    items = [
        write_answers(tmp_path, "nmnist", "released", m, 0, answers(k, 0.9))
        for k, m in enumerate("abcd")
    ]
    folder = tmp_path / "nmnist/released/c/seed-0"
    text = (folder / "predictions.csv").read_text()
    (folder / "predictions.csv").write_text(text.replace("e7,", "f7,"))
    (tmp_path / "nmnist/released/d/seed-0/predictions.csv").unlink()
    rows = compared(tmp_path, items, draws=100)
    assert rows[["model_a", "model_b"]].to_numpy().tolist() == [["a", "b"]]
    printed = capsys.readouterr().out
    assert "c seed 0: other test examples" in printed and "d seed 0: no predictions.csv" in printed
    notes = "\n".join(differences_table(study_of(tmp_path, items)).notes)
    assert "not compared: nmnist/released/c," in notes and "released/d," in notes


def test_rows_in_another_order_are_the_same_examples(tmp_path):
    right = answers(0, 0.8)
    # B knows eight more, and all that A knows: two-sided, 2 / 2^8.
    missed = [n for n, hit in enumerate(right) if not hit][:8]
    more = [hit or n in missed for n, hit in enumerate(right)]
    items = [
        write_answers(tmp_path, "nmnist", "released", model, 0, some)
        for model, some in (("a", right), ("b", more))
    ]
    path = tmp_path / "nmnist/released/b/seed-0/predictions.csv"
    heading, *rows = path.read_text().splitlines()
    path.write_text("\n".join([heading, *reversed(rows)]) + "\n")
    (row,) = compared(tmp_path, items, draws=100).itertuples()
    assert row.difference == pytest.approx(-8 / 200)
    assert json.loads(row.mcnemar) == pytest.approx([2 / 2**8])


def test_p_values_are_corrected_over_the_pairs(tmp_path):
    shares = {"a": 0.9, "b": 0.8, "c": 0.78}
    items = [
        write_answers(tmp_path, "nmnist", "released", m, s, answers(3 * s + k, share))
        for k, (m, share) in enumerate(shares.items())
        for s in range(4)
    ]
    rows = compared(tmp_path, items, draws=300)
    raw = sorted(rows["p_value"])
    by_hand = [3 * raw[0], max(3 * raw[0], 2 * raw[1]), max(3 * raw[0], 2 * raw[1], raw[2])]
    assert raw[0] < 0.02 < raw[2]
    assert sorted(rows["p_holm"]) == pytest.approx([min(1, p) for p in by_hand])


def test_a_seed_in_which_one_model_raises_no_alarm_is_left_out_for_its_precision(tmp_path):
    silent = {"true_positives": 0, "false_positives": 0, "false_negatives": 10}
    silent |= {"true_negatives": 90, "accuracy": 0.9, "precision": None}
    items = [
        run_item("physionet", "paper", m, s) for m in ("lstm-128", "cfc-128") for s in (0, 1, 2)
    ]
    for item in items:
        gone = item["model"] == "cfc-128" and item["seed"] == 1
        write_run(tmp_path, item, **(silent if gone else {}))
    rows = compared(tmp_path, items, draws=100).set_index("metric")
    assert rows.loc["precision", "seeds"] == 2 and rows.loc["recall", "seeds"] == 3
    assert rows.loc["precision", ["value_a", "value_b"]].tolist() == [0.6, 0.6]


def test_seeds_that_share_their_examples_share_the_chance_of_them(tmp_path):
    """The same answers in three seeds: on the same examples no new evidence, on others three times as much."""
    right = {m: answers(k, 0.8) for k, m in enumerate("ab")}
    errors = {}
    for protocol in ("released", "paper"):
        items = []
        for seed in range(3):
            shift = 1000 * seed if protocol == "paper" else 0
            ids = [f"e{shift + n}" for n in range(200)]
            for m, some in right.items():
                items.append(write_answers(tmp_path, "quickdraw", protocol, m, seed, some, ids))
        (row,) = compared(tmp_path, items, draws=2000).itertuples()
        # All seeds have the same difference: what is left is the chance of the examples.
        degrees = 199 if protocol == "released" else 2
        errors[protocol] = (row.high - row.low) / 2 / stats.t.ppf(0.975, degrees)
    gaps = np.array(right["a"], dtype=float) - np.array(right["b"])
    assert errors["released"] == pytest.approx(gaps.std() / math.sqrt(200), rel=0.1)
    assert errors["paper"] == pytest.approx(gaps.std() / math.sqrt(600), rel=0.1)


def test_hours_are_drawn_with_their_patient(tmp_path):
    """Hour-level answers: patients are the examples, and there is no McNemar test of hours."""
    random = np.random.default_rng(0)
    items = [run_item("physionet", "hours", m, s) for m in "ab" for s in (0, 1)]
    for item in items:
        folder = write_run(tmp_path, item)
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["settings"]["training"]["level"] = "hour"
        metrics["examples"] |= {"test": 30, "train_hours": 900, "test_hours": 300}
        rows = [
            [f"p{p:02d}", hour, int(hour > 6 and p % 3 == 0), 0, random.random()]
            for p in range(30)
            for hour in range(10)
        ]
        rows = [[*row[:3], int(row[4] > 0.5), row[4]] for row in rows]
        headings = ["id", "hour", "target", "prediction", "probability"]
        write_csv(folder / "predictions.csv", headings, rows)
        pairs = [(target, answer) for _, _, target, answer, _ in rows]
        counts = [[a, b, pairs.count((int(a), int(b)))] for a in "01" for b in "01"]
        write_csv(folder / "confusion.csv", ["target", "prediction", "count"], counts)
        metrics["test"]["accuracy"] = sum(a == b for a, b in pairs) / 300
        (folder / "metrics.json").write_text(json.dumps(metrics))
    rows = compared(tmp_path, items, draws=200)
    assert set(rows["examples"]) == {30}
    assert set(rows["mcnemar"]) == {"[]"}
    assert rows["low"].notna().all()


def test_a_precision_that_no_seed_has_does_not_exist(tmp_path):
    silent = {"true_positives": 0, "false_positives": 0, "false_negatives": 10}
    silent |= {"true_negatives": 90, "accuracy": 0.9, "precision": None}
    items = [run_item("physionet", "paper", m, s) for m in ("lstm-128", "cfc-128") for s in (0, 1)]
    for item in items:
        write_run(tmp_path, item, **silent)
    rows = compared(tmp_path, items, draws=100).set_index("metric")
    assert rows.loc["precision", "interval"] == "does not exist"
    assert rows.loc["precision", "seeds"] == 0
    assert rows.loc["recall", "interval"] == "95 %"
    table = differences_table(study_of(tmp_path, items))
    assert "does not exist" in as_markdown(table) and as_latex(table) and as_csv(table)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("e3,0,0", "e3,0,1"), "accuracy"),
        (("id,target", "id,goal"), "column target missing"),
    ],
)
def test_damaged_predictions_are_named(tmp_path, change, problem):
    item = write_answers(tmp_path, "nmnist", "released", "a", 0, [True] * 20)
    path = tmp_path / "nmnist/released/a/seed-0/predictions.csv"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=problem) as caught:
        compared(tmp_path, [item], draws=100)
    assert "predictions.csv" in caught.value.where


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"draw": 5}', "found the keys"),
        ('{"draws": 5}', "draws is 5"),
        ('{"draws": "many"}', "draws is 'many'"),
        ('{"confidence": 95}', "confidence is 95"),
    ],
)
def test_bad_settings_are_refused(text, problem):
    with pytest.raises(InputError, match=problem):
        parse_settings(text, "--statistics")


def test_settings_name_the_interval():
    assert parse_settings("{}", "--statistics").interval == "95 %"
    assert parse_settings('{"confidence": 0.999}', "--statistics").interval == "99.9 %"


def test_p_values_are_written_with_the_digits_that_matter():
    assert [p_text(p) for p in (1.0, 0.0421, 0.00421, 0.00001, math.nan)] == [
        *("1.000", "0.042", "0.0042", "< 0.0001", "")
    ]

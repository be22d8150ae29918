"""Tables I to VI from hand-made runs with known answers, and the printed numbers themselves."""

import csv
import io
import json
import math
from pathlib import Path

import pandas as pd
import pytest

from fake_study import LAYOUT, run_item, write_run, write_stress
from liquidbench.errors import InputError
from liquidbench.reporting.printed import Printed, read_printed
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.setting_tables import verdict_on
from liquidbench.reporting.study import read_study
from liquidbench.reporting.summaries import summarise, write_summaries
from liquidbench.reporting.table import as_csv, as_latex, as_markdown, compare_numbers, signed
from liquidbench.reporting.table_files import build_tables, write_tables

PAPER = Path(__file__).parents[1] / "resources/paper"


def study_of(results, items, layout=LAYOUT):
    frames = summarise(results, [RunKey(**item) for item in items])
    write_summaries(frames, results / "summary")
    return read_study(results / "summary", json.dumps(layout))


def as_download(folder):
    """Say that a hand-made run is on the official files."""
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": "download"}))


def tables_of(results, items):
    return build_tables(study_of(results, items), PAPER)


def table_named(name, results, items):
    return next(table for table in tables_of(results, items) if table.name == name)


def lines_of(table):
    """The CSV form, as dictionaries."""
    return list(csv.DictReader(io.StringIO(as_csv(table))))


def line(table, **values):
    found = [
        row for row in lines_of(table) if all(row[key] == value for key, value in values.items())
    ]
    assert len(found) == 1, found
    return found[0]


# The study


def test_rows_are_those_of_the_frame_that_is_there_now(tmp_path):
    items = [run_item("nmnist", "released", name) for name in ("lstm", "cfc")]
    for item in items:
        write_run(tmp_path, item)
    study = study_of(tmp_path, items)
    lstm, cfc = (("nmnist", "released", name) for name in ("lstm", "cfc"))
    metrics = study.frames["metrics"]
    assert not study.rows("metrics", lstm).empty
    study.frames["metrics"] = metrics[metrics["model"] == "cfc"]
    assert study.rows("metrics", lstm).empty
    assert study.rows("metrics", cfc).equals(metrics[metrics["model"] == "cfc"])
    assert list(study.rows("metrics", lstm).columns) == list(metrics.columns)


# The printed numbers


@pytest.mark.parametrize("number", range(1, 7))
def test_printed_values_say_where_they_stand_and_agree_with_their_text(number):
    frame = pd.read_csv(PAPER / f"table_{number}.csv", dtype=str, keep_default_na=False)
    assert len(frame) == [0, 14, 15, 16, 9, 30, 8][number]
    assert frame["source"].str.contains("Table|Text").all()
    for row in frame.itertuples():
        if row.value:
            text = row.printed.replace("~", "").replace("M", "e6")
            assert float(row.value) == pytest.approx(float(text))


def test_printed_sepsis_figures_are_consistent():
    """F1 follows from precision and recall; the false alarms give about 360 septic patients."""
    printed = read_printed(PAPER, 2)
    for model in ("lstm-128", "cfc-128", "cfc-256"):
        value = {
            name: printed.find(name, "physionet", model).value
            for name in ("precision", "recall", "f1", "false_positives")
        }
        f1 = 2 * value["precision"] * value["recall"] / (value["precision"] + value["recall"])
        assert f1 == pytest.approx(value["f1"], abs=0.012)
        true = value["false_positives"] * value["precision"] / (1 - value["precision"])
        assert 280 < true / value["recall"] < 400


def test_printed_stress_figures_give_the_differences_of_the_text():
    """Its text: LNN is ahead by 4.05 at 70 % (QuickDraw) and by about 14 at 30 % (N-MNIST)."""
    printed = read_printed(PAPER, 3)

    def lead(dataset, rate):
        cfc, lstm = (printed.find(f"zero_steps/{rate}", dataset, m).value for m in ("cfc", "lstm"))
        return cfc - lstm

    assert lead("quickdraw", 70) == pytest.approx(4.05)
    assert lead("nmnist", 30) == pytest.approx(14.36)
    assert lead("quickdraw", 0) == pytest.approx(-1.66)


def test_a_model_without_a_printed_row_has_none():
    printed = read_printed(PAPER, 1)
    assert printed.find("test/accuracy", "nmnist", "cfc").text == "0.9938"
    assert printed.find("test/accuracy", "nmnist", "gru") is None
    assert printed.row_name("iam", "lstm") == "IAM LSTM"
    with pytest.raises(InputError, match="table_7"):
        read_printed(PAPER, 7)


# One comparison


def test_comparison_of_means_with_a_printed_value():
    printed = Printed("LNN", "0.90", 0.90, "made up")
    cell = compare_numbers([0.8, 0.9, 1.0], printed, decimals=2)
    # 0.1 / sqrt(3) times the tabulated 4.303 of two degrees of freedom: 0.248.
    assert cell.measured == "0.90 ± 0.10 [0.65, 1.15]"
    assert (cell.printed, cell.compared) == ("0.90", "0.00")
    assert cell.numbers == pytest.approx((0.9, 0.1, 0.6516, 1.1484, 3, 0.9, 0.0), abs=1e-4)
    assert compare_numbers([0.95], printed, 2).compared == "+0.05"
    counts = compare_numbers(
        [2_700_000] * 3, Printed("", "~3M", 3e6, ""), 0, ratio=True, exact=True
    )
    assert (counts.measured, counts.compared) == ("2,700,000", "× 0.90")
    # 12.706 for one degree of freedom, at 90 % 6.314.
    assert compare_numbers([1.0, 2.0], None, 0).measured == "1.5 ± 0.7 [-4.9, 7.9]"
    assert compare_numbers([1.0, 2.0], None, 0, confidence=0.9).measured == "1.5 ± 0.7 [-1.7, 4.7]"


def test_one_seed_says_so_instead_of_an_interval():
    cell = compare_numbers([0.95], None, 2)
    assert cell.measured == "0.95 (one seed)"
    assert cell.numbers[:5] == (0.95, None, "one seed", "one seed", 1)
    assert "one seed" not in compare_numbers([0.95], None, 2, exact=True).measured
    assert "one seed" not in compare_numbers([math.nan], None, 2).measured


def test_seeds_without_the_figure_and_seeds_that_agree_are_told():
    only_one = compare_numbers([0.95, math.nan], None, 2)
    assert only_one.measured == "0.95 (1 of 2 seeds)"
    assert only_one.numbers[2:5] == ("1 of 2 seeds", "1 of 2 seeds", 1)
    some = compare_numbers([0.5, math.nan, 0.6], None, 2, possible=(0.0, 1.0))
    # The mean of two differs by 0.05, times 12.706.
    assert some.measured == "0.55 ± 0.07 [0.00, 1.00] (2 of 3 seeds)"
    assert some.numbers[2:4] == (0.0, 1.0)
    alike = compare_numbers([0.7, 0.7, 0.7], None, 2)
    assert alike.measured == "0.70 (all seeds alike)"
    assert alike.numbers[:5] == (pytest.approx(0.7), 0.0, "all seeds alike", "all seeds alike", 3)


def test_a_figure_that_does_not_exist_is_not_averaged():
    assert compare_numbers([math.nan], None, 2).measured == "does not exist"
    assert compare_numbers([math.nan, 0.5], None, 2).numbers[0] == 0.5
    assert compare_numbers(None, None, 2).measured == "–"


def test_signs_of_differences():
    assert [signed(value, 2) for value in (0.004, -0.004, 1.5, -1234.5)] == [
        "0.00",
        "0.00",
        "+1.50",
        "-1,234.50",
    ]


# The tables


def test_table_1_takes_train_twice_and_says_what_the_paper_s_iam_train_cer_is(tmp_path):
    items = [run_item("nmnist", "released", "cfc"), run_item("iam", "released", "lstm")]
    as_download(write_run(tmp_path, items[0], accuracy=0.97))
    write_run(tmp_path, items[1], cer=0.2)
    table = tables_of(tmp_path, items)[0]
    test = line(table, data_set="N-MNIST", figure="test")
    assert (test["measured"], test["paper"]) == ("0.97", "0.9938")
    assert float(test["difference"]) == pytest.approx(0.97 - 0.9938)
    assert (
        test["seeds"] == "1 seed" and test["protocol"] == "released" and test["data"] == "download"
    )
    running = line(table, data_set="N-MNIST", figure="train_running")
    assert (float(running["measured"]), running["paper"]) == (pytest.approx(0.98), "0.9997")
    after = line(table, data_set="N-MNIST", figure="train")
    assert (after["measured"], after["paper"]) == ("0.97", "")
    loss = line(table, metric="CTC loss", figure="train_running")
    assert (float(loss["measured"]), loss["paper"]) == (pytest.approx(0.4), "0.0784")
    cer = line(table, metric="CER, mean over lines", figure="train")
    assert (cer["measured"], cer["paper"]) == ("0.2", "0.0784")
    pooled = line(table, metric="CER, pooled over characters", figure="test")
    assert (pooled["measured"], pooled["paper"]) == ("0.19", "")
    notes = "\n".join(table.notes)
    assert "CTC loss" in notes
    assert "not configured here: N-MNIST LSTM, QuickDraw LNN, QuickDraw LSTM, IAM LNN" in notes


def test_missing_runs_are_said_under_the_table(tmp_path):
    items = [run_item("nmnist", "released", "cfc", seed) for seed in range(3)]
    write_run(tmp_path, items[0], accuracy=0.9)
    write_run(tmp_path, items[1], accuracy=0.92)
    tables = tables_of(tmp_path, items)
    test = line(tables[0], figure="test")
    assert test["seeds"] == "2 of 3 seeds"
    assert float(test["measured"]) == pytest.approx(0.91)
    assert float(test["standard_deviation"]) == pytest.approx(0.02 / math.sqrt(2))
    for table in (tables[0], tables[3], tables[4], tables[5]):
        assert "missing: nmnist/released/cfc seed 2" in as_markdown(table)
        assert "missing: nmnist/released/cfc seed 2" in as_latex(table)
    # The mean of two differs by 0.01, times 12.706; an accuracy ends at 1.
    assert "0.9100 ± 0.0141 [0.7829, 1.0000]" in as_markdown(tables[0])
    assert float(test["low"]) == pytest.approx(0.91 - 0.127062, abs=1e-6)
    assert test["observations"] == "2"


def test_a_group_without_any_finished_run_still_has_its_row(tmp_path):
    tables = tables_of(tmp_path, [run_item("physionet", "paper", "cfc-256")])
    precision = line(tables[1], figure="precision")
    assert (precision["measured"], precision["paper"]) == ("", "0.94")
    assert precision["seeds"] == "0 of 1 seed"


def test_table_2_has_false_positives_and_undefined_precision(tmp_path):
    items = [run_item("physionet", "paper", model) for model in ("lstm-128", "cfc-256")]
    write_run(tmp_path, items[0])
    silent = {"true_positives": 0, "false_positives": 0, "false_negatives": 10}
    silent |= {"true_negatives": 90, "accuracy": 0.9, "precision": None}
    write_run(tmp_path, items[1], **silent)
    table = tables_of(tmp_path, items)[1]
    alarms = line(table, model="lstm-128", figure="false_positives")
    assert (float(alarms["measured"]), alarms["paper"]) == (2, "151")
    assert line(table, model="cfc-256", figure="precision")["measured"] == ""
    assert any("precision of paper/cfc-256 does not exist for 1 of 1" in n for n in table.notes)
    assert line(table, model="lstm-128", figure="auroc")["measured"] == "0.8"
    assert "does not exist" in as_markdown(table)


def test_table_3_means_over_draws_then_seeds(tmp_path):
    items = [run_item("nmnist", "stress", "cfc", seed) for seed in (0, 1)]
    curves = [{0.0: [0.9], 0.3: [0.5, 0.7]}, {0.0: [0.8], 0.3: [0.8, 0.8], 0.9: [0.1]}]
    for item, curve in zip(items, curves):
        write_stress(write_run(tmp_path, item), item, curve)
    table = tables_of(tmp_path, items)[2]
    thirty = line(table, figure="30")
    # Seed 0: 60, seed 1: 80.
    assert float(thirty["measured"]) == pytest.approx(70)
    assert float(thirty["standard_deviation"]) == pytest.approx(20 / math.sqrt(2))
    assert thirty["paper"] == "91.84"
    assert line(table, figure="50")["measured"] == ""
    assert (line(table, figure="90")["measured"], line(table, figure="90")["paper"]) == ("10", "")
    assert list(table.figures.values()) == ["0%", "30%", "50%", "70%", "90%"]


def test_table_3_says_which_run_was_not_stress_tested(tmp_path):
    item = run_item("quickdraw", "stress", "lstm")
    write_run(tmp_path, item)
    table = tables_of(tmp_path, [item])[2]
    assert "not stress-tested: quickdraw/stress/lstm seed 0" in table.notes
    assert line(table, figure="70")["paper"] == "18.43"


def test_printed_numbers_stand_beside_their_own_experiment_alone(tmp_path):
    """The stress test's models are others than Table I's and VI's, under the same names."""
    item = run_item("nmnist", "stress", "cfc")
    write_stress(write_run(tmp_path, item), item, {0.0: [0.9]})
    main = run_item("nmnist", "released", "cfc")
    write_run(tmp_path, main)
    tables = tables_of(tmp_path, [item, main])
    assert {row["protocol"] for row in lines_of(tables[0])} == {"released"}
    assert {row["protocol"] for row in lines_of(tables[2])} == {"stress"}
    assert line(tables[5], protocol="stress", figure="total")["paper"] == ""
    assert line(tables[5], protocol="released", figure="total")["paper"] == "2700000"


def test_table_4_lists_all_values_that_differ(tmp_path):
    items = [run_item("nmnist", "released", "cfc", seed) for seed in range(3)]
    folders = [write_run(tmp_path, item) for item in items]
    path = folders[1] / "provenance.json"
    path.write_text(path.read_text().replace('"2.13.0"', '"2.12.1"'))
    table = tables_of(tmp_path, items)[3]
    torch = line(table, component="PyTorch")
    assert torch["measured"] == "2.13.0 (2 runs); 2.12.1 (nmnist/released/cfc seed 1)"
    assert torch["paper"] == "2.x (CUDA-enabled)"
    assert line(table, component="seaborn")["measured"] == "not recorded"
    assert line(table, component="Memory")["measured"] == "8.0 GiB"
    assert line(table, component="GPU")["measured"] == "none"


def test_table_5_marks_what_differs_from_the_paper(tmp_path):
    items = [run_item("nmnist", "released", "lstm"), run_item("physionet", "paper", "cfc-128")]
    for item in items:
        write_run(tmp_path, item)
    table = tables_of(tmp_path, items)[4]
    verdicts = {
        row["figure"]: row["verdict"] for row in lines_of(table) if row["data_set"] == "N-MNIST"
    }
    assert verdicts == {
        "training.epochs": "different",
        "training.batch_size": "same",
        "training.optimizer": "same",
        "training.learning_rate": "same",
        "training.schedule": "same",
        "architecture.core.units": "same",
        "training.gradient_clip": "same",
        "training.weight_decay": "different",
        "architecture.core": "",
    }
    clinical = {"data_set": "PhysioNet"}
    assert line(table, **clinical, figure="architecture.core.units")["verdict"] == "same"
    assert line(table, **clinical, figure="training.optimizer")["verdict"] == "different"
    assert line(table, **clinical, figure="training.schedule")["paper"] == ""
    core = line(table, data_set="N-MNIST", figure="architecture.core")
    assert core["measured"] == "lstm (layers=2)"


def test_table_6_has_the_ratio_to_the_printed_count(tmp_path):
    items = [run_item("nmnist", "released", model) for model in ("lstm", "cfc", "gru")]
    for item in items:
        write_run(tmp_path, item)
    table = tables_of(tmp_path, items)[5]
    total = line(table, model="lstm", figure="total")
    assert (total["measured"], total["paper"]) == ("2700000", "4500000")
    assert float(total["ratio"]) == pytest.approx(0.6)
    assert line(table, model="gru", figure="total")["paper"] == ""
    assert line(table, model="cfc", figure="core")["measured"] == "2679000"


def test_synthetic_data_are_marked_in_titles_and_rows(tmp_path):
    items = [run_item("nmnist", "released", "cfc"), run_item("physionet", "paper", "cfc-256")]
    items += [run_item("nmnist", "released", "lstm"), run_item("nmnist", "stress", "cfc")]
    for item in items:
        folder = write_run(tmp_path, item, synthetic=True)
    write_stress(folder, items[-1], {0.0: [0.9]})
    study = study_of(tmp_path, items)
    tables = build_tables(study, PAPER)
    for table in (table for table in tables if table.rows):
        for text in (as_markdown(table), as_latex(table)):
            assert "SYNTHETIC DATA, NOT THE REAL DATA SETS" in text
        assert {row["data"] for row in lines_of(table)} == {"SYNTHETIC"}
    write_tables(study, tables, tmp_path / "tables")
    assert "**SYNTHETIC DATA: N-MNIST, PhysioNet.**" in (tmp_path / "tables/index.md").read_text()


def test_no_difference_is_taken_between_synthetic_data_and_the_paper(tmp_path):
    items = [
        run_item("nmnist", "released", "cfc"),
        run_item("physionet", "paper", "cfc-256"),
        run_item("nmnist", "stress", "cfc"),
    ]
    for item in items:
        folder = write_run(tmp_path, item, synthetic=True)
    write_stress(folder, items[2], {0.0: [0.9]})
    for table in tables_of(tmp_path, items)[:3]:
        rows = lines_of(table)
        assert {row["difference"] for row in rows} == {""}
        assert any(row["measured"] and row["paper"] for row in rows)
        assert any("only where the data are the paper's" in note for note in table.notes)


@pytest.mark.parametrize(
    ("source", "dataset", "compared"),
    [
        ("download", {"limit_train": None}, True),
        ("download", {"limit_train": 100}, False),
        ("mirror", {"limit_train": None}, False),
    ],
)
def test_only_the_whole_official_files_are_compared(tmp_path, source, dataset, compared):
    item = run_item("nmnist", "released", "cfc")
    path = write_run(tmp_path, item) / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["source"], metrics["settings"]["dataset"] = source, dataset
    path.write_text(json.dumps(metrics))
    table = tables_of(tmp_path, [item])[0]
    assert (line(table, figure="test")["difference"] != "") == compared
    assert any("only where the data" in note for note in table.notes) != compared


def test_other_categories_are_another_task_than_the_paper_s(tmp_path):
    item = run_item("quickdraw", "released", "cfc")
    path = write_run(tmp_path, item) / "metrics.json"
    metrics = json.loads(path.read_text())
    categories = [
        "airplane",
        "apple",
        "banana",
        "basketball",
        "bed",
        "bee",
        "bicycle",
        "bird",
        "book",
        "butterfly",
    ]
    for chosen in (categories, categories[:5]):
        metrics["settings"]["dataset"] = {
            "categories": chosen,
            "per_category": 5000,
            "variant": "simplified",
        }
        metrics["source"] = "download"
        path.write_text(json.dumps(metrics))
        table = tables_of(tmp_path, [item])[0]
        assert (line(table, figure="test")["difference"] != "") == (chosen == categories)


def test_a_protocol_with_changed_training_says_so_in_every_row(tmp_path):
    item = run_item("nmnist", "released", "lstm")
    folder = write_run(tmp_path, item)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["settings"]["overrides"] = {"epochs": 12, "schedule": {"name": "constant"}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    for number in (0, 4, 5):
        label = {row["protocol"] for row in lines_of(tables_of(tmp_path, [item])[number])}
        assert label == {"released, but epochs=12, schedule.name=constant"}


def test_a_model_with_more_layers_than_the_cfc_is_told_under_the_table(tmp_path):
    item = run_item("nmnist", "released", "lstm")
    write_run(tmp_path, item)
    notes = tables_of(tmp_path, [item])[0].notes
    assert "N-MNIST released/lstm has 2 layers; a CfC has one" in notes


def test_no_and_zero_are_the_same_setting():
    no = Printed("weight decay", "No", None, "Table V")
    assert verdict_on(["0.0"], no) == verdict_on(["0"], no) == verdict_on([""], no) == "same"
    assert verdict_on(["0.01"], no) == "different"
    assert verdict_on(["0.001"], Printed("learning rate", "1e-3", 0.001, "Table V")) == "same"


def test_a_mixed_table_says_that_some_rows_are_synthetic(tmp_path):
    items = [run_item("nmnist", "released", "cfc"), run_item("quickdraw", "released", "cfc")]
    write_run(tmp_path, items[0], synthetic=True)
    write_run(tmp_path, items[1])
    table = tables_of(tmp_path, items)[0]
    assert "SOME ROWS ARE ON SYNTHETIC DATA" in table.heading
    assert line(table, data_set="N-MNIST", figure="test")["data"] == "SYNTHETIC"
    assert line(table, data_set="QuickDraw", figure="test")["data"] == "mirror"


def test_real_tables_do_not_say_synthetic_and_different_caches_are_said(tmp_path):
    items = [run_item("nmnist", "released", model) for model in ("lstm", "cfc")]
    folders = [write_run(tmp_path, item) for item in items]
    tables = tables_of(tmp_path, items)
    assert not any("SYNTHETIC" in as_markdown(table) for table in tables)
    assert not any("ATTENTION" in note for note in tables[0].notes)
    path = folders[0] / "metrics.json"
    path.write_text(path.read_text().replace("c" * 64, "e" * 64))
    table = tables_of(tmp_path, items)[0]
    assert "ATTENTION: the runs of nmnist come from 2 different caches" in table.notes


def test_all_files_are_written_and_well_formed(tmp_path):
    items = [run_item("nmnist", "released", "cfc"), run_item("physionet", "paper", "cfc-256")]
    for item in items:
        write_run(tmp_path, item)
    study = study_of(tmp_path, items)
    tables = build_tables(study, PAPER)
    write_tables(study, tables, tmp_path / "tables")
    names = {f"{table.stem}.{suffix}" for table in tables for suffix in ("csv", "md", "tex")}
    assert {f"table_{number}" for number in range(1, 7)} < {table.stem for table in tables}
    assert {path.name for path in (tmp_path / "tables").iterdir()} == names | {"index.md"}
    for table in tables:
        latex = as_latex(table)
        columns = latex.split("tabular}{")[1].split("}")[0]
        body = [text for text in latex.splitlines() if text.endswith(r"\\")]
        assert body and all(text.count(" & ") + 1 == len(columns) for text in body)
        assert not any(mark in latex.replace(r"\%", "") for mark in ("%", "±", "–"))
        rows = [text for text in as_markdown(table).splitlines() if text.startswith("|")]
        assert len({text.count("|") for text in rows}) == 1
    page = (tmp_path / "tables/index.md").read_text()
    assert page.count("## Table ") == 6 and "nmnist/released/cfc/seed-0" in page


@pytest.mark.parametrize(
    ("layout", "problem"),
    [("[", "not valid JSON"), ("[]", "expected an object"), ("{}", "found the keys")],
)
def test_a_bad_layout_is_refused(tmp_path, layout, problem):
    write_summaries(summarise(tmp_path, []), tmp_path / "summary")
    with pytest.raises(InputError, match=problem):
        read_study(tmp_path / "summary", layout)


def test_missing_summaries_are_named(tmp_path):
    with pytest.raises(InputError, match=r"runs\.csv: no such file"):
        read_study(tmp_path, json.dumps(LAYOUT))


def test_the_area_is_that_of_trapezoids_over_the_span_of_the_rates(tmp_path):
    items = [run_item("nmnist", "stress", "cfc", seed) for seed in (0, 1)]
    # By hand: seed 0: (0.9 + 0.6) / 2 x 0.5 + (0.6 + 0.2) / 2 x 0.4 = 0.535, over 0.9. Seed 1: 0.5 at every rate.
    curves = [{0.0: [0.9], 0.5: [0.5, 0.7], 0.9: [0.2, 0.2]}, {0.0: [0.5], 0.9: [0.4, 0.6]}]
    for item, curve in zip(items, curves):
        folder = write_run(tmp_path, item)
        write_stress(folder, item, curve, corruptions=("zero_steps", "remove_steps"))
    table = table_named("stress_area", tmp_path, items)
    assert table.name == "stress_area"
    for corruption in ("zero_steps", "remove_steps"):
        area = line(table, model="cfc", corruption=corruption)
        values = [100 * 0.535 / 0.9, 50]
        assert float(area["measured"]) == pytest.approx(sum(values) / 2)
        assert float(area["standard_deviation"]) == pytest.approx(
            abs(values[0] - values[1]) / math.sqrt(2)
        )
        assert (area["rates"], area["draws"], area["metric"]) == ("0 50 90", "2", "accuracy")


def test_further_corruptions_and_metrics_are_rows_of_table_3_without_printed_numbers(tmp_path):
    items = [run_item("quickdraw", "stress", "lstm"), run_item("physionet", "paper", "lstm-128")]
    corruptions = ("zero_steps", "drop_strokes")
    write_stress(
        write_run(tmp_path, items[0]), items[0], {0.0: [0.9], 0.7: [0.2]}, corruptions=corruptions
    )
    write_stress(write_run(tmp_path, items[1]), items[1], {0.0: [0.8]}, "auroc", ("drop_hours",))
    table, area = (table_named(name, tmp_path, items) for name in ("3", "stress_area"))
    assert line(table, corruption="zero_steps", figure="70")["paper"] == "18.43"
    strokes = line(table, corruption="drop_strokes", figure="70")
    assert (float(strokes["measured"]), strokes["paper"]) == (pytest.approx(20), "")
    hours = line(table, corruption="drop_hours", figure="0")
    assert (hours["metric"], float(hours["measured"])) == ("AUROC", pytest.approx(80))
    # A single rate spans no area.
    assert line(area, corruption="drop_hours")["measured"] == ""

"""What quality costs, from hand-made runs; and reports of runs that have no core."""

import csv
import json
from itertools import pairwise

import pytest

from fake_study import LAYOUT, run_folder, run_item, write_baseline, write_run
from liquidbench.reporting.cost_figures import costs_figure
from liquidbench.reporting.cost_table import costs_table
from liquidbench.reporting.figure_files import write_figures
from liquidbench.reporting.runs import parse_runs
from liquidbench.reporting.study import read_study
from liquidbench.reporting.summaries import summarise, write_summaries
from liquidbench.reporting.table import as_csv, as_latex, as_markdown
from liquidbench.reporting.table_files import build_tables
from workflow_helpers import PROJECT


def study_of(results, items):
    runs = parse_runs(json.dumps(items), "--expected")
    write_summaries(summarise(results, runs), results / "summary")
    return read_study(results / "summary", json.dumps(LAYOUT)), runs


def change(folder, name, **blocks):
    """Change some entries of a JSON file of a run."""
    path = folder / f"{name}.json"
    content = json.loads(path.read_text())
    for block, values in blocks.items():
        content[block] |= values
    path.write_text(json.dumps(content))


def change_energy(folder, joules):
    path = folder / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"energy_joules": joules}))


def cell(table, model, figure):
    column = table.about.index("Model")
    (row,) = [row for row in table.rows if row.about[column] == model]
    return row.figures[figure]


@pytest.fixture
def results(tmp_path):
    """Two LSTMs, a CfC of half their parameters and four times the time, and a baseline; another protocol's LSTM."""
    models = ("cfc-128", "lstm-128", "lstm-2", "logistic")
    items = [run_item("physionet", "paper", model) for model in models]
    items.append(run_item("physionet", "demo", "lstm-128"))
    for item in items[:3] + items[4:]:
        folder = write_run(tmp_path, item, average_precision=0.5)
        if item["model"] == "cfc-128":
            change(folder, "metrics", parameters={"core": 1_339_500})
            change(folder, "metrics", costs={"flops_per_example": 15_000_000})
            change(folder, "provenance", latency_seconds={"one_example": 0.016})
            change(folder, "provenance", seconds={"median_epoch": 2.5})
        change_energy(folder, 3000.0 if item["model"] == "cfc-128" else 1500.0)
        if item["protocol"] == "demo":
            change(folder, "metrics", parameters={"core": 7})
    write_baseline(tmp_path, items[3], average_precision=0.6)
    return tmp_path, items


def test_costs_stand_beside_those_of_the_first_lstm_of_the_protocol(results):
    study, _ = study_of(*results)
    table = costs_table(study)
    expected = {
        "core_parameters": ("1,339,500", "× 0.50"),
        "flops_per_example": ("15.000", "× 0.25"),
        "latency_one": ("16.000 (one seed)", "× 4.00"),
        "latency_batch": ("0.500 (one seed)", "× 1.00"),
        "epoch": ("2.50 (one seed)", "× 2.50"),
        "training": ("10 (one seed)", "× 1.00"),
        "memory": ("500 (one seed)", "× 1.00"),
        "energy": ("3.00 (one seed)", "× 2.00"),
    }
    for figure, told in expected.items():
        found = cell(table, "cfc-128", figure)
        assert (found.measured, found.compared) == told, figure
        assert found.numbers[-1] == pytest.approx(float(told[1][2:]))
    for row in table.rows:
        if row.about[2:4] in (("paper", "lstm-128"), ("demo", "lstm-128")):
            assert row.figures["core_parameters"].compared == "× 1.00"
    assert cell(table, "lstm-2", "latency_one").compared == "× 1.00"
    assert cell(table, "cfc-128", "quality").measured.startswith("0.5000")
    assert cell(table, "cfc-128", "quality").compared == ""
    (note,) = [note for note in table.notes if note.startswith("ratios are to")]
    assert "PhysioNet paper: lstm-128, PhysioNet demo: lstm-128" in note


def test_counters_that_stand_still_stop_no_table_and_no_figure(results):
    folder, items = results
    for item in items[:3]:
        change_energy(run_folder(folder, item), 0.0)
    study, _ = study_of(folder, items)
    assert cell(costs_table(study), "cfc-128", "energy").compared == ""
    figure, _, _ = costs_figure(study, [g for g in study.groups() if g.model != "lstm-128"])
    assert "energy of the training (kJ)" not in points_of(figure)


def points_of(figure):
    """Label of the horizontal axis to the points in it."""
    found = {}
    for axes in figure.axes:
        points = [container.lines[0].get_xydata()[0] for container in axes.containers]
        if points:
            found[axes.get_xlabel()] = sorted(map(tuple, points))
    return found


def test_the_figure_has_a_point_per_model_in_a_panel_per_cost(tmp_path):
    items = [
        run_item("quickdraw", "released", name, seed)
        for name in ("lstm", "cfc")
        for seed in (0, 1, 2)
    ]
    for item in items:
        liquid = item["model"] == "cfc"
        folder = write_run(tmp_path, item, accuracy=(0.6 if liquid else 0.5) + 0.01 * item["seed"])
        change(folder, "metrics", parameters={"core": 500 if liquid else 1000})
        change(
            folder, "provenance", seconds={"training": (40.0 if liquid else 10.0) + item["seed"]}
        )
    study, _ = study_of(tmp_path, items)
    figure, title, caption = costs_figure(study, study.groups())
    points = points_of(figure)
    assert points["core parameters"] == [
        (500.0, pytest.approx(0.61)),
        (1000.0, pytest.approx(0.51)),
    ]
    assert points["training (s)"] == [(11.0, pytest.approx(0.51)), (41.0, pytest.approx(0.61))]
    # Nothing counted the energy.
    assert set(points) == {
        "core parameters",
        "million FLOPs per example",
        "latency of one example (ms)",
        "training (s)",
        "peak memory of the process (MiB)",
    }
    assert title == "QuickDraw: what quality costs" and "Bars: intervals" in caption
    # Half of the interval of three values 0.01 apart: Student's 4.303 times 0.01, over the root of 3.
    bars = figure.axes[0].containers[0].lines[2][0].get_segments()[0]
    assert bars[:, 1] == pytest.approx([0.51 - 0.02484, 0.51 + 0.02484], abs=1e-4)


def test_what_a_baseline_does_not_have_is_left_blank(results):
    study, _ = study_of(*results)
    table = costs_table(study)
    assert cell(table, "logistic", "quality").measured.startswith("0.6000")
    assert cell(table, "logistic", "core_parameters").measured == "–"
    assert cell(table, "logistic", "core_parameters").compared == ""
    assert cell(table, "logistic", "flops_per_example").compared == "× 9.1e-06"
    assert cell(table, "logistic", "latency_one").measured == "4.000 (one seed)"


def test_the_summary_has_a_row_per_run_with_whole_counts(results):
    folder, items = results
    study_of(folder, items)
    with (folder / "summary/costs.csv").open(newline="") as file:
        rows = {(row["protocol"], row["model"]): row for row in csv.DictReader(file)}
    assert len(rows) == len(items)
    assert rows["paper", "cfc-128"] == {
        "dataset": "physionet",
        "protocol": "paper",
        "model": "cfc-128",
        "seed": "0",
        "core_parameters": "1339500",
        "core_flops_per_step": "5358000",
        "flops_per_example": "15000000",
        "latency_one_example_seconds": "0.016",
        "latency_per_example_seconds": "0.0005",
        "median_epoch_seconds": "2.5",
        "training_seconds": "10.0",
        "peak_memory_bytes": "524288000",
        "energy_joules": "3000.0",
    }
    assert rows["paper", "logistic"]["core_parameters"] == ""


def test_runs_from_before_costs_were_taken_still_make_a_table(tmp_path):
    item = run_item("nmnist", "released", "lstm")
    folder = write_run(tmp_path, item)
    for name, key in (("metrics", "costs"), ("provenance", "latency_seconds")):
        content = json.loads((folder / f"{name}.json").read_text())
        del content[key]
        (folder / f"{name}.json").write_text(json.dumps(content))
    study, _ = study_of(tmp_path, [item])
    table = costs_table(study)
    assert cell(table, "lstm", "latency_one").measured == "–"
    assert cell(table, "lstm", "core_parameters").compared == "× 1.00"
    assert cell(table, "lstm", "energy").measured == "–"
    assert any(note.startswith("no energy: ") for note in table.notes)


def test_a_matched_model_is_told_with_both_counts(tmp_path):
    item = run_item("nmnist", "released", "lstm")
    folder = write_run(tmp_path, item)
    match = {"model": "cfc", "core_parameters": 1234, "other_core_parameters": 1250}
    change(folder, "metrics", settings={"match": match})
    study, _ = study_of(tmp_path, [item])
    told = "released/lstm has 128 units, to have the 1,250 core parameters of cfc: 1,234"
    assert any(told in note for note in costs_table(study).notes)


def test_the_page_has_no_line_for_the_paper(results):
    study, _ = study_of(*results)
    table = costs_table(study)
    lines = [line.split("|") for line in as_markdown(table).splitlines() if line.startswith("|")]
    marks = {line[7].strip() for line in lines[2:]}
    assert marks == {"measured", "ratio"}
    assert "Not in the paper. What quality costs" in as_markdown(table)
    assert as_csv(table).startswith("data_set,data,protocol,model,seeds,quality_is,figure,measured")
    assert "\\label{tab:costs}" in as_latex(table)


def test_every_table_and_figure_copes_with_a_run_that_has_no_core(results):
    folder, items = results
    study, runs = study_of(folder, items)
    tables = {table.name: table for table in build_tables(study, PROJECT / "resources/paper")}
    assert {"1", "2", "3", "4", "5", "6", "costs"} <= set(tables)
    assert cell(tables["2"], "logistic", "average_precision").measured.startswith("0.600")
    assert cell(tables["5"], "logistic", "training.epochs").measured == "–"
    assert cell(tables["6"], "logistic", "total").measured.startswith("274")
    write_figures(study, folder, runs, folder / "figures")
    page = (folder / "figures/index.md").read_text(encoding="utf-8")
    assert "Not drawn, because nothing is trained in epochs: logistic." in page
    assert "Not drawn: logistic" in page
    assert "(confusion_physionet.svg)" in page


def test_a_study_of_baselines_alone_has_no_training_curves(tmp_path):
    item = run_item("physionet", "paper", "logistic")
    write_baseline(tmp_path, item)
    study, runs = study_of(tmp_path, [item])
    write_figures(study, tmp_path, runs, tmp_path / "figures")
    page = (tmp_path / "figures/index.md").read_text(encoding="utf-8")
    assert "`training_curves_physionet`: no model is trained in epochs" in page


def test_an_axis_of_many_powers_of_ten_stays_readable(tmp_path):
    items = [run_item("quickdraw", "released", name) for name in ("lstm", "cfc", "gru")]
    for item, parameters in zip(items, (40, 500_000, 3_000_000)):
        folder = write_run(tmp_path, item)
        change(folder, "metrics", parameters={"core": parameters})
    study, _ = study_of(tmp_path, items)
    figure, _, _ = costs_figure(study, study.groups())
    figure.canvas.draw()
    (axes,) = [one for one in figure.axes if one.get_xlabel() == "core parameters"]
    renderer = figure.canvas.get_renderer()
    low, high = axes.get_xlim()
    shown = [one for one in axes.get_xticklabels() if low <= one.get_position()[0] <= high]
    boxes = sorted((tick.get_window_extent(renderer) for tick in shown), key=lambda box: box.x0)
    assert len(boxes) > 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert not [tick.get_text() for tick in shown if "e" in tick.get_text()]

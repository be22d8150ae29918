"""The stress figures: curves, the paper's printed points, axes and the level without skill."""

import csv
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from fake_study import LAYOUT, run_item, write_run, write_stress
from liquidbench.evaluation.corruptions import CORRUPTIONS
from liquidbench.reporting.printed import read_printed
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.stress_axes import squeezed, stretched
from liquidbench.reporting.stress_figures import stress_figure
from liquidbench.reporting.study import read_study
from liquidbench.reporting.summaries import summarise, write_summaries
from liquidbench.reporting.titles import CORRUPTION_TITLES, corruption_title
from test_clinical_reports import write_stays
from test_tables import PAPER

CURVE = {0.0: [0.9], 0.3: [0.7, 0.6]}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def write_curves(folder, item, curves):
    """stress.csv with several curves: {(corruption, metric): {rate: values}}."""
    heading, rows = "", ""
    for (corruption, metric), curve in curves.items():
        write_stress(folder, item, curve, metric, (corruption,))
        heading, _, more = (folder / "stress.csv").read_text().partition("\n")
        rows += more
    (folder / "stress.csv").write_text(f"{heading}\n{rows}")


def study_of(results, items):
    write_summaries(summarise(results, [RunKey(**item) for item in items]), results / "summary")
    return read_study(results / "summary", json.dumps(LAYOUT))


def stressed(results, items, curves, printed=None, **options):
    for item in items:
        write_curves(write_run(results, item, **options), item, curves)
    study = study_of(results, items)
    figure, _, caption = stress_figure(study, study.groups(), printed)
    return [axes for axes in figure.axes if axes.axison], caption, figure


def test_curves_are_means_over_draws_and_seeds(tmp_path):
    item = run_item("nmnist", "stress", "cfc")
    [axes], caption, _ = stressed(tmp_path, [item], {("zero_steps", "accuracy"): CURVE})
    line = axes.lines[0]
    assert list(line.get_xdata()) == [0, 30]
    assert list(line.get_ydata()) == pytest.approx([90, 65])
    assert "stress/cfc (1 seed)" in caption


def test_panels_are_headed_in_words_with_the_name_in_small(tmp_path):
    item = run_item("nmnist", "stress", "cfc")
    curves = {(name, "accuracy"): CURVE for name in ("zero_steps", "drop_events", "late_start")}
    panels, *_ = stressed(tmp_path, [item], curves)
    titles = [axes.get_title() for axes in panels]
    assert titles == ["steps zeroed (paper)", "events lost", "late start"]
    for axes, (name, _) in zip(panels, curves):
        [small] = axes.texts
        assert small.get_text() == name
        assert small.get_fontsize() < axes.title.get_fontsize()


def test_every_corruption_has_a_title():
    assert list(CORRUPTION_TITLES) == list(CORRUPTIONS)
    assert len(set(map(corruption_title, CORRUPTIONS))) == len(CORRUPTIONS)


def printed_points(axes):
    return {
        line.get_label().rpartition(": ")[2]: line.get_xydata().tolist()
        for line in axes.lines
        if "printed" in str(line.get_label())
    }


def table_3(dataset):
    """The paper's rows of a data set: {row: [[rate in %, accuracy in %], ...]}, straight from the file."""
    points = {}
    with (PAPER / "table_3.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["dataset"] == dataset:
                rate = float(row["column"].rstrip("%"))
                points.setdefault(row["row"], []).append([rate, float(row["printed"])])
    return points


@pytest.mark.parametrize("synthetic", [False, True])
def test_the_papers_points_are_hollow_in_the_panel_that_they_belong_to(tmp_path, synthetic):
    items = [run_item("nmnist", "stress", model) for model in ("lstm", "cfc")]
    curves = {(name, "accuracy"): CURVE for name in ("zero_steps", "zero_bursts")}
    panels, caption, figure = stressed(
        tmp_path, items, curves, read_printed(PAPER, 3), synthetic=synthetic
    )
    zeroed, bursts = panels
    assert printed_points(zeroed) == table_3("nmnist") and printed_points(bursts) == {}
    hollow = [line for line in zeroed.lines if "printed" in str(line.get_label())]
    assert {line.get_markerfacecolor() for line in hollow} == {"none"}
    assert {line.get_linestyle() for line in hollow} == {"None"}
    measured = {line.get_label(): line.get_color() for line in zeroed.lines[:2]}
    assert [line.get_color() for line in hollow] == [measured["lstm"], measured["cfc"]]
    legend = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "printed in the paper" in legend and "Table III" in caption
    assert ("on the real data" in legend) == synthetic
    assert ("lines on synthetic data" in caption) == synthetic


def test_a_row_of_the_paper_is_marked_once(tmp_path):
    items = [run_item("nmnist", "stress", model) for model in ("cfc", "cfc-256")]
    [axes], *_ = stressed(
        tmp_path, items, {("zero_steps", "accuracy"): CURVE}, read_printed(PAPER, 3)
    )
    assert sum("printed" in str(line.get_label()) for line in axes.lines) == 1


def test_nothing_is_printed_for_other_protocols_or_without_the_paper(tmp_path):
    item, other = run_item("nmnist", "released", "cfc"), run_item("nmnist", "stress", "cfc")
    curves = {("zero_steps", "accuracy"): CURVE}
    [axes], caption, _ = stressed(tmp_path / "a", [item], curves, read_printed(PAPER, 3))
    assert printed_points(axes) == {} and "Table III" not in caption
    [axes], caption, _ = stressed(tmp_path / "b", [other], curves, None)
    assert printed_points(axes) == {} and "Table III" not in caption


def sepsis(results, auroc, average_precision):
    """A stress-tested run by the stay: four of ten stays are septic."""
    item = run_item("physionet", "paper", "cfc-128")
    write_stays(results, item)
    curves = {
        ("zero_steps", "auroc"): auroc,
        ("zero_steps", "average_precision"): average_precision,
    }
    curves[("zero_steps", "accuracy")] = CURVE
    curves[("drop_hours", "auroc")] = curves[("zero_steps", "auroc")]
    write_curves(results / "physionet/paper/cfc-128/seed-0", item, curves)
    study = study_of(results, [item])
    figure, _, caption = stress_figure(study, study.groups(), read_printed(PAPER, 3))
    return [axes for axes in figure.axes if axes.axison], caption


def dotted(axes):
    return [float(line.get_ydata()[0]) for line in axes.lines if line.get_linestyle() == ":"]


def test_sepsis_has_auroc_and_average_precision_with_the_level_without_skill(tmp_path):
    panels, caption = sepsis(tmp_path, {0.0: [0.9], 0.5: [0.7]}, {0.0: [0.45], 0.5: [0.3]})
    auroc, hours, precision, _ = panels
    assert "AUROC" in auroc.get_ylabel() and "average precision" in precision.get_ylabel()
    assert list(auroc.lines[0].get_ydata()) == pytest.approx([90, 70])
    assert list(precision.lines[0].get_ydata()) == pytest.approx([45, 30])
    assert dotted(auroc) == dotted(hours) == [50] and dotted(precision) == pytest.approx([40])
    # Chance lies at the bottom, and the rest is for what is better.
    assert auroc.get_ylim() == (45, 102) == hours.get_ylim()
    assert precision.get_ylim() == (0, 50)
    assert "50 % of AUROC" in caption and "(40.0 %)" in caption


def test_an_auroc_below_chance_is_inside(tmp_path):
    panels, _ = sepsis(tmp_path, {0.0: [0.9], 0.5: [0.42]}, {0.0: [0.99], 0.5: [0.3]})
    assert panels[0].get_ylim() == (30, 102)
    assert panels[2].get_ylim() == (0, 102)


def test_error_rates_above_one_are_inside_and_leave_the_others_their_room(tmp_path):
    item = run_item("iam", "released", "lstm")
    curves = {("zero_steps", "cer"): {0.0: [0.1], 0.5: [0.2]}}
    curves[("blank_columns", "cer")] = {0.0: [0.1], 0.5: [1.9]}
    panels, caption, _ = stressed(tmp_path, [item], curves)
    assert len(panels) == 2
    for axes in panels:
        low, high = axes.get_ylim()
        assert low == 0 and high > 190
        # Rates up to 100 % have four fifths of the height or more.
        bottom, line, top = axes.transData.transform([(0, 0), (0, 100), (0, high)])[:, 1]
        assert (line - bottom) / (top - bottom) > 0.8
        assert 100 in axes.get_yticks()
    assert "Lower is better." in caption
    assert "Above 100 % (grey, squeezed to a fifth) a reading has more characters" in caption


def test_error_rates_below_one_have_an_even_scale(tmp_path):
    item = run_item("iam", "released", "lstm")
    [axes], caption, _ = stressed(
        tmp_path, [item], {("zero_steps", "cer"): {0.0: [0.1], 0.5: [0.5]}}
    )
    assert axes.get_yscale() == "linear" and axes.get_ylim() == pytest.approx((0, 52.5))
    assert "Lower is better." in caption and "Above" not in caption


def test_the_squeezed_scale_and_back():
    rates = np.array([0.0, 40, 100, 150, 600])
    assert squeezed(rates).tolist() == pytest.approx([0, 40, 100, 110, 200])
    assert stretched(squeezed(rates)) == pytest.approx(rates)


def test_bands_end_where_the_figure_does(tmp_path):
    items = [run_item("nmnist", "stress", "cfc", seed) for seed in range(3)]
    for item, value in zip(items, (0.7, 1.0, 1.0)):
        write_curves(
            write_run(tmp_path, item),
            item,
            {("zero_steps", "accuracy"): {0.0: [value], 0.5: [0.1]}},
        )
    study = study_of(tmp_path, items)
    figure, _, caption = stress_figure(study, study.groups())
    [band] = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    # Student's interval reaches from 47 to 133.
    assert heights.max() == 100 and heights.min() == pytest.approx(10)
    assert "Bands: 95 % interval" in caption

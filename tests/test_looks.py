"""A model's look in all figures of a study, and what curves say of their seeds."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fake_study import LAYOUT, run_item, write_run, write_stress
from liquidbench.reporting.bands import interval_band, seed_lines, spread_text
from liquidbench.reporting.clinical_figures import alarms_figure
from liquidbench.reporting.looks import PAPERS, line_options, model_looks, protocol_fills
from liquidbench.reporting.ranges import SHARE
from liquidbench.reporting.result_figures import training_figure
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.stress_figures import stress_figure
from liquidbench.reporting.study import read_study
from liquidbench.reporting.style import BLUE, VERMILION
from liquidbench.reporting.summaries import summarise, write_summaries
from test_clinical_reports import write_hours, write_stays

PAPERS_MODELS = ["lstm", "cfc", "lstm-128", "cfc-128", "cfc-256"]


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_the_papers_models_look_the_same_whatever_else_is_configured():
    alone = model_looks(PAPERS_MODELS)
    others = ["gru", "lstm-1", "cfc-ncp", "ltc", "logistic"]
    for models in ([*others, *PAPERS_MODELS], [*PAPERS_MODELS, *others], PAPERS_MODELS[::-1]):
        looks = model_looks(models)
        assert {model: looks[model] for model in PAPERS_MODELS} == alone
    # An LSTM is vermilion and a CfC blue, in all sizes but where one figure has both.
    assert {alone[model].colour for model in ("lstm", "lstm-128")} == {VERMILION}
    assert {alone[model].colour for model in ("cfc", "cfc-128")} == {BLUE}


def test_many_models_are_told_apart_by_colour_and_marker():
    models = [*PAPERS, *(f"model-{number}" for number in range(40))]
    looks = model_looks(models)
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(models)
    # Even without their markers the first few differ.
    assert len({look.colour for look in model_looks(["lstm", "cfc", *"abcde"]).values()}) == 7
    more = model_looks(f"model-{number}" for number in range(100))
    assert len(set(more.values())) == 100


def test_a_study_without_the_papers_models_has_their_looks_for_its_first_ones():
    looks = model_looks(["gru", "cfc-as-lstm", "lstm-64", "lstm-32"])
    assert looks["lstm-64"] == PAPERS["lstm"] and looks["cfc-as-lstm"] == PAPERS["cfc"]
    assert looks["lstm-32"] != looks["lstm-64"]


def test_a_model_added_last_changes_no_other():
    few, more = model_looks([*PAPERS_MODELS, *"abc"]), model_looks([*PAPERS_MODELS, *"abcd"])
    assert {model: more[model] for model in few} == few


def test_protocols_of_a_panel_differ_in_the_filling_of_their_markers():
    fills = protocol_fills(["paper", "fair", "paper"])
    assert fills == {"paper": "full", "fair": "left"}
    # Hollow markers are the paper's printed values.
    assert "none" not in protocol_fills("abcde").values()


def study_of_sepsis(results):
    """Three models by the stay, of which one is told by the hour too, and stress-tested; a model more comes first."""
    items = [run_item("nmnist", "released", "gru")]
    write_run(results, items[0])
    for model in ("rnn", "lstm-128", "cfc-128"):
        item = run_item("physionet", "paper", model)
        write_stays(results, item)
        folder = results / "physionet/paper" / model / "seed-0"
        write_stress(folder, item, {0.0: [0.9], 0.3: [0.8]}, "auroc")
        items.append(item)
    items.append(run_item("physionet", "hourly", "rnn"))
    write_hours(results, items[-1])
    write_summaries(summarise(results, [RunKey(**item) for item in items]), results / "summary")
    layout = LAYOUT | {"hourly_protocols": ["hourly"]}
    study = read_study(results / "summary", json.dumps(layout))
    return study, [group for group in study.groups() if group.dataset == "physionet"]


def drawn_looks(axes):
    """Colour and marker of every line of a panel that has markers and is no printed point."""
    return {
        (line.get_color(), line.get_marker())
        for line in axes.lines
        if line.get_marker() not in (None, "None", "") and line.get_markerfacecolor() != "none"
    }


def test_a_model_looks_the_same_in_all_figures_of_a_study(tmp_path):
    study, groups = study_of_sepsis(tmp_path)
    by_stay = [group for group in groups if group.protocol == "paper"]
    alarms, *_ = alarms_figure(study, groups, None)
    training, *_ = training_figure(study, by_stay)
    stress, *_ = stress_figure(study, by_stay)
    left, right, lower_left, lower_right = alarms.axes[:4]
    three = drawn_looks(left)
    assert len({colour for colour, _ in three}) == 3
    for axes in (lower_left, training.axes[0], training.axes[1], stress.axes[0]):
        assert drawn_looks(axes) == three
    # The recurrent network by the hour is the one by the stay.
    looks = model_looks(["gru", "rnn"])
    recurrent = {(looks["rnn"].colour, looks["rnn"].marker)}
    assert drawn_looks(right) == drawn_looks(lower_right) == recurrent
    assert recurrent < three
    for figure in (alarms, stress, training):
        named = [text.get_text() for text in figure.legends[0].get_texts()]
        assert [named.count(model) for model in ("rnn", "lstm-128", "cfc-128")] == [1, 1, 1]


def test_lines_on_each_other_are_both_seen(tmp_path):
    """All three models answer alike."""
    study, groups = study_of_sepsis(tmp_path)
    alarms, *_ = alarms_figure(study, groups, None)
    lines = alarms.axes[2].lines[:3]
    assert all((line.get_ydata() == lines[0].get_ydata()).all() for line in lines)
    places = [set(range(*line.get_markevery()[:1], 100, line.get_markevery()[1])) for line in lines]
    assert all(len(own) > 4 for own in places)
    assert len(set.union(*places)) == sum(map(len, places))
    stress, *_ = stress_figure(study, [group for group in groups if group.protocol == "paper"])
    sizes = [line.get_markersize() for line in stress.axes[0].lines[:3]]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    # The later line is dashed, so that the earlier shows between.
    assert line_options(PAPERS["cfc"])["ls"] != line_options(PAPERS["lstm"])["ls"]


def table(*seeds):
    return pd.DataFrame(dict(enumerate(seeds)), index=[1, 2])


def test_a_band_is_the_interval_of_the_mean_inside_what_the_figure_can_be():
    axes = plt.figure().subplots()
    by_seed = table([0.1, 0.8], [0.3, 0.9], [0.35, 0.95])
    axes.plot([1, 2], by_seed.mean(axis=1))
    before = axes.get_ylim()
    interval_band(axes, by_seed, "blue", possible=SHARE)
    assert axes.get_ylim() == before
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    low, high = stats.t.interval(0.95, 2, by_seed.mean(axis=1), stats.sem(by_seed, axis=1))
    assert low[0] < 0 and high[1] > 1
    wanted = {0.0, low[1], high[0], 1.0}
    assert sorted(set(heights.round(9))) == pytest.approx(sorted(wanted), abs=1e-8)
    # Eight bands over each other leave half of what lies under them.
    assert (1 - band.get_facecolor()[0][3]) ** 8 > 0.4


@pytest.mark.parametrize(("count", "lines", "bands"), [(1, 0, 0), (2, 2, 0), (3, 0, 1)])
def test_below_three_seeds_each_is_drawn_and_no_band(count, lines, bands):
    axes = plt.figure().subplots()
    by_seed = table(*([0.1 * seed, 0.2] for seed in range(count)))
    seed_lines(axes, by_seed, "blue")
    interval_band(axes, by_seed, "blue")
    assert (len(axes.lines), len(axes.collections)) == (lines, bands)
    drawn = [line.get_ydata().tolist() for line in axes.lines]
    assert drawn == [by_seed[seed].tolist() for seed in range(lines)]


def test_a_seed_without_any_value_is_none():
    axes = plt.figure().subplots()
    by_seed = table([0.1, 0.2], [0.3, 0.4], [np.nan, np.nan])
    interval_band(axes, by_seed, "blue")
    assert not axes.collections


def test_captions_say_what_the_lines_and_bands_are():
    assert spread_text([1, 1], 0.95) == "One seed, hence no interval."
    two = spread_text([2, 1], 0.95)
    assert "each of two seeds" in two and "Bands" not in two and "one seed" in two
    five = spread_text([5, 5], 0.9)
    assert "90 % interval" in five and "Thin" not in five and "one seed" not in five


def test_training_curves_of_two_seeds_hold_both(tmp_path):
    items = [run_item("nmnist", "released", "cfc", seed) for seed in (0, 1)]
    for item in items:
        write_run(tmp_path, item)
    write_summaries(summarise(tmp_path, [RunKey(**item) for item in items]), tmp_path / "summary")
    study = read_study(tmp_path / "summary", json.dumps(LAYOUT))
    figure, _, caption = training_figure(study, study.groups())
    accuracies = figure.axes[1]
    mean, *thin = (line for line in accuracies.lines if line.get_linestyle() == "-")
    assert len(thin) == 2 and not accuracies.collections
    assert np.mean([line.get_ydata() for line in thin], axis=0) == pytest.approx(mean.get_ydata())
    assert thin[0].get_linewidth() < mean.get_linewidth()
    assert "each of two seeds" in caption

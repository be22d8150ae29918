"""Figures of many models: which part shows whom, and that no legend is cut off."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from matplotlib.lines import Line2D

from fake_study import LAYOUT, run_item, write_run, write_stress
from liquidbench.reporting import style
from liquidbench.reporting.figure_files import write_figures
from liquidbench.reporting.figure_parts import MOST_LINES, in_parts
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.study import read_study
from liquidbench.reporting.summaries import summarise, write_summaries

MODELS = ["lstm-128", "gru", *(f"cfc-{number}" for number in range(7)), "cfc-128", "cfc-256"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Eleven sepsis models, stressed."""
    root = tmp_path_factory.mktemp("many")
    items = [run_item("physionet", "paper", model) for model in MODELS]
    for item in items:
        folder = write_run(root, item)
        write_stress(folder, item, {0.0: [0.9], 0.5: [0.7]}, "auroc")
    write_summaries(summarise(root, [RunKey(**item) for item in items]), root / "summary")
    return (
        root,
        read_study(root / "summary", json.dumps(LAYOUT)),
        [RunKey(**item) for item in items],
    )


def test_each_part_has_the_papers_pair_and_every_model_is_in_one(study):
    _, study, _ = study
    groups = study.groups()
    parts = [[group.model for group in part] for part in in_parts(groups)]
    assert parts == [
        ["lstm-128", "cfc-128", "gru", "cfc-0", "cfc-1", "cfc-2"],
        ["lstm-128", "cfc-128", "cfc-3", "cfc-4", "cfc-5", "cfc-6"],
        ["lstm-128", "cfc-128", "cfc-256"],
    ]
    assert in_parts(groups[:MOST_LINES]) == [groups[:MOST_LINES]]
    strangers = [
        group for group in groups if group.model.startswith("cfc-") and len(group.model) == 5
    ]
    assert [len(part) for part in in_parts(strangers)] == [6, 1]
    # Another protocol has parts of its own, with its own pair.
    hourly = [
        replace(group, protocol="hourly") for group in groups if group.model in ("lstm-128", "gru")
    ]
    *others, last = in_parts([*groups, *hourly])
    assert (others, last) == (in_parts(groups), hourly)


def test_the_figures_of_many_models_are_several_and_say_so(study, tmp_path):
    root, study, runs = study
    gallery = write_figures(study, root, runs, tmp_path)
    told = {name: (title, caption) for name, title, caption in gallery.entries}
    for kind in ("training_curves_physionet", "stress_physionet", "alarms_physionet"):
        names = [name for name in told if name.startswith(kind)]
        assert names == [kind, f"{kind}_2", f"{kind}_3"]
        assert [told[name][0][-8:] for name in names] == ["(1 of 3)", "(2 of 3)", "(3 of 3)"]
        captions = [told[name][1] for name in names]
        assert all(
            text.endswith("In all of this protocol: lstm-128 and cfc-128.") for text in captions
        )
        for model in MODELS:
            wanted = 3 if model in ("lstm-128", "cfc-128") else 1
            assert sum(f"paper/{model} (" in caption for caption in captions) == wanted, (
                kind,
                model,
            )


@pytest.mark.parametrize("width", [3.0, 5.0, 12.0])
def test_a_legend_takes_as_many_columns_as_fit(width):
    style.apply_style()
    figure = style.new_figure(width, 3, "A title", synthetic=False)
    figure.subplots()
    labels = ["short", "a name of some length", "another long one", "paper: LSTM (128)"]
    style.legend_below(figure, [Line2D([], [], label=label) for label in labels], most=4)
    (legend,) = figure.legends
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert legend._ncols == {3.0: 1, 5.0: 2, 12.0: 4}[width]
    plt.close(figure)

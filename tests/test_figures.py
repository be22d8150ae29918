"""Figures: what they show against hand-made input, that files are valid and their bytes stable."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from fake_study import LAYOUT, run_item, write_examples, write_run, write_stress
from liquidbench.errors import InputError
from liquidbench.reporting import style
from liquidbench.reporting.architecture_figures import (
    architecture_figure,
    read_architecture,
    shape_text,
)
from liquidbench.reporting.example_figures import (
    accumulate,
    recording_figure,
    stage_ends,
    stay_figure,
)
from liquidbench.reporting.examples import read_example
from liquidbench.reporting.figure_files import write_figures
from liquidbench.reporting.figure_names import OWN_FILES
from liquidbench.reporting.gallery import Gallery
from liquidbench.reporting.result_figures import (
    confusion_figure,
    confusion_matrix,
    training_figure,
)
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.study import read_study
from liquidbench.reporting.summaries import summarise, write_summaries
from test_clinical_reports import write_hours

SCRIPT = Path(__file__).parents[1] / "workflow/scripts/figures.py"
ITEMS = [run_item("nmnist", "released", model) for model in ("lstm", "cfc")]
STRESSED = run_item("nmnist", "stress", "cfc")
BANNER = "SYNTHETIC DATA: generated, not the real data set"


def read_back(results, items):
    write_summaries(summarise(results, [RunKey(**item) for item in items]), results / "summary")
    return read_study(results / "summary", json.dumps(LAYOUT))


def texts_of(figure):
    found = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    return [text for text in found if text]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The command run on a small synthetic study whose QuickDraw and sepsis runs are not there. IAM is left out."""
    root = tmp_path_factory.mktemp("figures")
    for item in [*ITEMS, STRESSED]:
        folder = write_run(root, item, synthetic=True)
    write_stress(folder, STRESSED, {0.0: [0.9], 0.3: [0.7, 0.6]})
    write_examples(root, synthetic=True)
    (root / "quickdraw/examples.npz").unlink()
    mains = {name: one for name, one in LAYOUT["main_protocols"].items() if name != "iam"}
    layout = LAYOUT | {"main_protocols": mains}
    read_back(root, [*ITEMS, STRESSED])
    out = root / "out"
    out.mkdir()
    for name in ("confusion_iam.png", "confusion_iam.svg", "notes.png"):
        (out / name).write_text("from an earlier study")
    command = [sys.executable, SCRIPT, "--summary", root / "summary", "--results", root]
    command += ["--runs", json.dumps([*ITEMS, STRESSED]), "--layout", json.dumps(layout)]
    done = subprocess.run([*command, "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


EXPECTED = ["figure_1", "figure_4", "figure_5", "training_curves_nmnist", "confusion_nmnist"]
EXPECTED += ["costs_nmnist", "stress_nmnist"]


def test_every_possible_figure_is_a_valid_png_and_svg(drawn):
    for name in EXPECTED:
        image = matplotlib.image.imread(drawn / f"{name}.png")
        assert image.shape[1] > 600 and image.std() > 0.01
        assert ET.parse(drawn / f"{name}.svg").getroot().tag.endswith("svg")
    written = {path.stem for path in drawn.glob("*.svg")}
    assert written == set(EXPECTED)


def test_synthetic_figures_carry_the_banner(drawn):
    for name in EXPECTED:
        image = matplotlib.image.imread(drawn / f"{name}.png")[..., :3]
        vermilion = np.array(matplotlib.colors.to_rgb(style.VERMILION))
        assert np.allclose(image[3, :20], vermilion, atol=0.01)


def test_the_index_lists_figures_and_reasons(drawn):
    index = (drawn / "index.md").read_text()
    for name in EXPECTED:
        assert f"]({name}.svg)" in index and f"]({name}.png)" in index
    assert "- `figure_2`: no `quickdraw/examples.npz` among the results" in index
    assert "- `figure_7`: no finished run of QuickDraw under its main protocol" in index
    # Its example is among the results.
    for name in ("figure_3", "figure_6"):
        assert f"- `{name}`: IAM is not part of this study" in index


def test_figures_of_an_earlier_state_go_and_other_files_stay(drawn):
    assert not (drawn / "confusion_iam.png").exists()
    assert (drawn / "notes.png").exists()


def test_without_png_earlier_ones_go_and_the_index_names_none(tmp_path, drawn):
    results = drawn.parent
    style.apply_style()
    for png in (True, False):
        gallery = Gallery(tmp_path, png)
        gallery.add("figure_1", *recording_figure(results / "nmnist/examples.npz"))
        gallery.finish("Figures", "")
        assert (tmp_path / "figure_1.png").exists() == png
        assert ("figure_1.png" in (tmp_path / "index.md").read_text()) == png
        assert json.loads((tmp_path / "index.json").read_text())["png"] == png
        # With a PNG file or without.
        assert (tmp_path / "figure_1.svg").read_bytes() == (drawn / "figure_1.svg").read_bytes()


def test_the_same_figure_is_the_same_bytes(tmp_path, drawn):
    results = drawn.parent
    study = read_back(results, [*ITEMS, STRESSED])
    groups = [group for group in study.groups() if group.finished]
    style.apply_style()
    gallery = Gallery(tmp_path)
    gallery.add("training_curves_nmnist", *training_figure(study, groups))
    gallery.add("figure_1", *recording_figure(results / "nmnist/examples.npz"))
    for name in ("training_curves_nmnist", "figure_1"):
        again, first = (folder / f"{name}.svg" for folder in (tmp_path, drawn))
        assert again.read_bytes() == first.read_bytes()
        assert b"<dc:date>" not in first.read_bytes()


def test_accumulated_events_against_a_loop():
    random = np.random.default_rng(1)
    x, y = random.integers(0, 34, (2, 500)).astype(np.uint8)
    expected = np.zeros((34, 34), int)
    for column, row in zip(x, y):
        expected[row, column] += 1
    assert (accumulate(x, y) == expected).all()


def test_a_recording_s_panels_hold_its_events(tmp_path):
    """Four events: two ON in the first slice, one OFF in the last, one outside the sensor."""
    path = tmp_path / "examples.npz"
    arrays = {
        "x": np.array([1, 1, 5, 200], np.uint8),
        "y": np.array([2, 2, 6, 3], np.uint8),
        "polarity": np.array([1, 1, 0, 1], np.uint8),
        "time": np.array([0, 10, 1000, 500]),
    }
    np.savez(path, **arrays, label="3", id="one", synthetic=np.bool_(False), source="mirror")
    figure, title, _ = recording_figure(path)
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    whole, on, off, *slices = images[:13]
    assert whole[2, 1] == 2 and whole[6, 5] == 1 and whole.sum() == 3
    assert on.sum() == 2 and off.sum() == 1
    assert [int(image.sum()) for image in slices] == [2, 0, 0, 0, 0, 0, 0, 0, 0, -1]
    assert "digit 3" in title and BANNER not in texts_of(figure)


@pytest.mark.parametrize(
    ("strokes", "ends"),
    [
        ([0] * 4 + [1] * 4 + [2] * 4, [2, 4, 6, 8, 10, 12]),
        ([0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]),
        (list(range(12)), [2, 4, 6, 8, 10, 12]),
        ([0, 0, 0], [1, 2, 3]),
    ],
)
def test_stages_of_a_drawing_end_with_its_strokes(strokes, ends):
    assert stage_ends(np.array(strokes), 6) == ends


def test_a_stay_marks_the_first_labelled_hour_and_the_onset(tmp_path):
    values = np.full((30, 39), np.nan, np.float32)
    values[:, 0] = 80
    labels = (np.arange(30) >= 19).astype(np.uint8)
    names = np.array(["HR", *(f"other_{i}" for i in range(38))])
    content = {"values": values, "labels": labels, "feature_names": names, "id": "p1"}
    np.savez(tmp_path / "e.npz", **content, synthetic=np.bool_(True), source="synthetic")
    figure, _, caption = stay_figure(tmp_path / "e.npz")
    marks = {float(line.get_xdata()[0]) for line in figure.axes[0].lines[-2:]}
    # Index 19 is the 20th hour; the label begins six hours before the onset.
    assert marks == {20.0, 26.0}
    assert BANNER in texts_of(figure)
    assert "97% of all are missing" in caption


def test_examples_with_pickles_or_holes_are_refused(tmp_path):
    path = tmp_path / "examples.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        read_example(path, ["x"])
    np.savez(path, x=np.arange(3), synthetic=np.bool_(True), source="synthetic")
    with pytest.raises(InputError, match="arrays missing: y"):
        read_example(path, ["x", "y"])
    path.write_bytes(b"no archive")
    with pytest.raises(InputError, match="cannot be read"):
        read_example(path, ["x"])


def test_an_architecture_shows_shapes_counts_and_pooling(tmp_path):
    folders = [write_run(tmp_path, item) for item in ITEMS]
    architectures = [
        read_architecture(folder / "architecture.json", item["model"], "layers=2")
        for folder, item in zip(folders, ITEMS)
    ]
    figure = architecture_figure("Models", architectures, synthetic=False)
    texts = texts_of(figure)
    for text in ("lstm", "cfc", "Encoder", "Core", "Head"):
        assert text in texts
    for text in ("batch × 10 × 4,096", "batch × 10 × 2 × 34 × 34", "18,496", "layers=2"):
        assert texts.count(text) == 2
    assert texts.count("Mean over the valid steps") == 2
    assert shape_text(("batch", 10, 4096)) == "batch × 10 × 4,096"


def test_a_broken_architecture_is_named(tmp_path):
    path = tmp_path / "architecture.json"
    for content in ([], {"modules": []}, {"input_shape": [1], "modules": []}):
        path.write_text(json.dumps(content))
        with pytest.raises(InputError) as caught:
            read_architecture(path, "cfc")
        assert caught.value.where == str(path)


def test_confusion_counts_are_summed_over_seeds(tmp_path):
    items = [run_item("physionet", "paper", "cfc-128", seed) for seed in (0, 1)]
    for item in items:
        write_run(tmp_path, item)
    study = read_back(tmp_path, items)
    names, counts = confusion_matrix(study, study.groups()[0])
    assert names == ["no sepsis", "sepsis"]
    assert counts.tolist() == [[2 * 88, 2 * 2], [2 * 7, 2 * 3]]


def test_matrices_of_many_models_wrap(tmp_path):
    models = [f"model-{number}" for number in range(17)]
    items = [run_item("physionet", "paper", model) for model in models]
    for item in items:
        write_run(tmp_path, item)
    study = read_back(tmp_path, items)
    figure, *_ = confusion_figure(study, study.groups())
    # Three rows of six, and the bar of colours.
    drawn = [axes for axes in figure.axes if axes.axison]
    assert len(drawn) == 17 + 1
    width, height = figure.get_size_inches()
    assert width < 25 and height > 7
    assert sum(axes.get_ylabel() == "true class" for axes in figure.axes) == 3


def test_matrices_fill_their_rows_and_the_figure(tmp_path):
    items = [run_item("physionet", "paper", f"model-{number}") for number in range(7)]
    for item in items:
        write_run(tmp_path, item)
    study = read_back(tmp_path, items)
    style.apply_style()
    figure, *_ = confusion_figure(study, study.groups())
    figure.canvas.draw()
    panels = [axes.get_position() for axes in figure.axes if axes.images and axes.axison]
    # Four and three, and not six and one.
    assert sorted(Counter(round(panel.y0, 2) for panel in panels).values()) == [3, 4]
    # Two rows of matrices take most of the height, four columns of the width.
    assert 2 * panels[0].height > 0.5 and 4 * panels[0].width > 0.7


def test_hours_have_matrices_of_their_own(tmp_path):
    items = [run_item("physionet", protocol, "cfc-128") for protocol in ("paper", "other")]
    for item in items:
        write_run(tmp_path, item)
    hours = run_item("physionet", "hourly", "cfc-128")
    write_hours(tmp_path, hours)
    items.append(hours)
    read_back(tmp_path, items)
    layout = json.dumps(LAYOUT | {"hourly_protocols": ["hourly"]})
    study = read_study(tmp_path / "summary", layout)
    gallery = write_figures(study, tmp_path, [], tmp_path / "out")
    drawn = {name: (title, caption) for name, title, caption in gallery.entries}
    assert {"confusion_physionet", "confusion_physionet_hourly"} <= set(drawn)
    title, caption = drawn["confusion_physionet_hourly"]
    assert title.endswith("told by the hour") and "the run's own threshold" in caption
    reasons = dict(gallery.left_out)
    assert "“other”" in reasons["confusion_physionet of further protocols"]
    # What it writes it may remove again.
    assert OWN_FILES.fullmatch("confusion_physionet_hourly.png")


def test_curves_say_at_which_threshold_their_accuracies_are(tmp_path):
    item = run_item("physionet", "hourly", "cfc-128")
    folder = write_run(tmp_path, item)
    for threshold, told in ((0.5, False), ("best_utility", True)):
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["settings"]["training"]["threshold"] = threshold
        (folder / "metrics.json").write_text(json.dumps(metrics))
        study = read_back(tmp_path, [item])
        _, _, caption = training_figure(study, study.groups())
        assert ("at a threshold of 0.5" in caption) == told
        assert ("chosen after training: hourly/cfc-128" in caption) == told


def test_never_measured_keeps_off_the_lines(tmp_path):
    values = np.full((24, 39), np.nan, np.float32)
    names = np.array(["Lactate", *(f"other_{i}" for i in range(38))])
    # The middle of the panel is the first labelled hour.
    labels = (np.arange(24) >= 11).astype(np.uint8)
    content = {"values": values, "labels": labels, "feature_names": names, "id": "p1"}
    np.savez(tmp_path / "e.npz", **content, synthetic=np.bool_(True), source="synthetic")
    style.apply_style()
    figure, *_ = stay_figure(tmp_path / "e.npz")
    figure.canvas.draw()
    axes = figure.axes[0]
    [text] = [text for text in axes.texts if text.get_text() == "never measured"]
    box = text.get_window_extent().transformed(axes.transData.inverted())
    assert all(not box.x0 - 0.5 < mark < box.x1 + 0.5 for mark in (0, 12, 18))

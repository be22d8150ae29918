"""QuickDraw: hand-made lines with known answers, and broken ones."""

import json

import numpy as np
import pytest

from liquidbench.datasets import quickdraw
from liquidbench.datasets.cache import read_attributes, read_split, read_split_names
from liquidbench.datasets.examples import write_examples
from liquidbench.datasets.preparation import read_settings
from liquidbench.errors import InputError
from preparation_helpers import MIRROR, make_manifest, needs_mirror

SMALL = {"categories": ["bird", "car"], "minimum_points": 3, "maximum_points": 4}
TWO_STROKES = [[[0, 51, 255], [0, 102, 0]], [[255, 204], [255, 255]]]
SHORT = [[[0, 1], [0, 1]]]


def line(drawing, **more):
    return json.dumps({"drawing": drawing} | more)


def make_raw(folder, **lines):
    """A file of lines for each category."""
    files = {}
    for category, content in lines.items():
        files[category] = folder / f"{category}.ndjson"
        files[category].write_text("\n".join(content) + "\n")
    return make_manifest(folder, "quickdraw", files)


def prepare(folder, manifest, **settings):
    cache = folder / "cache.h5"
    quickdraw.prepare(manifest, read_settings(quickdraw.Settings, SMALL | settings), cache, 1)
    return read_split(cache, "all")


def test_a_hand_made_drawing(tmp_path):
    manifest = make_raw(tmp_path, bird=[line(TWO_STROKES)], car=[line(TWO_STROKES)])
    found = prepare(tmp_path, manifest, maximum_points=100)
    expected = [
        [0.0, 0.0, 0.0, 0.0, 0],
        [0.2, 0.4, 0.2, 0.4, 0],
        [1.0, 0.0, 0.8, -0.4, 1],
        [1.0, 1.0, 0.0, 1.0, 0],
        [0.8, 1.0, -0.2, 0.0, 1],
    ]
    assert found.inputs.dtype == np.float32
    np.testing.assert_allclose(found.inputs[:5], expected, atol=1e-7)
    assert found.elapsed[:6].tolist() == [0, 1, 1, 1, 1, 0]
    assert found.offsets.tolist() == [0, 5, 10]
    assert found.targets.tolist() == [0, 1]
    assert found.ids.tolist() == ["bird:1", "car:1"]
    attributes = read_attributes(tmp_path / "cache.h5")
    assert read_split_names(tmp_path / "cache.h5") == ("all",)
    assert attributes.classes == ("bird", "car")
    assert attributes.elapsed_unit == "points"
    assert attributes.feature_names == ("x", "y", "dx", "dy", "pen_up")


def test_drawings_left_out_and_cut(tmp_path):
    birds = [
        line(TWO_STROKES, recognized=False, key_id="1"),
        line(SHORT, recognized=True, key_id="2"),
        line(TWO_STROKES, recognized=True, key_id="3", word="bird"),
        line(TWO_STROKES, key_id="4"),
        line(TWO_STROKES, key_id="after the lines to read"),
    ]
    manifest = make_raw(tmp_path, bird=birds, car=[line(TWO_STROKES)])
    found = prepare(tmp_path, manifest, per_category=4)
    assert found.ids.tolist() == ["1", "3", "4", "car:1"]
    assert found.recognized.tolist() == [0, 1, 1, 1]
    assert found.lengths.tolist() == [4, 4, 4, 4]
    # The stroke goes on beyond the cut: its last point is gone, and no pen-up takes its place.
    assert found.inputs[:4, 4].tolist() == [0, 0, 1, 0]
    tallies = read_attributes(tmp_path / "cache.h5").tallies
    assert tallies == {"too_short": 1, "cut": 4, "clock_backwards": 0}
    assert found.subset(np.array([3, 0])).recognized.tolist() == [1, 0]


def test_five_points_or_fewer_are_left_out_by_default():
    assert quickdraw.Settings(("bird", "car")).minimum_points == 6


def test_raw_drawings_fill_their_own_box_and_keep_their_times(tmp_path):
    raw = [[[100, 300, 500], [50, 50, 150], [0, 7, 20]], [[500, 100], [50, 50], [520, 510]]]
    manifest = make_raw(tmp_path, bird=[line(raw)], car=[line(raw)])
    found = prepare(tmp_path, manifest, variant="raw", maximum_points=100)
    np.testing.assert_allclose(found.inputs[:5, 0], [0, 0.5, 1, 1, 0], atol=1e-7)
    np.testing.assert_allclose(found.inputs[:5, 1], [0, 0, 0.25, 0, 0], atol=1e-7)
    assert found.elapsed[:5].tolist() == [0, 7, 13, 500, 0]
    attributes = read_attributes(tmp_path / "cache.h5")
    assert attributes.elapsed_unit == "milliseconds"
    assert attributes.tallies["clock_backwards"] == 2


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ('{"drawing": [[', "not valid JSON"),
        ("", "not valid JSON"),
        ("[1]", "is a list, expected an object"),
        ("{}", "no list of strokes"),
        (line([]), "no list of strokes"),
        (line([[[1, 2], [1, 2], [1, 2]]]), "a stroke has 3 arrays, the simplified set has 2"),
        (line(["ab"]), "a stroke has str arrays"),
        (line([[[1, 2], [1]]]), "differ in length"),
        (line([[[1, "x"], [1, 2]]]), "not numbers"),
        (line([[1, 2]]), "not numbers"),
        (line([[[[1], [2]], [[3], [4]]]]), "not finite numbers"),
        (line([[[1, float("nan")], [1, 2]]]), "not finite"),
        (line([[[1, 256], [1, 2]]]), "coordinates from 1 to 256"),
        (line(TWO_STROKES, recognized="yes"), "`recognized` is 'yes'"),
        (line(TWO_STROKES, word="car"), "is a drawing of 'car', expected 'bird'"),
    ],
)
def test_a_broken_line_is_named(tmp_path, broken, message):
    good = line(TWO_STROKES)
    manifest = make_raw(tmp_path, bird=[good, broken, good], car=[good])
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path, manifest)
    assert caught.value.where.endswith("bird.ndjson, line 2")
    assert not list(tmp_path.glob("*cache*"))


def test_bytes_that_are_no_text_are_named(tmp_path):
    manifest = make_raw(tmp_path, bird=[line(TWO_STROKES)], car=[line(TWO_STROKES)])
    path = manifest.file("car").path
    path.write_bytes(path.read_bytes() + b'{"word": "\xff"}\n')
    with pytest.raises(InputError, match="not valid JSON") as caught:
        prepare(tmp_path, manifest)
    assert caught.value.where.endswith("car.ndjson, line 2")


def test_an_empty_category_is_refused(tmp_path):
    manifest = make_raw(tmp_path, bird=[line(TWO_STROKES)], car=[line(SHORT)])
    with pytest.raises(InputError, match="no drawing is left of the category 'car'"):
        prepare(tmp_path, manifest)


@pytest.mark.parametrize(
    "values",
    [
        {"categories": ["bird"]},
        {"categories": ["bird", "bird"]},
        {"categories": "bird"},
        {"variant": "full"},
        {"minimum_points": 0},
    ],
)
def test_bad_settings_name_their_key(values):
    with pytest.raises(InputError, match=next(iter(values))):
        read_settings(quickdraw.Settings, SMALL | values)


def test_categories_are_not_optional():
    with pytest.raises(InputError, match="'categories' is missing"):
        read_settings(quickdraw.Settings, {})


def test_the_examples_are_birds(tmp_path):
    good = line(TWO_STROKES)
    manifest = make_raw(tmp_path, car=[good], bird=[good, line(SHORT), good, good, good])
    settings = read_settings(quickdraw.Settings, SMALL | {"categories": ["car", "bird"]})
    write_examples(tmp_path / "examples.npz", manifest, settings, "unused")
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as example:
        assert example["category"].item() == "bird"
        assert [example[f"id_{i}"].item() for i in range(3)] == ["bird:1", "bird:3", "bird:4"]
        points = [[0, 0, 0], [51, 102, 0], [255, 0, 0], [255, 255, 1], [204, 255, 1]]
        assert example["drawing_2"].tolist() == points
        assert example["drawing_2"].dtype == np.float32
    too_few = make_raw(tmp_path, car=[good], bird=[good])
    with pytest.raises(InputError, match="1 drawings, the figures need 3"):
        write_examples(tmp_path / "examples.npz", too_few, settings, "unused")


def mirror_files(folder):
    return {path.stem: path for path in sorted((MIRROR / "quickdraw" / folder).glob("*.ndjson"))}


@needs_mirror
def test_real_drawings(tmp_path):
    manifest = make_manifest(tmp_path, "quickdraw", mirror_files("first25"))
    categories = [file.role for file in manifest.files]
    assert len(categories) == 10
    quickdraw.prepare(manifest, quickdraw.Settings(tuple(categories)), tmp_path / "cache.h5", 1)
    found = read_split(tmp_path / "cache.h5", "all")
    expected = []
    for file in manifest.files:
        for text in file.path.read_text().splitlines():
            record = json.loads(text)
            points = sum(len(stroke[0]) for stroke in record["drawing"])
            if points > 5:
                expected.append((record["key_id"], min(points, 100), record["recognized"]))
    got = zip(found.ids.tolist(), found.lengths.tolist(), found.recognized.tolist(), strict=True)
    assert list(got) == expected


@needs_mirror
def test_real_raw_drawings_have_plausible_times(tmp_path):
    manifest = make_manifest(tmp_path, "quickdraw", mirror_files("raw_timed"))
    categories = tuple(file.role for file in manifest.files)
    settings = quickdraw.Settings(categories, variant="raw", maximum_points=1000)
    quickdraw.prepare(manifest, settings, tmp_path / "cache.h5", 1)
    found = read_split(tmp_path / "cache.h5", "all")
    assert (found.elapsed >= 0).all()
    # A drawing had to be done in 20 seconds.
    totals = np.add.reduceat(found.elapsed, found.offsets[:-1])
    assert (totals < 25_000).all()
    assert np.median(totals) > 1_000
    assert 0 <= found.inputs[:, :2].min() <= found.inputs[:, :2].max() <= 1

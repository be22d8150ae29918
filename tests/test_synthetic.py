"""The synthetic raw files: official formats, equal bytes for a seed, learnable but not trivial."""

import csv
import io
import json
import math
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from threadpoolctl import threadpool_limits

import synthesise
from liquidbench.datasets.synthetic import iam, nmnist, physionet, quickdraw, strokes
from liquidbench.datasets.synthetic.stroke_font import GLYPHS
from liquidbench.errors import InputError
from liquidbench.files import sha256_of_file

SCRIPT = Path(__file__).parents[1] / "workflow" / "scripts" / "synthesise.py"
GENERATORS = {"nmnist": nmnist, "quickdraw": quickdraw, "iam": iam, "physionet": physionet}
SMALL = {
    "nmnist": {"train": 20, "test": 10},
    "quickdraw": {"per_category": 3},
    "iam": {"train": 6, "validation": 2, "test": 3},
    "physionet": {"patients": 12, "patients_b": 10},
}
HEADER = (
    "HR|O2Sat|Temp|SBP|MAP|DBP|Resp|EtCO2|BaseExcess|HCO3|FiO2|pH|PaCO2|SaO2|AST|BUN|Alkalinephos|"
    "Calcium|Chloride|Creatinine|Bilirubin_direct|Glucose|Lactate|Magnesium|Phosphate|Potassium|"
    "Bilirubin_total|TroponinI|Hct|Hgb|PTT|WBC|Fibrinogen|Platelets|Age|Gender|Unit1|Unit2|"
    "HospAdmTime|ICULOS|SepsisLabel"
)
SUMMARISED = ("HR", "Temp", "SBP", "MAP", "Resp", "WBC", "Lactate", "Platelets", "Creatinine")
ALL_KEYS = {"word", "countrycode", "timestamp", "recognized", "key_id", "drawing"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """N-MNIST at its default size: split to a list of (name, events as [x, y, polarity, time])."""
    files = nmnist.synthesise({}, tmp_path_factory.mktemp("nmnist"))
    return {split: [(n, decoded(c)) for n, c in unzipped(path)] for split, path in files.items()}


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """QuickDraw at its default size: all records of all categories."""
    files = quickdraw.synthesise({}, tmp_path_factory.mktemp("quickdraw"))
    return [json.loads(line) for path in files.values() for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """IAM at its default size: split to rows."""
    files = iam.synthesise({}, tmp_path_factory.mktemp("iam"))
    return {split: pq.read_table(path).to_pylist() for split, path in files.items()}


@pytest.fixture(scope="module")
def stays(tmp_path_factory):
    """PhysioNet at its default size: file name to its text."""
    files = physionet.synthesise({}, tmp_path_factory.mktemp("physionet"))
    return {name: content.decode() for name, content in unzipped(files["set_a"])}


def unzipped(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def decoded(content):
    """The five-byte events, one by one; (events, 4) of x, y, polarity, microseconds."""
    assert len(content) % 5 == 0
    events = []
    for start in range(0, len(content), 5):
        x, y, second, third, fourth = content[start : start + 5]
        events.append((x, y, second // 128, (second % 128) * 65536 + third * 256 + fourth))
    return np.array(events)


def numbers(text):
    """The rows of a .psv as float64 (hours, 41)."""
    rows = list(csv.reader(io.StringIO(text), delimiter="|"))
    assert "|".join(rows[0]) == HEADER
    return np.array([[float(cell) for cell in row] for row in rows[1:]])


# All data sets


@pytest.mark.parametrize("dataset", GENERATORS)
def test_equal_seeds_give_equal_bytes_and_others_do_not(dataset, tmp_path):
    make, options = GENERATORS[dataset].synthesise, SMALL[dataset]
    one, again, other = (
        {role: sha256_of_file(path) for role, path in made.items()}
        for made in (
            make({**options, "seed": 7}, tmp_path / "one"),
            make({**options, "seed": 7}, tmp_path / "again"),
            make({**options, "seed": 8}, tmp_path / "other"),
        )
    )
    assert one == again
    assert all(one[role] != other[role] for role in one)


@pytest.mark.parametrize("dataset", GENERATORS)
def test_command_writes_the_files_and_a_manifest_of_them(dataset, tmp_path, monkeypatch):
    manifest = tmp_path / dataset / "manifest.json"
    arguments = ["--dataset", dataset, "--out", str(manifest), "--options"]
    monkeypatch.setattr(sys, "argv", ["synthesise.py", *arguments, json.dumps(SMALL[dataset])])
    synthesise.main()
    content = json.loads(manifest.read_text())
    assert (content["dataset"], content["source"], content["synthetic"]) == (
        dataset,
        "synthetic",
        True,
    )
    roles = {
        "nmnist": {"train", "test"},
        "quickdraw": set(quickdraw.OPTIONS["categories"].default),
        "iam": {"train", "validation", "test"},
        "physionet": {"set_a", "set_b"},
    }
    assert {file["role"] for file in content["files"]} == roles[dataset]
    for file in content["files"]:
        path = manifest.parent / file["path"]
        assert not Path(file["path"]).is_absolute()
        assert (path.stat().st_size, sha256_of_file(path)) == (file["bytes"], file["sha256"])
    # Apart from downloads of the same names.
    assert {path.name for path in manifest.parent.iterdir()} == {"manifest.json", "synthetic"}
    assert len(list((manifest.parent / "synthetic").iterdir())) == len(content["files"])


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("nmnist", {"trian": 10}, "'trian'.*Did you mean 'train'"),
        ("nmnist", {"train": 5}, "found 5, expected a whole number from 10"),
        ("nmnist", {"train": 1700, "test": 200}, "found 1700 \\+ 200, expected at most 1740"),
        ("nmnist", {"seed": -1}, "'seed'.*found -1"),
        ("nmnist", {"test": True}, "'test'.*found True"),
        ("quickdraw", {"categories": ["apple", "pear"]}, "'categories'.*pear"),
        ("quickdraw", {"categories": ["apple", "apple"]}, "2 different names"),
        ("quickdraw", {"categories": "apple"}, "'categories'.*found 'apple'"),
        ("iam", {"words_per_line": [3, 2]}, "'words_per_line'.*low <= high"),
        ("iam", {"sentences": 1}, "true or false"),
        ("physionet", {"septic_fraction": 1.5}, "a number from 0.01 to 0.9"),
        ("physionet", {"patients": "all"}, "'patients'.*found 'all'"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(dataset, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        GENERATORS[dataset].synthesise(options, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", ["{", "[1]", '{"patients": 3}'])
def test_command_refuses_bad_options_and_writes_nothing(options, tmp_path, monkeypatch):
    manifest = tmp_path / "manifest.json"
    arguments = ["--dataset", "physionet", "--out", str(manifest), "--options", options]
    monkeypatch.setattr(sys, "argv", ["synthesise.py", *arguments])
    with pytest.raises(InputError):
        synthesise.main()
    assert not list(tmp_path.iterdir())


def test_command_stops_with_one_line(tmp_path):
    command = [sys.executable, SCRIPT, "--dataset", "iam", "--out", tmp_path / "manifest.json"]
    ended = subprocess.run([*command, "--options", "{"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: --options") and ended.stderr.count("\n") == 1


# N-MNIST


def test_nmnist_recordings_are_events_of_a_34_pixel_camera_over_300_ms(recordings):
    for split, size in (("train", 600), ("test", 200)):
        names = [name for name, _ in recordings[split]]
        assert len(set(names)) == size
        folder, digit, file = names[3].split("/")
        assert (folder, digit, file) == (split.capitalize(), "3", "00004.bin")
        labels = [int(name.split("/")[1]) for name in names]
        assert np.array_equal(np.bincount(labels), np.full(10, size // 10))
    for _, events in recordings["train"]:
        x, y, polarity, time = events.T
        assert 1_000 < len(events) < 6_000
        assert x.max() < 34 and y.max() < 34
        assert (np.diff(time) >= 0).all() and 290_000 < time[-1] < 315_000
        assert 0.4 < polarity.mean() < 0.6


def test_nmnist_events_come_in_three_saccades(recordings):
    time = np.concatenate([events[:, 3] for _, events in recordings["test"]])
    counts = np.histogram(time, bins=9, range=(0, 315_000))[0].reshape(3, 3)
    # Each saccade is fastest in its middle third.
    assert (counts[:, 1] > 1.3 * counts[:, 0]).all() and (counts[:, 1] > 1.3 * counts[:, 2]).all()


def test_nmnist_never_uses_a_digit_image_twice():
    images, labels = nmnist._balanced_digits(np.random.default_rng(0))
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images) == 1_740
    assert np.array_equal(labels[:20], [*range(10), *range(10)])


def test_nmnist_encoding_keeps_every_event():
    events = nmnist.Events(
        np.array([0, 33, 7], dtype=np.uint8),
        np.array([33, 0, 9], dtype=np.uint8),
        np.array([1, 0, 1], dtype=np.uint8),
        np.array([0, 65_537, 2**23 - 1]),
    )
    content = nmnist.encode_events(events)
    assert content[:5] == bytes([0, 33, 128, 0, 0])
    assert decoded(content).tolist() == [
        [0, 33, 1, 0],
        [33, 0, 0, 65_537],
        [7, 9, 1, 2**23 - 1],
    ]


def test_camera_pixels_fire_as_in_a_plain_loop():
    random = np.random.default_rng(3)
    frames = np.cumsum(random.normal(0, 0.3, (40, 25)), axis=0)
    on, off = random.uniform(0.2, 0.5, (2, 25))
    step, refractory = 100.0, 130.0
    expected = []
    for pixel in range(25):
        remembered, blind_until = frames[0, pixel], -math.inf
        for index in range(1, 40):
            before, now = frames[index - 1, pixel], frames[index, pixel]
            start = (index - 1) * step
            if now - remembered >= on[pixel]:
                polarity, level = 1, remembered + on[pixel]
            elif now - remembered <= -off[pixel]:
                polarity, level = 0, remembered - off[pixel]
            else:
                continue
            crossed_before = before >= level if polarity else before <= level
            time = start
            if not crossed_before:
                time += step * (level - before) / (now - before)
            time = max(time, blind_until)
            if time <= index * step:
                expected.append((pixel, polarity, time))
                remembered = before + (now - before) * (time - start) / step
                blind_until = time + refractory
    got = sorted(
        zip(*(a.tolist() for a in nmnist.simulate_pixels(frames, step, on, off, refractory)))
    )
    assert len(got) == len(expected) > 100
    np.testing.assert_allclose(got, sorted(expected))


def test_camera_pixel_with_known_answer():
    # Rises by 1 in each 10 us: a threshold of 0.5 is passed every 5 us, but it is blind for 12.
    frames = np.arange(5.0)[:, None]
    pixel, polarity, time = nmnist.simulate_pixels(frames, 10, np.array([0.5]), np.array([0.5]), 12)
    assert time.tolist() == [5, 17, 29]
    assert polarity.tolist() == [1, 1, 1] and pixel.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="shorter than the step"):
        nmnist.simulate_pixels(frames, 10, np.array([0.5]), np.array([0.5]), 9)


def test_nmnist_is_learnable_and_not_trivial(recordings):
    def images(split):
        counts = np.zeros((len(recordings[split]), 34, 34))
        for image, (_, events) in zip(counts, recordings[split]):
            np.add.at(image, (events[:, 1], events[:, 0]), 1)
        return np.log1p(counts).reshape(len(counts), -1)

    def labels(split):
        return [int(name.split("/")[1]) for name, _ in recordings[split]]

    model = RidgeClassifier(alpha=300.0).fit(images("train"), labels("train"))
    assert 0.5 < model.score(images("test"), labels("test")) < 0.97


# QuickDraw


def test_quickdraw_lines_are_as_the_simplified_data_set(drawings):
    assert len({drawing["key_id"] for drawing in drawings}) == len(drawings) == 1_500
    for drawing in drawings:
        assert set(drawing) == ALL_KEYS
        assert len(drawing["key_id"]) == 16 and len(drawing["countrycode"]) == 2
        assert len(drawing["timestamp"]) == len("2017-03-10 22:17:57.57466 UTC")
        assert isinstance(drawing["recognized"], bool)
        assert drawing["drawing"]
        for stroke in drawing["drawing"]:
            assert len(stroke) == 2 and len(stroke[0]) == len(stroke[1]) >= 2
            assert all(isinstance(value, int) for axis in stroke for value in axis)
        # Simplification may leave out an extreme point, but none farther than its tolerance.
        for axis in (0, 1):
            assert 0 <= min(min(stroke[axis]) for stroke in drawing["drawing"]) <= 2
        assert 253 <= max(max(axis) for stroke in drawing["drawing"] for axis in stroke) <= 255
    assert 0.03 < np.mean([not drawing["recognized"] for drawing in drawings]) < 0.1
    points = [sum(len(stroke[0]) for stroke in drawing["drawing"]) for drawing in drawings]
    assert 25 < np.median(points) < 60


def test_simplified_drawing_with_known_answer():
    corner = np.array([[10.0, 5.0], [10.0, 7.0], [12.0, 7.0]])
    dash = np.array([[11.0, 6.0], [11.5, 6.0]])
    assert quickdraw.simplified_drawing([corner, dash]) == [
        [[0, 0, 255], [0, 255, 255]],
        [[128, 191], [128, 128]],
    ]


def test_simplification_leaves_no_point_farther_than_the_tolerance():
    stroke = np.cumsum(np.random.default_rng(1).normal(0, 2, (200, 2)), axis=0)
    kept = strokes.simplified(stroke, 2.0)
    assert len(kept) < 150
    places = [int(np.flatnonzero((stroke == point).all(axis=1))[0]) for point in kept]
    assert places == sorted(places) and (places[0], places[-1]) == (0, 199)
    for first, last in pairwise(places):
        segment = np.linspace(stroke[first], stroke[last], 2_000)
        for point in stroke[first:last]:
            assert np.hypot(*(segment - point).T).min() <= 2.0 + 0.01


def test_simplification_keeps_the_point_where_the_pen_turns_back():
    there_and_back = np.array([[0.0, 0.0], [3.0, 0.0], [9.0, 0.0], [5.0, 0.0]])
    assert strokes.simplified(there_and_back, 2.0).tolist() == [[0, 0], [9, 0], [5, 0]]


def test_simplification_of_a_closed_stroke_keeps_its_shape():
    square = strokes.line((0, 0), (10, 0), (10, 10), (0, 10), (0, 0))
    assert strokes.simplified(square, 1.0).tolist() == [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]


def test_quickdraw_is_learnable_and_not_trivial(drawings):
    features = []
    for drawing in drawings:
        ink = np.zeros((6, 6))
        for xs, ys in drawing["drawing"]:
            at = np.linspace(0, len(xs) - 1, 30)
            x, y = (np.interp(at, range(len(xs)), axis) for axis in (xs, ys))
            ink[(y // 43).astype(int), (x // 43).astype(int)] = 1
        features.append([*ink.ravel(), len(drawing["drawing"])])
    model = RandomForestClassifier(40, random_state=0)
    words = np.array([drawing["word"] for drawing in drawings])
    assert 0.4 < (cross_val_predict(model, features, words, cv=3) == words).mean() < 0.97


# IAM


def test_iam_rows_are_dark_writing_on_light_paper_with_its_text(lines):
    assert {split: len(rows) for split, rows in lines.items()} == {
        "train": 400,
        "validation": 60,
        "test": 100,
    }
    for row in (row for rows in lines.values() for row in rows):
        assert set(row) == {"image", "text"} and set(row["image"]) == {"bytes", "path"}
        words = row["text"].split(" ")
        assert 1 <= len(words) <= 2 and set(words) <= set(iam.WORDS[:32])
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (image.format, image.mode) == ("PNG", "L")
        assert 60 <= image.height <= 68 and image.width >= 144
        grey = np.asarray(image).astype(float)
        assert np.median(grey) > 170 and grey.min() < 130
        assert 0.002 < (grey < np.median(grey) - 40).mean() < 0.25
    assert len({row["image"]["path"] for row in lines["train"]}) == 400


def test_iam_columns_are_the_official_ones(tmp_path):
    files = iam.synthesise({"train": 2, "validation": 1, "test": 1}, tmp_path)
    schema = pq.read_schema(files["train"])
    assert str(schema.field("image").type) == "struct<bytes: binary, path: string>"
    assert str(schema.field("text").type) == "string"


def test_iam_longer_texts_need_wider_images(tmp_path):
    options = {"train": 30, "validation": 1, "test": 1, "words_per_line": [1, 8]}
    files = iam.synthesise({**options, "minimum_width": 1}, tmp_path)
    rows = pq.read_table(files["train"]).to_pylist()
    widths = [Image.open(io.BytesIO(row["image"]["bytes"])).width for row in rows]
    assert np.corrcoef([len(row["text"]) for row in rows], widths)[0, 1] > 0.9
    assert min(widths) < 100


def test_iam_writers_of_the_splits_differ(tmp_path):
    options = {"seed": 1, "train": 4, "validation": 4, "test": 4, "writers": 2}
    files = iam.synthesise(options, tmp_path)
    writers = {
        split: {row["image"]["path"].split("/line")[0] for row in pq.read_table(path).to_pylist()}
        for split, path in files.items()
    }
    assert {split: len(names) for split, names in writers.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    styles = [
        iam._style(iam.random_stream(1, "iam", split, "writer", 0)).ink
        for split in ("train", "validation", "test")
    ]
    assert len(set(styles)) == 3


def test_iam_sentences_have_a_capital_and_an_end_mark(tmp_path):
    options = {"train": 12, "validation": 1, "test": 1, "words_per_line": [3, 5]}
    options |= {"sentences": True, "vocabulary": len(iam.WORDS)}
    rows = pq.read_table(iam.synthesise(options, tmp_path)["train"]).to_pylist()
    for row in rows:
        assert row["text"][0].isupper() and row["text"][-1] in ".,?!"
        assert 3 <= len(row["text"].split()) <= 5


def test_iam_alphabet_can_write_every_text():
    letters = set("".join(iam.WORDS))
    assert letters == set("abcdefghijklmnopqrstuvwxyz")
    assert letters | {letter.upper() for letter in letters} | set(iam.PUNCTUATION) <= set(GLYPHS)
    assert len(set(iam.WORDS)) == len(iam.WORDS)
    assert set("".join(iam.WORDS[:36])) == set("aehinorst")


def test_iam_letters_can_be_told_apart_across_writers(tmp_path):
    # The writing must carry its text: the first letter is read from the left of the line.
    options = {"train": 500, "validation": 1, "test": 150, "words_per_line": [1, 1]}
    files = iam.synthesise(options, tmp_path)

    def read(split):
        rows = pq.read_table(files[split]).to_pylist()
        images = [
            np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).resize((144, 64)))
            for row in rows
        ]
        dark = np.stack([image < np.median(image) - 35 for image in images])
        starts = [int(np.flatnonzero(d.any(axis=0))[0]) for d in dark]
        parts = [d[:, start : start + 20] for d, start in zip(dark, starts)]
        coarse = np.stack(parts).reshape(len(rows), 16, 4, 10, 2).mean(axis=(2, 4))
        return coarse.reshape(len(rows), -1), [row["text"][0] for row in rows]

    model = RandomForestClassifier(60, random_state=0).fit(*read("train"))
    images, letters = read("test")
    commonest = max(letters.count(letter) for letter in set(letters)) / len(letters)
    assert commonest + 0.2 < model.score(images, letters) < 0.99


# PhysioNet


def test_physionet_stays_are_hourly_records_with_the_official_columns(stays):
    assert next(iter(stays)) == "training_setA/p000001.psv" and len(stays) == 800
    names = HEADER.split("|")
    for text in stays.values():
        assert text.endswith("\n") and "\n\n" not in text
        values = dict(zip(names, numbers(text).T))
        assert 8 <= len(values["HR"]) <= 336
        assert (np.diff(values["ICULOS"]) == 1).all() and values["ICULOS"][0] >= 1
        for name in ("Age", "Gender", "Unit1", "Unit2", "HospAdmTime"):
            assert len(np.unique(values[name])) == 1
        assert 18 <= values["Age"][0] < 100 and values["Gender"][0] in (0, 1)
        assert np.isnan(values["Unit1"][0]) or values["Unit1"][0] + values["Unit2"][0] == 1
        labels = values["SepsisLabel"]
        assert set(labels) <= {0, 1} and (np.diff(labels) >= 0).all()
        assert labels.sum() == 0 or 8 <= labels.sum() <= 10


def test_physionet_numbers_are_written_as_in_the_challenge(stays):
    for text in list(stays.values())[:50]:
        for cell in (cell for line in text.splitlines()[1:] for cell in line.split("|")):
            assert cell == "NaN" or (cell != "-0" and not (("." in cell) and cell.endswith("0")))


def test_physionet_missingness_ranges_and_lengths_are_about_those_of_set_a(stays):
    values = np.concatenate([numbers(text) for text in stays.values()])
    column = dict(zip(HEADER.split("|"), values.T))
    # Shares of hours with a value and medians, rounded, of training set A.
    for name, share, median in (
        ("HR", 0.92, 83),
        ("Temp", 0.34, 37),
        ("SBP", 0.85, 118),
        ("MAP", 0.9, 77),
        ("DBP", 0.52, 59),
        ("Resp", 0.9, 18),
        ("BUN", 0.08, 17),
        ("Glucose", 0.123, 124),
        ("Lactate", 0.035, 1.8),
        ("WBC", 0.074, 11),
        ("Platelets", 0.064, 184),
        ("pH", 0.114, 7.38),
    ):
        measured = column[name][~np.isnan(column[name])]
        assert abs(len(measured) / len(values) / share - 1) < 0.2, name
        assert abs(np.median(measured) / median - 1) < 0.1, name
    assert np.isnan(column["EtCO2"]).all()
    hours = [text.count("\n") - 1 for text in stays.values()]
    assert 34 <= np.median(hours) <= 42


def test_physionet_neighbouring_hours_are_alike(stays):
    pairs = []
    for text in stays.values():
        rate = numbers(text)[:, 0]
        rate = rate - np.nanmean(rate)
        pairs.append(np.stack([rate[:-1], rate[1:]], axis=1))
    pairs = np.concatenate(pairs)
    pairs = pairs[~np.isnan(pairs).any(axis=1) & (np.abs(pairs) < 150).all(axis=1)]
    assert 0.5 < np.corrcoef(pairs.T)[0, 1] < 0.9


def test_physionet_holds_some_dirt(stays):
    values = np.concatenate([numbers(text) for text in stays.values()])
    column = dict(zip(HEADER.split("|"), values.T))
    implausible = [(column["HR"] > 300).sum(), (column["Temp"] > 80).sum()]
    assert all(0 < count < 0.005 * len(values) for count in implausible)
    assert 0.3 < np.isnan(column["Unit1"]).mean() < 0.6


def test_physionet_share_of_septic_patients_is_as_asked_and_set_b_is_numbered_apart(tmp_path):
    options = {"patients": 50, "patients_b": 20, "septic_fraction": 0.3}
    files = physionet.synthesise(options, tmp_path)
    for role, septic, first in (
        ("set_a", 15, "training_setA/p000001.psv"),
        ("set_b", 6, "training_setB/p100001.psv"),
    ):
        members = unzipped(files[role])
        assert members[0][0] == first
        assert sum(numbers(text.decode())[:, -1].max() for _, text in members) == septic
    carbon_dioxide = np.concatenate([numbers(text.decode())[:, 7] for _, text in members])
    assert not np.isnan(carbon_dioxide).all()


def test_physionet_is_learnable_and_not_trivial(stays):
    chosen = [HEADER.split("|").index(name) for name in SUMMARISED]
    features, septic = [], []
    for text in stays.values():
        values = numbers(text)
        measured = [column[~np.isnan(column)] for column in values[:, chosen].T]
        features.append(
            [m[-1] if len(m) else np.nan for m in measured]
            + [m.mean() if len(m) else np.nan for m in measured]
        )
        septic.append(values[:, -1].max())
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, random_state=0)
    # One thread: on a busy machine, threads that wait for one another take far longer.
    with threadpool_limits(1):
        scores = cross_val_predict(model, features, septic, cv=3, method="predict_proba")[:, 1]
    assert 0.7 < roc_auc_score(septic, scores) < 0.97
    hours = [text.count("\n") for text in stays.values()]
    assert 0.35 < roc_auc_score(septic, hours) < 0.65

"""The page's examples against hand-made ones: readings with their errors marked, events and strokes in time."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from fake_study import run_item, write_csv, write_run
from liquidbench.errors import InputError
from liquidbench.page.animations import animations
from liquidbench.page.handwriting import marked, written_lines
from liquidbench.page.page import render
from page_helpers import content_of, page_of, parsed, study_of

MARK = {"synthetic": np.bool_(False), "source": "mirror"}
MOVING = ("nmnist", "quickdraw")


# Readings


@pytest.mark.parametrize(
    ("written", "read", "expected", "errors"),
    [
        ("cat", "cat", [("cat", "")], 0),
        ("cat", "cut", [("c", ""), ("u", "wrong"), ("t", "")], 1),
        ("cat", "cart", [("ca", ""), ("r", "added"), ("t", "")], 1),
        ("cart", "cat", [("ca", ""), ("r", "missing"), ("t", "")], 1),
        ("cat", "", [("cat", "missing")], 3),
        ("", "cat", [("cat", "added")], 3),
        ("", "", [], 0),
        ("a b", "ab", [("a", ""), (" ", "missing"), ("b", "")], 1),
        # A letter and the accent that joins it are two characters, here as in the error rates.
        ("cafe\u0301", "cafe", [("cafe", ""), ("\u0301", "missing")], 1),
        ("caf\u00e9", "cafe\u0301", [("caf", ""), ("e\u0301", None)], 2),
        ("𝄞a", "a", [("𝄞", "missing"), ("a", "")], 1),
    ],
)
def test_errors_of_a_reading_are_marked(written, read, expected, errors):
    parts = marked(written, read)
    # Whatever the way, what was read is there whole, and what was written too.
    assert "".join(part.text for part in parts if part.mark != "missing") == read
    assert "".join(part.written for part in parts if part.mark != "added") == written
    # Beside a letter wrong and one added, either may come first.
    if all(mark is not None for _, mark in expected):
        assert [(part.text, part.mark) for part in parts] == expected
    told = sum(
        max(len(part.text), len(part.written)) if part.mark == "wrong" else len(part.text)
        for part in parts
        if part.mark
    )
    assert told == errors


LINES = {
    "short": "ab",
    "hostile": "<script>alert(1)</script>",
    "long": "ab ab & ab",
}


def write_lines(results, **arrays):
    (results / "iam").mkdir(parents=True, exist_ok=True)
    for index, (name, text) in enumerate(LINES.items()):
        image = np.full((4, 6 + index), 200, np.uint8)
        image[1, 2] = 7
        arrays |= {
            f"test_image_{index}": image,
            f"test_text_{index}": text,
            f"test_id_{index}": name,
        }
    np.savez(results / "iam/examples.npz", **(MARK | arrays))


def read_lines(results, readings, models=("lstm", "cfc")):
    """A study whose models read the lines, (greedy, by beam search) each; of two seeds, the first has not finished."""
    items = [run_item("iam", "released", model, seed) for model in models for seed in (0, 1)]
    folders = [write_run(results, item) for item in items if item["seed"] == 1]
    study = study_of(results, items)
    for folder in folders:
        write_readings(folder, readings)
    return study


def write_readings(folder, readings):
    rows = [[name, LINES[name], *both] for name, both in readings.items()]
    write_csv(folder / "predictions.csv", ["id", "target", "prediction", "prediction_beam"], rows)


READINGS = {
    "short": ("ab", "b"),
    "hostile": ("<script>alert(2)</script>", ""),
    "long": ("ab ab ab", "ab ab & abc"),
}


def test_lines_with_the_readings_of_the_first_finished_seeds(tmp_path):
    results = tmp_path / "results"
    write_lines(results)
    study = read_lines(results, READINGS)
    lines = written_lines(study, results)
    assert [(line.name, line.text) for line in lines] == list(LINES.items())
    for line in lines:
        assert [(one.model, one.decoder) for one in line.readings] == [
            ("lstm", "greedy"),
            ("lstm", "beam"),
            ("cfc", "greedy"),
            ("cfc", "beam"),
        ]
    short, hostile, long = ([(r.errors, r.characters) for r in line.readings] for line in lines)
    assert (short[:2], hostile[:2], long[:2]) == (
        [(0, 2), (1, 2)],
        [(1, 25), (25, 25)],
        [(2, 10), (1, 10)],
    )
    content = base64.b64decode(lines[1].source.removeprefix("data:image/png;base64,"))
    image = np.asarray(Image.open(io.BytesIO(content)))
    assert image.shape == (4, 7) and image[1, 2] == 7 and image[0, 0] == 200


def test_readings_are_shown_with_their_marks_and_as_text_alone(tmp_path):
    results = tmp_path / "results"
    write_lines(results)
    study = read_lines(results, READINGS)
    page = parsed(render(content_of(study, results)))
    _, hostile, long = page.one("section", id="examples").all("figure", class_="line")
    assert hostile.one("img").attributes["alt"] == f"Handwritten line: {LINES['hostile']}"
    entries = [(one.one("dt").text, one.one("dd")) for one in hostile.one("dl").all("div")]
    assert [name for name, _ in entries][:3] == ["Written", "lstm, greedy", "lstm, beam"]
    assert entries[0][1].text == LINES["hostile"]
    greedy = entries[1][1]
    assert greedy.one("span", class_="text").text == "<script>alert(2)</script>"
    assert [(one.text, one.attributes) for one in greedy.all("mark")] == [
        ("2", {"class": "wrong", "title": "wrong, written: 1"})
    ]
    assert greedy.one("span", class_="note").text == "1 error in 25 characters"
    nothing = entries[2][1]
    assert [one.attributes["class"] for one in nothing.all("mark")] == ["missing"]
    assert nothing.one("mark").text == LINES["hostile"]
    assert nothing.one("span", class_="note").text == "25 errors in 25 characters"
    beam = long.one("dl").all("dd")[2]
    assert beam.one("mark", class_="added").text == "c"
    section = page.one("section", id="examples").words
    assert "are not here" not in section and "SYNTHETIC" not in section
    # Two scripts of the page's own, whatever is read.
    assert len(page.all("script")) == 2


def test_lines_that_are_synthetic_say_so(tmp_path):
    results = tmp_path / "results"
    write_lines(results, synthetic=np.bool_(True))
    study = read_lines(results, READINGS, ["cfc"])
    page = parsed(render(content_of(study, results)))
    lines = page.one("section", id="examples").all("figure", class_="line")
    assert [one.one("strong", class_="synthetic").text for one in lines] == ["SYNTHETIC."] * 3


def test_a_line_that_a_model_did_not_read_has_no_reading_of_it(tmp_path):
    results = tmp_path / "results"
    write_lines(results)
    study = read_lines(results, {"long": ("ab", "ab")}, ["cfc"])
    assert [len(line.readings) for line in written_lines(study, results)] == [0, 0, 2]


def test_damaged_files_of_lines_are_named(tmp_path):
    results = tmp_path / "results"
    study = read_lines(results, {"long": ("ab", "ab")}, ["cfc"])
    assert written_lines(study, results) == []
    write_lines(results)
    folder = results / "iam/released/cfc/seed-1"
    whole = (folder / "predictions.csv").read_text()
    (folder / "predictions.csv").write_text(whole + "long,ab,a,b\n")
    with pytest.raises(InputError, match="the line long is there twice"):
        written_lines(study, results)
    (folder / "predictions.csv").unlink()
    with pytest.raises(InputError, match=r"predictions\.csv: no such file"):
        written_lines(study, results)
    (folder / "predictions.csv").write_text(whole)
    np.savez(results / "iam/examples.npz", test_image_0=np.zeros((2, 2), np.uint8), **MARK)
    with pytest.raises(InputError, match="arrays missing: test_text_0, test_id_0"):
        written_lines(study, results)
    # Made before there were test lines: no example, and no error.
    np.savez(results / "iam/examples.npz", image_0=np.zeros((2, 2), np.uint8), **MARK)
    assert written_lines(study, results) == []


def test_lines_are_of_the_main_protocol_alone(tmp_path):
    results = tmp_path / "results"
    write_lines(results)
    item = run_item("iam", "gaps", "cfc")
    write_run(results, item)
    assert written_lines(study_of(results, [item]), results) == []


# Events


def recording(results, events, **changes):
    """The animation of a recording of (x, y, polarity, time)."""
    (results / "nmnist").mkdir(parents=True, exist_ok=True)
    x, y, polarity, time = np.array(events, np.int64).reshape(-1, 4).T
    arrays = {"x": x.astype(np.uint8), "y": y.astype(np.uint8)}
    arrays |= {"polarity": polarity.astype(np.uint8), "time": time, "label": "7", "id": "a"}
    np.savez(results / "nmnist/examples.npz", **(MARK | arrays | changes))
    (found,) = animations(results, MOVING)
    return found


def test_a_data_set_that_is_not_studied_is_not_shown(tmp_path):
    recording(tmp_path, [(1, 2, 1, 5000)])
    assert animations(tmp_path, ("quickdraw", "iam")) == []


def test_events_appear_where_and_when_they_were(tmp_path):
    events = [(1, 2, 1, 5000), (3, 4, 0, 5000), (33, 33, 1, 155_000), (0, 0, 1, 305_000)]
    # Twice in the same pixel and time; and outside of the sensor.
    events += [(1, 2, 1, 5001), (34, 5, 1, 5000), (5, 34, 1, 900_000)]
    found = recording(tmp_path, events)
    assert [(one.path, one.start, one.duration, one.kind) for one in found.pieces] == [
        ("M1 2h1v1h-1z", 0.0, 0.1, "on"),
        ("M3 4h1v1h-1z", 0.0, 0.1, "off"),
        ("M33 33h1v1h-1z", 1.5, 0.1, "on"),
        ("M0 0h1v1h-1z", 2.9, 0.1, "on"),
    ]
    assert (found.width, found.height, found.flashes, found.synthetic) == (34, 34, True, False)
    assert found.label == "Recording of the digit 7"
    assert found.caption.startswith("Events of an N-MNIST recording of the digit 7: 300 ms, ")
    assert recording(tmp_path, events, synthetic=np.bool_(True)).synthetic


def test_events_of_one_moment_and_none_at_all(tmp_path):
    same = recording(tmp_path, [(1, 1, 1, 7), (2, 2, 0, 7), (1, 1, 0, 7)])
    assert [(one.path.count("M"), one.start, one.kind) for one in same.pieces] == [
        (1, 0.0, "on"),
        (2, 0.0, "off"),
    ]
    assert ": 0 ms, " in same.caption
    empty = recording(tmp_path, [])
    assert empty.pieces == () and ": 0 ms, " in empty.caption
    page = page_of(tmp_path, [])
    assert page.one("figure", class_="moving").one("svg").all("path") == []


# Strokes


def drawings(results, first):
    """The animations of three drawings; `first` are the points of the first."""
    (results / "quickdraw").mkdir(parents=True, exist_ok=True)
    other = [(0, 0, 0), (255, 255, 0)]
    arrays = {"category": '<b>bee & "bird"</b>'}
    for index, points in enumerate((first, other, other)):
        arrays[f"drawing_{index}"] = np.array(points, np.float32)
        arrays[f"id_{index}"] = str(index)
    np.savez(results / "quickdraw/examples.npz", **MARK, **arrays)
    return animations(results, MOVING)


def test_strokes_are_drawn_in_order_at_an_even_pace(tmp_path):
    points = [(10, 20, 0), (60, 20, 0), (60, 45, 0), (110, 20, 1), (110, 70, 1), (10, 70, 5)]
    found, *others = drawings(tmp_path, points)
    # From (10, 20), 100 wide and 50 high: no scaling, and 3 of margin.
    assert [(one.path, one.start, one.duration, one.kind) for one in found.pieces] == [
        ("M3 3L53 3L53 28", 0.0, 1.5, "pen"),
        ("M103 3L103 53", 1.5, 1.0, "pen"),
        ("M3 53h.1", 2.5, 0.5, "pen"),
    ]
    assert (found.width, found.height, found.flashes) == (106, 56, False)
    assert "3 strokes, 6 points" in found.caption
    # 255 become 100.
    assert others[0].pieces[0].path == "M3 3L103 103" and "1 stroke, 2 points" in others[0].caption
    assert len({one.name for one in (found, *others)}) == 3


def test_a_drawing_of_one_point(tmp_path):
    found, *_ = drawings(tmp_path, [(80, 90, 0)])
    assert [(one.path, one.start, one.duration) for one in found.pieces] == [("M3 3h.1", 0.0, 3.0)]
    assert (found.width, found.height) == (6, 6)


def test_a_category_is_text_in_the_page(tmp_path):
    drawings(tmp_path, [(1, 1, 0), (2, 2, 0)])
    page = page_of(tmp_path, [])
    figures = page.one("section", id="examples").all("figure", class_="moving")
    label = figures[0].one("svg").attributes["aria-label"]
    assert label == 'Drawing 1 of “<b>bee & "bird"</b>”'
    assert page.all("b") == []
    for figure in figures:
        assert figure.one("button").attributes["aria-label"].startswith("Play: Drawing")
        styles = [one.attributes["style"] for one in figure.all("path")]
        assert all(re.fullmatch(r"--start:[\d.]+s;--duration:[\d.]+s", one) for one in styles)


def test_a_damaged_file_of_examples_is_named(tmp_path):
    (tmp_path / "nmnist").mkdir()
    (tmp_path / "nmnist/examples.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"nmnist/examples\.npz: cannot be read"):
        animations(tmp_path, MOVING)


def test_without_examples_the_page_says_so(tmp_path):
    section = page_of(tmp_path, []).one("section", id="examples")
    assert section.words == "Examples The files of examples are not here."

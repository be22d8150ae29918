"""Lines of the test split as models read them: the image, what was written, and each reading with its errors marked."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from rapidfuzz.distance import Levenshtein

from liquidbench.errors import InputError
from liquidbench.reporting.examples import read_example
from liquidbench.reporting.runs import REMAKE, read_table
from liquidbench.reporting.study import Group, Study

# How a kind of edit is marked, and what it is called.
MARKS = {"equal": "", "replace": "wrong", "insert": "added", "delete": "missing"}


@dataclass(frozen=True)
class Part:
    """A piece of a reading: `mark` is empty where it is right. Of what is missing, the written text."""

    text: str
    mark: str
    written: str = ""


@dataclass(frozen=True)
class Reading:
    """How one run read a line: `errors` edits of `characters` written ones."""

    model: str
    decoder: str
    parts: tuple[Part, ...]
    errors: int
    characters: int


@dataclass(frozen=True)
class WrittenLine:
    """A line: its picture as a data address, its text and its readings."""

    name: str
    source: str
    text: str
    readings: tuple[Reading, ...]
    synthetic: bool


def marked(written: str, read: str) -> tuple[Part, ...]:
    """A reading cut into what is right, wrong, added and missing, by a shortest way from `written` to `read`.

    By characters as the error rates count them: a letter and an accent that joins it are two.
    """
    parts = []
    for edit in Levenshtein.opcodes(written, read):
        source = written[edit.src_start : edit.src_end]
        text = source if edit.tag == "delete" else read[edit.dest_start : edit.dest_end]
        parts.append(Part(text, MARKS[edit.tag], source))
    return tuple(parts)


def written_lines(study: Study, results: Path) -> list[WrittenLine]:
    """The test lines of `examples.npz` with the readings of the main protocol's first finished seeds.

    Raises:
        InputError: a file is there and damaged.
    """
    path = results / "iam" / "examples.npz"
    main = study.layout.main_protocols.get("iam")
    groups = [g for g in study.groups() if g.dataset == "iam" and g.protocol == main and g.finished]
    if not path.is_file() or not groups:
        return []
    example = read_example(path, [])
    count = sum(name.startswith("test_image_") for name in example)
    wanted = [f"test_{what}_{index}" for index in range(count) for what in ("image", "text", "id")]
    example = read_example(path, wanted)
    predictions = {group.model: _predictions(results, group) for group in groups}
    lines = []
    for index in range(count):
        name = str(example[f"test_id_{index}"].item())
        text = str(example[f"test_text_{index}"].item())
        readings = [
            _reading(model, decoder, text, frame.loc[name, column])
            for model, frame in predictions.items()
            if name in frame.index
            for decoder, column in (("greedy", "prediction"), ("beam", "prediction_beam"))
        ]
        lines.append(
            WrittenLine(
                name,
                _picture(example[f"test_image_{index}"]),
                text,
                tuple(readings),
                bool(example["synthetic"]),
            )
        )
    return lines


def _predictions(results: Path, group: Group) -> pd.DataFrame:
    """The readings of a group's first finished seed, by line."""
    folder = results / f"iam/{group.protocol}/{group.model}/seed-{group.finished[0]}"
    path = folder / "predictions.csv"
    columns = ["id", "target", "prediction", "prediction_beam"]
    frame = read_table(path, columns, [], REMAKE).set_index("id")
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()][0]
        raise InputError(path, f"the line {twice} is there twice", REMAKE)
    return frame


def _reading(model: str, decoder: str, written: str, read: str) -> Reading:
    errors = Levenshtein.distance(written, read)
    return Reading(model, decoder, marked(written, read), errors, len(written))


def _picture(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

"""Synthetic QuickDraw: sketches of ten things as ``.ndjson`` of the simplified drawings.

A line is one drawing with the six official keys. Coordinates are brought to the simplified form:
aligned to the top left corner, scaled to 0 to 255, points one unit apart, simplified by the
Ramer-Douglas-Peucker rule with a tolerance of 2 (https://github.com/googlecreativelab/quickdraw-dataset).
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from liquidbench.datasets.synthetic.options import SEED, Names, Whole, checked_options
from liquidbench.datasets.synthetic.raw_files import random_stream
from liquidbench.datasets.synthetic.sketches import SKETCHES, Sketch
from liquidbench.datasets.synthetic.strokes import (
    FULL_TURN,
    line,
    resample,
    simplified,
    turned,
    unsteady,
)
from liquidbench.files import write_text

OPTIONS = {
    "seed": SEED,
    "per_category": Whole(150, 2, 200_000),
    "categories": Names(tuple(SKETCHES), least=2),
}

LARGEST = 255
TOLERANCE = 2.0
UNRECOGNISED = 0.06  # share of the drawings that the game's own recogniser did not know
UNTIDY = 0.05  # standard deviation of a usual hand's drift, where the sketch is 2 wide
COUNTRIES = ("US", "GB", "CA", "DE", "AU", "RU", "BR", "SE", "FI", "CZ", "TH", "SA", "IT", "FR")
FIRST_DAY = datetime(2017, 1, 1)
DAYS = 88


def synthesise(options: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write ``<category>.ndjson`` for each category into `folder`.

    Args:
        options: ``seed``, ``per_category`` (drawings) and ``categories`` (names).
        folder: where to write.

    Returns:
        role (the category) to file.

    Raises:
        InputError: an option is unknown or out of range.
    """
    chosen = checked_options("quickdraw", OPTIONS, options)
    files = {}
    for category in chosen["categories"]:
        files[category] = folder / f"{category}.ndjson"
        lines = [
            _line(category, random_stream(chosen["seed"], "quickdraw", category, index))
            for index in range(chosen["per_category"])
        ]
        write_text(files[category], "".join(lines))
    return files


def simplified_drawing(strokes: Sketch) -> list[list[list[int]]]:
    """Strokes in any unit as the simplified data set holds them.

    Args:
        strokes: each (points, 2), x and y, y downwards.

    Returns:
        strokes of two lists, x and y, whole numbers from 0 to 255. The smallest x and y are 0 and
        the largest of all is 255, but for an extreme point that the simplification leaves out.
    """
    every = np.concatenate(strokes)
    corner = every.min(axis=0)
    scale = LARGEST / (every - corner).max()
    drawing = []
    for stroke in strokes:
        scaled = (stroke - corner) * scale
        length = np.hypot(*np.diff(scaled, axis=0).T).sum()
        points = np.rint(resample(scaled, max(2, round(length) + 1)))
        drawing.append(simplified(points, TOLERANCE).astype(int).T.tolist())
    return drawing


def _line(category: str, random: np.random.Generator) -> str:
    """One line of the file."""
    recognised = bool(random.random() >= UNRECOGNISED)
    sketch = _drawn(SKETCHES[category](random), random)
    if not recognised:
        sketch = _spoilt(sketch, random)
    moment = FIRST_DAY + timedelta(seconds=random.uniform(0, DAYS * 86_400))
    record = {
        "word": category,
        "countrycode": str(random.choice(COUNTRIES)),
        "timestamp": f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 10:05d} UTC",
        "recognized": recognised,
        "key_id": str(random.integers(45 * 10**14, 67 * 10**14)),
        "drawing": simplified_drawing(sketch),
    }
    return json.dumps(record, separators=(",", ":")) + "\n"


def _drawn(sketch: Sketch, random: np.random.Generator) -> Sketch:
    """The sketch by one hand: its tidiness, slant, proportions, order and direction of strokes."""
    hand = UNTIDY * random.lognormal(0, 0.35)
    turn, shear = random.normal(0, 0.15), random.normal(0, 0.1)
    stretch = np.exp(random.normal(0, 0.15))
    mirror = random.choice([-1, 1])
    strokes = []
    for stroke in sketch:
        points = unsteady(stroke, hand, random)
        centre = points.mean(axis=0)
        points = centre + (points - centre) * random.normal(1, 0.06) + random.normal(0, hand, 2)
        points = points * (mirror * stretch, 1 / stretch)
        points[:, 0] += shear * points[:, 1]
        points = turned(points, turn)
        strokes.append(points[::-1] if random.random() < 0.3 else points)
    return _reordered(_lifted(strokes, random), random)


def _lifted(strokes: Sketch, random: np.random.Generator) -> Sketch:
    """Sometimes the pen is lifted within a stroke, which makes two of it."""
    parts = []
    for stroke in strokes:
        if len(stroke) >= 16 and random.random() < 0.1:
            cut = int(random.integers(6, len(stroke) - 6))
            parts += [stroke[: cut + 1], stroke[cut:]]
        else:
            parts.append(stroke)
    if len(parts) > 3 and random.random() < 0.1:
        parts.pop(int(random.integers(1, len(parts))))
    return parts


def _reordered(strokes: Sketch, random: np.random.Generator) -> Sketch:
    """The outline mostly comes first; details come in any order near the usual one."""
    rank = np.arange(len(strokes)) + random.normal(0, 1.2, len(strokes))
    if random.random() < 0.8:
        rank[0] = -np.inf
    return [strokes[index] for index in np.argsort(rank)]


def _spoilt(strokes: Sketch, random: np.random.Generator) -> Sketch:
    """A drawing that nobody knows: broken off, scribbled over, or hardly begun."""
    kind = random.integers(3)
    if kind == 0 and len(strokes) > 1:
        return strokes[: max(1, len(strokes) // 2)]
    if kind == 1:
        middle, size = random.normal(0, 0.3, 2), random.uniform(0.3, 0.9)
        corners = middle + random.uniform(-size, size, (int(random.integers(6, 14)), 2))
        return [*strokes, line(*corners)]
    start = random.integers(len(strokes))
    return [
        turned(strokes[start][: max(6, len(strokes[start]) // 3)], random.uniform(0, FULL_TURN))
    ]

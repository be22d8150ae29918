"""QuickDraw: drawings as sequences of pen positions.

Format (github.com/googlecreativelab/quickdraw-dataset): one `.ndjson` file a category, one
drawing a line; `drawing` is a list of strokes, each a list of arrays: x and y (0 to 255) in the
simplified set; x, y (pixels of the drawer's screen) and t (milliseconds) in the raw set.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from liquidbench.datasets.cache import CacheWriter, Sequences, offsets_of
from liquidbench.datasets.manifest import Manifest
from liquidbench.datasets.preparation import (
    cache_attributes,
    check_choice,
    check_count,
    check_names,
)
from liquidbench.errors import InputError

FEATURES = ("x", "y", "dx", "dy", "pen_up")
SIDE = 255.0
"""Largest coordinate of a simplified drawing."""

_BLOCK = 1000
_BROKEN = "Remove the line; or delete the file and its manifest.json, then start again"


@dataclass(frozen=True)
class Settings:
    """How QuickDraw is prepared.

    Attributes:
        categories: the classes, in the order of their numbers.
        per_category: lines that are read from the start of each file.
        maximum_points: longer drawings are cut to their first so many points.
        minimum_points: drawings with fewer points are left out.
        variant: ``simplified`` or ``raw``, the set that the files are of.
    """

    categories: tuple[str, ...]
    per_category: int = 5000
    maximum_points: int = 100
    minimum_points: int = 6
    variant: str = "simplified"

    def __post_init__(self) -> None:
        check_names("quickdraw.categories", self.categories, at_least=2)
        check_count("quickdraw.per_category", self.per_category)
        check_count("quickdraw.maximum_points", self.maximum_points)
        check_count("quickdraw.minimum_points", self.minimum_points)
        check_choice("quickdraw.variant", self.variant, ("simplified", "raw"))


@dataclass(frozen=True)
class Drawing:
    """One drawing, all its points in the order they were drawn.

    Attributes:
        id: the set's `key_id`, or ``<category>:<line>`` (from 1) where it has none.
        x, y: (points,), float64, 0 to 255. Raw drawings are moved to the origin and scaled so
            that the longer side of their own box is 255.
        stroke: (points,), int64, number of the stroke, from 0.
        time: (points,), float64, milliseconds; None in the simplified set.
        recognized: whether the game knew the drawing; one that does not say counts as recognized.
    """

    id: str
    x: np.ndarray
    y: np.ndarray
    stroke: np.ndarray
    time: np.ndarray | None
    recognized: bool


def read_drawings(
    path: Path, category: str, settings: Settings, tallies: dict[str, int]
) -> Iterator[Drawing]:
    """Read the drawings of a category that the settings keep, uncut.

    Args:
        path: the `.ndjson` file.
        category: its category.
        settings: see `Settings`.
        tallies: gets ``too_short``, the number of drawings left out.

    Raises:
        InputError: a line is no drawing of the category and the variant.
    """
    with path.open("rb") as file:
        for number, line in enumerate(islice(file, settings.per_category), start=1):
            where, name = f"{path}, line {number}", f"{category}:{number}"
            drawing = decode_drawing(line, settings.variant, name, where, category)
            if len(drawing.x) < settings.minimum_points:
                tallies["too_short"] = tallies.get("too_short", 0) + 1
                continue
            yield drawing


def decode_drawing(
    line: bytes, variant: str, name: str, where: str, category: str | None = None
) -> Drawing:
    """Decode a line of an `.ndjson` file.

    Args:
        line: the line.
        variant: ``simplified`` or ``raw``, the set that the line is of.
        name: the drawing's id if it has no `key_id`.
        where: how an error names the line.
        category: the only one that its `word` may say; None: whatever it says.

    Raises:
        InputError: the line is no drawing of the category and the variant.
    """
    record = _record(line, category, where)
    recognized = record.get("recognized", True)
    if not isinstance(recognized, bool):
        problem = f"`recognized` is {recognized!r}, expected true or false"
        raise InputError(where, problem, _BROKEN)
    name = str(record.get("key_id", name))
    return _drawing(name, record.get("drawing"), recognized, variant, where)


def _record(line: bytes, category: str | None, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"not valid JSON ({error})", _BROKEN) from None
    if not isinstance(record, dict):
        raise InputError(where, f"is a {type(record).__name__}, expected an object", _BROKEN)
    if category is not None and record.get("word", category) != category:
        problem = f"is a drawing of {record['word']!r}, expected {category!r}"
        raise InputError(where, problem, "Give each category its own file")
    return record


def _drawing(name: str, strokes: Any, recognized: bool, variant: str, where: str) -> Drawing:
    arrays = {"simplified": 2, "raw": 3}[variant]
    if not isinstance(strokes, list) or not strokes:
        raise InputError(where, "has no list of strokes in `drawing`", _BROKEN)
    for stroke in strokes:
        if not isinstance(stroke, list) or len(stroke) != arrays:
            held = len(stroke) if isinstance(stroke, list) else type(stroke).__name__
            problem = f"a stroke has {held} arrays, the {variant} set has {arrays}"
            remedy = "Set `variant` to the set that the files are of, or fetch the file again"
            raise InputError(where, problem, remedy)
    try:
        points = np.concatenate([np.array(stroke, dtype=np.float64) for stroke in strokes], axis=1)
        lengths = [len(stroke[0]) for stroke in strokes]
    except (ValueError, TypeError):
        problem = "the arrays of a stroke are not numbers, or differ in length"
        raise InputError(where, problem, _BROKEN) from None
    if points.ndim != 2 or not np.isfinite(points).all():
        raise InputError(where, "the strokes are not finite numbers", _BROKEN)
    stroke_numbers = np.repeat(np.arange(len(strokes)), lengths)
    if variant == "raw":
        x, y = _to_box(points[:2])
        return Drawing(name, x, y, stroke_numbers, points[2], recognized)
    if points.size and (points.min() < 0 or points.max() > SIDE):
        problem = f"coordinates from {points.min():g} to {points.max():g}, expected 0 to 255"
        raise InputError(where, problem, _BROKEN)
    return Drawing(name, points[0], points[1], stroke_numbers, None, recognized)


def _to_box(points: np.ndarray) -> np.ndarray:
    """Move (2, points) to the origin and scale both alike, so that the longer side is 255."""
    if not points.size:
        return points
    moved = points - points.min(axis=1, keepdims=True)
    longest = moved.max()
    return moved * (SIDE / longest) if longest > 0 else moved


def encode_drawing(drawing: Drawing, maximum_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Encode the first `maximum_points` points of a drawing.

    Returns:
        (features, elapsed): float32 (points, 5) of x/255, y/255, dx/255, dy/255 and pen-up (1 at
        the last point of a stroke), where the first point's dx and dy are 0; and float32
        (points,), milliseconds since the previous point, or 1 where the set has no times, 0 at
        the first. A clock that ran backwards counts as 0.
    """
    place = np.stack([drawing.x, drawing.y], axis=1) / SIDE
    move = np.diff(place, axis=0, prepend=place[:1])
    pen_up = np.append(drawing.stroke[1:] != drawing.stroke[:-1], True)
    features = np.concatenate([place, move, pen_up[:, None]], axis=1).astype(np.float32)
    if drawing.time is None:
        elapsed = np.ones(len(features), dtype=np.float32)
        elapsed[0] = 0
    else:
        elapsed = np.diff(drawing.time, prepend=drawing.time[0]).clip(min=0).astype(np.float32)
    return features[:maximum_points], elapsed[:maximum_points]


def prepare(manifest: Manifest, settings: Settings, cache: str | Path, threads: int) -> None:
    """Prepare QuickDraw: the one group `all`, a step a point.

    Tallies count the drawings left out (``too_short``), those ``cut`` to the most points, and the
    ``clock_backwards`` steps of raw drawings.

    Args:
        manifest: a file for each category.
        settings: see `Settings`.
        cache: the file to make.
        threads: not used: one process reads ten categories of 5,000 drawings in seconds.

    Raises:
        InputError: a line is broken, or a category has no drawing left.
    """
    attributes = cache_attributes(
        manifest,
        settings,
        task="classification",
        elapsed_unit="milliseconds" if settings.variant == "raw" else "points",
        feature_names=FEATURES,
        classes=settings.categories,
        roles=settings.categories,
    )
    with CacheWriter(cache, attributes) as writer:
        for target, category in enumerate(settings.categories):
            path, tallies = manifest.file(category).path, {}
            drawings = read_drawings(path, category, settings, tallies)
            kept = 0
            while block := list(islice(drawings, _BLOCK)):
                kept += len(block)
                tallies["cut"] = tallies.get("cut", 0) + sum(
                    len(drawing.x) > settings.maximum_points for drawing in block
                )
                tallies["clock_backwards"] = tallies.get("clock_backwards", 0) + sum(
                    int((np.diff(drawing.time) < 0).sum())
                    for drawing in block
                    if drawing.time is not None
                )
                writer.append("all", encode_drawings(block, target, settings.maximum_points))
            if not kept:
                raise InputError(
                    path,
                    f"no drawing is left of the category {category!r} ({tallies or 'no line'})",
                    "Change minimum_points; or delete the file and its manifest.json, then start again",
                )
            for name, amount in tallies.items():
                writer.count(name, amount)


def encode_drawings(drawings: list[Drawing], target: int, maximum_points: int) -> Sequences:
    """Drawings of one class, `target`, as the cache has them; arguments as for `encode_drawing`."""
    encoded = [encode_drawing(drawing, maximum_points) for drawing in drawings]
    return Sequences(
        inputs=np.concatenate([features for features, _ in encoded]),
        elapsed=np.concatenate([elapsed for _, elapsed in encoded]),
        offsets=offsets_of([len(features) for features, _ in encoded]),
        targets=np.full(len(drawings), target, dtype=np.int64),
        ids=np.array([drawing.id for drawing in drawings]),
        recognized=np.array([drawing.recognized for drawing in drawings], dtype=np.uint8),
    )

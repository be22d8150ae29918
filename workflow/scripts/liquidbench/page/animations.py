"""The examples of `examples.npz` that move: a recording of events, and drawings as they were drawn.

Both are outlines for SVG. At rest a picture shows the whole; the page plays it on request.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liquidbench.reporting.examples import SENSOR, read_example

FRAMES = 30
PLAY_SECONDS = 3.0
"""How long each is played, whatever it took."""


@dataclass(frozen=True)
class Piece:
    """A part of a picture: `path` is SVG's; it appears at `start` and takes `duration`, in seconds of the playing."""

    path: str
    start: float
    duration: float
    kind: str


@dataclass(frozen=True)
class Animation:
    """A moving picture of `width` by `height` units. `flashes`: each piece is there only in its own time."""

    name: str
    label: str
    caption: str
    width: float
    height: float
    flashes: bool
    synthetic: bool
    pieces: tuple[Piece, ...]


def animations(results: Path, datasets: Collection[str]) -> list[Animation]:
    """Those of the study's data sets whose examples are there."""
    paths = {name: results / name / "examples.npz" for name in ("nmnist", "quickdraw")}
    there = [name for name, path in paths.items() if name in datasets and path.is_file()]
    found = []
    if "nmnist" in there:
        found.append(_recording(paths["nmnist"]))
    if "quickdraw" in there:
        found += _drawings(paths["quickdraw"])
    return found


def _recording(path: Path) -> Animation:
    example = read_example(path, ["x", "y", "polarity", "time", "label", "id"])
    inside = (example["x"] < SENSOR) & (example["y"] < SENSOR)
    x, y = (example[name][inside].astype(int) for name in ("x", "y"))
    on, time = example["polarity"][inside].astype(bool), example["time"][inside].astype(float)
    # A recording may be empty, or of one moment.
    first, last = (time.min(), time.max()) if len(time) else (0.0, 0.0)
    length = last - first
    frame = np.minimum((time - first) / max(length, 1.0) * FRAMES, FRAMES - 1).astype(int)
    step = PLAY_SECONDS / FRAMES
    pieces = []
    for number in range(FRAMES):
        for kind, chosen in (("on", on), ("off", ~on)):
            here = (frame == number) & chosen
            places = sorted(set(zip(x[here].tolist(), y[here].tolist())))
            if places:
                path_text = "".join(f"M{a} {b}h1v1h-1z" for a, b in places)
                pieces.append(Piece(path_text, round(number * step, 3), round(step, 3), kind))
    label = str(example["label"].item())
    caption = (
        f"Events of an N-MNIST recording of the digit {label}: {length / 1000:.0f} ms, played in "
        f"{PLAY_SECONDS:g} s. Blue: brighter (ON), orange: darker (OFF)."
    )
    return Animation(
        *("recording", f"Recording of the digit {label}", caption, SENSOR, SENSOR, True),
        bool(example["synthetic"]),
        tuple(pieces),
    )


def _drawings(path: Path) -> list[Animation]:
    names = [f"{kind}_{i}" for i in range(3) for kind in ("drawing", "id")]
    example = read_example(path, ["category", *names])
    category = str(example["category"].item())
    found = []
    for index in range(3):
        points = example[f"drawing_{index}"].astype(float)
        place = points[:, :2] - points[:, :2].min(axis=0)
        scale = 100 / max(float(place.max()), 1.0)
        place = np.round(place * scale + 3, 1)
        step = PLAY_SECONDS / len(points)
        pieces, begun = [], 0
        for stroke in dict.fromkeys(points[:, 2].tolist()):
            here = place[points[:, 2] == stroke]
            line = "M" + "L".join(f"{a:g} {b:g}" for a, b in here)
            if len(here) == 1:
                line += "h.1"
            start, duration = round(begun * step, 3), round(len(here) * step, 3)
            pieces.append(Piece(line, start, duration, "pen"))
            begun += len(here)
        strokes = f"{len(pieces)} stroke" + ("s" if len(pieces) > 1 else "")
        caption = f"QuickDraw, “{category}”: {strokes}, {len(points)} points, in the order in which they were drawn."
        width, height = (float(side) + 3 for side in place.max(axis=0))
        found.append(
            Animation(
                *(f"drawing-{index}", f"Drawing {index + 1} of “{category}”", caption),
                *(width, height, False, bool(example["synthetic"]), tuple(pieces)),
            )
        )
    return found

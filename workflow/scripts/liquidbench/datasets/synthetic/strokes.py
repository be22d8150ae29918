"""Pen strokes as arrays of points: shapes to draw with, an unsteady hand, simplification."""

import numpy as np

FULL_TURN = 2 * np.pi


def line(*corners: tuple[float, float]) -> np.ndarray:
    """Straight segments through the corners, as (points, 2) float64 of x and y."""
    return resample(np.array(corners, dtype=float), 12 * (len(corners) - 1) + 1)


def curve(*knots: tuple[float, float]) -> np.ndarray:
    """A smooth curve through the knots (Catmull-Rom), as (points, 2) float64.

    A knot given twice is a corner.
    """
    points = np.array(knots, dtype=float)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    part = np.linspace(0, 1, 8, endpoint=False)[:, None]
    pieces = []
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:]):
        if np.array_equal(start, end):
            continue
        # A doubled knot has itself as neighbour; its tangent there points along the segment.
        tangent_start = (end - before) / 2 if not np.array_equal(before, start) else end - start
        tangent_end = (after - start) / 2 if not np.array_equal(after, end) else end - start
        pieces.append(
            (2 * part**3 - 3 * part**2 + 1) * start
            + (part**3 - 2 * part**2 + part) * tangent_start
            + (3 * part**2 - 2 * part**3) * end
            + (part**3 - part**2) * tangent_end
        )
    return np.concatenate([*pieces, points[-1:]])


def ellipse(
    centre: tuple[float, float],
    radii: tuple[float, float],
    start: float = 0.0,
    sweep: float = FULL_TURN,
    tilt: float = 0.0,
) -> np.ndarray:
    """An arc of an ellipse, as (points, 2) float64.

    Args:
        centre: x and y.
        radii: along x and y, before the tilt.
        start: angle of the first point, radians.
        sweep: signed angle drawn, radians; may pass a full turn.
        tilt: turn of the whole ellipse, radians.
    """
    angle = start + np.linspace(0, sweep, max(8, int(abs(sweep) * 8)))
    arc = np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)], axis=1)
    return turned(arc, tilt) + np.array(centre)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points (points, 2) turned by `angle` radians around the origin."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def resample(stroke: np.ndarray, count: int) -> np.ndarray:
    """`count` points at equal distances along a stroke (points, 2)."""
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    at = np.linspace(0, way[-1], count)
    return np.stack([np.interp(at, way, stroke[:, axis]) for axis in (0, 1)], axis=1)


def unsteady(stroke: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """A stroke (points, 2) as a hand draws it: slow drift along the way, in the stroke's unit.

    Args:
        stroke: the intended points, roughly evenly spaced.
        amount: standard deviation of the drift in each direction.
        random: the stream to draw from.
    """
    length = np.hypot(*np.diff(stroke, axis=0).T).sum()
    way = np.linspace(0, length, len(stroke))[:, None]
    waves = 4
    frequency = random.uniform(0.1, 0.9, waves)
    phase = random.uniform(0, FULL_TURN, (2, waves))
    height = random.normal(0, amount, (2, waves)) / np.sqrt(waves / 2)
    drift = [
        (h * np.sin(FULL_TURN * frequency * way + p)).sum(axis=1) for h, p in zip(height, phase)
    ]
    return stroke + np.stack(drift, axis=1)


def simplified(stroke: np.ndarray, tolerance: float) -> np.ndarray:
    """The Ramer-Douglas-Peucker simplification of a stroke (points, 2).

    Keeps the two ends and, between kept points, the farthest point from the segment that joins
    them as long as it is farther than `tolerance`.
    """
    kept = np.zeros(len(stroke), dtype=bool)
    kept[[0, -1]] = True
    spans = [(0, len(stroke) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        along = stroke[last] - stroke[first]
        offset = stroke[first + 1 : last] - stroke[first]
        # To the segment, not to its endless line: where the pen overshoots and comes back, the
        # turning point lies on that line and would be lost.
        place = (offset @ along / max(along @ along, 1e-12)).clip(0, 1)
        distance = np.hypot(*(offset - place[:, None] * along).T)
        farthest = int(distance.argmax())
        if distance[farthest] > tolerance:
            middle = first + 1 + farthest
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return stroke[kept]

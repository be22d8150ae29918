"""How people draw ten things: a function per QuickDraw category that draws one sketch.

Each takes a random stream and returns the strokes in a usual order, each (points, 2) float64 of
x and y within about -1 to 1, y downwards. Parts come and go, and places, sizes and styles vary;
the hand's unsteadiness, turn and order are added by the caller.
"""

from collections.abc import Callable

import numpy as np

from liquidbench.datasets.synthetic.strokes import FULL_TURN, curve, ellipse, line, turned

Sketch = list[np.ndarray]
HALF_TURN = np.pi


def _about(random: np.random.Generator, *values: float, spread: float = 0.12) -> list[float]:
    """Each value, changed by a relative amount of its own."""
    return [value * (1 + spread * random.normal()) for value in values]


def _closed(random: np.random.Generator, x: float, y: float, width: float, height: float):
    """A roundish outline that starts anywhere and seldom ends where it began."""
    start = random.choice([-HALF_TURN / 2, 0, HALF_TURN]) + random.normal(0, 0.4)
    sweep = random.choice([-1, 1]) * (FULL_TURN + random.normal(0, 0.2))
    return ellipse((x, y), (width, height), start, sweep)


def _box(random: np.random.Generator, left: float, top: float, right: float, bottom: float):
    """A rectangle in one stroke, its corners off a little."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    corners += random.normal(0, 0.05, corners.shape)
    return line(*corners)


def airplane(random: np.random.Generator) -> Sketch:
    """A body with two wings and a tail, or the cross-like outline in one go."""
    width, height, back = _about(random, 0.95, 0.2, 0.15)
    sweep, span = random.normal(0.2, 0.2), random.uniform(0.45, 0.9)
    if random.random() < 0.35:
        knots = [(-width, 0), (-0.2, -height), (-0.2 + sweep, -span), (0.1 + sweep, -span)]
        knots += [(0.15, -height), (width * 0.8, -height), (width, -height * 2), (width, height)]
        knots += [(0.15, height), (0.1 + sweep, span), (-0.2 + sweep, span), (-0.2, height)]
        return [line(*knots, (-width, 0))]
    strokes = [_closed(random, 0, 0, width, height)]
    for side in (-1, 1):
        strokes.append(
            curve(
                (-0.25, side * height * 0.6),
                (sweep, side * span),
                (0.2 + sweep, side * span * 0.9),
                (0.2, side * height * 0.6),
            )
        )
    if random.random() < 0.7:
        tail = height + random.uniform(0.2, 0.4)
        strokes.append(line((width * 0.7, -back), (width, -tail), (width * 0.95, 0)))
    if random.random() < 0.35:
        for x in np.linspace(-0.5, 0.3, random.integers(2, 5)):
            strokes.append(ellipse((x, -0.02), (0.06, 0.06)))
    return strokes


def apple(random: np.random.Generator) -> Sketch:
    """A round with a dent on top, a stem and often a leaf."""
    width, height, dent = _about(random, 0.75, 0.75, 0.15)
    if random.random() < 0.6:
        right = [(0, -height + dent), (width * 0.5, -height), (width, -height * 0.3)]
        right += [(width * 0.7, height * 0.7), (width * 0.25, height), (0, height * 0.88)]
        left = [(-x, y) for x, y in reversed(right[:-1])]
        strokes = [curve(*right, *left)]
    else:
        strokes = [_closed(random, 0, 0, width, height)]
    lean = random.normal(0, 0.15)
    if random.random() < 0.9:
        top = -height - random.uniform(0.15, 0.4)
        strokes.append(curve((0, -height + dent), (lean / 2, -height), (lean * 2, top)))
    if random.random() < 0.5:
        side = random.choice([-1, 1])
        tip = (lean + side * 0.45, -height - 0.3)
        leaf = [(lean, -height - 0.05), (lean + side * 0.15, -height - 0.35), tip]
        strokes.append(curve(*leaf, (lean + side * 0.3, -height - 0.05), leaf[0]))
    if random.random() < 0.1:
        strokes.append(ellipse((width * 0.5, -height * 0.3), (0.15, 0.3), -1.2, 1.2))
    return strokes


def banana(random: np.random.Generator) -> Sketch:
    """Two arcs that meet at the ends, in one stroke or two, lying or standing."""
    depth, belly = random.uniform(0.35, 0.6), random.uniform(0.2, 0.5)
    outer = curve((-1, -0.3), (-0.6, depth * 0.7), (0, depth), (0.6, depth * 0.7), (1, -0.3))
    inner = curve((1, -0.3), (0.5, depth * 0.5 - belly), (0, depth - belly), (-0.5, 0), (-1, -0.3))
    strokes = [outer, inner] if random.random() < 0.4 else [np.concatenate([outer, inner])]
    if random.random() < 0.5:
        strokes.append(line((1, -0.3), (1.08, -0.5), (0.95, -0.52), (0.93, -0.3)))
    if random.random() < 0.2:
        strokes.append(curve((-0.6, depth * 0.4), (0, depth * 0.75), (0.6, depth * 0.4)))
    # Lying, standing or slanted.
    angle = random.choice([0.0, -HALF_TURN / 2, HALF_TURN / 2, -0.8]) + random.normal(0, 0.25)
    return [turned(stroke, angle) for stroke in strokes]


def basketball(random: np.random.Generator) -> Sketch:
    """A circle with a cross and two bows, some of them missing."""
    radius = 0.85
    strokes = [_closed(random, 0, 0, radius, radius * random.normal(1, 0.07))]
    if random.random() < 0.85:
        strokes.append(curve((0, -radius), (random.normal(0, 0.1), 0), (0, radius)))
    if random.random() < 0.65:
        strokes.append(curve((-radius, 0), (0, random.normal(0, 0.1)), (radius, 0)))
    bow = random.uniform(0.2, 0.5)
    for side in (-1, 1):
        if random.random() < 0.75:
            end = radius * 0.75
            strokes.append(
                curve((side * end, -end * 0.8), (side * bow, 0), (side * end, end * 0.8))
            )
    angle = random.choice([0.0, HALF_TURN / 2]) + random.normal(0, 0.3)
    return [turned(stroke, angle) for stroke in strokes]


def bed(random: np.random.Generator) -> Sketch:
    """From the side: board, mattress, legs, pillow; or from above: a box with a pillow."""
    length, head, foot = _about(random, 0.95, 0.55, 0.25)
    if random.random() < 0.3:
        strokes = [_box(random, -0.6, -length, 0.6, length)]
        strokes.append(_box(random, -0.35, -length * 0.85, 0.35, -length * 0.5))
        if random.random() < 0.8:
            fold = -length * random.uniform(0.1, 0.4)
            strokes.append(line((-0.6, fold), (0.6, fold)))
        return strokes
    strokes = [line((-length, -head), (-length, 0.45))]
    if random.random() < 0.5:
        strokes.append(_box(random, -length, 0, length, 0.25))
    else:
        strokes.append(line((-length, 0), (length, 0)))
        strokes.append(line((-length, 0.25), (length, 0.25)))
    if random.random() < 0.8:
        strokes.append(line((length, -foot), (length, 0.45)))
    if random.random() < 0.6:
        strokes.append(_closed(random, -length * 0.7, -0.12, 0.22, 0.12))
    if random.random() < 0.25:
        strokes.append(curve((-0.3, 0), (0, -0.25), (length, -0.05)))
    return strokes


def bee(random: np.random.Generator) -> Sketch:
    """A striped body with wings, a sting, feelers and sometimes a head."""
    width, height = _about(random, 0.75, 0.4)
    strokes = [_closed(random, 0, 0.1, width, height)]
    for x in np.linspace(-0.5, 0.5, random.integers(2, 5)) * width:
        reach = height * np.sqrt(1 - (x / width) ** 2) * random.uniform(0.8, 1.05)
        bend = random.normal(0.08, 0.05)
        strokes.append(curve((x, 0.1 - reach), (x + bend, 0.1), (x, 0.1 + reach)))
    lean = random.normal(0.1, 0.2)
    for wing in range(random.integers(1, 3)):
        x, tall = 0.3 * wing - 0.1, random.uniform(0.25, 0.42)
        centre = (x + lean, 0.1 - height - tall * 0.9)
        strokes.append(ellipse(centre, (0.2, tall), HALF_TURN / 2, FULL_TURN, lean))
    if random.random() < 0.6:
        strokes.append(line((width, 0), (width + 0.25, 0.1), (width, 0.2)))
    if random.random() < 0.35:
        strokes.append(_closed(random, -width - 0.15, 0, 0.2, 0.2))
    if random.random() < 0.5:
        for x in (-0.1, 0.1):
            strokes.append(
                curve((x - width, -0.1), (x - width - 0.05, -0.3), (x - width - 0.2, -0.4))
            )
    return strokes


def bicycle(random: np.random.Generator) -> Sketch:
    """Two wheels, a frame, a handlebar and a saddle."""
    apart, radius, top = _about(random, 0.62, 0.34, 0.4)
    strokes = [_closed(random, side * apart, 0.4, radius, radius) for side in (-1, 1)]
    if random.random() < 0.3:
        for side in (-1, 1):
            x = side * apart
            strokes.append(line((x - radius, 0.4), (x + radius, 0.4)))
            strokes.append(line((x, 0.4 - radius), (x, 0.4 + radius)))
    crank, seat, bar = (0.0, 0.4), (-0.3, -top + 0.1), (0.4, -top)
    if random.random() < 0.5:
        strokes.append(line((-apart, 0.4), seat, (0.4, -top + 0.15), crank, (-apart, 0.4)))
        strokes.append(line(bar, (apart, 0.4)))
    else:
        strokes.append(line((-apart, 0.4), (-0.2, 0), (0.45, 0), (apart, 0.4)))
        strokes.append(line((-0.2, 0), seat))
        strokes.append(line((0.45, 0), bar))
    if random.random() < 0.8:
        strokes.append(line((seat[0] - 0.15, seat[1]), (seat[0] + 0.15, seat[1])))
    if random.random() < 0.8:
        strokes.append(curve((bar[0] - 0.15, bar[1]), bar, (bar[0] + 0.1, bar[1] - 0.15)))
    return strokes


def bird(random: np.random.Generator) -> Sketch:
    """A far-off bird of two bows, or body, head, beak, wing, tail and legs."""
    if random.random() < 0.15:
        dip = random.uniform(0.1, 0.4)
        wings = [(-1, 0), (-0.5, -dip), (0, 0.15), (0, 0.15), (0.5, -dip), (1, 0)]
        return [curve(*wings)]
    width, height = _about(random, 0.55, 0.32)
    strokes = [_closed(random, 0, 0.1, width, height)]
    head = (-width - random.uniform(-0.05, 0.15), -0.25)
    strokes.append(_closed(random, *head, 0.22, 0.22))
    if random.random() < 0.85:
        x, y = head[0] - 0.2, head[1]
        strokes.append(line((x, y - 0.06), (x - 0.25, y + 0.03), (x, y + 0.1)))
    if random.random() < 0.6:
        strokes.append(ellipse((head[0] - 0.03, head[1] - 0.05), (0.03, 0.03)))
    if random.random() < 0.7:
        tip = (random.uniform(0.1, 0.4), -random.uniform(0.3, 0.7))
        strokes.append(curve((-0.2, 0), (tip[0] - 0.2, tip[1] * 0.7), tip, tip, (0.25, 0.05)))
    if random.random() < 0.6:
        strokes.append(line((width, 0.05), (width + 0.35, -0.1), (width + 0.3, 0.2), (width, 0.15)))
    if random.random() < 0.55:
        for x in (-0.1, 0.15):
            strokes.append(line((x, 0.1 + height), (x, 0.75), (x - 0.12, 0.78)))
    return strokes


def book(random: np.random.Generator) -> Sketch:
    """Open with two pages and lines of text, or closed with a spine."""
    width, height, sag = _about(random, 0.9, 0.6, 0.12)
    lines = random.integers(0, 4)
    strokes = []
    if random.random() < 0.6:
        for side in (-1, 1):
            page = [
                (0, -height + sag),
                (side * width / 2, -height - sag / 2),
                (side * width, -height),
            ]
            page += [page[-1], (side * width, height), (side * width, height)]
            page += [(side * width / 2, height - sag / 2), (0, height + sag)]
            strokes.append(curve(*page))
        strokes.append(line((0, -height + sag), (0, height + sag)))
        columns = [(-width * 0.8, -width * 0.15), (width * 0.15, width * 0.8)]
    else:
        width *= 0.75
        strokes.append(_box(random, -width, -0.9, width, 0.9))
        spine = -width + random.uniform(0.1, 0.25)
        if random.random() < 0.8:
            strokes.append(line((spine, -0.9), (spine, 0.9)))
        if random.random() < 0.4:
            strokes.append(
                line((-width, -0.9), (-width + 0.2, -1.05), (width + 0.2, -1.05), (width, -0.9))
            )
        columns = [(spine + 0.2, width * 0.7)]
    for left, right in columns:
        for y in np.linspace(-0.35, 0.35, lines) if lines > 1 else []:
            strokes.append(
                line((left, y), (right * random.uniform(0.8, 1) if right > 0 else right, y))
            )
    return strokes


def butterfly(random: np.random.Generator) -> Sketch:
    """A thin body between two or four wings, with feelers and sometimes spots."""
    length, upper, lower = _about(random, 0.6, 0.75, 0.55)
    strokes = []
    if random.random() < 0.85:
        strokes.append(_closed(random, 0, 0, random.uniform(0.05, 0.13), length))
    for side in (-1, 1):
        top = [(0, -0.1), (side * upper * 0.6, -0.75), (side * upper * 1.1, -0.5)]
        top += [(side * upper * 0.8, -0.05), (0, 0.05)]
        bottom = [(side * lower * 1.1, 0.15), (side * lower, 0.65), (side * lower * 0.4, 0.6)]
        if random.random() < 0.4:
            strokes.append(curve(*top[:-1], *bottom, (0, 0.2)))
        else:
            strokes += [curve(*top), curve((0, 0.05), *bottom, (0, 0.2))]
    if random.random() < 0.6:
        for side in (-1, 1):
            strokes.append(
                curve((0, -length), (side * 0.1, -length - 0.2), (side * 0.25, -length - 0.3))
            )
    if random.random() < 0.25:
        for side in (-1, 1):
            strokes.append(_closed(random, side * upper * 0.6, -0.4, 0.12, 0.12))
    return strokes


SKETCHES: dict[str, Callable[[np.random.Generator], Sketch]] = {
    "airplane": airplane,
    "apple": apple,
    "banana": banana,
    "basketball": basketball,
    "bed": bed,
    "bee": bee,
    "bicycle": bicycle,
    "bird": bird,
    "book": book,
    "butterfly": butterfly,
}

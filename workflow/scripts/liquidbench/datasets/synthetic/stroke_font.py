"""A handwriting alphabet of pen strokes, and how its letters are set in a line.

Units: the height of a small x is 1, the baseline is y = 0 and y grows upwards; tall letters reach
about 2, tails about -1.
"""

from typing import NamedTuple

import numpy as np

from liquidbench.datasets.synthetic.strokes import curve

# Strokes are parted by "|", knots by spaces; a knot given twice is a corner.
_KNOTS = {
    "a": "0.85,0.85 0.5,1 0.1,0.75 0.05,0.3 0.35,0 0.7,0.25 0.85,0.9 0.85,0.9 0.85,0.25 1.05,0",
    "b": "0.1,2 0.1,2 0.1,0 0.1,0 0.15,0.7 0.5,1 0.85,0.55 0.5,0 0.12,0.15",
    "c": "0.8,0.8 0.5,1 0.1,0.65 0.2,0.12 0.55,0 0.9,0.2",
    "d": "0.8,0.8 0.45,1 0.05,0.5 0.35,0 0.75,0.3 0.85,2 0.85,2 0.82,0.3 1.05,0",
    "e": "0.1,0.45 0.6,0.5 0.8,0.8 0.5,1 0.12,0.65 0.25,0.08 0.6,0 0.95,0.25",
    "f": "0.75,1.75 0.5,2 0.32,1.6 0.3,0.6 0.3,-0.15 | 0,1 0.7,1",
    "g": "0.8,0.85 0.45,1 0.05,0.5 0.4,0.05 0.75,0.4 0.82,0.95 0.82,0.95 0.8,-0.5 0.45,-1"
    " 0.05,-0.7",
    "h": "0.1,2 0.1,2 0.1,0 0.1,0 0.18,0.65 0.5,1 0.75,0.7 0.75,0.2 0.98,0",
    "i": "0.1,1 0.1,1 0.1,0.2 0.35,0 | 0.1,1.4 0.14,1.46",
    "j": "0.4,1 0.4,1 0.4,-0.5 0.15,-1 -0.1,-0.7 | 0.4,1.4 0.44,1.46",
    "k": "0.1,2 0.1,2 0.1,0 | 0.7,1 0.7,1 0.12,0.45 0.12,0.45 0.55,0.1 0.85,0",
    "l": "0.1,2 0.1,2 0.1,0.3 0.4,0",
    "m": "0.08,1 0.08,1 0.1,0 0.1,0 0.18,0.7 0.4,1 0.58,0.7 0.58,0 0.58,0 0.65,0.7 0.88,1 1.05,0.7"
    " 1.05,0.2 1.28,0",
    "n": "0.08,1 0.08,1 0.1,0 0.1,0 0.18,0.65 0.45,1 0.7,0.7 0.72,0.2 0.95,0",
    "o": "0.5,1 0.1,0.75 0.1,0.25 0.45,0 0.85,0.3 0.8,0.8 0.45,1 0.6,0.88 0.98,0.95",
    "p": "0.1,1 0.1,1 0.1,-1 0.1,-1 0.15,0.65 0.5,1 0.85,0.5 0.5,0 0.12,0.2",
    "q": "0.8,0.85 0.45,1 0.05,0.5 0.4,0 0.75,0.35 0.82,0.95 0.82,0.95 0.82,-1 0.82,-1 1.05,-0.7",
    "r": "0.08,1 0.08,1 0.1,0 0.1,0 0.18,0.65 0.42,0.95 0.68,0.9",
    "s": "0.7,0.85 0.4,1 0.12,0.75 0.62,0.35 0.5,0.02 0.05,0.1",
    "t": "0.3,1.6 0.3,1.6 0.3,0.3 0.5,0 0.75,0.1 | 0,1.05 0.65,1.05",
    "u": "0.08,1 0.08,1 0.1,0.3 0.38,0 0.7,0.35 0.75,1 0.75,1 0.75,0.2 0.98,0",
    "v": "0.05,1 0.05,1 0.4,0 0.4,0 0.75,0.95 0.95,0.9",
    "w": "0.05,1 0.05,1 0.3,0 0.3,0 0.58,0.8 0.58,0.8 0.85,0 0.85,0 1.12,0.95 1.3,0.9",
    "x": "0.05,1 0.8,0 | 0.75,1 0.05,0",
    "y": "0.08,1 0.08,1 0.15,0.35 0.42,0.12 0.78,0.95 0.78,0.95 0.7,-0.6 0.4,-1 0.08,-0.7",
    "z": "0.08,1 0.72,1 0.72,1 0.05,0 0.05,0 0.8,0",
    "A": "0,0 0,0 0.65,2 0.65,2 1.2,0 | 0.2,0.7 1.05,0.7",
    "B": "0.1,2 0.1,2 0.1,0 | 0.1,2 0.7,1.95 0.8,1.5 0.15,1.05 0.15,1.05 0.95,0.9 0.85,0.1 0.1,0",
    "C": "1.15,1.65 0.7,2 0.1,1.4 0.15,0.4 0.65,0 1.15,0.35",
    "D": "0.1,2 0.1,2 0.1,0 | 0.1,2 0.9,1.8 1.15,1 0.8,0.15 0.1,0",
    "E": "1,2 1,2 0.1,2 0.1,2 0.1,0 0.1,0 1,0 | 0.1,1.05 0.8,1.05",
    "F": "1,2 1,2 0.1,2 0.1,2 0.1,0 | 0.1,1.05 0.8,1.05",
    "G": "1.15,1.65 0.7,2 0.1,1.4 0.15,0.4 0.65,0 1.15,0.3 1.15,0.95 1.15,0.95 0.7,0.95",
    "H": "0.1,2 0.1,0 | 1.1,2 1.1,0 | 0.1,1 1.1,1",
    "I": "0.3,2 0.3,0 | 0,2 0.6,2 | 0,0 0.6,0",
    "J": "0.8,2 0.8,2 0.8,0.4 0.4,0 0.05,0.4",
    "K": "0.1,2 0.1,0 | 1.05,2 1.05,2 0.12,0.9 0.12,0.9 1.1,0",
    "L": "0.1,2 0.1,2 0.1,0 0.1,0 0.95,0",
    "M": "0.05,0 0.05,0 0.2,2 0.2,2 0.75,0.6 0.75,0.6 1.3,2 1.3,2 1.45,0",
    "N": "0.1,0 0.1,0 0.1,2 0.1,2 1.1,0 1.1,0 1.1,2",
    "O": "0.7,2 0.1,1.5 0.1,0.5 0.65,0 1.25,0.5 1.25,1.5 0.7,2 0.5,1.95",
    "P": "0.1,2 0.1,2 0.1,0 | 0.1,2 0.85,1.9 0.9,1.3 0.1,0.95",
    "Q": "0.7,2 0.1,1.5 0.1,0.5 0.65,0 1.25,0.5 1.25,1.5 0.7,2 0.5,1.95 | 0.8,0.5 1.35,-0.15",
    "R": "0.1,2 0.1,2 0.1,0 | 0.1,2 0.85,1.9 0.9,1.3 0.12,1 0.12,1 1.05,0",
    "S": "1,1.7 0.6,2 0.15,1.6 0.5,1.1 0.95,0.6 0.6,0 0.05,0.3",
    "T": "0.6,2 0.6,0 | 0,2 1.2,2",
    "U": "0.1,2 0.1,2 0.1,0.5 0.6,0 1.1,0.5 1.1,2",
    "V": "0.05,2 0.05,2 0.6,0 0.6,0 1.15,2",
    "W": "0.05,2 0.05,2 0.4,0 0.4,0 0.8,1.5 0.8,1.5 1.2,0 1.2,0 1.6,2",
    "X": "0.05,2 1.1,0 | 1.05,2 0.05,0",
    "Y": "0.05,2 0.05,2 0.55,1 | 1.05,2 1.05,2 0.55,1 0.55,1 0.5,0",
    "Z": "0.1,2 1.1,2 1.1,2 0.05,0 0.05,0 1.15,0",
    ".": "0.1,0 0.14,0.05",
    ",": "0.15,0.08 0.18,-0.05 0.02,-0.35",
    "?": "0.05,1.6 0.4,2 0.8,1.6 0.45,1 0.4,0.5 | 0.4,0.02 0.44,0.06",
    "!": "0.1,2 0.1,0.55 | 0.1,0.02 0.14,0.06",
    "'": "0.15,2 0.08,1.6",
    "-": "0.1,0.6 0.6,0.6",
}


def _parsed(text: str) -> list[np.ndarray]:
    return [
        np.array([[float(number) for number in knot.split(",")] for knot in stroke.split()])
        for stroke in text.split("|")
    ]


# Character to its strokes' knots, each (knots, 2) float64.
GLYPHS = {character: _parsed(text) for character, text in _KNOTS.items()}


class Hand(NamedTuple):
    """What makes one writer's letters; lengths in units of the small letters' height."""

    habits: dict[str, list[np.ndarray]]  # the writer's own change of each glyph's knots
    unsteadiness: float  # standard deviation of each knot, anew in every letter
    slant: float  # shift in x per unit of y
    width: float  # of the letters, relative
    letter_gap: float
    word_gap: float
    joins: bool  # letters that allow it are joined
    climb: float  # of the baseline, per unit of x
    sway: float  # amplitude of the baseline's slow waves


def habits(amount: float, random: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """A writer's lasting changes to every glyph's knots, normal with deviation `amount`."""
    return {
        character: [random.normal(0, amount, stroke.shape) for stroke in strokes]
        for character, strokes in GLYPHS.items()
    }


def written(text: str, hand: Hand, random: np.random.Generator) -> list[np.ndarray]:
    """A line of text as pen strokes.

    Args:
        text: characters of the alphabet and spaces.
        hand: the writer.
        random: the stream to draw from.

    Returns:
        strokes, each (points, 2) float64 of x and y, the text starting near (0, 0).

    Raises:
        KeyError: a character is not in the alphabet.
    """
    strokes: list[np.ndarray] = []
    pen = 0.0
    pen_down: np.ndarray | None = None  # where a join could start
    for character in text:
        if character == " ":
            pen += hand.word_gap * random.normal(1, 0.12)
            pen_down = None
            continue
        glyph = _letter(character, hand, random)
        for stroke in glyph:
            stroke[:, 0] += pen
        if hand.joins and pen_down is not None and _enters_left(character):
            strokes.append(np.stack([pen_down, glyph[0][0]]))
        strokes += [curve(*stroke) for stroke in glyph]
        right = max(stroke[:, 0].max() for stroke in glyph)
        pen = right + hand.letter_gap * random.normal(1, 0.2)
        pen_down = glyph[0][-1] if _leaves_right(character) else None
    return _on_baseline(strokes, hand, random)


def _letter(character: str, hand: Hand, random: np.random.Generator) -> list[np.ndarray]:
    """The knots of one letter as this hand writes it this time."""
    glyph = []
    for stroke, habit in zip(GLYPHS[character], hand.habits[character]):
        change = habit + random.normal(0, hand.unsteadiness, stroke.shape)
        # The two knots of a corner move as one.
        again = np.flatnonzero((stroke[1:] == stroke[:-1]).all(axis=1)) + 1
        change[again] = change[again - 1]
        glyph.append((stroke + change) * (hand.width, 1))
    return glyph


def _enters_left(character: str) -> bool:
    """Whether the letter starts at its left edge, no higher than a small letter."""
    x, y = GLYPHS[character][0][0]
    return character.islower() and x < 0.3 and y <= 1


def _leaves_right(character: str) -> bool:
    """Whether the letter's first stroke ends at its right edge, ready for the next."""
    first = GLYPHS[character][0]
    return character.islower() and first[-1, 0] >= first[:, 0].max() and first[-1, 1] >= 0


def _on_baseline(
    strokes: list[np.ndarray], hand: Hand, random: np.random.Generator
) -> list[np.ndarray]:
    """Slant the letters and let the baseline climb and sway."""
    phase, period = random.uniform(0, 2 * np.pi), random.uniform(8, 20)
    placed = []
    for stroke in strokes:
        x, y = stroke.T
        base = hand.climb * x + hand.sway * np.sin(2 * np.pi * x / period + phase)
        placed.append(np.stack([x + hand.slant * y, y + base], axis=1))
    return placed

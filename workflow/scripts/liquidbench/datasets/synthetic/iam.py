"""Synthetic IAM lines: handwriting-like text lines with transcriptions, as parquet.

Columns as in ``Teklia/IAM-line`` on huggingface.co: ``image`` {``bytes``: a grey PNG, ``path``}
and ``text``. No writer appears in two splits.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, zoom

from liquidbench.datasets.synthetic.options import SEED, Flag, Interval, Whole, checked_options
from liquidbench.datasets.synthetic.raw_files import random_stream
from liquidbench.datasets.synthetic.stroke_font import Hand, habits, written
from liquidbench.files import written_whole

# Common English words. The first 36 need only the nine letters of "aehinorst", so that a small
# vocabulary is also a small alphabet; the whole list has every letter.
_WORD_LIST = """
the to in it is that on as at an so no or one into then not this his her
has he she are than there these those ten rest hear tea north stone train other
and had did done red road hand land old dead lord all tell hold world wild
was we with will were when who which what how now know own would word work walk
of for from if off after before life half first find full friend father
but by be both been book big black bring above about able
up you your us our out under house young much such must just
my me may make more most man many time some same home name come become
can could call cold car each reach school place people put part keep help open
go going good great get again against light night right thought through long along
very every ever never over give have live love leave even evening seven five
quite question quick queen next six box fix exact size zero lazy prize
john jump join major year day away way any only early story family city
"""
WORDS = tuple(_WORD_LIST.split())

OPTIONS = {
    "seed": SEED,
    "train": Whole(400, 2, 200_000),
    "validation": Whole(60, 1, 200_000),
    "test": Whole(100, 1, 200_000),
    "vocabulary": Whole(32, 2, len(WORDS)),
    "words_per_line": Interval((1, 2), 1, 20),
    "sentences": Flag(False),
    "minimum_width": Whole(144, 1, 4_000),
    "writers": Whole(24, 1, 10_000),
}

SHARPNESS = 2  # pixels drawn per pixel kept, both ways
SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("text", pa.string()),
    ]
)
ROWS_PER_GROUP = 100
PUNCTUATION = (".", ".", ".", ",", "?", "!")


class Style(NamedTuple):
    """A writer's hand and material."""

    hand: Hand
    size: float  # height of a small letter as a share of the image's height
    thickness: float  # pixels
    ink: float  # grey level, 0 = black
    paper: float  # grey level


def synthesise(options: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write ``train.parquet``, ``validation.parquet`` and ``test.parquet`` into `folder`.

    Args:
        options: ``seed``; ``train``, ``validation`` and ``test``, the numbers of lines;
            ``vocabulary``, how many words of `WORDS` are used, from its start; ``words_per_line``
            as [low, high]; ``sentences``, whether lines have a capital and an end mark;
            ``writers`` of the training lines (the other splits have a third of it each);
            ``minimum_width`` of the image in pixels: a shorter line leaves paper free at its
            right, so that short and long lines show letters of a similar size once all images
            are brought to one width.
        folder: where to write.

    Returns:
        role (the split) to file.

    Raises:
        InputError: an option is unknown or out of range.
    """
    chosen = checked_options("iam", OPTIONS, options)
    others = max(1, chosen["writers"] // 3)
    writers = {"train": chosen["writers"], "validation": others, "test": others}
    files = {}
    for split in ("train", "validation", "test"):
        files[split] = folder / f"{split}.parquet"
        _write_split(files[split], split, chosen, writers[split])
    return files


def _write_split(path: Path, split: str, chosen: dict[str, Any], writers: int) -> None:
    """Write the lines of one split; its writers take turns."""
    seed = chosen["seed"]
    styles = [_style(random_stream(seed, "iam", split, "writer", n)) for n in range(writers)]
    rows = []
    with written_whole(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        for index in range(chosen[split]):
            random = random_stream(seed, "iam", split, "line", index)
            text = _text(chosen, random)
            picture = _picture(text, styles[index % writers], chosen["minimum_width"], random)
            name = f"{split}/writer-{index % writers:03d}/line-{index:06d}.png"
            rows.append({"image": {"bytes": _png(picture), "path": name}, "text": text})
            if len(rows) == ROWS_PER_GROUP or index == chosen[split] - 1:
                writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
                rows = []


def _text(chosen: dict[str, Any], random: np.random.Generator) -> str:
    """The words of one line."""
    low, high = chosen["words_per_line"]
    vocabulary = WORDS[: chosen["vocabulary"]]
    text = " ".join(random.choice(vocabulary, random.integers(low, high + 1)).tolist())
    if chosen["sentences"]:
        text = text[0].upper() + text[1:] + str(random.choice(PUNCTUATION))
    return text


def _style(random: np.random.Generator) -> Style:
    """A writer."""
    hand = Hand(
        habits=habits(0.05, random),
        unsteadiness=random.uniform(0.015, 0.05),
        slant=random.normal(0.15, 0.15),
        width=random.uniform(0.8, 1.15),
        letter_gap=random.uniform(0.2, 0.4),
        word_gap=random.uniform(0.7, 1.2),
        joins=bool(random.random() < 0.5),
        climb=random.normal(0, 0.012),
        sway=random.uniform(0, 0.08),
    )
    return Style(
        hand=hand,
        size=random.uniform(0.21, 0.26),
        thickness=random.uniform(1.5, 3.0),
        ink=random.uniform(20, 90),
        paper=random.uniform(195, 235),
    )


def _picture(
    text: str, style: Style, minimum_width: int, random: np.random.Generator
) -> np.ndarray:
    """A line image, uint8 of shape (rows, columns); 60 to 68 rows, as wide as the text needs."""
    rows = int(random.integers(60, 69))
    unit = style.size * rows * random.normal(1, 0.04)
    strokes = [stroke * (unit, -unit) for stroke in written(text, style.hand, random)]
    every = np.concatenate(strokes)
    left, right = random.uniform(4, 14, 2)
    columns = max(minimum_width, int(np.ceil(np.ptp(every[:, 0]) + left + right)))
    # The text's own middle is put near the image's, so that tails and tall letters fit.
    top = (rows - np.ptp(every[:, 1])) / 2 + random.normal(0, 1.5)
    strokes = [stroke - every.min(axis=0) + (left, top) for stroke in strokes]
    covered = _inked(strokes, style.thickness, (rows, columns), random)
    paper = (
        style.paper + 6 * _smooth_noise(covered.shape, random) + random.normal(0, 3, covered.shape)
    )
    density = np.clip(0.9 + 0.12 * _smooth_noise(covered.shape, random), 0.5, 1)
    grey = paper + covered * density * (style.ink - paper)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _inked(
    strokes: list[np.ndarray],
    thickness: float,
    shape: tuple[int, int],
    random: np.random.Generator,
) -> np.ndarray:
    """How much of each pixel the pen covers: float64 from 0 to 1, of the given shape."""
    canvas = Image.new("L", (shape[1] * SHARPNESS, shape[0] * SHARPNESS))
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        width = max(2, round(SHARPNESS * thickness * random.normal(1, 0.1)))
        points = [(float(x), float(y)) for x, y in stroke * SHARPNESS]
        pen.line(points, fill=255, width=width, joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return gaussian_filter(np.asarray(canvas.reduce(SHARPNESS)) / 255, 0.5)


def _smooth_noise(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Noise that changes over about 20 pixels, of deviation below 1."""
    coarse = random.normal(0, 1, (shape[0] // 20 + 2, shape[1] // 20 + 2))
    factors = (shape[0] / coarse.shape[0], shape[1] / coarse.shape[1])
    return zoom(coarse, factors, order=1)


def _png(picture: np.ndarray) -> bytes:
    """A grey image as PNG."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    return content.getvalue()

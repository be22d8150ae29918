"""IAM lines: images of handwritten lines as sequences of columns, with their transcription.

Format: the parquet files of `Teklia/IAM-line`, one a split, columns `image` {bytes, path} and
`text`.
"""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from liquidbench.datasets.cache import CacheWriter, Sequences, offsets_of
from liquidbench.datasets.manifest import Manifest
from liquidbench.datasets.preparation import cache_attributes, check_count
from liquidbench.errors import InputError

SPLITS = ("train", "validation", "test")

_BLOCK = 128
_REMEDY = "Fetch the data set again, or remove the row"


@dataclass(frozen=True)
class Settings:
    """How IAM is prepared.

    Attributes:
        height, width: pixels that every line image is stretched to, whatever its aspect.
        limit_train: number of training lines to keep, evenly spaced over the file.
        limit_test: the same for the test lines.
    """

    height: int = 64
    width: int = 512
    limit_train: int | None = None
    limit_test: int | None = None

    def __post_init__(self) -> None:
        check_count("iam.height", self.height)
        check_count("iam.width", self.width)
        check_count("iam.limit_train", self.limit_train, optional=True)
        check_count("iam.limit_test", self.limit_test, optional=True)


@dataclass(frozen=True)
class Line:
    """A row of a parquet file: the image as stored, its transcription and its name."""

    image: bytes
    text: str
    id: str
    where: str


def read_alphabet(texts: list[str]) -> tuple[str, ...]:
    """The characters of the training texts, sorted. Character i has the code i + 1."""
    return tuple(sorted(set("".join(texts))))


def encode_text(text: str, alphabet: tuple[str, ...]) -> np.ndarray:
    """Codes of the characters, int64, from 1; a character outside the alphabet is 0."""
    codes = {character: code for code, character in enumerate(alphabet, start=1)}
    return np.array([codes.get(character, 0) for character in text], dtype=np.int64)


def decode_image(content: bytes, height: int, width: int, where: str) -> tuple[np.ndarray, int]:
    """Decode a line image, grey, stretched to `height` x `width` whatever its aspect.

    The stretching is bilinear over the area of each new pixel, as Pillow does it.

    Returns:
        (columns, original_width): uint8 (width, height), 0 = black, column by column; and the
        width in pixels that the image had.

    Raises:
        InputError: the image cannot be read.
    """
    try:
        # Only plain decoders: others run programs on what they read.
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"mode {image.mode}, expected 8 bits a channel")
            original_width = image.width
            grey = image.convert("L").resize((width, height), Image.Resampling.BILINEAR)
    # Pillow's decoders let all of these through for damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(where, f"the image is not readable ({error})", _REMEDY) from None
    return np.asarray(grey).T, original_width


def prepare(manifest: Manifest, settings: Settings, cache: str | Path, threads: int) -> None:
    """Prepare IAM: groups `train`, `validation` and `test`, a step for each column of pixels.

    Raises:
        InputError: a file is no parquet file of images and texts or holds no line, an image is
            unreadable, or a transcription is missing.
    """
    limits = {"train": settings.limit_train, "validation": None, "test": settings.limit_test}
    rows = {split: _rows(manifest.file(split).path, limits[split]) for split in SPLITS}
    lines = read_lines(manifest.file("train").path, rows["train"], images=False)
    alphabet = read_alphabet([line.text for line in lines])
    attributes = cache_attributes(
        manifest,
        settings,
        task="transcription",
        elapsed_unit="pixels",
        feature_names=tuple(f"row_{row}" for row in range(settings.height)),
        classes=alphabet,
        roles=SPLITS,
    )
    # Pillow releases Python's lock while it decodes and scales: threads do, without processes.
    with CacheWriter(cache, attributes) as writer, ThreadPoolExecutor(threads) as pool:
        for split in SPLITS:
            block: list[Line] = []
            for line in read_lines(manifest.file(split).path, rows[split]):
                block.append(line)
                if len(block) == _BLOCK:
                    writer.append(split, encode_lines(block, settings, alphabet, pool))
                    block = []
            if block:
                writer.append(split, encode_lines(block, settings, alphabet, pool))


def read_lines(path: Path, rows: np.ndarray, *, images: bool = True) -> Iterator[Line]:
    """Read lines of a parquet file, a few at a time.

    Args:
        path: the file.
        rows: ascending row numbers to give.
        images: False reads the texts alone, and leaves `image` empty.

    Raises:
        InputError: the file is damaged, or a row has no image or no transcription.
    """
    wanted, start = set(rows.tolist()), 0
    try:
        with pq.ParquetFile(path) as file:
            columns = ["image", "text"] if images else ["text"]
            for batch in file.iter_batches(batch_size=_BLOCK, columns=columns):
                for index, row in enumerate(batch.to_pylist(), start=start):
                    if index in wanted:
                        yield _line(path, index, row, images)
                start += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(path, f"not a readable parquet file ({error})", _REMEDY) from None


def _line(path: Path, index: int, row: dict, images: bool) -> Line:
    where = f"{path}, row {index}"
    image = row.get("image") or {}
    if image.get("path"):
        where += f" ({image['path']})"
    if not row["text"] or not isinstance(row["text"], str):
        raise InputError(where, "has no transcription", _REMEDY)
    if images and not (image.get("bytes") and isinstance(image["bytes"], bytes)):
        raise InputError(where, "has no image", _REMEDY)
    id_ = image.get("path") or f"{path.stem}:{index}"
    return Line(image=image.get("bytes", b""), text=row["text"], id=id_, where=where)


def _rows(path: Path, limit: int | None) -> np.ndarray:
    """The rows to keep: all, or `limit` of them evenly spaced. Checks the file's columns."""
    try:
        with pq.ParquetFile(path) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(path, f"not a readable parquet file ({error})", _REMEDY) from None
    image = schema.field("image").type if "image" in schema.names else None
    if (
        not isinstance(image, pa.StructType)
        or {"bytes", "path"} - {image.field(i).name for i in range(image.num_fields)}
        or "text" not in schema.names
    ):
        problem = f"has the columns {', '.join(schema.names)}; expected image {{bytes, path}}, text"
        raise InputError(path, problem, "Use the parquet files of Teklia/IAM-line")
    if not count:
        raise InputError(path, "holds no line", "Fetch the data set again")
    if limit is None or limit >= count:
        return np.arange(count)
    return np.arange(limit) * count // limit


def encode_lines(
    lines: list[Line], settings: Settings, alphabet: tuple[str, ...], pool: ThreadPoolExecutor
) -> Sequences:
    """Lines as the cache has them; the threads of `pool` decode and scale the images.

    Raises:
        InputError: an image cannot be read.
    """
    height, width = settings.height, settings.width
    images = list(pool.map(lambda line: decode_image(line.image, height, width, line.where), lines))
    elapsed = np.zeros((len(lines), width), dtype=np.float32)
    elapsed[:, 1:] = np.array([[original / width] for _, original in images])
    codes = [encode_text(line.text, alphabet) for line in lines]
    return Sequences(
        inputs=np.concatenate([columns for columns, _ in images]),
        elapsed=elapsed.reshape(-1),
        offsets=np.arange(len(lines) + 1, dtype=np.int64) * width,
        targets=np.concatenate(codes),
        ids=np.array([line.id for line in lines]),
        target_offsets=offsets_of([len(code) for code in codes]),
        texts=np.array([line.text for line in lines]),
    )

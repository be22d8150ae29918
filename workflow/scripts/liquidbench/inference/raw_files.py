"""New raw files as the preparation would have stored them, by the same code.

What a study limits or draws (`limit_train`, `per_category`, `limit_patients`) is no matter here: every example of every
file is read, in the order of the files.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from liquidbench.datasets import iam, nmnist, physionet, quickdraw
from liquidbench.datasets.cache import Sequences, offsets_of
from liquidbench.datasets.preparation import read_settings
from liquidbench.errors import InputError

_CORRECT = "Leave it out, or put the file in its place"
_LABEL = physionet.COLUMNS[-1]
_UNLABELLED = "|".join(physionet.COLUMNS[:-1]).encode()


@dataclass
class NewExamples:
    """Examples from raw files.

    Attributes:
        sequences: as the preparation stores them. Targets, and labels of hours where a file has none, are 0.
        left_out: a sentence for each example that the preparation or the run's training would have left out.
        changed: a sentence for each example that is not read as it stands in the file.
    """

    sequences: Sequences
    left_out: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def read_raw_files(paths: list[Path], dataset: str, settings: dict[str, Any]) -> NewExamples:
    """Read raw files of one data set.

    Args:
        paths: the files.
        dataset: the data set's name.
        settings: of the run: `dataset` (how the cache was prepared) and `training`.

    Raises:
        InputError: a file is missing, empty, damaged or of another format; an id is there twice; or no example is left.
    """
    suffixes, module, read = READERS[dataset]
    prepared = read_settings(module.Settings, settings["dataset"])
    files = [(path, _content(path, dataset, suffixes)) for path in paths]
    if dataset != "quickdraw":
        # A drawing has an id of its own; elsewhere a file is an example.
        _refuse_twice([(_id_of(path, dataset), str(path)) for path in paths])
    examples = read(files, prepared, settings["training"])
    if not len(examples.sequences):
        problem = "no example is left. " + "; ".join(examples.left_out)
        raise InputError(paths[0], problem, "Give files with examples that the run can answer")
    return examples


def _content(path: Path, dataset: str, suffixes: tuple[str, ...]) -> bytes:
    """The bytes of a file that is there, has the data set's suffix and is not empty."""
    if path.suffix.lower() not in suffixes:
        expected = " or ".join(suffixes)
        problem = f"is no raw file of {dataset}: its name must end with {expected}"
        raise InputError(
            path, problem, "Name the files themselves, unpacked, of the run's data set"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"not readable ({error.strerror})", "Correct the name") from None
    if not content:
        raise InputError(path, "is empty", _CORRECT)
    return content


def _id_of(path: Path, dataset: str) -> str:
    return path.name if dataset == "iam" else path.stem


def _refuse_twice(found: list[tuple[str, str]]) -> None:
    """Refuse two examples of one id; for each its id and where it stands."""
    places: dict[str, str] = {}
    for name, where in found:
        if name in places:
            problem = f"has the id {name!r}, as {places[name]} has: rows could not be told apart"
            raise InputError(where, problem, "Give each example once, or rename the file")
        places[name] = where


def read_recordings(
    files: list[tuple[Path, bytes]], settings: nmnist.Settings, training: dict[str, Any]
) -> NewExamples:
    """N-MNIST: a `.bin` file is a recording, its id the file's name without `.bin`."""
    counts, elapsed, changed = [], [], []
    for path, content in files:
        # One by one: what is clipped or outside must be told of the file.
        frames = nmnist.count_recordings([content], settings, [str(path)])
        if not frames.counts.any():
            problem = f"no event lies in the window of {nmnist.SIDE} x {nmnist.SIDE} pixels"
            raise InputError(path, problem, "Give recordings in the format of N-MNIST")
        if frames.outside:
            changed.append(f"{path}: {frames.outside} events outside the window do not count")
        if frames.clipped:
            changed.append(f"{path}: {frames.clipped} counts above 255 are read as 255")
        counts.append(frames.counts[0])
        elapsed.append(frames.elapsed[0])
    sequences = Sequences(
        inputs=np.concatenate(counts),
        elapsed=np.concatenate(elapsed),
        offsets=offsets_of([settings.bins] * len(files)),
        targets=np.zeros(len(files), dtype=np.int64),
        ids=np.array([_id_of(path, "nmnist") for path, _ in files]),
    )
    return NewExamples(sequences, changed=changed)


def read_drawings(
    files: list[tuple[Path, bytes]], settings: quickdraw.Settings, training: dict[str, Any]
) -> NewExamples:
    """QuickDraw: a line of an `.ndjson` file is a drawing, its id `key_id`, or else ``<file>:<line>`` (from 1)."""
    kept, found, left_out, changed = [], [], [], []
    for path, content in files:
        lines = content.rstrip().splitlines()
        if not lines:
            raise InputError(path, "holds no drawing", _CORRECT)
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            name = f"{path.stem}:{number}"
            drawing = quickdraw.decode_drawing(line, settings.variant, name, where)
            found.append((drawing.id, where))
            points = len(drawing.x)
            if points < settings.minimum_points:
                reason = f"has {points} points, fewer than {settings.minimum_points}"
                left_out.append(f"{where} ({drawing.id}): {reason}")
            elif training["recognized_only"] and not drawing.recognized:
                reason = "the game did not recognise it, and the run knows recognised drawings only"
                left_out.append(f"{where} ({drawing.id}): {reason}")
            else:
                kept.append(drawing)
                if points > settings.maximum_points:
                    cut = f"the first {settings.maximum_points} of {points} points are read"
                    changed.append(f"{where} ({drawing.id}): {cut}")
    _refuse_twice(found)
    if not kept:
        return NewExamples(_no_sequences(), left_out)
    sequences = quickdraw.encode_drawings(kept, 0, settings.maximum_points)
    return NewExamples(sequences, left_out, changed)


def read_images(
    files: list[tuple[Path, bytes]], settings: iam.Settings, training: dict[str, Any]
) -> NewExamples:
    """IAM: an image file is a line, its id the file's name."""
    lines = [iam.Line(content, "", _id_of(path, "iam"), str(path)) for path, content in files]
    with ThreadPoolExecutor(1) as pool:
        return NewExamples(iam.encode_lines(lines, settings, (), pool))


def read_stays(
    files: list[tuple[Path, bytes]], settings: physionet.Settings, training: dict[str, Any]
) -> NewExamples:
    """PhysioNet: a `.psv` file is a stay, its id the file's name without `.psv`. It may lack the column of labels."""
    labelled = [(str(path), with_labels(content, str(path))) for path, content in files]
    return NewExamples(
        physionet.encode_stays(labelled, [_id_of(path, "physionet") for path, _ in files])
    )


def with_labels(content: bytes, where: str) -> bytes:
    """A `.psv` file with a column of labels, 0, if its header has all others and not this one.

    Raises:
        InputError: a line has not as many fields as the header.
    """
    header, *lines = content.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    if header != _UNLABELLED:
        return content
    expected = len(physionet.COLUMNS) - 1
    for number, line in enumerate(lines, start=2):
        # Before the column is added: behind it, a message would count one field more than the file has.
        if line.count(b"|") + 1 != expected:
            problem = f"has {line.count(b'|') + 1} fields, expected {expected}"
            raise InputError(f"{where}, line {number}", problem, "Correct the file")
    rows = [header + b"|" + _LABEL.encode(), *(line + b"|0" for line in lines)]
    return b"\n".join(rows) + b"\n"


def _no_sequences() -> Sequences:
    return Sequences(
        inputs=np.empty((0, 0), dtype=np.float32),
        elapsed=np.empty(0, dtype=np.float32),
        offsets=offsets_of([]),
        targets=np.empty(0, dtype=np.int64),
        ids=np.empty(0, dtype=str),
    )


READERS: dict[str, tuple[tuple[str, ...], Any, Callable[..., NewExamples]]] = {
    "nmnist": ((".bin",), nmnist, read_recordings),
    "quickdraw": ((".ndjson",), quickdraw, read_drawings),
    "iam": ((".png", ".jpg", ".jpeg"), iam, read_images),
    "physionet": ((".psv",), physionet, read_stays),
}
"""For each data set the suffixes of its raw files, its module, and what reads a list of (path, content)."""

"""A few raw examples of each data set, for the figures (docs/file-formats.md, "Examples")."""

from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from liquidbench.datasets import nmnist, physionet, quickdraw
from liquidbench.datasets.archives import open_members
from liquidbench.datasets.cache import read_split
from liquidbench.datasets.manifest import Manifest
from liquidbench.errors import InputError
from liquidbench.files import written_whole

_DIGIT = "3"
_CATEGORY = "bird"
_DRAWINGS = 3
_LINES = 5
_LONGEST_STAY = 120
_FEWEST_MEASUREMENTS = 6
_BEDSIDE = [physionet.FEATURES.index(name) for name in physionet.VITALS if name != "EtCO2"]


def write_examples(path: str | Path, manifest: Manifest, settings: Any, cache: str | Path) -> None:
    """Write `examples.npz` of a data set.

    Args:
        path: the file to make.
        manifest: the raw files.
        settings: the settings dataclass that the cache was prepared with.
        cache: the prepared cache.

    Raises:
        InputError: a raw file is broken, or there are too few examples.
    """
    pick = {
        "nmnist": lambda: nmnist_example(manifest, settings),
        "quickdraw": lambda: quickdraw_examples(manifest, settings),
        "iam": lambda: iam_examples(cache),
        "physionet": lambda: physionet_example(cache),
    }[manifest.dataset]
    arrays = pick() | {"synthetic": manifest.synthetic, "source": manifest.source}
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def nmnist_example(manifest: Manifest, settings: nmnist.Settings) -> dict[str, Any]:
    """The first training recording of a three, as in the paper's figure."""
    path = manifest.file("train").path
    names = nmnist.list_recordings(path, None)
    name = next(name for name in names if PurePosixPath(name).parent.name == _DIGIT)
    with open_members(path) as members:
        content = members.read(name)
    where = f"{path}, member {name!r}"
    events = nmnist.decode_events(content, settings.overflow_events, where)
    return {
        "x": events.x,
        "y": events.y,
        "polarity": events.polarity,
        "time": events.time.astype(np.int64),
        "label": _DIGIT,
        "id": f"train/{_DIGIT}/{PurePosixPath(name).stem}",
    }


def quickdraw_examples(manifest: Manifest, settings: quickdraw.Settings) -> dict[str, Any]:
    """The first three drawings of birds, or of the first category where there are none."""
    category = _CATEGORY if _CATEGORY in settings.categories else settings.categories[0]
    path = manifest.file(category).path
    drawings = list(islice(quickdraw.read_drawings(path, category, settings, {}), _DRAWINGS))
    _need(path, "drawings", len(drawings), _DRAWINGS)
    arrays: dict[str, Any] = {"category": category}
    for index, drawing in enumerate(drawings):
        points = np.stack([drawing.x, drawing.y, drawing.stroke], axis=1)
        arrays[f"drawing_{index}"] = points.astype(np.float32)
        arrays[f"id_{index}"] = drawing.id
    return arrays


def iam_examples(cache: str | Path) -> dict[str, Any]:
    """Five training lines, from different documents where their names tell, and test lines for the page."""
    lines = read_split(cache, "train")
    _need(cache, "training lines", len(lines), _LINES)
    documents = np.array([_document(name) for name in lines.ids])
    _, first = np.unique(documents, return_index=True)
    first = np.sort(first)
    if len(first) < _LINES:
        first = np.arange(len(lines))
    chosen = lines.subset(first[np.arange(_LINES) * len(first) // _LINES])
    arrays: dict[str, Any] = {}
    for index in range(_LINES):
        columns = chosen.inputs[chosen.offsets[index] : chosen.offsets[index + 1]]
        arrays[f"image_{index}"] = np.ascontiguousarray(columns.T)
        arrays[f"text_{index}"] = chosen.texts[index]
        arrays[f"id_{index}"] = chosen.ids[index]
    return arrays | _test_lines(cache)


def _test_lines(cache: str | Path) -> dict[str, Any]:
    """Of the test lines, ordered by the length of their text, those at a quarter, a half and three quarters."""
    lines = read_split(cache, "test")
    order = np.argsort(np.diff(lines.target_offsets), kind="stable")
    chosen = lines.subset(order[[len(order) * place // 4 for place in (1, 2, 3)]])
    arrays: dict[str, Any] = {}
    for index in range(len(chosen)):
        columns = chosen.inputs[chosen.offsets[index] : chosen.offsets[index + 1]]
        arrays[f"test_image_{index}"] = np.ascontiguousarray(columns.T)
        arrays[f"test_text_{index}"] = chosen.texts[index]
        arrays[f"test_id_{index}"] = chosen.ids[index]
    return arrays


def _document(line: str) -> str:
    """A line's document: its folder, or the form of an IAM name (`a01-000u` of `a01-000u-03`)."""
    return line.rpartition("/")[0] or PurePosixPath(line).stem.rpartition("-")[0]


def physionet_example(cache: str | Path) -> dict[str, Any]:
    """A septic stay whose onset lies well inside the record, with many gaps.

    Among the stays of at most 120 hours with the onset in their middle half, and with every
    bedside vital sign measured at least 6 times, the one where most hours of those vital signs
    are missing. Where no stay is so, the conditions give way from the last to the first.
    """
    stays = read_split(cache, "all")
    septic = np.flatnonzero(stays.targets == 1)
    _need(cache, "septic stays", len(septic), 1)

    def merit(stay: int) -> tuple[bool, bool, float]:
        steps = slice(stays.offsets[stay], stays.offsets[stay + 1])
        hours = stays.lengths[stay]
        onset = np.argmax(stays.step_targets[steps])
        measured = ~np.isnan(stays.inputs[steps][:, _BEDSIDE])
        inside = hours <= _LONGEST_STAY and hours / 4 <= onset <= 3 * hours / 4
        enough = measured.sum(axis=0).min() >= _FEWEST_MEASUREMENTS
        return bool(inside), bool(enough), float(1 - measured.mean())

    stay = max(septic.tolist(), key=merit)
    steps = slice(stays.offsets[stay], stays.offsets[stay + 1])
    return {
        "values": stays.inputs[steps],
        "labels": stays.step_targets[steps],
        "feature_names": np.array(physionet.FEATURES),
        "id": stays.ids[stay],
    }


def _need(where: str | Path, what: str, found: int, needed: int) -> None:
    if found < needed:
        problem = f"{found} {what}, the figures need {needed}"
        raise InputError(where, problem, "Raise the limits of the preparation, or add raw files")

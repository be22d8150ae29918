"""The prepared cache: one HDF5 schema for all data sets (docs/file-formats.md, "Cache").

Sequences of different length lie one after the other, never padded; `offsets` says where each
begins. The same sequences written in the same blocks give the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from liquidbench.datasets.checksum import USER_BLOCK, seal
from liquidbench.datasets.packing import GZIP_LEVEL, Packed
from liquidbench.errors import InputError
from liquidbench.files import written_whole

SCHEMA_VERSION = 1
TASKS = ("classification", "binary", "transcription")
SPLITS = ("train", "validation", "test", "all")

_REMEDY = "Delete it and prepare the data set again"
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Sequences:
    """Sequences of one split, flat: sequence i is steps `offsets[i]:offsets[i + 1]`.

    Attributes:
        inputs: (steps, *features), uint8 or float32; `Packed` on the way to a cache, if compressed already.
        elapsed: (steps,), float32, time since the previous step of the same sequence; 0 at the
            first. The unit is the cache's `elapsed_unit`.
        offsets: (examples + 1,), int64.
        targets: (examples,), int64: class or 0/1; for transcription the flat character codes.
        ids: (examples,), str.
        target_offsets: (examples + 1,), int64: transcription only; text i has the codes
            `targets[target_offsets[i]:target_offsets[i + 1]]`.
        texts: (examples,), str: transcription only.
        step_targets: (steps,), uint8: physionet only, the label of each hour.
        time_since_observation: (steps,), float32: physionet only, hours since the last earlier
            hour with any vital or laboratory value.
        recognized: (examples,), uint8: quickdraw only, whether the game knew the drawing.
    """

    inputs: np.ndarray | Packed
    elapsed: np.ndarray
    offsets: np.ndarray
    targets: np.ndarray
    ids: np.ndarray
    target_offsets: np.ndarray | None = None
    texts: np.ndarray | None = None
    step_targets: np.ndarray | None = None
    time_since_observation: np.ndarray | None = None
    recognized: np.ndarray | None = None

    def __len__(self) -> int:
        """The number of sequences."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each sequence, (examples,), int64."""
        return np.diff(self.offsets)

    def subset(self, indices: np.ndarray) -> "Sequences":
        """The sequences at `indices` (integers, (n,)), in that order, as new arrays."""
        indices = np.asarray(indices, dtype=np.int64)
        steps, offsets = _gather(self.offsets, indices)
        if self.target_offsets is None:
            targets, target_offsets = indices, None
        else:
            targets, target_offsets = _gather(self.target_offsets, indices)
        return Sequences(
            inputs=self.inputs[steps],
            elapsed=self.elapsed[steps],
            offsets=offsets,
            targets=self.targets[targets],
            ids=self.ids[indices],
            target_offsets=target_offsets,
            texts=None if self.texts is None else self.texts[indices],
            step_targets=None if self.step_targets is None else self.step_targets[steps],
            time_since_observation=(
                None if self.time_since_observation is None else self.time_since_observation[steps]
            ),
            recognized=None if self.recognized is None else self.recognized[indices],
        )


def _gather(offsets: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the flat arrays of the sequences at `indices`, and their own offsets."""
    lengths = offsets[1:][indices] - offsets[:-1][indices]
    own = offsets_of(lengths)
    return np.repeat(offsets[:-1][indices] - own[:-1], lengths) + np.arange(own[-1]), own


def offsets_of(lengths: np.ndarray | list[int]) -> np.ndarray:
    """(n,) lengths to (n + 1,) int64 offsets, beginning with 0."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@dataclass(frozen=True)
class CacheAttributes:
    """What a cache says of itself: its root attributes.

    `classes` are class names or the alphabet's characters without the blank. `settings` are what
    prepared it, `raw_sha256` maps role to sum. `tallies` maps names to counts of what the
    preparation left out or changed, such as ``train.events_outside``.
    """

    dataset: str
    source: str
    synthetic: bool
    task: str
    elapsed_unit: str
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    settings: Mapping[str, Any]
    raw_sha256: Mapping[str, str]
    code_sha256: str
    tallies: Mapping[str, int] = field(default_factory=dict)


_JSON_ATTRIBUTES = ("feature_names", "classes", "settings", "raw_sha256", "tallies")
# Arrays with an entry per step are streamed; the others are small and written at the end.
_STEP_ARRAYS = ("inputs", "elapsed", "step_targets", "time_since_observation")


class CacheWriter:
    """Write a cache block by block, whole or not at all.

    Use as a context manager; when the block raises, no file remains::

        with CacheWriter(path, attributes) as writer:
            writer.append("train", block)

    Args:
        path: the file to make.
        attributes: the root attributes. `tallies` are added to with `count`.
    """

    def __init__(self, path: str | Path, attributes: CacheAttributes) -> None:
        self._path, self._attributes = Path(path), attributes
        self._tallies = dict(attributes.tallies)
        self._blocks: dict[str, list[Sequences]] = {}

    def __enter__(self) -> "CacheWriter":
        self._whole = written_whole(self._path)
        self._temporary = self._whole.__enter__()
        try:
            self._file = h5py.File(self._temporary, "w", userblock_size=USER_BLOCK)
        except BaseException as error:
            self._give_up(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            try:
                if error is None:
                    self._finish()
            finally:
                # On a full disk this fails too, whatever failed before.
                self._file.close()
            if error is None:
                seal(self._temporary)
        except BaseException as failure:
            self._give_up(error or failure)
            raise
        self._whole.__exit__(kind, error, trace)

    def _give_up(self, error: BaseException) -> None:
        """Have the half-written file removed; raises what `written_whole` makes of a full disk."""
        self._whole.__exit__(type(error), error, error.__traceback__)

    def append(self, split: str, block: Sequences) -> None:
        """Add the sequences of `block` to a split.

        Raises:
            ValueError: the block's arrays do not fit together (a mistake in the caller).
        """
        if split not in SPLITS:
            raise ValueError(f"no split is called {split!r}")
        problem = _misfit(block)
        if problem:
            raise ValueError(f"block for {split}: {problem}")
        group = self._file.require_group(split)
        for name in _STEP_ARRAYS:
            values = getattr(block, name)
            if values is not None:
                _append_steps(group, name, values)
        # Only what `_finish` needs stays in memory.
        nothing = np.empty(0, dtype=np.float32)
        kept = replace(
            block, inputs=nothing, elapsed=nothing, step_targets=None, time_since_observation=None
        )
        self._blocks.setdefault(split, []).append(kept)

    def count(self, name: str, amount: int) -> None:
        """Add `amount` to the tally `name`."""
        self._tallies[name] = self._tallies.get(name, 0) + int(amount)

    def _finish(self) -> None:
        if not any(len(block) for blocks in self._blocks.values() for block in blocks):
            raise ValueError("a cache without any sequence")
        attributes = replace(self._attributes, tallies=self._tallies)
        self._file.attrs["schema_version"] = SCHEMA_VERSION
        for entry in fields(attributes):
            value = getattr(attributes, entry.name)
            if entry.name in _JSON_ATTRIBUTES:
                value = json.dumps(value, sort_keys=True, ensure_ascii=False)
            self._file.attrs[entry.name] = value
        for split, blocks in self._blocks.items():
            group = self._file[split]
            lengths = np.concatenate([block.lengths for block in blocks])
            _write(group, "offsets", offsets_of(lengths))
            _write(group, "targets", np.concatenate([block.targets for block in blocks]))
            _write_strings(group, "ids", [str(i) for block in blocks for i in block.ids])
            if blocks[0].recognized is not None:
                recognized = np.concatenate([block.recognized for block in blocks])
                _write(group, "recognized", recognized, np.uint8)
            if blocks[0].target_offsets is not None:
                counts = np.concatenate([np.diff(block.target_offsets) for block in blocks])
                _write(group, "target_offsets", offsets_of(counts))
                _write_strings(group, "texts", [str(t) for block in blocks for t in block.texts])


def _append_steps(group: h5py.Group, name: str, values: np.ndarray | Packed) -> None:
    if name not in group:
        step_bytes = values.dtype.itemsize * int(np.prod(values.shape[1:]))
        packed = isinstance(values, Packed)
        rows = values.rows if packed else max(1, _CHUNK_BYTES // step_bytes)
        group.create_dataset(
            name,
            shape=(0, *values.shape[1:]),
            maxshape=(None, *values.shape[1:]),
            chunks=(rows, *values.shape[1:]),
            dtype=values.dtype,
            compression="gzip",
            compression_opts=GZIP_LEVEL,
            # Not shuffled: the same few numbers come again and again, and are found as whole ones.
        )
    array = group[name]
    start = array.shape[0]
    array.resize(start + len(values), axis=0)
    if isinstance(values, Packed):
        _write_chunks(array, start, values)
    else:
        array[start:] = values


def _write_chunks(array: h5py.Dataset, start: int, values: Packed) -> None:
    if start % values.rows or array.chunks[0] != values.rows:
        raise ValueError(f"chunks of {values.rows} entries do not fit {array.name} at {start}")
    for number, chunk in enumerate(values.chunks):
        place = (start + number * values.rows, *(0 for _ in values.shape[1:]))
        array.id.write_direct_chunk(place, chunk)


def _write(
    group: h5py.Group, name: str, values: np.ndarray, kind: type[np.integer] = np.int64
) -> None:
    group.create_dataset(name, data=values.astype(kind), compression="gzip", shuffle=True)


def _write_strings(group: h5py.Group, name: str, values: list[str]) -> None:
    # Fixed-length UTF-8: unlike variable-length strings they compress, and the same strings
    # give the same bytes.
    encoded = [value.encode() for value in values]
    kind = h5py.string_dtype("utf-8", max(1, max(map(len, encoded), default=1)))
    group.create_dataset(name, data=np.array(encoded, dtype=kind), compression="gzip")


def read_attributes(path: str | Path) -> CacheAttributes:
    """Read the root attributes of a cache.

    Raises:
        InputError: the file is missing, broken or of another schema.
    """
    with _opened(path) as file:
        return _attributes_of(path, file)


def read_split_names(path: str | Path) -> tuple[str, ...]:
    """The splits that a cache holds: ("train", "test"), also with "validation", or ("all",).

    Raises:
        InputError: the file is missing, broken or of another schema.
    """
    with _opened(path) as file:
        _attributes_of(path, file)
        return tuple(split for split in SPLITS if split in file)


def read_split(path: str | Path, split: str) -> Sequences:
    """Read all sequences of one split into memory.

    Args:
        path: the cache.
        split: ``train``, ``validation``, ``test`` or ``all``.

    Raises:
        InputError: the file is missing, broken or of another schema, or has no such split.
    """
    with _opened(path) as file:
        _attributes_of(path, file)
        if split not in file:
            held = ", ".join(name for name in SPLITS if name in file)
            raise InputError(path, f"has no group {split!r}, only {held}", _REMEDY)
        group, arrays = file[split], {}
        try:
            for entry in fields(Sequences):
                if entry.name in group:
                    array = group[entry.name]
                    strings = h5py.check_string_dtype(array.dtype) is not None
                    arrays[entry.name] = array.asstr()[()].astype(str) if strings else array[()]
        except (OSError, RuntimeError, ValueError, AttributeError) as error:
            raise InputError(path, f"group {split!r} is not readable ({error})", _REMEDY) from None
    where = f"{path}, group {split!r}"
    missing = {"inputs", "elapsed", "offsets", "targets", "ids"} - set(arrays)
    if missing:
        raise InputError(where, f"lacks the arrays {', '.join(sorted(missing))}", _REMEDY)
    sequences = Sequences(**arrays)
    problem = _misfit(sequences)
    if problem:
        raise InputError(where, problem, _REMEDY)
    return sequences


def _opened(path: str | Path) -> h5py.File:
    if not Path(path).is_file():
        raise InputError(path, "no such file", "Run the prepare stage of its data set")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(path, f"not a readable HDF5 file ({error})", _REMEDY) from None


def _attributes_of(path: str | Path, file: h5py.File) -> CacheAttributes:
    version = file.attrs.get("schema_version")
    if version is None or version != SCHEMA_VERSION:
        problem = f"schema_version is {version}, expected {SCHEMA_VERSION}"
        raise InputError(path, problem, _REMEDY)
    values: dict[str, Any] = {}
    for entry in fields(CacheAttributes):
        name = entry.name
        if name not in file.attrs:
            raise InputError(path, f"has no attribute {name!r}", _REMEDY)
        value = file.attrs[name]
        try:
            values[name] = json.loads(value) if name in _JSON_ATTRIBUTES else value
        except (TypeError, ValueError):
            raise InputError(path, f"attribute {name!r} is not JSON", _REMEDY) from None
    values["synthetic"] = bool(values["synthetic"])
    values["feature_names"] = tuple(values["feature_names"])
    values["classes"] = tuple(values["classes"])
    if values["task"] not in TASKS:
        problem = f"task is {values['task']!r}, expected one of {', '.join(TASKS)}"
        raise InputError(path, problem, _REMEDY)
    return CacheAttributes(**values)


def _misfit(sequences: Sequences) -> str | None:
    """What does not fit together among the arrays, or None."""
    examples, steps = len(sequences.ids), len(sequences.inputs)
    if (sequences.target_offsets is None) != (sequences.texts is None):
        return "target_offsets and texts go together"
    if not _are_offsets(sequences.offsets, examples, steps):
        return f"offsets do not lead over {examples} sequences and {steps} steps"
    if examples and not np.diff(sequences.offsets).all():
        return "a sequence has no step"
    if sequences.target_offsets is None:
        if len(sequences.targets) != examples:
            return f"{len(sequences.targets)} targets for {examples} sequences"
    elif not _are_offsets(sequences.target_offsets, examples, len(sequences.targets)):
        return f"target_offsets do not lead over {len(sequences.targets)} character codes"
    if sequences.texts is not None and len(sequences.texts) != examples:
        return f"{len(sequences.texts)} texts for {examples} sequences"
    if sequences.recognized is not None and len(sequences.recognized) != examples:
        return f"recognized has {len(sequences.recognized)} entries for {examples} sequences"
    for name in _STEP_ARRAYS:
        values = getattr(sequences, name)
        if values is not None and len(values) != steps:
            return f"{name} has {len(values)} steps, inputs have {steps}"
    return None


def _are_offsets(offsets: np.ndarray, parts: int, total: int) -> bool:
    return (
        len(offsets) == parts + 1
        and offsets[0] == 0
        and offsets[-1] == total
        and bool(np.all(np.diff(offsets) >= 0))
    )

"""PhysioNet/CinC Challenge 2019: hourly clinical records with the hour of sepsis labelled.

Format (physionet.org/content/challenge-2019): one `.psv` file a patient, 41 columns separated
by `|`, a line an hour, NaN for "not measured".
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from liquidbench.datasets.archives import Members, open_members
from liquidbench.datasets.cache import CacheWriter, Sequences, offsets_of
from liquidbench.datasets.manifest import Manifest
from liquidbench.datasets.observations import OBSERVED, time_since_observation
from liquidbench.datasets.preparation import cache_attributes, check_count, check_names
from liquidbench.datasets.workers import blocks_of, map_members
from liquidbench.errors import InputError

VITALS = ("HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp", "EtCO2")
LABORATORY = (
    *("BaseExcess", "HCO3", "FiO2", "pH", "PaCO2", "SaO2", "AST", "BUN", "Alkalinephos"),
    *("Calcium", "Chloride", "Creatinine", "Bilirubin_direct", "Glucose", "Lactate"),
    *("Magnesium", "Phosphate", "Potassium", "Bilirubin_total", "TroponinI", "Hct", "Hgb"),
    *("PTT", "WBC", "Fibrinogen", "Platelets"),
)
DEMOGRAPHICS = ("Age", "Gender", "Unit1", "Unit2", "HospAdmTime")
COLUMNS = (*VITALS, *LABORATORY, *DEMOGRAPHICS, "ICULOS", "SepsisLabel")
FEATURES = COLUMNS[:-2]
"""The 39 input variables. ICULOS is not among them: the elapsed time takes its place."""

CLASSES = ("no sepsis", "sepsis")
_HEADER = "|".join(COLUMNS).encode()
_BLOCK = 512
_HOSPITALS = ("a", "b")
_REMEDY = "Fetch the data set again, or correct the file"


@dataclass(frozen=True)
class Settings:
    """How PhysioNet 2019 is prepared.

    Attributes:
        hospitals: training sets to use, of ``a`` and ``b``.
        limit_patients: number of patients to keep, evenly spaced over the sorted files of each
            hospital together.
    """

    hospitals: tuple[str, ...] = ("a",)
    limit_patients: int | None = None

    def __post_init__(self) -> None:
        check_names("physionet.hospitals", self.hospitals, at_least=1)
        for hospital in self.hospitals:
            if hospital not in _HOSPITALS:
                problem = f"names {hospital!r}, expected some of a, b"
                raise InputError("physionet.hospitals", problem, "Change the configuration")
        check_count("physionet.limit_patients", self.limit_patients, optional=True)


class _Record(NamedTuple):
    """A patient's file without its header, and how an error names it."""

    where: str
    body: bytes
    hours: int


def parse_records(files: list[tuple[str, bytes]]) -> tuple[np.ndarray, np.ndarray]:
    """Parse many `.psv` files at once.

    Args:
        files: (where, content) of each; `where` is how an error names the file.

    Returns:
        (values, offsets): float64 (hours, 41) with NaN for "not measured", in the order of
        `COLUMNS`; and int64 (files + 1,).

    Raises:
        InputError: columns are missing, a value is no number, hours do not ascend, or a label is
            not 0 or 1. The message names the file and the line.
    """
    records = [_record(where, content) for where, content in files]
    offsets = offsets_of([record.hours for record in records])
    # One parse for all: a call a file would take many times as long.
    try:
        values = _parse(b"".join(record.body for record in records))
    except pa.ArrowInvalid:
        raise _parse_error(records) from None
    if len(values) != offsets[-1]:
        raise _parse_error(records)
    _check_values(values, offsets, records)
    return values, offsets


def _record(where: str, content: bytes) -> _Record:
    header, _, body = content.replace(b"\r\n", b"\n").partition(b"\n")
    if header != _HEADER:
        found = header.decode(errors="replace").split("|")
        missing = [name for name in COLUMNS if name not in found]
        unknown = [name for name in found if name not in COLUMNS]
        if missing:
            problem = f"lacks the column(s) {', '.join(missing)} of the official {len(COLUMNS)}"
        elif unknown:
            problem = f"has columns that the official format has not: {', '.join(unknown)}"
        else:
            problem = "the columns are not in the official order, or one is there twice"
        raise InputError(f"{where}, line 1", problem, _REMEDY)
    body = body.rstrip(b"\n") + b"\n"
    if not body.strip():
        raise InputError(where, "has no hour", _REMEDY)
    return _Record(where, body, body.count(b"\n"))


def _parse(body: bytes) -> np.ndarray:
    table = csv.read_csv(
        pa.py_buffer(body),
        read_options=csv.ReadOptions(column_names=COLUMNS, use_threads=False),
        parse_options=csv.ParseOptions(delimiter="|", quote_char=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(COLUMNS, pa.float64()), null_values=["NaN", ""]
        ),
    )
    # As tensors: the columns' own way to NumPy would load pandas, which takes longer than some blocks.
    return np.concatenate(
        [batch.to_tensor(null_to_nan=True).to_numpy() for batch in table.to_batches()]
    )


def _parse_error(records: list[_Record]) -> InputError:
    """Find the first line that does not parse; only reached when something is wrong."""
    for record in records:
        for number, line in enumerate(record.body.splitlines(), start=2):
            where, fields = f"{record.where}, line {number}", line.decode(errors="replace")
            if len(fields.split("|")) != len(COLUMNS):
                found = len(fields.split("|"))
                return InputError(where, f"has {found} fields, expected {len(COLUMNS)}", _REMEDY)
            try:
                _parse(line + b"\n")
            except pa.ArrowInvalid as error:
                for name, value in zip(COLUMNS, fields.split("|"), strict=True):
                    if not _is_number(value):
                        problem = f"{name} is {value!r}, expected a number or NaN"
                        return InputError(where, problem, _REMEDY)
                return InputError(where, f"does not parse ({error})", _REMEDY)
    names = f"{records[0].where} to {records[-1].where}"
    return InputError(names, "these files do not parse together", _REMEDY)


def _is_number(value: str) -> bool:
    try:
        float(value or "nan")
    except ValueError:
        return False
    return True


def _check_values(values: np.ndarray, offsets: np.ndarray, records: list[_Record]) -> None:
    hour, label = values[:, -2], values[:, -1]
    first = np.zeros(len(values), dtype=bool)
    first[offsets[:-1]] = True
    with np.errstate(invalid="ignore"):
        ascending = first | (np.diff(hour, prepend=np.nan) > 0)
    for good, problem in (
        (
            ~(np.abs(values) > np.finfo(np.float32).max).any(axis=1),
            "a value is infinite, or too large for float32",
        ),
        (np.isfinite(hour), "ICULOS is missing"),
        (ascending, "ICULOS is not above that of the hour before"),
        ((label == 0) | (label == 1), "SepsisLabel is not 0 or 1"),
    ):
        if not good.all():
            row = int(np.argmin(good))
            patient = int(np.searchsorted(offsets, row, side="right")) - 1
            line = row - int(offsets[patient]) + 2
            raise InputError(f"{records[patient].where}, line {line}", problem, _REMEDY)


def prepare(manifest: Manifest, settings: Settings, cache: str | Path, threads: int) -> None:
    """Prepare PhysioNet 2019: the one group `all`, a step an hour.

    Raises:
        InputError: a file is broken, there is no patient, or none with or none without sepsis.
    """
    roles = {hospital: f"set_{hospital}" for hospital in settings.hospitals}
    attributes = cache_attributes(
        manifest,
        settings,
        task="binary",
        elapsed_unit="hours",
        feature_names=FEATURES,
        classes=CLASSES,
        roles=tuple(roles.values()),
    )
    paths = {hospital: manifest.file(role).path for hospital, role in roles.items()}
    septic = patients = 0
    with CacheWriter(cache, attributes) as writer:
        for hospital, names in _list_patients(paths, settings.limit_patients).items():
            prefix = f"{hospital}/" if len(paths) > 1 else ""
            read = partial(_read_block, prefix=prefix)
            for block in map_members(paths[hospital], read, blocks_of(names, _BLOCK), threads):
                writer.append("all", block)
                septic += int(block.targets.sum())
                patients += len(block)
        if septic in (0, patients):
            problem = f"{septic} of {patients} patients have sepsis: there must be some of both"
            raise InputError(manifest.path, problem, "Raise limit_patients or fetch more files")


def _list_patients(paths: dict[str, Path], limit: int | None) -> dict[str, list[str]]:
    """The members to read by hospital, sorted; evenly spaced over all of them if limited."""
    found: list[tuple[str, str]] = []
    for hospital, path in paths.items():
        with open_members(path) as members:
            names = [name for name in members.names if name.endswith(".psv")]
        if not names:
            raise InputError(path, "holds no .psv file", "Fetch the data set again")
        stems = [PurePosixPath(name).stem for name in names]
        if len(set(stems)) < len(stems):
            problem = f"holds {len(stems)} .psv files for {len(set(stems))} different patients"
            raise InputError(path, problem, "Leave each patient's file there once")
        found += [(hospital, name) for name in names]
    if limit is not None and limit < len(found):
        found = [found[index * len(found) // limit] for index in range(limit)]
    return {hospital: [name for owner, name in found if owner == hospital] for hospital in paths}


def _read_block(members: Members, names: list[str], *, prefix: str) -> Sequences:
    files = [(f"{members.path}, member {name!r}", members.read(name)) for name in names]
    return encode_stays(files, [prefix + PurePosixPath(name).stem for name in names])


def encode_stays(files: list[tuple[str, bytes]], ids: list[str]) -> Sequences:
    """Many `.psv` files as the cache has them.

    Args:
        files: (where, content) of each; `where` is how an error names the file.
        ids: of each.

    Raises:
        InputError: as `parse_records`.
    """
    values, offsets = parse_records(files)
    hour, label = values[:, -2], values[:, -1].astype(np.uint8)
    elapsed = np.diff(hour, prepend=hour[0])
    elapsed[offsets[:-1]] = 0
    observed = ~np.isnan(values[:, :OBSERVED]).all(axis=1)
    return Sequences(
        inputs=values[:, : len(FEATURES)].astype(np.float32),
        elapsed=elapsed.astype(np.float32),
        offsets=offsets,
        targets=np.maximum.reduceat(label, offsets[:-1]).astype(np.int64),
        ids=np.array(ids),
        step_targets=label,
        time_since_observation=time_since_observation(observed, hour, offsets),
    )

"""Pack the runs of a study for a public place: no data in them, and no file larger than such places take.

What an archive of runs tells of the data is left out or counted: the examples for the figures, and the texts of lines,
in whose place `line_errors.csv` says how long each line is and how many errors its readings have. What stays are the
identifiers, labels and answers of test examples, without which nothing can be paired.
"""

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from liquidbench.errors import InputError
from liquidbench.files import read_json
from liquidbench.reporting.line_errors import LINE_ERRORS, lines_read
from liquidbench.sharing.contents import METRICS, RESULTS, ArchiveManifest, names_below
from liquidbench.sharing.exporting import configuration_member, finished_of, write_archive

LARGEST_PART = 4_900_000
"""Bytes of one archive."""
# A name stands in a zip file twice, and in the manifest once, with sizes and sums: bytes for each member, and more
# than it takes.
_PER_MEMBER = 500
# No report reads them.
_UNREAD = ("scaling.json", "validation_predictions.csv")
_TEXTS = "predictions.csv"


def publish_study(
    results: Path,
    runs: Iterable[str],
    config: Mapping[str, Any],
    out: Path,
    largest: int = LARGEST_PART,
) -> list[ArchiveManifest]:
    """Write the archives ``part-1.zip``, ``part-2.zip`` and so on; the same runs give the same bytes.

    The files of a run are in one part, and each part can be imported alone. Only the first names what is missing.

    Args:
        results: the results folder.
        runs: the configured run directories, relative to it.
        config: the whole configuration.
        out: the folder for the archives, empty or not there.
        largest: bytes of one archive, at most.

    Returns:
        What each part says of itself.

    Raises:
        InputError: no run has finished, a run alone is larger than `largest`, or a run is damaged.
    """
    runs = sorted(set(runs))
    finished = finished_of(results, runs)
    files: dict[str, dict[str, bytes]] = {run: {} for run in sorted(finished)}
    for name in names_below(results, weights=False):
        run, _, file = name.rpartition("/")
        if run in finished and file not in _UNREAD:
            own = _without_texts(results, run, file)
            files[run] |= {f"{RESULTS}{run}/{name}": content for name, content in own.items()}
    missing = [run for run in runs if run not in finished]
    manifests = []
    room = (
        largest
        - len(zlib.compress(configuration_member(config)))
        - _PER_MEMBER * (len(missing) + 3)
    )
    out.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(_parts(files, room, results), start=1):
        members = {name: content for run in part for name, content in files[run].items()}
        told = missing if number == 1 else []
        path = out / f"part-{number}.zip"
        manifests.append(write_archive(path, config, members, len(part), told))
    return manifests


def _without_texts(results: Path, run: str, file: str) -> dict[str, bytes]:
    """A file of a run; where it holds the texts of lines, what is counted in them."""
    if file == LINE_ERRORS and (results / run / _TEXTS).is_file():
        return {}
    if file != _TEXTS or read_json(results / run / METRICS).get("task") != "transcription":
        return {file: (results / run / file).read_bytes()}
    table = lines_read(results / run).to_csv(index=False, lineterminator="\n")
    return {LINE_ERRORS: table.encode("utf-8")}


def _parts(files: Mapping[str, Mapping[str, bytes]], room: int, results: Path) -> list[list[str]]:
    """The runs in order, as many to a part as fit into `room` bytes."""
    parts: list[list[str]] = []
    left = -1
    for run, own in files.items():
        size = sum(len(zlib.compress(content)) + _PER_MEMBER for content in own.values())
        if size > room:
            problem = f"takes {size:,} bytes packed, {room:,} are there for a part"
            raise InputError(results / run, problem, "Leave its model out of the configuration")
        if size > left:
            parts.append([])
            left = room
        parts[-1].append(run)
        left -= size
    return parts

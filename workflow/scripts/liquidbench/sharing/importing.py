"""Unpack an archive of runs: checked name by name and byte by byte, and put in place whole or not at all."""

import json
import os
import shlex
import shutil
import tempfile
import time
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from liquidbench.errors import InputError
from liquidbench.files import sha256_of_code
from liquidbench.sharing.archive import Archive
from liquidbench.sharing.configurations import added_by, alone
from liquidbench.sharing.contents import (
    METRICS,
    RESULTS,
    ArchiveManifest,
    Content,
    names_below,
    shortened,
)
from liquidbench.stages import parts_of

# Older than any run: Snakemake then computes the summaries anew, from the runs and with the code that is here.
_LONG_AGO = 315_532_800.0


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        manifest: what the archive says of itself.
        configuration: the file to name after --configfile.
        new: number of files put in place; all others were there with the same content.
        notes: why what is drawn here may differ from what was drawn there.
    """

    manifest: ArchiveManifest
    configuration: Path
    new: int
    notes: list[str]

    def told(self) -> list[str]:
        """For the user: what came, and the command that draws it."""
        manifest = self.manifest
        lines = [f"{manifest.study}: {manifest.finished} runs, {self.new} new files"]
        if manifest.missing:
            lines.append(f"not in the archive, though configured: {shortened(manifest.missing)}")
        lines += [f"ATTENTION: {note}" for note in self.notes]
        command = "snakemake tables figures claims report --cores 1 --configfile"
        return [*lines, "draw it:", f"  {command} {shlex.quote(str(self.configuration))}"]


def import_archive(archive: Path, into: Path, project: Path, overwrite: bool = False) -> Imported:
    """Put the runs of an archive into the results folder of its configuration, below `into`.

    Everything is unpacked beside its place and compared with the manifest before the first file is moved. If
    moving fails, what was moved is taken back.

    Args:
        archive: the zip file.
        into: the folder that the configuration's `paths` start from.
        project: the folder of the Snakefile, with which the runs will be drawn.
        overwrite: replace files of runs that are there with other content. Where the metrics differ, the run is of
            another training: what the archive does not have of it, such as weights, is deleted. Summaries are always
            replaced.

    Raises:
        InputError: the archive is damaged, holds what it must not, or a file that is there differs.
    """
    with Archive(archive) as content:
        config = alone(project, content.configuration())
        results = into / config["paths"]["results"]
        config["paths"] = {name: str(into / path) for name, path in config["paths"].items()}
        written = (json.dumps(config, indent=1, ensure_ascii=False) + "\n").encode()
        place = _free_place(results / "imported", archive.stem, written)
        differing = [
            name
            for name, expected in content.manifest.of_results().items()
            if not name.startswith("summary/") and _state(results / name, expected) == "changed"
        ]
        if differing and not overwrite:
            raise InputError(
                results,
                f"there already, with other content: {shortened(differing)}",
                "Name another folder with --into, or replace them with --overwrite",
            )
        staging = Path(tempfile.mkdtemp(prefix=".import-", dir=_nearest(results)))
        try:
            moves = _unpack(content, results, staging)
            unpacked = staging / "configuration"
            unpacked.write_bytes(written)
            outdated = _of_other_trainings(content.manifest, results, moves)
            _move(moves | {place: unpacked}, outdated, staging)
        except OSError as error:
            remedy = "Make room or correct the permissions, then import again: nothing was changed"
            raise InputError(results, f"cannot be written ({error})", remedy) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    notes = _notes(content.manifest, config, project)
    others = sorted(path.name for path in place.parent.glob("*.json") if path != place)
    if others:
        notes.append(
            f"{shortened(others)} was imported here too: each configuration draws its own runs; to draw them together, "
            "list the seeds and models of all in one"
        )
    return Imported(content.manifest, place, len(moves), notes)


def _free_place(folder: Path, stem: str, content: bytes) -> Path:
    """Where a configuration of this content is, or may be put without replacing that of another import."""
    names = chain([f"{stem}.json"], (f"{stem}-{number}.json" for number in count(2)))
    expected = Content.of_bytes(content)
    return next(folder / name for name in names if _state(folder / name, expected) != "changed")


def _notes(manifest: ArchiveManifest, config: dict[str, Any], project: Path) -> list[str]:
    notes = []
    if manifest.code_sha256 != sha256_of_code(*parts_of("report")):
        notes.append("the reporting code here is another version: tables may differ")
    # How figures are drawn is nothing that a run could miss.
    added = [name for name in added_by(project, config) if name.partition(".")[0] != "figures"]
    if added:
        notes.append(
            f"config/config.yaml here adds {shortened(added)} to the study: what has no run is listed as missing"
        )
    return notes


def problems_with(archive: Path, into: Path) -> list[str]:
    """Compare the results folder below `into` with an archive, all of which is verified too.

    Returns:
        A line for each file that is changed, missing or additional, sorted; empty if there is none.

    Raises:
        InputError: the archive itself is damaged.
    """
    with Archive(archive) as content:
        for _ in content.files():
            pass
        results = into / content.configuration()["paths"]["results"]
        expected = content.manifest.of_results()
        states = {name: _state(results / name, one) for name, one in expected.items()}
        there = names_below(results, content.manifest.weights)
        states |= {name: "additional" for name in there if name not in expected}
    return [f"{state}: {results / name}" for name, state in sorted(states.items()) if state]


def _state(path: Path, expected: Content) -> str:
    """How a file differs from what is expected of it: changed, missing, or empty."""
    if not path.is_file():
        return "changed" if path.exists() else "missing"
    if path.stat().st_size != expected.size:
        return "changed"
    return "" if Content.of_file(path) == expected else "changed"


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: on the same disk as what will be made."""
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _unpack(content: Archive, results: Path, staging: Path) -> dict[Path, Path]:
    """Unpack what is not there yet into `staging`; place to unpacked file, in the order to move them in."""
    needed = sum(entry.size for entry in content.manifest.files.values())
    free = shutil.disk_usage(staging).free
    if free < needed:
        problem = f"{free:,} bytes are free, the archive needs {needed:,}"
        raise InputError(results, problem, "Make room, or name another folder with --into")
    moves, now = {}, time.time()
    for number, (name, data) in enumerate(content.files()):
        if _state(results / name, content.manifest.files[RESULTS + name]) == "":
            continue
        unpacked = staging / str(number)
        unpacked.write_bytes(data)
        date = _LONG_AGO if name.startswith("summary/") else now
        os.utime(unpacked, (date, date))
        moves[results / name] = unpacked
    # A run counts once it has its metrics: they come last.
    return dict(sorted(moves.items(), key=lambda move: (move[0].name == METRICS, move[0])))


def _of_other_trainings(
    manifest: ArchiveManifest, results: Path, moves: dict[Path, Path]
) -> list[Path]:
    """What is there of runs that are replaced by others, and does not come with these."""
    coming = {results / name for name in manifest.of_results()}
    replaced = [place.parent for place in moves if place.name == METRICS and place.exists()]
    there = (file for run in replaced for file in run.iterdir() if file.is_file())
    return sorted(file for file in there if file not in coming)


def _move(moves: dict[Path, Path], outdated: list[Path], staging: Path) -> None:
    """Delete outdated files and move others to their places; if one cannot be, all places are as before."""
    kept: dict[Path, Path] = {}
    moved: list[Path] = []
    made: list[Path] = []
    try:
        for number, place in enumerate(outdated):
            kept[place] = place.replace(staging / f"outdated-{number}")
        for number, (place, unpacked) in enumerate(moves.items()):
            made += [folder for folder in reversed(place.parents) if not folder.exists()]
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                kept[place] = place.replace(staging / f"kept-{number}")
            unpacked.replace(place)
            moved.append(place)
    except BaseException:
        for place in moved:
            place.unlink()
        for place, file in kept.items():
            file.replace(place)
        for folder in reversed(made):
            folder.rmdir()
        raise

"""Pack the runs of a study into one zip archive; the same files give the same bytes."""

import argparse
import json
import shutil
import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from liquidbench.errors import InputError
from liquidbench.files import json_object, sha256_of_code, written_whole
from liquidbench.reporting.runs import parse_runs
from liquidbench.sharing.configurations import portable
from liquidbench.sharing.contents import (
    CONFIGURATION,
    MANIFEST,
    METRICS,
    RESULTS,
    WEIGHTS,
    ArchiveManifest,
    Content,
    names_below,
    shortened,
)
from liquidbench.stages import parts_of

# The earliest date that a zip file can hold: the clock must not reach the bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def export_study(
    results: Path, runs: Iterable[str], config: Mapping[str, Any], out: Path, weights: bool
) -> ArchiveManifest:
    """Write the archive of a study, whole or not at all.

    Args:
        results: the results folder.
        runs: the configured run directories, relative to it. Those that have not finished are named as missing.
        config: the whole configuration.
        out: the zip file to write.
        weights: also pack the trained weights.

    Returns:
        What the archive says of itself.

    Raises:
        InputError: no run has finished, or weights are asked for and a run has none.
    """
    runs = sorted(set(runs))
    finished = finished_of(results, runs)
    bare = [
        run
        for run in sorted(finished)
        if (results / run / "architecture.json").is_file()
        and not (results / run / WEIGHTS).is_file()
    ]
    if weights and bare:
        remedy = "Take the target export, which leaves them out"
        raise InputError(results, f"no {WEIGHTS} in {shortened(bare)}", remedy)
    datasets = {run.split("/")[0] for run in runs}
    names = [
        name
        for name in names_below(results, weights)
        if name.rpartition("/")[0] in finished | datasets | {"summary"}
    ]
    missing = [run for run in runs if run not in finished]
    files = {RESULTS + name: results / name for name in names}
    return write_archive(out, config, files, len(finished), missing, weights)


def finished_of(results: Path, runs: Iterable[str]) -> set[str]:
    """The run directories that have their metrics.

    Raises:
        InputError: none has.
    """
    finished = {run for run in runs if (results / run / METRICS).is_file()}
    if not finished:
        raise InputError(results, "no configured run has finished", "Run the study first")
    return finished


def configuration_member(config: Mapping[str, Any]) -> bytes:
    """The bytes of a study's configuration, as it travels."""
    return (json.dumps(portable(config), indent=1, ensure_ascii=False) + "\n").encode()


def write_archive(
    out: Path,
    config: Mapping[str, Any],
    files: Mapping[str, bytes | Path],
    finished: int,
    missing: Iterable[str],
    weights: bool = False,
) -> ArchiveManifest:
    """Write an archive, whole or not at all: the same files in the same order give the same bytes.

    Args:
        out: the zip file.
        config: the whole configuration.
        files: name in the archive to content, or to the file that holds it.
        finished: number of runs that are in it.
        missing: the run directories that it tells as not finished.
        weights: whether trained weights are in it.

    Returns:
        What it says of itself.
    """
    members = {CONFIGURATION: configuration_member(config), **files}
    manifest = ArchiveManifest(
        study=config["study"],
        weights=weights,
        code_sha256=sha256_of_code(*parts_of("report")),
        finished=finished,
        missing=tuple(missing),
        files={
            name: Content.of_bytes(content)
            if isinstance(content, bytes)
            else Content.of_file(content)
            for name, content in members.items()
        },
    )
    members = {MANIFEST: manifest.as_json(), **members}
    with written_whole(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in members.items():
            member = _member(name)
            if isinstance(content, bytes):
                archive.writestr(member, content)
                continue
            # Known beforehand, so that a file above 2 GiB gets a header that can hold its size.
            member.file_size = content.stat().st_size
            with content.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    return manifest


def add_packing_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every command that packs runs has: `results`, `runs` and `configuration`, for `read_packing`."""
    parser.add_argument("--results", type=Path, required=True, help="folder of the runs")
    parser.add_argument(
        "--runs",
        required=True,
        help='configured runs, a JSON list of {"dataset", "protocol", "model", "seeds"}',
    )
    parser.add_argument("--configuration", required=True, help="the whole one, as JSON")


def read_packing(arguments: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """The configured run directories and the configuration that the options name.

    Raises:
        InputError: either is no JSON of its kind.
    """
    runs = [key.directory for key in parse_runs(arguments.runs, "--runs")]
    return runs, json_object(arguments.configuration, "--configuration")


def tell_missing(manifest: ArchiveManifest) -> None:
    """Print how many configured runs an archive does not have, and which, if there are any."""
    if missing := manifest.missing:
        print(f"{len(missing)} configured runs are missing: {shortened(missing)}")


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, date_time=_DATE)
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    # As everywhere, whatever system packs.
    member.create_system = 3
    member.compress_type = zipfile.ZIP_DEFLATED
    return member

"""Read an archive of runs: names and sizes are the manifest's before a byte is used, checksums when it is read."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from liquidbench.datasets.archives import ZipMembers
from liquidbench.errors import InputError
from liquidbench.sharing.configurations import is_inside
from liquidbench.sharing.contents import (
    CONFIGURATION,
    MANIFEST,
    RESULTS,
    ArchiveManifest,
    Content,
    parse_manifest,
    shortened,
)

LARGEST_MEMBER = 2**30
"""Bytes: many times the largest weights or predictions of a run."""
LARGEST_ARCHIVE = 64 * 2**30
"""Bytes, unpacked: many times a study of a thousand runs."""

_AGAIN = "Get the archive again from whoever made it"


class Archive:
    """An archive whose member names and sizes are those of its manifest. A context manager.

    Attributes:
        path: the zip file.
        manifest: what it says of itself.

    Raises:
        InputError: no such file, no archive of runs, or members that are not the manifest's.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(path, "no such file", "Name the archive that `snakemake export` made")
        self.path = path
        try:
            self._members = ZipMembers(path, LARGEST_MEMBER)
        except InputError as error:
            raise InputError(error.where, error.problem, _AGAIN) from None
        try:
            self.manifest = self._checked_manifest()
        except BaseException:
            self._members.__exit__(None, None, None)
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *error: Any) -> None:
        self._members.__exit__(*error)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Name in the results folder and content of every file, verified one by one."""
        self._read(CONFIGURATION)
        for name in sorted(self.manifest.of_results()):
            yield name, self._read(RESULTS + name)

    def configuration(self) -> dict[str, Any]:
        """The configuration of the study, with paths that do not leave the folder they start from."""
        where = f"{self.path}, member {CONFIGURATION!r}"
        try:
            config = json.loads(self._read(CONFIGURATION))
            paths = {name: config["paths"][name] for name in ("raw", "results", "reports")}
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise InputError(where, f"no configuration ({error!r})", _AGAIN) from None
        for name, path in paths.items():
            if not is_inside(path):
                problem = f"paths.{name} is {path!r}, which leads out of the folder"
                raise InputError(where, problem, _AGAIN)
        return config | {"paths": paths}

    def _checked_manifest(self) -> ArchiveManifest:
        # All names, hidden ones too, which the reader of raw files passes over.
        with zipfile.ZipFile(self.path) as file:
            sizes = {info.filename: info.file_size for info in file.infolist()}
        if MANIFEST not in sizes:
            raise InputError(self.path, f"has no {MANIFEST}: no archive of runs", _AGAIN)
        manifest = parse_manifest(self._content_of(MANIFEST), f"{self.path}, member {MANIFEST!r}")
        expected = {name: content.size for name, content in manifest.files.items()}
        del sizes[MANIFEST]
        for names, state in (
            (expected.keys() - sizes.keys(), "missing"),
            (sizes.keys() - expected.keys(), "additional"),
            ({name for name in expected if sizes.get(name) != expected[name]}, "of another size"),
        ):
            if names:
                raise InputError(self.path, f"{state}: {shortened(names)}", _AGAIN)
        if sum(expected.values()) > LARGEST_ARCHIVE:
            problem = f"unpacks to {sum(expected.values()):,} bytes, at most {LARGEST_ARCHIVE:,} are taken"
            raise InputError(self.path, problem, _AGAIN)
        return manifest

    def _read(self, name: str) -> bytes:
        content = self._content_of(name)
        if Content.of_bytes(content) != self.manifest.files[name]:
            where = f"{self.path}, member {name!r}"
            raise InputError(where, "changed: its checksum is not the manifest's", _AGAIN)
        return content

    def _content_of(self, name: str) -> bytes:
        try:
            return self._members.read(name)
        except InputError as error:
            raise InputError(error.where, error.problem, _AGAIN) from None

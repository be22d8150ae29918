"""Raw files from the publishers: several locations each, checked before they get their name."""

import fcntl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from liquidbench.datasets.sources import SourceDataset, SourceFile, md5_of_file
from liquidbench.datasets.transfer import (
    LocationFailedError,
    Progress,
    Retries,
    discard,
    transfer,
)
from liquidbench.errors import InputError
from liquidbench.files import read_json, sha256_of_file, write_json

SECONDS_BETWEEN_LINES = 10.0


class RecordedChecksums:
    """Sums of first downloads, for files whose publisher states none.

    One JSON file for all data sets, written under a lock because their jobs run side by side.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def get(self, key: str) -> str | None:
        """The SHA-256 recorded for ``<dataset>/<file name>``, or None."""
        entry = self._read().get(key)
        return entry["sha256"] if entry else None

    def add(self, key: str, sha256: str, size: int, location: str) -> None:
        """Record the sum of a first download (`size` in bytes)."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self._read()
            content[key] = {"sha256": sha256, "bytes": size, "location": location}
            write_json(self.path, content)

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.path.exists():
            return {}
        content = read_json(self.path)
        if not isinstance(content, dict) or not all(
            isinstance(entry, dict) and isinstance(entry.get("sha256"), str)
            for entry in content.values()
        ):
            raise InputError(
                self.path, "not a list of recorded checksums", "Restore it, or delete it to begin"
            )
        return content


def download_files(
    dataset: SourceDataset,
    folder: str | Path,
    recorded: RecordedChecksums,
    retries: Retries | None = None,
) -> list[dict[str, Any]]:
    """Download every raw file of a data set that is not there yet.

    A file that is there already, from an earlier run or placed by hand, is verified and accepted.

    Args:
        dataset: what to download.
        folder: the data set's raw folder.
        recorded: sums of earlier first downloads; added to.
        retries: how often to try again; None for the defaults.

    Returns:
        One manifest entry per file: ``role``, ``path`` (relative to `folder`), ``bytes``,
        ``sha256`` and ``official``: True if there was a published sum to compare, else None.

    Raises:
        InputError: no location gives a file, or one that is there has the wrong content.
    """
    downloader = _Downloader(dataset, Path(folder), recorded, retries or Retries())
    return [downloader.entry(file) for file in dataset.files]


class _WrongContentError(Exception):
    """A file is not what was published, or not what came the first time."""


@dataclass(frozen=True)
class _Downloader:
    dataset: SourceDataset
    folder: Path
    recorded: RecordedChecksums
    retries: Retries

    def entry(self, file: SourceFile) -> dict[str, Any]:
        """Have the file in its place, and describe it for the manifest."""
        target = self.folder / file.file_name
        if target.is_dir():
            raise InputError(target, "a folder, where a file is expected", "Move it away")
        if target.exists():
            location = "already there"
            try:
                sha256 = self._verified(target, file)
            except _WrongContentError as error:
                raise InputError(
                    target, str(error), "Delete it and it will be downloaded"
                ) from None
        else:
            location, sha256 = self._from_any_location(target, file)
        size = target.stat().st_size
        official = file.is_official(target, sha256)
        if official is None and self.recorded.get(self._key(file)) is None:
            self.recorded.add(self._key(file), sha256, size, location)
        return {
            "role": file.role,
            "path": file.file_name,
            "bytes": size,
            "sha256": sha256,
            "official": official,
        }

    def _key(self, file: SourceFile) -> str:
        return f"{self.dataset.name}/{file.file_name}"

    def _from_any_location(self, target: Path, file: SourceFile) -> tuple[str, str]:
        """Download to `target`; returns the location that gave the file, and its SHA-256."""
        part = target.with_name(target.name + ".part")
        reasons = []
        for location in file.locations:
            try:
                with shown_progress(file.file_name) as progress:
                    transfer(location, part, progress, self.retries)
                sha256 = self._verified(part, file)
            except LocationFailedError as error:
                reasons.append(f"{location}: {error}")
            except _WrongContentError as error:
                discard(part)
                reasons.append(f"{location}: {error}")
            else:
                part.replace(target)
                discard(part)
                return location, sha256
            print(reasons[-1], file=sys.stderr, flush=True)
        raise self._not_to_be_had(target, file, reasons)

    def _verified(self, path: Path, file: SourceFile) -> str:
        """The SHA-256 of a file, after comparison with the published or else the recorded sum."""
        sha256 = sha256_of_file(path)
        recorded = self.recorded.get(self._key(file))
        if file.sha256 is not None:
            _compare("sha256", sha256, file.sha256, "is published")
        elif file.md5 is not None:
            _compare("md5", md5_of_file(path), file.md5, "is published")
        elif recorded is not None:
            _compare(
                "sha256",
                sha256,
                recorded,
                "came with the first download (if the publisher is known to have changed the "
                f"file, remove {self._key(file)!r} from {self.recorded.path})",
            )
        elif file.approximate_bytes is not None:
            # Without any sum: at least do not record an error page's sum as the file's.
            size = path.stat().st_size
            if not 0.5 < size / file.approximate_bytes < 2:
                raise _WrongContentError(
                    f"it has {size:,} bytes, but about {file.approximate_bytes:,} are expected"
                )
        return sha256

    def _not_to_be_had(self, target: Path, file: SourceFile, reasons: list[str]) -> InputError:
        others = [
            str((self.folder / other.file_name).absolute())
            for other in self.dataset.files
            if other is not file and not (self.folder / other.file_name).exists()
        ]
        published = f", sha256 {file.sha256}" if file.sha256 else ""
        published = published or (f", md5 {file.md5}" if file.md5 else "")
        return InputError(
            f"{self.dataset.name}, {file.role}",
            f"no location gives {file.file_name} ({'; '.join(reasons)})",
            f"Try again later, or get it by hand (see {self.dataset.home_page}{published}) and "
            f"place it as {target.absolute()}: it is then verified and accepted"
            + (f". Also not there yet: {', '.join(others)}" if others else ""),
        )


def _compare(kind: str, found: str, expected: str, origin: str) -> None:
    if found != expected:
        raise _WrongContentError(f"its {kind} is {found}, but {expected} {origin}")


@contextmanager
def shown_progress(
    name: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Show a download's progress: a bar on a terminal, else a line now and then (for logs)."""
    stream = stream or sys.stderr
    if stream.isatty():
        with tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1000, file=stream) as bar:

            def show_bar(have: int, total: int | None) -> None:
                bar.total = total
                bar.update(have - bar.n)

            yield show_bar
        return
    last = clock()

    def show_line(have: int, total: int | None) -> None:
        nonlocal last
        if clock() - last >= SECONDS_BETWEEN_LINES or have == total:
            last = clock()
            of = f" of {total / 1e6:.1f}" if total is not None else ""
            print(f"{name}: {have / 1e6:.1f}{of} MB", file=stream, flush=True)

    yield show_line

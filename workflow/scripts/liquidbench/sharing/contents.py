"""What an archive of runs holds, by name, and the manifest that vouches for it (docs/file-formats.md, "Archives")."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from liquidbench.errors import InputError
from liquidbench.files import sha256_of_file

FORMAT = 1
MANIFEST = "manifest.json"
CONFIGURATION = "configuration.json"
RESULTS = "results/"
"""Front of the names of all other members: the rest is relative to the results folder."""

WEIGHTS = "weights.safetensors"
# Written last and read first: a run without it counts as missing.
METRICS = "metrics.json"
_OF_RUN = (
    "architecture.json",
    "confusion.csv",
    "features.csv",
    "history.csv",
    "line_errors.csv",
    METRICS,
    "predictions.csv",
    "provenance.json",
    "scaling.json",
    "stress.csv",
    "stress_answers.npz",
    "validation_predictions.csv",
)
_NAME = "[a-z0-9][a-z0-9_-]*"
_RUN_FILE = re.compile(rf"({_NAME}/{_NAME}/{_NAME}/seed-[0-9]+)/([a-z_]+\.[a-z]+)")
_OTHER_FILE = re.compile(r"[a-z]+/examples\.npz|summary/[a-z_]+\.csv")
_SUM = re.compile(r"[0-9a-f]{64}")
_REMEDY = "Have the archive made and sent again"


def belongs(name: str, weights: bool) -> bool:
    """Whether a file of this name, relative to the results folder, may be in an archive."""
    if _OTHER_FILE.fullmatch(name):
        return True
    of_run = _RUN_FILE.fullmatch(name)
    return of_run is not None and (of_run[2] in _OF_RUN or (weights and of_run[2] == WEIGHTS))


def names_below(results: Path, weights: bool) -> list[str]:
    """The names, sorted, of all files of a results folder that may be in an archive."""
    found = [
        *results.glob("*/examples.npz"),
        *results.glob("summary/*.csv"),
        *results.glob("*/*/*/seed-*/*"),
    ]
    names = (path.relative_to(results).as_posix() for path in found if path.is_file())
    return sorted(name for name in names if belongs(name, weights))


@dataclass(frozen=True)
class Content:
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str

    @classmethod
    def of_file(cls, path: Path) -> "Content":
        """Of a file on disk."""
        return cls(path.stat().st_size, sha256_of_file(path))

    @classmethod
    def of_bytes(cls, content: bytes) -> "Content":
        """Of what a file holds."""
        return cls(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class ArchiveManifest:
    """What an archive says of itself.

    Attributes:
        study: the study's title.
        weights: whether trained weights are in it.
        code_sha256: of the code that made the summaries.
        finished: number of runs that are in it.
        missing: the configured runs that are not, as ``data set/protocol/model/seed-n``.
        files: name in the archive to content, of all members but the manifest itself.
    """

    study: str
    weights: bool
    code_sha256: str
    finished: int
    missing: tuple[str, ...]
    files: Mapping[str, Content]

    def as_json(self) -> bytes:
        """The manifest's own bytes: the same for the same content."""
        values = {
            "format": FORMAT,
            "study": self.study,
            "weights": self.weights,
            "code_sha256": self.code_sha256,
            "runs": {"finished": self.finished, "missing": list(self.missing)},
            "files": {
                name: {"bytes": content.size, "sha256": content.sha256}
                for name, content in sorted(self.files.items())
            },
        }
        return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()

    def of_results(self) -> dict[str, Content]:
        """The files of the results folder, by their name in it."""
        return {
            name.removeprefix(RESULTS): content
            for name, content in self.files.items()
            if name.startswith(RESULTS)
        }


def parse_manifest(content: bytes, where: str) -> ArchiveManifest:
    """Read a manifest that somebody else wrote.

    Args:
        content: its bytes.
        where: the archive and the member, for messages.

    Raises:
        InputError: it is no manifest, of another format, or names a file that no archive may hold.
    """
    try:
        values = json.loads(content)
        if values["format"] != FORMAT:
            problem = f"has the format {values['format']!r}, this version reads {FORMAT}"
            raise InputError(where, problem, "Take the version of the project that made it")
        manifest = ArchiveManifest(
            study=str(values["study"]),
            weights=bool(values["weights"]),
            code_sha256=str(values["code_sha256"]),
            finished=int(values["runs"]["finished"]),
            missing=tuple(map(str, values["runs"]["missing"])),
            files={
                name: Content(int(entry["bytes"]), str(entry["sha256"]))
                for name, entry in values["files"].items()
            },
        )
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(where, f"not a manifest ({error!r})", _REMEDY) from None
    for name, entry in manifest.files.items():
        own = name.removeprefix(RESULTS)
        if name != CONFIGURATION and (own == name or not belongs(own, manifest.weights)):
            raise InputError(where, f"names {name!r}, which is no file of a study", _REMEDY)
        if entry.size < 0 or not _SUM.fullmatch(entry.sha256):
            raise InputError(where, f"has no size and checksum of {name}", _REMEDY)
    if CONFIGURATION not in manifest.files:
        raise InputError(where, f"does not name {CONFIGURATION}", _REMEDY)
    return manifest


def shortened(names: Iterable[str], most: int = 10) -> str:
    """Names for a message: all, or the first and how many more."""
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

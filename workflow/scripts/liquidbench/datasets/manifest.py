"""Where the raw files of a data set lie (docs/file-formats.md, "Raw files")."""

from dataclasses import dataclass
from pathlib import Path

from liquidbench.datasets.archives import folder_bytes_and_sha256
from liquidbench.errors import InputError
from liquidbench.files import read_json, sha256_of_file


@dataclass(frozen=True)
class RawFile:
    """One raw file, or a folder of the same content unpacked, and its SHA-256."""

    role: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The raw files of one data set. `path` is the manifest itself."""

    path: Path
    dataset: str
    source: str
    synthetic: bool
    files: tuple[RawFile, ...]

    def file(self, role: str) -> RawFile:
        """The raw file of a role.

        Raises:
            InputError: the manifest names no such role.
        """
        for file in self.files:
            if file.role == role:
                return file
        held = ", ".join(file.role for file in self.files) or "none"
        raise InputError(self.path, f"names no file for {role!r}, only: {held}", _remedy(self.path))


def read_manifest(path: str | Path, dataset: str) -> Manifest:
    """Read and check a manifest; relative paths start from its folder.

    Sizes and SHA-256 sums are compared with the recorded ones (of a folder: over names and
    sizes), so that a cache never names files that it was not made from.

    Args:
        path: ``manifest.json``.
        dataset: the data set that it must be of.

    Raises:
        InputError: the manifest is missing, broken or of another data set, or a file that it
            names is missing or is another one now.
    """
    path = Path(path)
    remedy = _remedy(path)
    content = read_json(path)
    try:
        manifest = Manifest(
            path=path,
            dataset=str(content["dataset"]),
            source=str(content["source"]),
            synthetic=bool(content["synthetic"]),
            files=tuple(
                RawFile(str(entry["role"]), path.parent / entry["path"], str(entry["sha256"]))
                for entry in content["files"]
            ),
        )
        sizes = [entry["bytes"] for entry in content["files"]]
    except (KeyError, TypeError) as error:
        raise InputError(path, f"not a manifest: {error!r}", remedy) from None
    if manifest.dataset != dataset:
        problem = f"is of the data set {manifest.dataset!r}, expected {dataset!r}"
        raise InputError(path, problem, "Name the manifest of that data set")
    for file, size in zip(manifest.files, sizes, strict=True):
        if not file.path.exists():
            raise InputError(file.path, "no such file or folder", remedy)
        if file.path.is_dir():
            found_size, found_sum = folder_bytes_and_sha256(file.path)
        else:
            found_size, found_sum = file.path.stat().st_size, sha256_of_file(file.path)
        if found_size != size:
            problem = f"has {found_size} bytes, {size} when it was fetched"
            raise InputError(file.path, problem, remedy)
        if found_sum != file.sha256:
            problem = f"has sha256 {found_sum}, {file.sha256} when it was fetched"
            raise InputError(file.path, problem, remedy)
    return manifest


def _remedy(manifest: Path) -> str:
    """Snakemake fetches only what has no manifest: a bad file alone can be deleted in vain."""
    return f"Delete {manifest} (and the bad file, if it was downloaded), then start again"

"""Raw files that already lie in a folder: find them, zipped or unpacked, and describe them."""

from itertools import islice
from pathlib import Path
from typing import Any

from liquidbench.datasets.archives import folder_bytes_and_sha256
from liquidbench.datasets.sources import SourceDataset, SourceFile
from liquidbench.errors import InputError
from liquidbench.files import sha256_of_file


def find_files(dataset: SourceDataset, mirror: str | Path) -> list[dict[str, Any]]:
    """Find every raw file of a data set in a mirror.

    Args:
        dataset: what to look for.
        mirror: the folder that holds the data set's files, or the folder above it.

    Returns:
        One manifest entry per file: ``role``, ``path`` (absolute), ``bytes``, ``sha256`` (of a
        folder: over names and sizes) and ``official``: whether the sum is the one published for
        the official file, None where none is published or the files lie unpacked.

    Raises:
        InputError: the mirror or one of the files is not there.
    """
    mirror = Path(mirror).expanduser().absolute()
    if not mirror.is_dir():
        raise InputError(mirror, "the mirror is not a folder", "Correct the key 'mirror'")
    roots = [root for root in (mirror / dataset.name, mirror) if root.is_dir()]
    found = [(file, _find(file, roots)) for file in dataset.files]
    missing = [file for file, path in found if path is None]
    if missing:
        names = "; ".join(f"{file.role}: {', '.join(file.mirror_patterns)}" for file in missing)
        raise InputError(
            mirror,
            f"the mirror lacks files of {dataset.name}; looked in "
            f"{' and '.join(str(root) for root in roots)} for {names}",
            f"Put each there under one of its names (they come from {dataset.home_page})",
        )
    return [_entry(file, path) for file, path in found if path is not None]


def _find(file: SourceFile, roots: list[Path]) -> Path | None:
    for root in roots:
        for pattern in file.mirror_patterns:
            folder, asterisk, _ = pattern.partition("*")
            if not asterisk:
                if (root / pattern).is_file():
                    return root / pattern
            elif list(islice(root.glob(pattern), 1)):
                return root / folder.rstrip("/")
    return None


def _entry(file: SourceFile, path: Path) -> dict[str, Any]:
    if path.is_dir():
        # The published sums are of the archive, which is no longer there to compare.
        size, sha256 = folder_bytes_and_sha256(path)
        official = None
    else:
        size, sha256 = path.stat().st_size, sha256_of_file(path)
        official = file.is_official(path, sha256)
    return {
        "role": file.role,
        "path": str(path),
        "bytes": size,
        "sha256": sha256,
        "official": official,
    }

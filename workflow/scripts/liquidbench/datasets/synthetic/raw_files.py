"""What the generators share: random streams, archives with the same bytes each time, manifests."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from liquidbench.files import sha256_of_file, write_json, written_whole

# The earliest date that a zip file can hold: the clock must not reach the bytes.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def random_stream(seed: int, *name: str | int) -> np.random.Generator:
    """A random stream of its own for every name under a seed.

    One stream per example keeps an example the same however many others are made.

    Args:
        seed: the generator's seed, at least 0.
        name: words and non-negative numbers, for example ``"nmnist", "train", 17``.
    """
    words = (zlib.crc32(part.encode()) if isinstance(part, str) else part for part in name)
    return np.random.default_rng([seed, *words])


def write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip file, whole or not at all; equal members give equal bytes.

    Members are stored uncompressed, since what a compressor makes depends on its version.

    Args:
        path: the zip file.
        members: name in the archive (with ``/``) and content, in order.
    """
    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in members:
            member = zipfile.ZipInfo(name, date_time=_ZIP_DATE)
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)


def write_manifest(path: Path, dataset: str, files: Mapping[str, Path]) -> None:
    """Write the manifest of synthetic raw files (docs/file-formats.md, "Raw files").

    Args:
        path: the manifest; its folder holds the files.
        dataset: the data set's name.
        files: role to raw file.
    """
    entries = [
        {
            "role": role,
            "path": file.relative_to(path.parent).as_posix(),
            "bytes": file.stat().st_size,
            "sha256": sha256_of_file(file),
        }
        for role, file in files.items()
    ]
    write_json(
        path, {"dataset": dataset, "source": "synthetic", "synthetic": True, "files": entries}
    )

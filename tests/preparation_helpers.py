"""Manifests for the tests of the preparation, and where a real mirror lies."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from liquidbench.datasets.archives import folder_bytes_and_sha256
from liquidbench.datasets.manifest import Manifest, read_manifest

MIRROR = Path(os.environ.get("LIQUIDBENCH_MIRROR", "no mirror"))
needs_mirror = pytest.mark.skipif(
    "LIQUIDBENCH_MIRROR" not in os.environ, reason="LIQUIDBENCH_MIRROR names no folder"
)


def make_manifest(folder: Path, dataset: str, files: dict[str, Path]) -> Manifest:
    """Write and read back a manifest over files (role to path)."""
    entries = []
    for role, path in files.items():
        if path.is_dir():
            size, digest = folder_bytes_and_sha256(path)
        else:
            size = path.stat().st_size
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append({"role": role, "path": str(path), "bytes": size, "sha256": digest})
    content = {"dataset": dataset, "source": "mirror", "synthetic": False, "files": entries}
    path = folder / "manifest.json"
    path.write_text(json.dumps(content))
    return read_manifest(path, dataset)

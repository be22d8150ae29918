"""Raw files for the benchmarks: those of a mirror, or synthetic ones."""

import importlib
from pathlib import Path
from typing import Any

import yaml

from liquidbench import configuration
from liquidbench.datasets.manifest import Manifest, read_manifest
from liquidbench.datasets.mirror import find_files
from liquidbench.datasets.preparation import read_settings
from liquidbench.datasets.sources import resolve
from liquidbench.datasets.synthetic.raw_files import write_manifest
from liquidbench.errors import InputError
from liquidbench.files import write_json

PROJECT = Path(__file__).resolve().parents[1]
# The protocols' sizes of one example, fewer examples.
SYNTHETIC = {
    "nmnist": {"train": 300, "test": 20},
    "quickdraw": {"per_category": 100},
    "iam": {"train": 120, "validation": 4, "test": 20},
    "physionet": {"patients": 1000},
}


def study(*overlays: str) -> configuration.Config:
    """The configuration of the study, with overlays of `config/` on top."""
    merged: dict[str, Any] = {}
    for name in ("config.yaml", "protocols.yaml", *overlays):
        _update(merged, yaml.safe_load((PROJECT / "config" / name).read_text(encoding="utf-8")))
    configuration.check(merged, PROJECT / "workflow/schemas/config.schema.yaml")
    return merged


def _update(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _update(into[key], value)
        else:
            into[key] = value


def raw_files(
    dataset: str,
    config: configuration.Config,
    mirror: Path | None,
    folder: Path,
    sizes: dict[str, int] | None = None,
) -> Manifest:
    """Find a data set's raw files, or generate them.

    Args:
        dataset: which.
        config: from `study`.
        mirror: folder of raw files; None generates.
        folder: where the manifest goes, and what is generated.
        sizes: options of the generator instead of `SYNTHETIC`.

    Raises:
        InputError: the mirror lacks a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.json"
    if mirror is None:
        generator = importlib.import_module(f"liquidbench.datasets.synthetic.{dataset}")
        options = configuration.synthesis_options(config, dataset) | (sizes or SYNTHETIC[dataset])
        write_manifest(path, dataset, generator.synthesise(options, folder))
    else:
        sources = PROJECT / "resources/sources.yaml"
        files = find_files(
            resolve(sources, dataset, configuration.fetch_options(config, dataset)), mirror
        )
        content = {"dataset": dataset, "source": "mirror", "synthetic": False, "files": files}
        write_json(path, content)
    return read_manifest(path, dataset)


def prepared(
    dataset: str,
    config: configuration.Config,
    mirror: Path | None,
    folder: Path,
    limits: dict[str, int],
) -> Path:
    """Prepare a cache of a data set under the configuration.

    Args:
        dataset, config, mirror, folder: as for `raw_files`.
        limits: preparation settings that keep it small.

    Returns:
        The cache.
    """
    manifest = raw_files(dataset, config, mirror, folder)
    reader = importlib.import_module(f"liquidbench.datasets.{dataset}")
    values = config["datasets"][dataset]["prepare"] | limits
    cache = folder / "cache.h5"
    reader.prepare(manifest, read_settings(reader.Settings, values), cache, 1)
    return cache


def study_of(mirror: Path | None) -> configuration.Config:
    """The configuration for a mirror's files, or for synthetic ones: the paper's categories if they are there."""
    config = study()
    if mirror is None:
        return config
    try:
        options = configuration.fetch_options(config, "quickdraw")
        find_files(resolve(PROJECT / "resources/sources.yaml", "quickdraw", options), mirror)
    except InputError:
        return study("mirror.yaml")
    return config


def source_of(mirror: Path | None) -> str:
    """How a table says what was measured on."""
    return "synthetic files" if mirror is None else "real files"

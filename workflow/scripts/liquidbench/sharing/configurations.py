"""The configuration of a study that travels."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what holds in one place alone: the mirror, archives to draw from, folders outside."""
    usual = {"raw": "resources/raw", "results": "results", "reports": "reports"}
    paths = {
        name: path if is_inside(path) else usual[name] for name, path in config["paths"].items()
    }
    return {**config, "mirror": "", "archives": "", "paths": paths}


def is_inside(path: Any) -> bool:
    """Whether a path of a configuration stays below the folder that it starts from."""
    if not isinstance(path, str) or not path or "\\" in path or "\0" in path:
        return False
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts


def alone(project: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that studies no other data sets than its own when it is named after --configfile.

    Args:
        project: the folder of the Snakefile, whose own configuration Snakemake merges with it.
        config: what is to be named.
    """
    datasets = config.get("datasets", {})
    left_out = {name: None for name in _own(project)["datasets"] if name not in datasets}
    return {**config, "datasets": datasets | left_out}


def added_by(project: Path, config: Mapping[str, Any]) -> list[str]:
    """The keys that a project's own configuration adds to one that is named after --configfile.

    Snakemake merges the two, and a key can be replaced but not taken away. More models or protocols to choose from
    change nothing and are not named; nor are data sets, where `alone` has said null of them.

    Args:
        project: the folder of the Snakefile.
        config: what is to be named.
    """
    return _missing(_own(project), config)


def _own(project: Path) -> dict[str, Any]:
    """A project's own configuration."""
    return yaml.safe_load((project / "config/config.yaml").read_text(encoding="utf-8"))


def _missing(own: Any, other: Any, front: str = "") -> list[str]:
    """Dotted names of the keys of nested mappings that `other` does not have."""
    if not isinstance(own, Mapping) or not isinstance(other, Mapping):
        return []
    names = []
    for key, value in own.items():
        if key not in other:
            names.append(f"{front}{key}")
        else:
            names += _missing(value, other[key], f"{front}{key}.")
    return names

"""Which raw files a data set consists of and where they come from (`resources/sources.yaml`)."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from liquidbench.errors import InputError

CATEGORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 '_-]*")
"""Every QuickDraw category fits; nothing that fits can name another folder or another host."""

HOSPITALS = {"a": "set_a", "b": "set_b"}
"""PhysioNet 2019 published one training set per hospital system."""

FILE_KEYS = {"file_name", "locations", "mirror", "sha256", "md5", "approximate_bytes"}


@dataclass(frozen=True)
class SourceFile:
    """One raw file of a data set.

    Attributes:
        role: its name in the manifest (``train``, ``set_a``, a category).
        file_name: POSIX path below the data set's raw folder.
        locations: addresses of the same bytes, in the order to try.
        mirror_patterns: POSIX paths at which a mirror may hold it, see `resources/sources.yaml`.
        sha256, md5: published sums of the official file, lower case, or None.
        approximate_bytes: expected size, or None.
    """

    role: str
    file_name: str
    locations: tuple[str, ...]
    mirror_patterns: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None
    approximate_bytes: int | None = None

    def is_official(self, path: Path, sha256: str) -> bool | None:
        """Whether a file is the published one.

        Args:
            path: the file.
            sha256: its sum, already computed.

        Returns:
            None if no sum is published.
        """
        if self.sha256 is not None:
            return sha256 == self.sha256
        if self.md5 is not None:
            return md5_of_file(path) == self.md5
        return None


@dataclass(frozen=True)
class SourceDataset:
    """The raw files that a configuration asks for, and who publishes them."""

    name: str
    home_page: str
    licence: str
    files: tuple[SourceFile, ...]


def resolve(sources: str | Path, dataset: str, options: Mapping[str, Any]) -> SourceDataset:
    """The raw files of a data set under the options of its configuration.

    Args:
        sources: path of `sources.yaml`.
        dataset: ``nmnist``, ``quickdraw``, ``iam`` or ``physionet``.
        options: quickdraw: ``categories`` (list of names) and ``variant`` (``simplified`` if
            absent, or ``raw``); physionet: ``hospitals`` (``["a"]`` if absent); otherwise empty.

    Raises:
        InputError: an option is unknown or has a wrong value, or `sources` is not as it should be.
    """
    content = _read(sources)
    if dataset not in content:
        raise InputError(
            sources, f"no data set {dataset!r}, only {', '.join(content)}", "Correct the name"
        )
    block = content[dataset]
    where = f"{sources}, {dataset}"
    if not isinstance(block, dict):
        raise InputError(where, "not a mapping", "Restore the file from the project")
    if dataset == "quickdraw":
        files = _quickdraw(where, block, options)
    elif dataset == "physionet":
        files = _physionet(where, block, options)
    else:
        _refuse_unknown(dataset, options, set())
        entries = _mapping(where, block, "files")
        files = [_raw_file(f"{where}, {role}", role, entries[role]) for role in entries]
    return SourceDataset(
        dataset, _text(where, block, "home_page"), _text(where, block, "licence"), tuple(files)
    )


def md5_of_file(path: Path) -> str:
    """The MD5 of a file's content: the only sum that some publishers give."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _quickdraw(where: str, block: dict, options: Mapping[str, Any]) -> list[SourceFile]:
    _refuse_unknown("quickdraw", options, {"categories", "variant"})
    variants = _mapping(where, block, "variants")
    variant = options.get("variant", "simplified")
    if not isinstance(variant, str) or variant not in variants:
        raise InputError(
            "quickdraw, key 'variant'", f"{variant!r} is unknown", f"Use {' or '.join(variants)}"
        )
    template = _raw_file(f"{where}, {variant}", "{category}", variants[variant])
    return [
        SourceFile(
            role=category,
            file_name=template.file_name.replace("{category}", category),
            locations=tuple(
                location.replace("{category}", quote(category, safe=""))
                for location in template.locations
            ),
            mirror_patterns=tuple(
                pattern.replace("{category}", category) for pattern in template.mirror_patterns
            ),
        )
        for category in _checked_categories(options.get("categories"))
    ]


def _checked_categories(categories: Any) -> list[str]:
    where = "quickdraw, key 'categories'"
    if not isinstance(categories, list) or not categories:
        raise InputError(
            where, f"a list of category names is needed, not {categories!r}", "Name at least one"
        )
    for category in categories:
        if (
            not isinstance(category, str)
            or not CATEGORY.fullmatch(category)
            or category != category.strip()
        ):
            raise InputError(
                where,
                f"{category!r} is not a category name",
                "Write it as in QuickDraw's list: letters, digits, spaces and hyphens",
            )
    repeated = sorted({category for category in categories if categories.count(category) > 1})
    if repeated:
        raise InputError(where, f"named more than once: {', '.join(repeated)}", "Name each once")
    return categories


def _physionet(where: str, block: dict, options: Mapping[str, Any]) -> list[SourceFile]:
    _refuse_unknown("physionet", options, {"hospitals"})
    hospitals = options.get("hospitals", ["a"])
    if (
        not isinstance(hospitals, list)
        or not hospitals
        or not all(isinstance(hospital, str) and hospital in HOSPITALS for hospital in hospitals)
        or len(set(hospitals)) < len(hospitals)
    ):
        raise InputError(
            "physionet, key 'hospitals'",
            f"{hospitals!r} is not a choice of hospitals",
            'Write ["a"], ["b"] or ["a", "b"]',
        )
    entries = _mapping(where, block, "files")
    roles = [HOSPITALS[hospital] for hospital in hospitals]
    return [_raw_file(f"{where}, {role}", role, _mapping(where, entries, role)) for role in roles]


def _refuse_unknown(dataset: str, options: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(options) - known)
    if unknown:
        expected = f"known: {', '.join(sorted(known))}" if known else "it has none"
        raise InputError(
            f"{dataset}, options", f"unknown: {', '.join(unknown)} ({expected})", "Remove it"
        )


def _raw_file(where: str, role: str, entry: Any) -> SourceFile:
    """Check one entry of the file and make a `SourceFile` of it."""
    if not isinstance(entry, dict):
        raise InputError(where, "not a mapping", "Restore the file from the project")
    unknown = sorted(set(entry) - FILE_KEYS)
    if unknown:
        raise InputError(where, f"unknown keys {', '.join(unknown)}", "Correct the spelling")
    size = entry.get("approximate_bytes")
    if size is not None and (not isinstance(size, int) or size < 1):
        raise InputError(where, f"approximate_bytes is {size!r}", "Write a number of bytes")
    return SourceFile(
        role=role,
        file_name=_text(where, entry, "file_name"),
        locations=_texts(where, entry, "locations"),
        mirror_patterns=_texts(where, entry, "mirror"),
        sha256=_sum(where, entry, "sha256", 64),
        md5=_sum(where, entry, "md5", 32),
        approximate_bytes=size,
    )


def _read(path: str | Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "no such file", "Restore the file from the project") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(path, f"not valid YAML ({reason})", "Correct it") from None
    if not isinstance(content, dict):
        raise InputError(path, "not a mapping of data sets", "Restore the file from the project")
    return content


def _mapping(where: str, block: dict, key: str) -> dict:
    if not isinstance(block.get(key), dict):
        raise InputError(where, f"no mapping {key!r}", "Restore the file from the project")
    return block[key]


def _text(where: str, block: dict, key: str) -> str:
    if not isinstance(block.get(key), str) or not block[key]:
        raise InputError(where, f"no text {key!r}", "Restore the file from the project")
    return block[key]


def _texts(where: str, block: dict, key: str) -> tuple[str, ...]:
    values = block.get(key)
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        raise InputError(where, f"no list of texts {key!r}", "Restore the file from the project")
    return tuple(values)


def _sum(where: str, block: dict, key: str, digits: int) -> str | None:
    # Quoted or not: YAML reads an unquoted sum of decimal digits alone as a number.
    value = block.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value):
        raise InputError(
            where, f"{key} is {value!r}", f"Write {digits} hexadecimal digits, in quotes"
        )
    return value.lower()

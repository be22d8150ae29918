"""Draw a study from archives of its runs, which lie in one folder: what is in them, and how it gets in place.

The results folder is the archives' own: what they do not hold any more is deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from liquidbench.errors import InputError
from liquidbench.files import write_text, written_whole
from liquidbench.sharing.archive import Archive
from liquidbench.sharing.contents import Content, names_below

SUMS = "unpacked.sha256"
"""Written last, below the results folder: sum and name of each unpacked file, as `sha256sum --check` reads them."""


@dataclass(frozen=True)
class Place:
    """Where a file of a run is: the archive, and the SHA-256 that its manifest has for the file."""

    archive: Path
    sha256: str


def archived_files(folder: Path) -> dict[str, Place]:
    """The files of runs that the archives of a folder hold; their names and sizes are checked, not yet their bytes.

    Summaries are left out: they are computed from the runs, by the code that is there.

    Args:
        folder: with ``*.zip``, each made by `snakemake publish` or `snakemake export`.

    Returns:
        Name in the results folder to where it is, by archive and name.

    Raises:
        InputError: there is no archive, one is damaged, or two hold the same file with different content.
    """
    archives = sorted(folder.glob("*.zip"))
    if not archives:
        remedy = "Correct `archives`, or leave it empty to make the runs here"
        raise InputError(folder, "no archive of runs (*.zip) in this folder", remedy)
    found: dict[str, tuple[Path, Content]] = {}
    for path in archives:
        with Archive(path) as archive:
            contents = archive.manifest.of_results()
        for name in sorted(contents):
            if name.startswith("summary/"):
                continue
            first, content = found.setdefault(name, (path, contents[name]))
            if content != contents[name]:
                problem = f"holds another {name} than {first.name}"
                raise InputError(path, problem, "Keep the archives of one study in a folder")
    return {name: Place(path, content.sha256) for name, (path, content) in found.items()}


def archives_of(places: Mapping[str, Place]) -> list[Path]:
    """The archives that files are in, sorted, each once."""
    return sorted({place.archive for place in places.values()})


def unpack(places: Mapping[str, Place], results: Path) -> None:
    """Put files of archives into a results folder, each whole or not at all, and delete all other files of runs there.

    `SUMS` says that all are there; the workflow knows it alone, since it is slow at keeping a thousand files.

    Args:
        places: name in the results folder to where it is.
        results: a folder for these files alone.

    Raises:
        InputError: a file is not what its archive's manifest says.
    """
    for name in names_below(results, weights=True):
        if name not in places and not name.startswith("summary/"):
            (results / name).unlink()
    for path in archives_of(places):
        with Archive(path) as archive:
            for name, content in archive.files():
                if name not in places or places[name].archive != path:
                    continue
                (results / name).parent.mkdir(parents=True, exist_ok=True)
                with written_whole(results / name) as temporary:
                    temporary.write_bytes(content)
    write_text(results / SUMS, _sums(places))


def forget_if_changed(places: Mapping[str, Place], results: Path) -> str | None:
    """Delete the listing of unpacked files if it is true no more, so that they are unpacked again.

    Args:
        places: name in the results folder to where it is.
        results: the folder that they were unpacked into, or are to be.

    Returns:
        The first file, by name, that is gone or was written since then, or the listing, if archives hold something
        else by now; None if all is as it was, or there is no listing.

    Raises:
        InputError: the listing cannot be read or deleted.
    """
    listing = results / SUMS
    try:
        unpacked = listing.stat().st_mtime_ns
        # Archives that were replaced may be older than those before them.
        changed = SUMS if listing.read_text(encoding="utf-8") != _sums(places) else None
        for name in sorted(places):
            path = results / name
            if not path.is_file() or path.stat().st_mtime_ns > unpacked:
                changed = name
                break
        if changed:
            listing.unlink()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read or deleted ({error})"
        raise InputError(listing, problem, "Delete it: the archives are unpacked again") from None
    return changed


def _sums(places: Mapping[str, Place]) -> str:
    return "".join(f"{places[name].sha256}  {name}\n" for name in sorted(places))

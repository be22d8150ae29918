"""Draw a study from archives of its runs, which lie in one folder: what is in them, and how it gets in place.

The results folder is the archives' own: what they do not hold any more is deleted.
"""

from collections.abc import Mapping
from pathlib import Path

from liquidbench.errors import InputError
from liquidbench.files import write_text, written_whole
from liquidbench.sharing.archive import Archive
from liquidbench.sharing.contents import Content, names_below

LISTING = "unpacked.sha256"
"""Written last, below the results folder: sum and name of each unpacked file, as `sha256sum --check` reads them."""


def archived_files(folder: Path) -> dict[str, Path]:
    """The files of runs that the archives of a folder hold; their names and sizes are checked, not yet their bytes.

    Summaries are left out: they are computed from the runs, by the code that is there.

    Args:
        folder: with ``*.zip``, each made by `snakemake publish` or `snakemake export`.

    Returns:
        Name in the results folder to the archive that holds it, by archive and name.

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
    return {name: path for name, (path, _) in found.items()}


def unpack(places: Mapping[str, Path], results: Path) -> None:
    """Put files of archives into a results folder, each whole or not at all, and delete all other files of runs there.

    `LISTING` says that all are there; the workflow knows it alone, since it is slow at keeping a thousand files.

    Args:
        places: name in the results folder to the archive that holds it.
        results: a folder for these files alone.

    Raises:
        InputError: a file is not what its archive's manifest says.
    """
    for name in names_below(results, weights=True):
        if name not in places and not name.startswith("summary/"):
            (results / name).unlink()
    sums = {}
    for path in sorted(set(places.values())):
        with Archive(path) as archive:
            for name, content in archive.files():
                if places.get(name) != path:
                    continue
                (results / name).parent.mkdir(parents=True, exist_ok=True)
                with written_whole(results / name) as temporary:
                    temporary.write_bytes(content)
                sums[name] = archive.manifest.of_results()[name].sha256
    write_text(results / LISTING, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))


def forget_if_changed(places: Mapping[str, Path], results: Path) -> str | None:
    """Delete the listing of unpacked files if it is true no more, so that they are unpacked again.

    Args:
        places: name in the results folder to the archive that holds it.
        results: the folder that they were unpacked into, or are to be.

    Returns:
        The first file, by name, that is gone or was written since then; None if there is none, or no listing.
    """
    listing = results / LISTING
    if not listing.is_file():
        return None
    unpacked = listing.stat().st_mtime_ns
    for name in sorted(places):
        path = results / name
        if not path.is_file() or path.stat().st_mtime_ns > unpacked:
            listing.unlink()
            return name
    return None

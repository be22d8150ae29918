"""Draw a study from archives of its runs, which lie in one folder: what is in them, and how it gets in place.

The results folder is the archives' own: what they do not hold any more is deleted.
"""

from collections.abc import Mapping
from pathlib import Path

from liquidbench.errors import InputError
from liquidbench.files import written_whole
from liquidbench.sharing.archive import Archive
from liquidbench.sharing.contents import Content, names_below


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

    Args:
        places: name in the results folder to the archive that holds it.
        results: a folder for these files alone.

    Raises:
        InputError: a file is not what its archive's manifest says.
    """
    for name in names_below(results, weights=True):
        if name not in places and not name.startswith("summary/"):
            (results / name).unlink()
    for path in sorted(set(places.values())):
        with Archive(path) as archive:
            for name, content in archive.files():
                if places.get(name) != path:
                    continue
                (results / name).parent.mkdir(parents=True, exist_ok=True)
                with written_whole(results / name) as temporary:
                    temporary.write_bytes(content)

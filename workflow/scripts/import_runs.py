"""Unpack the archive of a study that was made elsewhere, or compare a results folder with it."""

import argparse
import sys
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.sharing.importing import import_archive, problems_with

# The folder of the Snakefile.
PROJECT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Parse the command line; import, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help="what `snakemake export` wrote")
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(),
        help="folder that the study's own folders (results, reports) go into; this one if not said",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are there and differ"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="change nothing: name what is changed, missing or additional in the results folder",
    )
    arguments = parser.parse_args()
    if arguments.check:
        problems = problems_with(arguments.archive, arguments.into)
        print("\n".join(problems or ["all files are those of the archive"]))
        sys.exit(1 if problems else 0)
    imported = import_archive(arguments.archive, arguments.into, PROJECT, arguments.overwrite)
    print("\n".join(imported.told()))


if __name__ == "__main__":
    run_command(main)

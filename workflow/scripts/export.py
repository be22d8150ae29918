"""Pack the small files of a study's runs into one archive, to be drawn from elsewhere."""

import argparse
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.sharing.exporting import (
    add_packing_arguments,
    export_study,
    read_packing,
    tell_missing,
)


def main() -> None:
    """Parse the command line and write the archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_packing_arguments(parser)
    parser.add_argument("--weights", action="store_true", help="pack the trained weights too")
    parser.add_argument("--out", type=Path, required=True, help="the zip file to write")
    arguments = parser.parse_args()
    runs, config = read_packing(arguments)
    manifest = export_study(arguments.results, runs, config, arguments.out, arguments.weights)
    size = arguments.out.stat().st_size / 1e6
    print(f"{manifest.finished} runs packed, {size:.1f} MB: {arguments.out}")
    tell_missing(manifest)


if __name__ == "__main__":
    run_command(main)

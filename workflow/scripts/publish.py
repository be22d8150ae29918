"""Pack the runs of a study, without anything of the data, into archives that public repositories take."""

import argparse
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.sharing.exporting import add_packing_arguments, read_packing, tell_missing
from liquidbench.sharing.publishing import publish_study


def main() -> None:
    """Parse the command line and write the archives."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_packing_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the archives")
    arguments = parser.parse_args()
    manifests = publish_study(arguments.results, *read_packing(arguments), arguments.out)
    finished = sum(manifest.finished for manifest in manifests)
    print(f"{finished} runs packed into {len(manifests)} archives: {arguments.out}")
    tell_missing(manifests[0])


if __name__ == "__main__":
    run_command(main)

"""Put the runs of archives into the results folder, to be drawn from."""

import argparse
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.sharing.unpacking import archived_files, archives_of, unpack


def main() -> None:
    """Parse the command line and unpack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", type=Path, required=True, help="folder of the archives")
    parser.add_argument("--results", type=Path, required=True, help="folder of the runs")
    arguments = parser.parse_args()
    places = archived_files(arguments.archives)
    unpack(places, arguments.results)
    print(f"{len(places)} files of {len(archives_of(places))} archives: {arguments.results}")


if __name__ == "__main__":
    run_command(main)

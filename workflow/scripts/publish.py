"""Pack the runs of a study, without anything of the data, into archives that public repositories take."""

import argparse
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.files import json_object
from liquidbench.reporting.runs import parse_runs
from liquidbench.sharing.contents import shortened
from liquidbench.sharing.publishing import publish_study


def main() -> None:
    """Parse the command line and write the archives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of the runs")
    parser.add_argument(
        "--runs",
        required=True,
        help='configured runs, a JSON list of {"dataset", "protocol", "model", "seeds"}',
    )
    parser.add_argument("--configuration", required=True, help="the whole one, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder for the archives")
    arguments = parser.parse_args()
    runs = [key.directory for key in parse_runs(arguments.runs, "--runs")]
    config = json_object(arguments.configuration, "--configuration")
    manifests = publish_study(arguments.results, runs, config, arguments.out)
    finished = sum(manifest.finished for manifest in manifests)
    print(f"{finished} runs packed into {len(manifests)} archives: {arguments.out}")
    if missing := manifests[0].missing:
        print(f"{len(missing)} configured runs are missing: {shortened(missing)}")


if __name__ == "__main__":
    run_command(main)

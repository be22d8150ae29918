"""Pack the small files of a study's runs into one archive, to be drawn from elsewhere."""

import argparse
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.files import json_object
from liquidbench.reporting.runs import parse_runs
from liquidbench.sharing.contents import shortened
from liquidbench.sharing.exporting import export_study


def main() -> None:
    """Parse the command line and write the archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of the runs")
    parser.add_argument(
        "--runs",
        required=True,
        help='configured runs, a JSON list of {"dataset", "protocol", "model", "seeds"}',
    )
    parser.add_argument("--configuration", required=True, help="the whole one, as JSON")
    parser.add_argument("--weights", action="store_true", help="pack the trained weights too")
    parser.add_argument("--out", type=Path, required=True, help="the zip file to write")
    arguments = parser.parse_args()
    runs = [key.directory for key in parse_runs(arguments.runs, "--runs")]
    config = json_object(arguments.configuration, "--configuration")
    manifest = export_study(arguments.results, runs, config, arguments.out, arguments.weights)
    size = arguments.out.stat().st_size / 1e6
    print(f"{manifest.finished} runs packed, {size:.1f} MB: {arguments.out}")
    if manifest.missing:
        print(f"{len(manifest.missing)} configured runs are missing: {shortened(manifest.missing)}")


if __name__ == "__main__":
    run_command(main)

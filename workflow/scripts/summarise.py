"""Gather the run directories of a study into `<results>/summary/*.csv`."""

import argparse

from liquidbench.errors import run_command
from liquidbench.reporting.differences import parse_settings
from liquidbench.reporting.runs import parse_runs
from liquidbench.reporting.summaries import summarise, write_summaries


def main() -> None:
    """Parse the command line and write the summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True, help="folder of the run directories")
    parser.add_argument(
        "--expected",
        required=True,
        help='configured runs, a JSON list of {"dataset", "protocol", "model", "seeds"}',
    )
    parser.add_argument(
        "--statistics",
        default="{}",
        help='JSON: {"draws": of the bootstrap, "confidence": of the intervals}',
    )
    parser.add_argument("--out", required=True, help="folder of the summaries")
    arguments = parser.parse_args()
    expected = parse_runs(arguments.expected, "--expected")
    statistics = parse_settings(arguments.statistics, "--statistics")
    frames = summarise(arguments.results, expected, statistics)
    write_summaries(frames, arguments.out)
    states = frames["runs"]["state"].value_counts()
    print(f"{states.get('finished', 0)} runs finished, {states.get('missing', 0)} missing")
    if not states.get("finished", 0):
        print(f"warning: no finished run under {arguments.results}: the tables will be empty")


if __name__ == "__main__":
    run_command(main)

"""Draw Figures 1 to 8, training curves, confusion matrices, stress curves and alarms, as SVG and PNG files."""

import argparse
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.reporting.figure_files import write_figures
from liquidbench.reporting.runs import parse_runs
from liquidbench.reporting.study import add_study_arguments, read_study


def main() -> None:
    """Parse the command line and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_study_arguments(parser)
    parser.add_argument("--results", required=True, help="folder of the run directories")
    parser.add_argument(
        "--runs",
        required=True,
        help='configured runs, a JSON list of {"dataset", "protocol", "model", "seeds"}',
    )
    parser.add_argument(
        "--paper", help="folder of the paper's printed numbers; without it none are drawn"
    )
    parser.add_argument("--out", required=True, help="folder of the figures")
    parser.add_argument("--copies", type=Path, help="a folder for the SVG files alone, too")
    parser.add_argument("--without-png", action="store_true", help="write the SVG files alone")
    arguments = parser.parse_args()
    study = read_study(arguments.summary, arguments.layout)
    runs = parse_runs(arguments.runs, "--runs")
    gallery = write_figures(
        *(study, arguments.results, runs, arguments.out, arguments.paper),
        png=not arguments.without_png,
    )
    if arguments.copies is not None:
        gallery.copy(arguments.copies)
    print(
        f"{len(gallery.entries)} figures written, {len(gallery.left_out)} left out: "
        f"{arguments.out}/index.md"
    )


if __name__ == "__main__":
    run_command(main)

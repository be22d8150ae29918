"""Fit one baseline without recurrence on one data set, and write its run directory."""

import argparse

from liquidbench.errors import run_command
from liquidbench.files import json_object
from liquidbench.training.baselines import fit_baseline
from liquidbench.training.run_files import add_run_arguments


def main() -> None:
    """Parse the command line and fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument("--threads", type=int, default=1, help="how many were granted")
    arguments = parser.parse_args()
    names = {key: getattr(arguments, key) for key in ("dataset", "protocol", "model", "seed")}
    settings = json_object(arguments.settings, "--settings")
    fit_baseline(names, settings, arguments.cache, arguments.out, arguments.threads)


if __name__ == "__main__":
    run_command(main)

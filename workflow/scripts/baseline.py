"""Fit one baseline without recurrence on one data set, and write its run directory."""

import argparse
from pathlib import Path

from liquidbench.errors import run_command
from liquidbench.files import json_object
from liquidbench.training.baselines import fit_baseline


def main() -> None:
    """Parse the command line and fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="the data set's HDF5 cache")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--protocol", required=True, help="name of the protocol, for the record")
    parser.add_argument("--model", required=True, help="name of the model, for the record")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--settings", required=True, help="resolved, as JSON")
    parser.add_argument("--threads", type=int, default=1, help="how many were granted")
    parser.add_argument("--out", type=Path, required=True, help="the run directory")
    arguments = parser.parse_args()
    names = {key: getattr(arguments, key) for key in ("dataset", "protocol", "model", "seed")}
    settings = json_object(arguments.settings, "--settings")
    fit_baseline(names, settings, arguments.cache, arguments.out, arguments.threads)


if __name__ == "__main__":
    run_command(main)

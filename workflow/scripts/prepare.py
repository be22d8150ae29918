"""Prepare a data set: raw files to one cache, and a few examples for the figures."""

import argparse
from importlib import import_module

from liquidbench.errors import InputError, run_command
from liquidbench.files import json_object

DATASETS = ("iam", "nmnist", "physionet", "quickdraw")


def main() -> None:
    """Parse the command line, make the cache, then the examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, choices=DATASETS)
    parser.add_argument("--manifest", required=True, help="manifest.json of the raw files")
    parser.add_argument("--settings", required=True, help="JSON object, see each data set's module")
    parser.add_argument("--cache", required=True, help="HDF5 file to make")
    parser.add_argument("--examples", required=True, help="NPZ file to make")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    # Not at the top: each worker process imports this file again and needs none of it.
    from liquidbench.allocator import keep_freed_memory
    from liquidbench.datasets.examples import write_examples
    from liquidbench.datasets.manifest import read_manifest
    from liquidbench.datasets.preparation import read_settings

    dataset = import_module(f"liquidbench.datasets.{arguments.dataset}")
    values = json_object(arguments.settings, "--settings")
    if arguments.threads < 1:
        raise InputError("--threads", f"is {arguments.threads}, expected 1 or more", "Change it")
    settings = read_settings(dataset.Settings, values)
    manifest = read_manifest(arguments.manifest, arguments.dataset)
    keep_freed_memory()
    dataset.prepare(manifest, settings, arguments.cache, arguments.threads)
    write_examples(arguments.examples, manifest, settings, arguments.cache)


if __name__ == "__main__":
    run_command(main)

"""Find or download the raw files of one data set and write its manifest."""

import argparse
import sys
from pathlib import Path

from liquidbench.datasets.download import RecordedChecksums, download_files
from liquidbench.datasets.mirror import find_files
from liquidbench.datasets.sources import resolve
from liquidbench.errors import InputError, run_command
from liquidbench.files import json_object, write_json


def parse_arguments() -> argparse.Namespace:
    """Parse the command line.

    Raises:
        InputError: a mirror is asked for and none is named.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--source", required=True, choices=["download", "mirror"])
    parser.add_argument("--mirror", default="", help="the mirror's folder (source: mirror)")
    parser.add_argument("--options", default="{}", help="the data set's options, as JSON")
    parser.add_argument("--sources", type=Path, required=True, help="sources.yaml")
    parser.add_argument(
        "--checksums", type=Path, help="recorded sums of first downloads (source: download)"
    )
    parser.add_argument("--out", type=Path, required=True, help="manifest.json to write")
    arguments = parser.parse_args()
    if arguments.source == "mirror" and not arguments.mirror:
        raise InputError(
            f"source of {arguments.dataset}",
            "is mirror, and no mirror is named",
            "Set the configuration key `mirror` or the variable LIQUIDBENCH_MIRROR to its folder",
        )
    if arguments.source == "download" and arguments.checksums is None:
        parser.error("--source download needs --checksums")
    return arguments


def main() -> None:
    """Fetch, then write the manifest."""
    arguments = parse_arguments()
    options = json_object(arguments.options, "--options")
    dataset = resolve(arguments.sources, arguments.dataset, options)
    if arguments.source == "mirror":
        files = find_files(dataset, arguments.mirror)
    else:
        print(f"{dataset.name}: {dataset.licence}; {dataset.home_page}", file=sys.stderr)
        recorded = RecordedChecksums(arguments.checksums)
        files = download_files(dataset, arguments.out.parent, recorded)
    manifest = {
        "dataset": dataset.name,
        "source": arguments.source,
        "synthetic": False,
        "files": files,
    }
    write_json(arguments.out, manifest)


if __name__ == "__main__":
    run_command(main)

"""Make synthetic raw files of one data set, in its official format, and their manifest.

Example:
    python workflow/scripts/synthesise.py --dataset nmnist --options '{"seed": 1, "train": 300}' \
        --out resources/synthetic/nmnist/manifest.json
"""

import argparse
from pathlib import Path

from liquidbench.datasets.synthetic import iam, nmnist, physionet, quickdraw
from liquidbench.datasets.synthetic.raw_files import write_manifest
from liquidbench.errors import run_command
from liquidbench.files import json_object

GENERATORS = {
    "nmnist": nmnist.synthesise,
    "quickdraw": quickdraw.synthesise,
    "iam": iam.synthesise,
    "physionet": physionet.synthesise,
}

# Apart from downloads, which have the same names and took longer to make.
FOLDER = "synthetic"


def main() -> None:
    """Parse the command line, write the raw files and, last, the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, choices=GENERATORS)
    parser.add_argument("--options", default="{}", help="JSON object; absent options: defaults")
    parser.add_argument("--out", required=True, type=Path, help="the manifest to write")
    arguments = parser.parse_args()
    options = json_object(arguments.options, "--options")
    # A manifest beside half-renewed files would vouch for the wrong ones.
    arguments.out.unlink(missing_ok=True)
    files = GENERATORS[arguments.dataset](options, arguments.out.parent / FOLDER)
    write_manifest(arguments.out, arguments.dataset, files)
    for role, file in files.items():
        print(f"{arguments.dataset}: {role}: {file} ({file.stat().st_size:,} bytes, synthetic)")


if __name__ == "__main__":
    run_command(main)

"""Ask a trained model about new raw files: a row per example (by the hour: per hour) in a CSV file."""

import argparse
import os
import sys
from pathlib import Path

# cuBLAS reads this when it starts; without it its kernels are not deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# As in training: threads that wait do not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from liquidbench.errors import run_command
from liquidbench.inference.finished_run import load_finished_run
from liquidbench.inference.predict import predictions, remarks_on
from liquidbench.inference.raw_files import read_raw_files
from liquidbench.models.cfc.implementations import CHOICES
from liquidbench.training.device import chosen_device
from liquidbench.training.run_files import write_table


def main() -> None:
    """Parse the command line, read, answer, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIRECTORY", help="of a finished run")
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="RAW_FILE",
        help="in the data set's own format: .bin, .ndjson, .png or .psv",
    )
    parser.add_argument("--out", type=Path, required=True, help="the CSV file to write")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core-implementation", choices=CHOICES, default="auto")
    arguments = parser.parse_args()
    with chosen_device(arguments.device) as device:
        run = load_finished_run(
            arguments.run, device, arguments.threads, arguments.core_implementation
        )
        run.refuse_out(arguments.out, arguments.files)
        examples = read_raw_files(arguments.files, run.attributes.dataset, run.settings)
        for remark in remarks_on(run, examples):
            print(remark, file=sys.stderr)
        table = predictions(run, examples, device)
    write_table(arguments.out, table)
    count, left = len(examples.sequences), len(examples.left_out)
    print(f"{run.name}: {len(table)} rows of {count} examples, {left} left out: {arguments.out}")


if __name__ == "__main__":
    run_command(main)

"""Write a trained model as an ONNX file for other programs, once it is seen to agree with the original."""

import argparse
from pathlib import Path

import torch

from liquidbench.errors import run_command
from liquidbench.inference.finished_run import load_finished_run
from liquidbench.inference.onnx_export import DEFAULT_OPSET, export


def main() -> None:
    """Parse the command line, export, say how well both models agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIRECTORY", help="of a finished run")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--opset", type=int, default=DEFAULT_OPSET, help="of ONNX's operators")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    # The plain loop of a core that has several: what is exported is checked against the definition.
    run = load_finished_run(arguments.run, torch.device("cpu"), arguments.threads, "reference")
    run.refuse_out(arguments.out)
    differences = export(run, arguments.out, arguments.opset)
    for name, difference in differences:
        print(f"{name}: logits differ by at most {difference:.1e}")
    largest = max(difference for _, difference in differences)
    size = arguments.out.stat().st_size / 1e6
    print(f"{run.name}: {arguments.out} ({size:.1f} MB), largest difference {largest:.1e}")


if __name__ == "__main__":
    run_command(main)

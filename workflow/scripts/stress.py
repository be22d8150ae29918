"""Evaluate one trained model under the corruptions of the stress test."""

import argparse
import os
from pathlib import Path

# cuBLAS reads this when it starts; without it its kernels are not deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# OpenMP reads this when torch loads it. By default its threads spin while they wait for the next product; where
# anything else is running, they so take the cores from the threads that they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

from liquidbench.errors import run_command
from liquidbench.files import json_object, written_whole
from liquidbench.models.cfc.implementations import CHOICES
from liquidbench.training.device import chosen_device
from liquidbench.training.run import load_run
from liquidbench.training.stress import stress_test


def main() -> None:
    """Parse the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="the cache that the run used")
    parser.add_argument("--run", type=Path, required=True, help="the run directory")
    parser.add_argument("--settings", required=True, help="corruptions, rates, draws, mask_seed")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="how many may share a card")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core-implementation", choices=CHOICES, default="auto")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the CSV file to write; stress_answers.npz goes beside it",
    )
    arguments = parser.parse_args()
    settings = json_object(arguments.settings, "--settings")
    with chosen_device(arguments.device, arguments.jobs_per_gpu) as device:
        model, data, task, metrics = load_run(
            arguments.run,
            arguments.cache,
            device,
            arguments.threads,
            arguments.core_implementation,
        )
        rows, answers = stress_test(model, data, task, metrics, settings, device)
    answers_file = arguments.out.with_name("stress_answers.npz")
    with written_whole(answers_file) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **answers)
    with written_whole(arguments.out) as temporary:
        rows.to_csv(temporary, index=False)


if __name__ == "__main__":
    run_command(main)

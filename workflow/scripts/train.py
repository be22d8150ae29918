"""Train one model on one data set, and write its run directory."""

import argparse
import os

# cuBLAS reads this when it starts; without it its kernels are not deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# OpenMP reads this when torch loads it. By default its threads spin while they wait for the next product; where
# anything else is running, they so take the cores from the threads that they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from liquidbench.errors import run_command
from liquidbench.files import json_object
from liquidbench.models.cfc.implementations import CHOICES
from liquidbench.training.device import chosen_device
from liquidbench.training.interruption import ending_on_sigterm
from liquidbench.training.run import RunRequest, train_run
from liquidbench.training.run_files import add_run_arguments


def minutes(text: str) -> float | None:
    """A number of minutes above 0, or "none"."""
    if text == "none":
        return None
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="how many may share a card")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core-implementation", choices=CHOICES, default="auto")
    parser.add_argument(
        "--max-minutes",
        type=minutes,
        help="end in time, with exit status 75 (none: take all it needs); the same command goes on from the last epoch",
    )
    parser.add_argument(
        "--tensorboard", choices=["yes", "no"], default="no", help="write its event files too"
    )
    arguments = parser.parse_args()
    request = RunRequest(
        dataset=arguments.dataset,
        protocol=arguments.protocol,
        model=arguments.model,
        seed=arguments.seed,
        settings=json_object(arguments.settings, "--settings"),
        cache=arguments.cache,
    )
    with ending_on_sigterm(), chosen_device(arguments.device, arguments.jobs_per_gpu) as device:
        train_run(
            *(request, arguments.out, device, arguments.threads),
            core_implementation=arguments.core_implementation,
            max_minutes=arguments.max_minutes,
            tensorboard=arguments.tensorboard == "yes",
        )


if __name__ == "__main__":
    run_command(main)

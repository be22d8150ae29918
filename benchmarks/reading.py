"""Reading lines from what the network says of them, beside the network itself, on one batch of an evaluation.

    python benchmarks/reading.py [--mirror DIR] [--out reading.csv] [--quick] [--threads 1]

Without a mirror, on synthetic lines. The network is the compact line reader, whose evaluation is the fastest, so that
a reading weighs most. What a beam search costs hardly depends on what it reads, so an untrained network will do.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from studies import LIMITS, PROJECT, SYNTHETIC, add_mirror_option, open_study, source_of
from timing import compared, interleaved, save, show

from liquidbench.allocator import keep_freed_memory
from liquidbench.errors import run_command
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs
from liquidbench.training.batches import make_batch
from liquidbench.training.device import make_deterministic
from liquidbench.training.tasks import FinalTranscriptionTask, TranscriptionTask, task_of

LINES = 64
NETWORK = "network"
WIDTHS = (1, 10, 25, 100)


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_mirror_option(parser)
    parser.add_argument("--out", type=Path, help="CSV of the times")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    keep_freed_memory()
    make_deterministic(0, arguments.threads)
    limits = LIMITS | {"iam": {"limit_train": 10, "limit_test": LINES}}
    made = {"train": 10, "validation": 10, "test": LINES, "sentences": True}
    made = SYNTHETIC | {"iam": made}
    with tempfile.TemporaryDirectory() as scratch:
        study = open_study(
            PROJECT, arguments.mirror, Path(scratch), limits, made, protocols={"iam": "compact"}
        )
        settings = study.resolved["iam"]["settings"]["cfc"]
        data = inputs.load(study.cache("iam"), settings["training"], 0)
    task = task_of(data.attributes, settings["training"])
    model = SequenceModel(settings["architecture"], data.input_shape, task.outputs).eval()
    batch = make_batch(data.test, np.arange(LINES), data.transform, torch.device("cpu"))
    with torch.inference_mode():
        logits = model(batch.steps)
        variants: dict[str, Callable[[], object]] = {
            NETWORK: partial(model, batch.steps),
            "greedy": partial(TranscriptionTask(task.alphabet).read, logits),
        }
        for width in WIDTHS:
            final = FinalTranscriptionTask(task.alphabet, width)
            variants[f"greedy and beam search, {width} wide"] = partial(final.read, logits)
        rounds = 3 if arguments.quick else 11
        times = interleaved(variants, rounds, warmups=1, clock=time.process_time)
    case = (
        f"{LINES} lines of {logits.shape[1]} steps, {task.outputs} codes, {source_of(study.mirror)}"
    )
    table = compared(times, NETWORK, "reading", case)
    show(table, "reading beside the compact network with a CfC, processor time")
    if arguments.out:
        save(table, arguments.out)


if __name__ == "__main__":
    run_command(main)

"""A shuffled training batch against the training step that consumes it, for each data set with an LSTM and a CfC.

    python benchmarks/loader.py [--mirror DIR] [--out loader.csv] [--quick] [--threads 1] [--dataset nmnist]

Without a mirror, on synthetic files. A batch is drawn, padded, transformed and augmented as in a training. The models
are those of the study; of the line reader the compact one, whose steps are the shortest, and so the hardest to keep
up with. Ratios are to the step of the same model: the time that loading adds to a training. With one thread, as the
study trains, what counts is this process's own processor time; with more, the time on the wall.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from studies import DATASETS, PROJECT, Study, add_mirror_option, open_study, source_of
from timing import compared, interleaved, save, show

from liquidbench.allocator import keep_freed_memory
from liquidbench.datasets.cache import Sequences
from liquidbench.errors import run_command
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs
from liquidbench.training.batches import Batch
from liquidbench.training.device import make_deterministic
from liquidbench.training.loop import train_step, training_batches
from liquidbench.training.schedules import make_optimizer
from liquidbench.training.tasks import task_of

CPU = torch.device("cpu")
BATCH = "shuffled batch"
PROTOCOLS = {"iam": "compact"}
# More batches than a processor's cache holds.
LIMITS = {
    "nmnist": {"limit_train": 1000, "limit_test": 10},
    "quickdraw": {"per_category": 1000},
    "iam": {"limit_train": 200, "limit_test": 10},
    "physionet": {"limit_patients": 4000},
}
SYNTHETIC = {
    "nmnist": {"train": 300, "test": 20},
    "quickdraw": {"per_category": 100},
    "iam": {"train": 120, "validation": 10, "test": 20},
    "physionet": {"patients": 1000},
}


def endless(data: inputs.RunData, training: dict[str, Any]) -> Iterator[Batch]:
    """The training's batches, epoch after epoch."""
    order = np.random.default_rng(0)
    while True:
        yield from training_batches(data, training, order, CPU)


def plain_batch(sequences: Sequences, indices: np.ndarray) -> np.ndarray:
    """Examples padded with zeros, as stored, by a plain loop: (batch, time, *features)."""
    padded = np.zeros(
        (len(indices), sequences.lengths[indices].max(), *sequences.inputs.shape[1:]),
        dtype=sequences.inputs.dtype,
    )
    for row, index in enumerate(indices):
        begin, end = sequences.offsets[index : index + 2]
        padded[row, : end - begin] = sequences.inputs[begin:end]
    return padded


def check(data: inputs.RunData, training: dict[str, Any]) -> None:
    """Stop unless an epoch holds every example once, in batches that equal those of a plain loop.

    Raises:
        SystemExit: it does not.
    """
    seen = []
    plain = replace(data, augment=None)
    for batch in training_batches(plain, training, np.random.default_rng(0), CPU):
        expected = data.transform(torch.from_numpy(plain_batch(data.train, batch.indices)))
        if batch.lengths is not None:
            inside = torch.arange(expected.shape[1]) < batch.lengths[:, None]
            shape = inside.shape + (1,) * (expected.dim() - 2)
            expected = expected * inside.view(shape)
        if not torch.equal(batch.steps, expected):
            sys.exit(f"error: a batch of {data.attributes.dataset} differs from a plain loop's")
        seen.append(batch.indices)
    if not np.array_equal(np.sort(np.concatenate(seen)), np.arange(len(data.train))):
        sys.exit(f"error: an epoch of {data.attributes.dataset} does not hold every example once")


def measure(dataset: str, study: Study, rounds: int) -> pd.DataFrame:
    """Check, time and print one data set."""
    block, case = study.resolved[dataset], source_of(study.mirror)
    training = block["settings"]["cfc"]["training"]
    data = inputs.load(study.cache(dataset), training, 0)
    check(data, training)
    task = task_of(data.attributes, training)
    batches = endless(data, training)
    current = next(batches)

    def load() -> None:
        nonlocal current
        current = next(batches)

    variants: dict[str, Callable[[], object]] = {BATCH: load}
    for core, settings in block["settings"].items():
        model = SequenceModel(settings["architecture"], data.input_shape, task.outputs).train()
        step = partial(train_step, model, task=task, optimizer=make_optimizer(model, training))
        variants[f"step, {core}"] = lambda step=step: step(current, settings=training, device=CPU)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times = interleaved(variants, rounds, warmups=2, clock=clock)
    tables = [
        compared(times[[BATCH, name]], name, "loader", f"{dataset}, {case}")
        for name in times.columns
        if name != BATCH
    ]
    table = pd.concat(tables, ignore_index=True)
    batch_size = training["batch_size"]
    show(table, f"{dataset}, {block['protocol']} protocol, batches of {batch_size}, {case}")
    return table


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_mirror_option(parser)
    parser.add_argument("--out", type=Path, help="CSV of the times")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--dataset", choices=DATASETS, action="append", help="instead of all")
    arguments = parser.parse_args()
    keep_freed_memory()
    make_deterministic(0, arguments.threads)
    rounds = 5 if arguments.quick else 15
    with tempfile.TemporaryDirectory() as scratch:
        study = open_study(
            PROJECT, arguments.mirror, Path(scratch), LIMITS, SYNTHETIC, protocols=PROTOCOLS
        )
        tables = [measure(name, study, rounds) for name in arguments.dataset or DATASETS]
    if arguments.out:
        save(pd.concat(tables, ignore_index=True), arguments.out)


if __name__ == "__main__":
    run_command(main)

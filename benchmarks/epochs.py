"""Training steps of whole models: the library's CfC, ours and the LSTM; and epochs beside those of another commit.

Models, settings and batches are those of the study (`config/config.yaml`), or of `config/mirror.yaml` on a mirror. All
variants of a data set take the same batches, and the CfCs start from the same weights.

    python benchmarks/epochs.py
    python benchmarks/epochs.py --mirror FOLDER --out epochs.csv
    python benchmarks/epochs.py --before CHECKOUT

With `--before` each model trains for one epoch as a job of either checkout, in turn, from caches that each made itself.
Steps of one thread are timed in this process's own processor time, whatever else runs; all else on the wall.
"""

import argparse
import copy
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# As the study's jobs have it; OpenMP reads it when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from cores import available
from library_core import PlainFrames, with_library_core
from studies import (
    DATASETS,
    LIMITS,
    PROJECT,
    QUICK_LIMITS,
    Study,
    add_mirror_option,
    open_study,
)
from timing import compared, interleaved, save, show

sys.path.insert(0, str(PROJECT / "workflow/scripts"))

from liquidbench.allocator import keep_freed_memory
from liquidbench.models.encoders import FrameCNN
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs
from liquidbench.training.batches import Batch
from liquidbench.training.device import make_deterministic
from liquidbench.training.loop import train_step, training_batches
from liquidbench.training.schedules import make_optimizer
from liquidbench.training.tasks import Task, task_of

CPU = torch.device("cpu")
LIBRARY, LSTM, PLAIN = "CfC, ncps", "LSTM", "CfC, ncps, and a plain encoder"

# Batches of one round. Of the line reader one, of this many lines, whatever the protocol's batch.
STEPS = {"nmnist": 3, "quickdraw": 2, "iam": 1, "physionet": 4}
LINES = 4


def main() -> None:
    """Parse the command line, time, print and write."""
    arguments = parse_arguments()
    limits = QUICK_LIMITS if arguments.quick else LIMITS
    with tempfile.TemporaryDirectory(prefix="liquidbench-epochs-") as folder:
        here = open_study(PROJECT, arguments.mirror, Path(folder, "here"), limits)
        if arguments.before is None:
            tables = [steps_of(here, name, arguments) for name in arguments.datasets]
        else:
            before = open_study(
                arguments.before.resolve(), arguments.mirror, Path(folder, "before"), limits
            )
            tables = [epochs_of(here, before, name, arguments) for name in arguments.datasets]
    if arguments.out is not None:
        save(pd.concat(tables), arguments.out)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_mirror_option(parser)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--out", type=Path, help="CSV file to write")
    parser.add_argument("--quick", action="store_true", help="few examples and rounds: a trial")
    parser.add_argument("--rounds", type=int, help="rounds that count (7; with --before 3)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--before", type=Path, help="a checkout of another commit to compare with")
    arguments = parser.parse_args()
    if arguments.rounds is None:
        few = 2 if arguments.before is None else 1
        arguments.rounds = few if arguments.quick else (7 if arguments.before is None else 3)
    return arguments


def steps_of(study: Study, dataset: str, arguments: argparse.Namespace) -> pd.DataFrame:
    """Time a data set's models on the same batches; gives a table of `timing.compared`, against either reference."""
    settings = study.resolved[dataset]["settings"]
    training = copy.deepcopy(settings["cfc"]["training"])
    if dataset == "iam":
        training["batch_size"] = min(training["batch_size"], LINES)
    keep_freed_memory()
    make_deterministic(0, arguments.threads)
    data = inputs.load(study.cache(dataset), training, 0)
    task = task_of(data.attributes, training)
    order = np.random.default_rng(0)
    made = training_batches(data, training, order, CPU)
    batches = [batch for batch, _ in zip(made, range(STEPS[dataset]))]

    models = models_of(settings, data.input_shape, task.outputs)
    check_agreement(models, batches[0])
    variants = {name: steps_on(model, batches, task, training) for name, model in models.items()}
    recurrent = models[LSTM].core.recurrent
    print(
        f"\nThe LSTM of {dataset}'s protocol has {recurrent.num_layers} layer(s)"
        f"{', and reads both ways' if recurrent.bidirectional else ''}."
    )
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    times = interleaved(variants, arguments.rounds, warmups=1, clock=clock)
    case = (
        f"{dataset}, {study.resolved[dataset]['protocol']}, "
        f"{len(batches)} x {training['batch_size']} examples"
    )
    table = pd.concat(
        [
            compared(times, LIBRARY, "training steps", case),
            compared(times, LSTM, "training steps", case),
        ]
    )
    title = (
        f"Training steps of whole models, {arguments.threads} thread(s); ms of all batches together"
    )
    show(table, title)
    return table


def models_of(
    settings: dict[str, Any], input_shape: tuple[int, ...], outputs: int
) -> dict[str, SequenceModel]:
    """The LSTM, and the CfCs with the weights of the first of them, by the names of the variants."""
    architecture = settings["cfc"]["architecture"]
    torch.manual_seed(0)
    lstm = SequenceModel(settings["lstm"]["architecture"], input_shape, outputs)
    cfcs = {name: SequenceModel(architecture, input_shape, outputs, name) for name in available()}
    first = cfcs["reference"]
    library = with_library_core(first, architecture["core"])
    for model in cfcs.values():
        model.load_state_dict(first.state_dict())
    models = {LSTM: lstm, LIBRARY: library} | {f"CfC, {n}": model for n, model in cfcs.items()}
    if isinstance(first.encoder, FrameCNN):
        # What the library's core has beside it where nobody has written the encoder for speed.
        models[PLAIN] = copy.deepcopy(library)
        models[PLAIN].encoder = PlainFrames(models[PLAIN].encoder)
    return models


@torch.inference_mode()
def check_agreement(models: dict[str, SequenceModel], batch: Batch) -> None:
    """Stop unless all CfCs give the same logits: what computes something else is not to be timed.

    Raises:
        AssertionError: they do not.
    """
    logits = {
        name: model.eval()(batch.steps, None, batch.lengths) for name, model in models.items()
    }
    for name in logits.keys() - {LSTM}:
        torch.testing.assert_close(logits[name], logits[LIBRARY], atol=1e-4, rtol=1e-3, msg=name)


def steps_on(
    model: SequenceModel,
    batches: list[Batch],
    task: Task,
    training: dict[str, Any],
) -> Callable[[], None]:
    """A function that trains a model on some batches once."""
    optimizer = make_optimizer(model, training)
    model.train()

    def run() -> None:
        for batch in batches:
            train_step(model, batch, task, optimizer, training, CPU)

    return run


def epochs_of(
    here: Study, before: Study, dataset: str, arguments: argparse.Namespace
) -> pd.DataFrame:
    """Train a data set's LSTM and CfC for one epoch with either checkout; gives both kinds of ratios.

    "epoch" is what the run itself measured: training and testing. "job" is the whole process.
    """
    tables = []
    sides = {"before": before, "now": here}
    for study in sides.values():
        study.cache(dataset)
    for core in here.resolved[dataset]["settings"]:
        rows: dict[str, list[dict[str, float]]] = {"epoch": [], "job": []}
        for number in range(arguments.rounds):
            row: dict[str, dict[str, float]] = {"epoch": {}, "job": {}}
            for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
                started = time.perf_counter()
                provenance = sides[name].train(dataset, core, arguments.threads)
                row["job"][name] = time.perf_counter() - started
                row["epoch"][name] = provenance["seconds"]["median_epoch"]
            for kind, times in row.items():
                rows[kind].append(times)
        for kind, times in rows.items():
            frame = pd.DataFrame(times, columns=list(sides))
            case = f"{dataset}, {here.resolved[dataset]['protocol']}, {core}"
            tables.append(compared(frame, "before", kind, case))
    table = pd.concat(tables)
    for kind in ("epoch", "job"):
        show(table[table["benchmark"] == kind], f"One {kind}, {arguments.threads} thread(s)")
    return table


if __name__ == "__main__":
    main()

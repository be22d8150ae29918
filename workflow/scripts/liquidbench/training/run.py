"""One run: train a model of a data set, and leave the run directory that every later stage reads."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from liquidbench.allocator import keep_freed_memory
from liquidbench.datasets.checksum import verified_sha256
from liquidbench.errors import InputError
from liquidbench.evaluation.metrics import Figures
from liquidbench.files import read_json, sha256_of_code, write_json, written_whole
from liquidbench.models.costs import flops
from liquidbench.models.gru_d import GRUDCore
from liquidbench.models.matching import solve_match
from liquidbench.models.sequence_model import SequenceModel, describe
from liquidbench.stages import parts_of
from liquidbench.training import inputs
from liquidbench.training.batches import make_batch
from liquidbench.training.checkpoint import Checkpoint
from liquidbench.training.costs import example_of_median_length, latencies
from liquidbench.training.device import make_deterministic
from liquidbench.training.energy import EnergyMeter
from liquidbench.training.event_files import EventFiles, delete_event_files
from liquidbench.training.interruption import TimeLimit
from liquidbench.training.loop import evaluate, train
from liquidbench.training.precision import precision_of
from liquidbench.training.progress import epoch_line
from liquidbench.training.provenance import (
    environment,
    peak_memory_bytes,
    processor_name,
    utc_now,
)
from liquidbench.training.run_files import check_cache, write_table
from liquidbench.training.state import Epoch, TrainingState
from liquidbench.training.tasks import BinaryTask, Task, final_task_of, task_of


@dataclass(frozen=True)
class RunRequest:
    """What to train: names, seed, resolved settings (`architecture`, `training`, `dataset`) and the cache."""

    dataset: str
    protocol: str
    model: str
    seed: int
    settings: dict[str, Any]
    cache: Path


def train_run(
    request: RunRequest,
    out: Path,
    device: torch.device,
    threads: int,
    core_implementation: str = "auto",
    max_minutes: float | None = None,
    tensorboard: bool = False,
) -> None:
    """Train, test, and write the run directory `out`. The metrics are written last.

    A checkpoint is kept in `out` after each epoch; a training that finds its own goes on from there.

    Args:
        request: what to train.
        out: the run directory.
        device: where to compute.
        threads: of torch.
        core_implementation: which code computes a core that has several.
        max_minutes: the time that it has; None: as long as it takes.
        tensorboard: write TensorBoard's event files into `out` too.

    Raises:
        Interrupted: not done in `max_minutes`: finished epochs are kept.
        InputError: the cache is of another data set, damaged, or was prepared with other settings;
            the loss is not a number any more; or no width matches the model that is to be matched.
    """
    started, clock, limit = utc_now(), time.monotonic(), TimeLimit(max_minutes)
    keep_freed_memory()
    make_deterministic(request.seed, threads)
    training = request.settings["training"]
    checksum = verified_sha256(request.cache)
    data = inputs.load(request.cache, training, request.seed)
    check_cache(request.cache, data.attributes, request.dataset, request.settings["dataset"])
    task = task_of(data.attributes, training)
    request = _with_match_solved(request, data, task)
    model = SequenceModel(
        request.settings["architecture"], data.input_shape, task.outputs, core_implementation
    )
    if training.get("level") == "hour":
        _refuse_looking_ahead(model, request.settings["architecture"])
    model.to(device)
    varies = _elapsed_varies(model, data, training)
    if varies is False:
        print(
            "ATTENTION: the model is told the time, but in training all steps of a sequence take equally long: what it "
            "makes of a gap is untrained. training.step_dropout with how: removed trains it",
            flush=True,
        )

    # What was measured on earlier weights must not stand beside the new ones.
    for name in ("metrics.json", "stress.csv", "stress_answers.npz", "validation_predictions.csv"):
        (out / name).unlink(missing_ok=True)
    # Before the clock starts: the first pass builds what a core's implementation has to build on this machine.
    sample = make_batch(data.test, np.array([0]), data.transform, device)
    architecture = describe(model, sample.steps, sample.lengths, sample.elapsed)
    state = TrainingState(model, training, task.better, request.seed, device)
    identity = _identity(request, checksum, device, threads, model)
    checkpoint = Checkpoint(out, identity)
    told = checkpoint.restore(state)
    if told:
        print(told, flush=True)
    state.begin_on(processor_name(device))
    earlier = sum(epoch.seconds for epoch in state.epochs)
    meter = EnergyMeter(device)
    # Several trainings may write to one terminal.
    name = f"{request.dataset}/{request.protocol}/{request.model} seed {request.seed}"
    if not state.epochs:
        delete_event_files(out)
    events = EventFiles(out, request.settings, state.epochs) if tensorboard else None

    def finished(state: TrainingState) -> None:
        last = state.epochs[-1]
        last.joules = meter.joules()
        print(f"{name}  {epoch_line(state.epochs, training['epochs'])}", flush=True)
        if events is not None:
            events.add(last)
        checkpoint.save(state)
        if len(state.epochs) < training["epochs"]:
            limit.check(next_seconds=last.seconds)

    training_clock = time.monotonic()
    said, test_figures = train(state, data, task, training, finished)
    evaluation_clock = time.monotonic()
    figures = {}
    if data.validation is not None:
        figures["validation"] = _validate(out, model, data, task, training, device)
        test_figures |= task.figures(said, data.test)
    final = final_task_of(task, training)
    if final is not task:
        said, test_figures = evaluate(model, data.test, data, final, training, device)
    _, train_figures = evaluate(model, data.train, data, task, training, device)
    finished_clock = time.monotonic()

    _write_results(out, model, data, final, state.epochs, said)
    write_json(out / "architecture.json", architecture)
    seconds = {
        "total": finished_clock - clock + earlier,
        "training": evaluation_clock - training_clock + earlier,
        "evaluation": finished_clock - evaluation_clock,
        "median_epoch": float(np.median([epoch.seconds for epoch in state.epochs])),
    }
    write_json(
        out / "provenance.json",
        environment(device, precision_of(training))
        | {
            "seconds": seconds,
            "energy_joules": _energy(state.epochs),
            "processors": state.processors,
            "latency_seconds": latencies(model, data, training, device),
            "peak_memory_bytes": peak_memory_bytes(device),
            "started": started,
            "finished": utc_now(),
        },
    )
    example = example_of_median_length(data.test, data.transform, device)
    costs = flops(model, example.steps, timed=model.elapsed == "core")
    figures |= {"train": train_figures, "test": test_figures, "costs": costs}
    write_json(out / "metrics.json", _metrics(request, data, model, varies, identity) | figures)
    checkpoint.delete()


def _identity(
    request: RunRequest, checksum: str, device: torch.device, threads: int, model: SequenceModel
) -> dict[str, Any]:
    """What two trainings have to share to end in the same bytes, and so may go on from one another's checkpoint.

    The model has run once, so that its core knows which code computes it.
    """
    names = ("dataset", "protocol", "model", "seed")
    return {
        "run": {name: getattr(request, name) for name in names},
        "configuration": request.settings,
        "data": checksum,
        "code": sha256_of_code(*parts_of("train")),
        "computing": {
            "device": device.type,
            "threads": threads,
            "core_implementation": model.core.implementation,
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def _with_match_solved(request: RunRequest, data: inputs.RunData, task: Task) -> RunRequest:
    """With the units of a model that is to have another's parameters."""
    wish = request.settings.get("match")
    other_shape = data.input_shape_under(wish.get("imputation")) if wish else data.input_shape
    settings = solve_match(
        request.settings, request.model, data.input_shape, other_shape, task.outputs
    )
    return replace(request, settings=settings)


def _validate(
    out: Path,
    model: SequenceModel,
    data: inputs.RunData,
    task: Task,
    training: dict[str, Any],
    device: torch.device,
) -> Figures:
    """Choose the task's threshold on the validation split, if the settings ask for it; its figures and predictions.

    The test split plays no part in it.
    """
    said, figures = evaluate(model, data.validation, data, task, training, device)
    if isinstance(training["threshold"], str):
        task.threshold = task.best_threshold(training["threshold"], said, data.validation)
        figures |= task.figures(said, data.validation)
    write_table(out / "validation_predictions.csv", task.predictions(said, data.validation))
    return figures


def _refuse_looking_ahead(model: SequenceModel, architecture: dict[str, Any]) -> None:
    """An hour's answer must not depend on later hours.

    Raises:
        InputError: the core reads backwards too, the encoder joins steps, or steps are pooled.
    """
    problem = None
    if architecture["core"].get("bidirectional"):
        problem = "the core is bidirectional"
    elif not model.encoder.per_step:
        problem = f"the encoder {architecture['encoder']['name']} joins steps"
    elif model.pooling != "none":
        problem = f"pooling is {model.pooling}"
    if problem:
        remedy = "Take a core that reads forward, the encoder identity or projection, pooling none"
        raise InputError("the hour-level task, where no hour sees a later one", problem, remedy)


def _write_results(
    out: Path,
    model: SequenceModel,
    data: inputs.RunData,
    task: Task,
    epochs: list[Epoch],
    said: np.ndarray,
) -> None:
    """Weights, history, predictions, and what only some tasks have: confusion counts, scaling."""
    with written_whole(out / "weights.safetensors") as temporary:
        # Not by the library's own writing, whose errors do not say that the disk is full.
        temporary.write_bytes(save(model.state_dict()))
    write_table(out / "history.csv", pd.DataFrame([epoch.row for epoch in epochs]))
    write_table(out / "predictions.csv", task.predictions(said, data.test))
    if task.confusion is not None:
        write_table(out / "confusion.csv", task.confusion(said, data.test))
    if data.scaling is not None:
        write_json(out / "scaling.json", data.scaling.as_dict())


def _elapsed_varies(
    model: SequenceModel, data: inputs.RunData, training: dict[str, Any]
) -> bool | None:
    """Whether what a model is told of time varies within its training sequences; None: it is told nothing.

    A core whose answer to time was learnt from equal steps has no trained answer to a gap. GRU-D counts from each
    variable's last measurement, so it knows gaps wherever values are missing.
    """
    if model.elapsed == "none":
        return None
    removed = training.get("step_dropout", {}).get("how") == "removed"
    return removed or isinstance(model.core, GRUDCore) or inputs.steps_vary(data.train)


def _metrics(
    request: RunRequest,
    data: inputs.RunData,
    model: SequenceModel,
    varies: bool | None,
    identity: dict[str, Any],
) -> dict[str, Any]:
    """`metrics.json` but for the figures: nothing here differs between two runs on equal machines."""
    return {
        "dataset": request.dataset,
        "protocol": request.protocol,
        "model": request.model,
        "seed": request.seed,
        "task": data.attributes.task,
        "source": data.attributes.source,
        "synthetic": data.attributes.synthetic,
        "examples": _examples(request, data),
        "classes": list(data.attributes.classes),
        "parameters": model.parameter_counts(),
        "settings": request.settings,
        "core_implementation": model.core.implementation,
        "elapsed_varies": varies,
        "elapsed": {"median_step": data.elapsed_unit, "unit": data.attributes.elapsed_unit},
        "cache_sha256": identity["data"],
        "code_sha256": identity["code"],
    }


def _examples(request: RunRequest, data: inputs.RunData) -> dict[str, int]:
    """The size of each split, in examples; where each hour is one to answer for, also in hours."""
    splits = {"train": data.train, "test": data.test}
    if data.validation is not None:
        splits["validation"] = data.validation
    counts = {name: len(split) for name, split in splits.items()}
    if request.settings["training"].get("level") == "hour":
        counts |= {f"{name}_hours": int(split.offsets[-1]) for name, split in splits.items()}
    return counts


def load_run(
    run: Path, cache: Path, device: torch.device, threads: int, core_implementation: str = "auto"
) -> tuple[SequenceModel, inputs.RunData, Task, dict[str, Any]]:
    """A trained model and the data that it was trained and tested on.

    Returns:
        The model in evaluation mode on `device`, its data, its task, and its `metrics.json`.

    Raises:
        InputError: the run directory or the cache is incomplete or damaged, or the cache is not the run's.
    """
    metrics = read_json(run / "metrics.json")
    if verified_sha256(cache) != metrics["cache_sha256"]:
        raise InputError(
            cache, f"is not the cache that {run} was trained on", "Train the run again"
        )
    make_deterministic(metrics["seed"], threads)
    training = metrics["settings"]["training"]
    data = inputs.load(cache, training, metrics["seed"])
    task = task_of(data.attributes, training)
    if isinstance(task, BinaryTask):
        # It may have been chosen on the validation split.
        task.threshold = metrics["test"]["threshold"]
    model = trained_model(run, metrics, data.input_shape, task.outputs, core_implementation)
    return model.to(device).eval(), data, task, metrics


def trained_model(
    run: Path,
    metrics: dict[str, Any],
    input_shape: tuple[int, ...],
    outputs: int,
    core_implementation: str = "auto",
) -> SequenceModel:
    """The model of a run directory with its trained weights; arguments beside `metrics` as of `SequenceModel`.

    Raises:
        InputError: the weights are unreadable, or of another model.
    """
    architecture = metrics["settings"]["architecture"]
    model = SequenceModel(architecture, input_shape, outputs, core_implementation)
    try:
        model.load_state_dict(load_file(run / "weights.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(
            run / "weights.safetensors",
            f"unreadable or of another model ({str(error).splitlines()[0]})",
            "Delete the run directory and train again",
        ) from None
    return model


def _energy(epochs: list[Epoch]) -> float | None:
    """What all epochs took, joules, with the tests after them; None if one was not measured, or the counters stand."""
    joules = [epoch.joules for epoch in epochs]
    return None if None in joules else sum(joules) or None

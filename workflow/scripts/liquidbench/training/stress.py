"""The stress test: a trained model on test sequences of which steps or values are lost."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

from liquidbench.datasets.cache import Sequences
from liquidbench.evaluation.corruptions import (
    CORRUPTIONS,
    StepLoss,
    changed_sequences,
    kept_steps,
)
from liquidbench.evaluation.removal import MENDED, without_steps
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.batches import make_batch, places, zeroed
from liquidbench.training.inputs import RunData
from liquidbench.training.loop import evaluate, evaluation_order, in_order
from liquidbench.training.precision import computing_in_precision
from liquidbench.training.tasks import Task

METRICS = ("accuracy", "auroc", "average_precision", "cer")
"""Figures of `stress.csv`, of those that a task has."""

Condition = tuple[float, int]
"""A rate and the number of a draw."""
# Features, elapsed times and lengths of a batch, as `SequenceModel.answer` takes them.
Read = tuple[Tensor, Tensor | None, Tensor | None]


def stress_test(
    model: SequenceModel,
    data: RunData,
    task: Task,
    metrics: dict[str, Any],
    settings: dict[str, Any],
    device: torch.device,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Test a model under every corruption, rate and draw, the same for every model.

    Args:
        model: trained, in evaluation mode.
        data: the run's data.
        task: what the model was trained for.
        metrics: the run's `metrics.json`.
        settings: `corruptions` that apply to the data set, `rates`, `draws` and `mask_seed`.
        device: where to compute.

    Returns:
        The rows of `stress.csv`, and the arrays of `stress_answers.npz`.
    """
    run = {key: metrics[key] for key in ("dataset", "protocol", "model", "seed")}
    seed, training = settings["mask_seed"], metrics["settings"]["training"]
    # Nothing is random at rate 0: one draw says it all.
    conditions = [
        (rate, draw)
        for rate in settings["rates"]
        for draw in range(settings["draws"] if rate > 0 else 1)
    ]
    rows, answers = [], []
    for name in settings["corruptions"]:
        said_under = answers_under(model, data, task, training, device, name, conditions, seed)
        for (rate, draw), said in zip(conditions, said_under):
            front = {"corruption": name, "rate": rate, "draw": draw}
            figures = task.figures(said, data.test)
            shown = {key: figures[key] for key in METRICS if key in figures}
            counted = {"mask_seed": seed, "examples": len(data.test)}
            rows += [
                run | front | counted | {"metric": key, "value": value}
                for key, value in shown.items()
            ]
            answers.append(front | answers_of(task.predictions(said, data.test)))
            text = "  ".join(
                f"{key} {value:.4g}" for key, value in shown.items() if value is not None
            )
            print(f"{name} {rate:.2f} draw {draw}: {text}", flush=True)
    return pd.DataFrame(rows), {"ids": data.test.ids, **_stacked(answers), **_targets(data.test)}


def answers_of(predictions: pd.DataFrame) -> dict[str, np.ndarray]:
    """What comparisons between models need of the answers to one condition.

    Args:
        predictions: of the test split, a row per example, as `predictions.csv` has them.

    Returns:
        Arrays (examples,): `edits` int32 for texts, else `correct` bool and for a binary task `probability` float32.
    """
    if not any(name.startswith("probability") for name in predictions.columns):
        pairs = zip(predictions["target"], predictions["prediction"], strict=True)
        return {"edits": np.array([Levenshtein.distance(*pair) for pair in pairs], dtype=np.int32)}
    answers = {"correct": (predictions["target"] == predictions["prediction"]).to_numpy()}
    if "probability" in predictions:
        answers["probability"] = predictions["probability"].to_numpy(dtype=np.float32)
    return answers


def _stacked(answers: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Every key as one array over the conditions."""
    return {key: np.stack([one[key] for one in answers]) for key in answers[0]} if answers else {}


def _targets(sequences: Sequences) -> dict[str, np.ndarray]:
    """The classes, or the lengths of the texts in characters, (examples,)."""
    if sequences.texts is None:
        return {"targets": sequences.targets}
    return {"lengths": np.array([len(text) for text in sequences.texts], dtype=np.int32)}


def answers_under(
    model: SequenceModel,
    data: RunData,
    task: Task,
    training: dict[str, Any],
    device: torch.device,
    name: str,
    conditions: list[Condition],
    mask_seed: int,
) -> Iterator[np.ndarray]:
    """What a model says of the test split under each condition of one corruption.

    Where a step is only zeroed or selected after the encoder, all conditions share one pass over the data.

    Args:
        training: the run's training settings.
        name: a corruption that applies to the data set.
        conditions: rates and draws.

    Returns:
        For each condition what `evaluate` says of the corrupted split.
    """
    recorded, dataset = data.before_imputation("test"), data.attributes.dataset
    loss = CORRUPTIONS[name]
    if isinstance(loss, StepLoss):
        stride = model.encoder.time_stride
        masks = [
            kept_steps(name, recorded, rate, draw, mask_seed, stride) for rate, draw in conditions
        ]
        if not loss.removes:
            reader = zeroing
        elif model.encoder.per_step and dataset not in MENDED:
            reader = selecting
        else:
            reader = None
        if reader is not None:
            yield from answers_in_one_pass(model, data, task, training, device, masks, reader)
            return
        splits = (without_steps(recorded, mask, dataset, data.elapsed_unit) for mask in masks)
    else:
        splits = (
            changed_sequences(name, recorded, rate, draw, mask_seed, data.elapsed_unit)
            for rate, draw in conditions
        )
    for split in splits:
        yield evaluate(model, data.as_read(split), data, task, training, device)[0]


@torch.inference_mode()
def answers_in_one_pass(
    model: SequenceModel,
    data: RunData,
    task: Task,
    training: dict[str, Any],
    device: torch.device,
    masks: list[np.ndarray],
    reader: Callable[..., Callable[[np.ndarray], Iterator[Read]]],
) -> list[np.ndarray]:
    """The answers under each mask, (steps,) bool, from one pass over the test split."""
    said: list[list[np.ndarray]] = [[] for _ in masks]
    indices = list(evaluation_order(model, data.test, training))
    read_under = reader(model.encoder, data, masks, device)
    for chosen in indices:
        with computing_in_precision(training, device):
            for answers, read in zip(said, read_under(chosen), strict=True):
                answers.append(task.read(model.answer(*read)))
    return [in_order(answers, indices) for answers in said]


def zeroing(
    encoder: nn.Module, data: RunData, masks: list[np.ndarray], device: torch.device
) -> Callable[[np.ndarray], Iterator[Read]]:
    """A function from the indices of a batch to what is read of it under each mask, with some of the steps zeroed.

    Where an encoder takes each step for itself, a zeroed step has the features of a zero step, whatever the mask. So
    all steps are encoded once, and a mask selects.
    """

    def read(chosen: np.ndarray) -> Iterator[Read]:
        batch = make_batch(data.test, chosen, data.transform, device)
        steps = batch.steps
        if encoder.per_step:
            features, of_zero = encoder(steps), encoder(torch.zeros_like(steps[:1, :1]))
        for mask in masks:
            kept = torch.from_numpy(padded(mask, data.test, chosen)).to(device)
            if encoder.per_step:
                mixed = torch.where(kept.unsqueeze(-1), features, of_zero)
            else:
                mixed = encoder(zeroed(steps.clone(), kept))
            yield mixed, batch.elapsed, batch.lengths

    return read


def selecting(
    encoder: nn.Module, data: RunData, masks: list[np.ndarray], device: torch.device
) -> Callable[[np.ndarray], Iterator[Read]]:
    """As `zeroing`, with steps removed whose removal changes nothing in those kept: they too are encoded once."""
    # Without values: what is wanted is lengths and elapsed times.
    bare = replace(data.test, inputs=np.empty((len(data.test.inputs), 0), dtype=np.float32))
    dataset, unit = data.attributes.dataset, data.elapsed_unit
    shorter = [without_steps(bare, mask, dataset, unit) for mask in masks]

    def read(chosen: np.ndarray) -> Iterator[Read]:
        batch = make_batch(data.test, chosen, data.transform, device)
        features, of_zero = encoder(batch.steps), encoder(torch.zeros_like(batch.steps[:1, :1]))
        for mask, split in zip(masks, shorter, strict=True):
            own = make_batch(split, chosen, lambda values: values, device)
            lost = ~padded(mask, data.test, chosen)
            # Kept steps first, in the order of time; then what the batch's padding is made of.
            order = torch.from_numpy(np.argsort(lost, axis=1, kind="stable")).to(device)
            order = order[:, : own.steps.shape[1]]
            selected = features.gather(1, order.unsqueeze(2).expand(-1, -1, features.shape[2]))
            if own.lengths is not None:
                valid = torch.arange(order.shape[1], device=device) < own.lengths.unsqueeze(1)
                selected = torch.where(valid.unsqueeze(2), selected, of_zero)
            yield selected, own.elapsed, own.lengths

    return read


def padded(values: np.ndarray, sequences: Sequences, indices: np.ndarray) -> np.ndarray:
    """A truth value per step of a split, as a batch of some of its examples.

    Args:
        values: (steps of the split,) bool.
        sequences: the split.
        indices: (batch,) which examples.

    Returns:
        (batch, longest) bool, False in the padding.
    """
    where, valid = places(sequences, indices)
    return values[where] if valid is None else valid & values[where]

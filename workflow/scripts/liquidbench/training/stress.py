"""The stress test: a trained model on test sequences with steps taken away."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from liquidbench.datasets.cache import Sequences
from liquidbench.evaluation.corruptions import kept_steps
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.batches import make_batch, places, zeroed
from liquidbench.training.inputs import RunData
from liquidbench.training.loop import evaluation_order, in_order
from liquidbench.training.precision import computing_in_precision
from liquidbench.training.tasks import Task


def stress_rows(
    model: SequenceModel,
    data: RunData,
    task: Task,
    metrics: dict[str, Any],
    settings: dict[str, Any],
    device: torch.device,
) -> pd.DataFrame:
    """Accuracy for every corruption, rate and draw, with the same masks for every model.

    Args:
        model: trained, in evaluation mode.
        data: the run's data.
        task: a classification task.
        metrics: the run's `metrics.json`.
        settings: `corruptions`, `rates`, `draws` and `mask_seed`.
        device: where to compute.

    Returns:
        A row per corruption × rate × draw: the columns of `stress.csv`.
    """
    run = {key: metrics[key] for key in ("dataset", "protocol", "model", "seed")}
    rows = []
    for corruption in settings["corruptions"]:
        # Nothing is random at rate 0: one draw says it all.
        conditions = [
            (rate, draw)
            for rate in settings["rates"]
            for draw in range(settings["draws"] if rate > 0 else 1)
        ]
        masks = [
            kept_steps(corruption, data.test.lengths, rate, draw, settings["mask_seed"])
            for rate, draw in conditions
        ]
        said = answers_to_zeroed_steps(
            model, data, task, metrics["settings"]["training"], device, masks
        )
        for (rate, draw), answers in zip(conditions, said, strict=True):
            correct = int(np.sum(answers.argmax(axis=1) == data.test.targets))
            rows.append(
                run
                | {
                    "corruption": corruption,
                    "rate": rate,
                    "draw": draw,
                    "mask_seed": settings["mask_seed"],
                    "examples": len(data.test),
                    "correct": correct,
                    "accuracy": correct / len(data.test),
                }
            )
            print(f"{corruption} {rate:.2f} draw {draw}: {rows[-1]['accuracy']:.4f}", flush=True)
    return pd.DataFrame(rows)


@torch.inference_mode()
def answers_to_zeroed_steps(
    model: SequenceModel,
    data: RunData,
    task: Task,
    training: dict[str, Any],
    device: torch.device,
    masks: list[np.ndarray],
) -> list[np.ndarray]:
    """What a model says of the test split under each mask, in one pass over the data.

    Args:
        training: the run's training settings.
        masks: each (steps of the split,) bool; steps that are False are zeroed.

    Returns:
        For each mask what `evaluate` would say of sequences whose steps were zeroed: (examples, classes).
    """
    said: list[list[np.ndarray]] = [[] for _ in masks]
    indices = list(evaluation_order(model, data.test, training))
    for chosen in indices:
        batch = make_batch(data.test, chosen, data.transform, device)
        with computing_in_precision(training, device):
            features_under = _zeroing(model.encoder, batch.steps)
            for answers, kept in zip(said, masks, strict=True):
                mask = padded(kept, data.test, chosen)
                features = features_under(torch.from_numpy(mask).to(device))
                answers.append(task.read(model.answer(features, None, batch.lengths)))
    return [in_order(answers, indices) for answers in said]


def _zeroing(encoder: torch.nn.Module, steps: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from a mask, (batch, time) bool, to the features of the steps with some of them zeroed.

    Where an encoder takes each step for itself, a zeroed step has the features of a zero step, whatever the mask. So
    all steps are encoded once, and a mask selects.
    """
    if not encoder.per_step:
        return lambda mask: encoder(zeroed(steps.clone(), mask))
    features = encoder(steps)
    of_zero = encoder(torch.zeros_like(steps[:1, :1]))
    return lambda mask: torch.where(mask.unsqueeze(-1), features, of_zero)


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

"""The training loop."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from liquidbench.datasets.cache import Sequences
from liquidbench.evaluation.metrics import Figures
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.batches import Batch, by_length, make_batch, mixed, shuffled
from liquidbench.training.inputs import RunData
from liquidbench.training.precision import computing_in_precision
from liquidbench.training.progress import heard
from liquidbench.training.state import Epoch, TrainingState
from liquidbench.training.step_dropout import StepDropout
from liquidbench.training.tasks import Task


def train(
    state: TrainingState,
    data: RunData,
    task: Task,
    settings: dict[str, Any],
    finished: Callable[[TrainingState], None],
) -> tuple[np.ndarray, Figures]:
    """Train up to `settings["epochs"]` epochs, testing after each; the last epoch's weights stay in the model.

    Args:
        state: of a training that has not begun, or was brought back to the end of an epoch.
        data: the run's splits and transforms.
        task: loss and metrics.
        settings: the run's training settings.
        finished: called after every epoch.

    Returns:
        What the trained model says of the test split, and its figures there.
    """
    model, device, said_and_test = state.model, state.device, None
    for number in range(len(state.epochs) + 1, settings["epochs"] + 1):
        started = time.monotonic()
        learning_rate = state.learning_rate
        model.train()
        losses, correct = [], []
        batches = training_batches(data, settings, state.order, device, state.dropout)
        for batch in heard(batches, number, len(data.train)):
            loss, logits = train_step(model, batch, task, state.optimizer, settings, device)
            losses.append((loss, task.answers(batch)))
            if task.metric == "accuracy":
                correct.append(task.correct(logits, batch))
        # Read at the epoch's end: reading a figure of every step would make a GPU wait for each.
        train_loss, answered = weighted_mean(losses)
        speed = len(data.train) / (time.monotonic() - started)
        said_and_test = evaluate(model, data.test, data, task, settings, device)
        test = said_and_test[1]
        state.schedule.step(test[task.metric])
        row = {
            "epoch": number,
            "learning_rate": learning_rate,
            "train_loss": train_loss,
            f"train_{task.metric}": int(torch.stack(correct).sum()) / answered if correct else None,
            "test_loss": test["loss"],
            f"test_{task.metric}": test[task.metric],
        }
        state.epochs.append(Epoch(row, time.monotonic() - started, speed))
        finished(state)
    # A training that was cut off after its last epoch has nothing left to do but to answer.
    return said_and_test or evaluate(model, data.test, data, task, settings, device)


def train_step(
    model: SequenceModel,
    batch: Batch,
    task: Task,
    optimizer: torch.optim.Optimizer,
    settings: dict[str, Any],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Move the weights once; gives the loss and the logits that the batch had before."""
    with computing_in_precision(settings, device):
        logits = model(batch.steps, batch.elapsed, batch.lengths)
    loss = task.loss(logits, batch)
    optimizer.zero_grad()
    loss.backward()
    if settings["gradient_clip"] is not None:
        nn.utils.clip_grad_norm_(model.parameters(), settings["gradient_clip"])
    optimizer.step()
    return loss.detach(), logits.detach()


def training_batches(
    data: RunData,
    settings: dict[str, Any],
    order: np.random.Generator,
    device: torch.device,
    dropout: StepDropout | None = None,
) -> Iterator[Batch]:
    """The augmented batches of one epoch, with steps lost where there is a `dropout`."""
    transform = data.transform
    if data.augment is not None:

        def transform(values: Tensor) -> Tensor:
            return data.augment(data.transform(values))

    pool = settings.get("length_pool_batches", 1)
    for indices in shuffled(data.train, settings["batch_size"], order, pool):
        if dropout is None:
            yield make_batch(data.train, indices, transform, device)
        else:
            yield dropout.batch(data, indices, transform, device)


@torch.inference_mode()
def evaluate(
    model: SequenceModel,
    sequences: Sequences,
    data: RunData,
    task: Task,
    settings: dict[str, Any],
    device: torch.device,
) -> tuple[np.ndarray, Figures]:
    """Run a split through a model in evaluation mode.

    Returns:
        What the model says of each example, in the split's order (probabilities, of each step if it is asked for
        them, or texts), and the figures.
    """
    model.eval()
    answers, indices, losses = [], [], []
    for chosen in evaluation_order(model, sequences, settings):
        batch = make_batch(sequences, chosen, data.transform, device)
        with computing_in_precision(settings, device):
            logits = model(batch.steps, batch.elapsed, batch.lengths)
        answers.append(task.read(logits, batch.lengths))
        losses.append((task.loss(logits, batch), task.answers(batch)))
        indices.append(chosen)
    said = in_order(answers, indices)
    return said, {"loss": weighted_mean(losses)[0]} | task.figures(said, sequences)


def evaluation_order(
    model: SequenceModel, sequences: Sequences, settings: dict[str, Any]
) -> Iterator[np.ndarray]:
    """The indices of each batch of an evaluation."""
    # Where the mean takes in the padding, a result depends on its batch: keep the protocol's size, and mix.
    if model.pooling == "mean_with_padding":
        return mixed(sequences, settings["batch_size"])
    return by_length(sequences, 4 * settings["batch_size"])


def in_order(answers: list[np.ndarray], indices: list[np.ndarray]) -> np.ndarray:
    """The answers of all batches, in the order of the split."""
    return np.concatenate(answers)[np.argsort(np.concatenate(indices))]


def weighted_mean(losses: list[tuple[Tensor, int | Tensor]]) -> tuple[float, int]:
    """The mean loss per answer and the number of answers, from (mean of a batch, answers in it)."""
    values = torch.stack([loss for loss, _ in losses]).double().cpu().numpy()
    counts = [int(count) for _, count in losses]
    return float(np.average(values, weights=counts)), sum(counts)

"""What a model is asked: its loss, how its logits are read, and which figures that earns."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from liquidbench.datasets.cache import CacheAttributes, Sequences
from liquidbench.errors import InputError
from liquidbench.evaluation.clinical import best_f1_threshold
from liquidbench.evaluation.decoding import read_by_beam_search, read_greedily
from liquidbench.evaluation.metrics import (
    Figures,
    binary_metrics,
    classification_metrics,
    confusion_counts,
    transcription_metrics,
)
from liquidbench.evaluation.utility import best_utility_threshold, normalised_utility
from liquidbench.training.batches import Batch

BEAM_WIDTH = 10
"""Texts that a beam search keeps, where the configuration says nothing."""


class _OneAnswer:
    """A task that is answered once for each example."""

    def answers(self, batch: Batch) -> int:
        """How many answers a batch is asked for: what its loss is a mean over."""
        return len(batch.indices)


class ClassificationTask(_OneAnswer):
    """One of several classes: cross-entropy."""

    metric = "accuracy"
    better = "max"

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self.outputs = len(classes)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of (batch, classes) logits."""
        return functional.cross_entropy(logits, batch.targets)

    def read(self, logits: Tensor, lengths: Tensor | None = None) -> np.ndarray:
        """(batch, classes) probabilities, float64."""
        return functional.softmax(logits.double(), dim=1).cpu().numpy()

    def correct(self, logits: Tensor, batch: Batch) -> Tensor:
        """The number of right answers in a batch, on the device."""
        return (logits.argmax(dim=1) == batch.targets).sum()

    def figures(self, probabilities: np.ndarray, sequences: Sequences) -> Figures:
        """Metrics of (examples, classes) probabilities."""
        return classification_metrics(sequences.targets, probabilities.argmax(axis=1))

    def predictions(self, probabilities: np.ndarray, sequences: Sequences) -> pd.DataFrame:
        """A row per example: class names and probabilities."""
        names = np.array(self.classes)
        table = pd.DataFrame(
            {
                "id": sequences.ids,
                "target": names[sequences.targets],
                "prediction": names[probabilities.argmax(axis=1)],
            }
        )
        columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(names)}
        return table.assign(**columns)

    def confusion(self, probabilities: np.ndarray, sequences: Sequences) -> pd.DataFrame:
        """A row per pair of classes: target, prediction, count."""
        counts = confusion_counts(
            sequences.targets, probabilities.argmax(axis=1), len(self.classes)
        )
        return as_long(counts, self.classes)


class BinaryTask(_OneAnswer):
    """Yes or no, from one logit: binary cross-entropy without class weights.

    Args:
        classes: names of the classes 0 and 1.
        threshold: the probability from which on the answer is yes. It may be set anew once a better one is known.
    """

    metric = "accuracy"
    better = "max"
    outputs = 1

    def __init__(self, classes: tuple[str, ...], threshold: float) -> None:
        self.classes = classes
        self.threshold = threshold

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean binary cross-entropy of (batch, 1) logits."""
        targets = batch.targets.to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits.squeeze(1), targets)

    def read(self, logits: Tensor, lengths: Tensor | None = None) -> np.ndarray:
        """(batch,) probabilities of class 1, float64."""
        return torch.sigmoid(logits.double()).squeeze(1).cpu().numpy()

    def correct(self, logits: Tensor, batch: Batch) -> Tensor:
        """The number of right answers in a batch, on the device."""
        answers = torch.sigmoid(logits.squeeze(1)) >= self.threshold
        return (answers == batch.targets.bool()).sum()

    def figures(self, probabilities: np.ndarray, sequences: Sequences) -> Figures:
        """Metrics of (examples,) probabilities."""
        return binary_metrics(sequences.targets, probabilities, self.threshold)

    def predictions(self, probabilities: np.ndarray, sequences: Sequences) -> pd.DataFrame:
        """A row per example, targets and predictions as 0 and 1."""
        return pd.DataFrame(
            {
                "id": sequences.ids,
                "target": sequences.targets,
                "prediction": (probabilities >= self.threshold).astype(int),
                "probability": probabilities,
            }
        )

    def confusion(self, probabilities: np.ndarray, sequences: Sequences) -> pd.DataFrame:
        """A row per pair of classes: target, prediction, count."""
        counts = confusion_counts(sequences.targets, probabilities >= self.threshold, 2)
        return as_long(counts, self.classes)

    def best_threshold(self, rule: str, probabilities: np.ndarray, sequences: Sequences) -> float:
        """The threshold that a rule chooses on a validation split.

        Args:
            rule: `best_f1`.
            probabilities: what the model says of the split.
            sequences: the split.

        Raises:
            InputError: another rule, or a split without sepsis.
        """
        return self._best(rule, sequences.targets, probabilities)

    def _best(self, rule: str, targets: np.ndarray, probabilities: np.ndarray) -> float:
        place = "training.threshold"
        if not targets.any():
            problem = f"{rule} cannot be chosen: the validation split has no sepsis"
            raise InputError(place, problem, "Raise training.validation_fraction")
        if rule != "best_f1":
            problem = f"is {rule!r}, which this task does not have"
            raise InputError(place, problem, "Choose a number or best_f1")
        return best_f1_threshold(targets, probabilities)


class HourlyTask(BinaryTask):
    """Yes or no at each hour of a stay: binary cross-entropy over the valid hours, each with the same weight.

    The label is the Challenge's: 1 from six hours before the onset on.
    What the model says of a split is (examples,) of arrays, (hours of the stay,) float64.
    """

    def answers(self, batch: Batch) -> Tensor:
        """The number of valid hours in a batch, on the device: without those that were removed of its stays."""
        return _valid(batch).sum()

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean binary cross-entropy over the valid hours of (batch, time, 1) logits."""
        kept = _valid(batch)
        targets = batch.step_targets.to(logits.dtype)
        losses = functional.binary_cross_entropy_with_logits(
            logits.squeeze(2), targets, reduction="none"
        )
        # Not by a boolean index, whose size a GPU would have to tell first.
        return (losses * kept).sum() / kept.sum()

    def read(self, logits: Tensor, lengths: Tensor | None = None) -> np.ndarray:
        """(batch,) arrays of probabilities of class 1, (hours of the stay,) float64."""
        probabilities = torch.sigmoid(logits.double()).squeeze(2).cpu().numpy()
        hours = [probabilities.shape[1]] * len(probabilities)
        if lengths is not None:
            hours = lengths.tolist()
        said = np.empty(len(probabilities), dtype=object)
        for place, (row, count) in enumerate(zip(probabilities, hours, strict=True)):
            said[place] = row[:count]
        return said

    def correct(self, logits: Tensor, batch: Batch) -> Tensor:
        """The number of right hours in a batch, on the device."""
        answers = torch.sigmoid(logits.squeeze(2)) >= self.threshold
        return ((answers == batch.step_targets.bool()) & _valid(batch)).sum()

    def figures(self, probabilities: np.ndarray, sequences: Sequences) -> Figures:
        """Metrics over all hours, and the Challenge's utility at the threshold."""
        flat, labels = np.concatenate(probabilities), sequences.step_targets
        return binary_metrics(labels, flat, self.threshold) | {
            "utility": normalised_utility(labels, flat >= self.threshold, sequences.offsets)
        }

    def predictions(self, probabilities: np.ndarray, sequences: Sequences) -> pd.DataFrame:
        """A row per hour, counted from 0 in each stay."""
        flat = np.concatenate(probabilities)
        starts = np.repeat(sequences.offsets[:-1], sequences.lengths)
        return pd.DataFrame(
            {
                "id": np.repeat(sequences.ids, sequences.lengths),
                "hour": np.arange(len(flat)) - starts,
                "target": sequences.step_targets,
                "prediction": (flat >= self.threshold).astype(int),
                "probability": flat,
            }
        )

    def confusion(self, probabilities: np.ndarray, sequences: Sequences) -> pd.DataFrame:
        """A row per pair of classes: target, prediction, count of hours."""
        alarms = np.concatenate(probabilities) >= self.threshold
        return as_long(confusion_counts(sequences.step_targets, alarms, 2), self.classes)

    def best_threshold(self, rule: str, probabilities: np.ndarray, sequences: Sequences) -> float:
        """As a binary task's, over hours; also the rule `best_utility`."""
        flat = np.concatenate(probabilities)
        if rule == "best_utility" and sequences.step_targets.any():
            return best_utility_threshold(sequences.step_targets, flat, sequences.offsets)
        return self._best(rule, sequences.step_targets, flat)


def _valid(batch: Batch) -> Tensor:
    """(batch, time) bool, False in the padding."""
    time = batch.step_targets.shape[1]
    if batch.lengths is None:
        return torch.ones_like(batch.step_targets, dtype=torch.bool)
    return torch.arange(time, device=batch.lengths.device) < batch.lengths.unsqueeze(1)


class TranscriptionTask(_OneAnswer):
    """A character string, by connectionist temporal classification (Graves et al., 2006). Code 0 is the blank.

    Args:
        alphabet: the characters of the codes from 1 on.
    """

    metric = "cer"
    better = "min"
    confusion = None

    def __init__(self, alphabet: tuple[str, ...]) -> None:
        self.alphabet = alphabet
        self.outputs = len(alphabet) + 1

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """CTC loss per character, mean over the batch, of (batch, time, characters) logits.

        Runs on the CPU, whose kernel is deterministic. Characters outside the alphabet, which no path could
        write, are left out of the target; a line too long for its steps counts 0.
        """
        log_probabilities = functional.log_softmax(logits.float(), dim=2).cpu().transpose(0, 1)
        steps = torch.full((logits.shape[0],), logits.shape[1], dtype=torch.int64)
        known = [target[target > 0] for target in batch.targets]
        return functional.ctc_loss(
            log_probabilities,
            torch.cat(known),
            steps,
            torch.tensor([len(target) for target in known]),
            zero_infinity=True,
        )

    def read(self, logits: Tensor, lengths: Tensor | None = None) -> np.ndarray:
        """(batch,) texts, read greedily."""
        return np.array(
            [read_greedily(path, self.alphabet) for path in logits.argmax(dim=2).cpu().numpy()],
            dtype=object,
        )

    def figures(self, readings: np.ndarray, sequences: Sequences) -> Figures:
        """Error rates of (examples,) texts."""
        return transcription_metrics(list(sequences.texts), list(readings))

    def predictions(self, readings: np.ndarray, sequences: Sequences) -> pd.DataFrame:
        """A row per line: the text written and the text read."""
        return pd.DataFrame(
            {"id": sequences.ids, "target": sequences.texts, "prediction": readings}
        )


class FinalTranscriptionTask(TranscriptionTask):
    """A transcription that is read in two ways: greedily, and by a beam search, which takes too long for every epoch.

    Args:
        alphabet: the characters of the codes from 1 on.
        beam_width: texts that the beam search keeps.
    """

    def __init__(self, alphabet: tuple[str, ...], beam_width: int) -> None:
        super().__init__(alphabet)
        self.beam_width = beam_width

    def read(self, logits: Tensor, lengths: Tensor | None = None) -> np.ndarray:
        """(batch, 2) texts, read greedily and by beam search."""
        log_probabilities = functional.log_softmax(logits.double(), dim=2).cpu().numpy()
        searched = read_by_beam_search(log_probabilities, self.alphabet, self.beam_width)
        return np.stack([super().read(logits), np.array(searched, dtype=object)], axis=1)

    def figures(self, readings: np.ndarray, sequences: Sequences) -> Figures:
        """Error rates of (examples, 2) texts, the beam search's with `_beam` behind their names, and its width."""
        greedy = super().figures(readings[:, 0], sequences)
        beam = super().figures(readings[:, 1], sequences)
        beam = {f"{name}_beam": value for name, value in beam.items()}
        return greedy | beam | {"beam_width": self.beam_width}

    def predictions(self, readings: np.ndarray, sequences: Sequences) -> pd.DataFrame:
        """A row per line: the text written, and both texts read."""
        table = super().predictions(readings[:, 0], sequences)
        return table.assign(prediction_beam=readings[:, 1])


Task = ClassificationTask | BinaryTask | TranscriptionTask


def task_of(attributes: CacheAttributes, training: dict[str, Any]) -> Task:
    """The task that a cache was made for, of each stay or of each hour as the settings say.

    A threshold that is yet to be chosen is 0.5 until then.

    Raises:
        InputError: a threshold is to be chosen, and no validation split is asked for.
    """
    if attributes.task == "transcription":
        return TranscriptionTask(attributes.classes)
    if attributes.task == "binary":
        threshold = training["threshold"]
        if isinstance(threshold, str) and "validation_fraction" not in training:
            problem = f"is {threshold!r}, and there is no validation split to choose it on"
            raise InputError("training.threshold", problem, "Set training.validation_fraction")
        kind = HourlyTask if training.get("level") == "hour" else BinaryTask
        return kind(attributes.classes, 0.5 if isinstance(threshold, str) else threshold)
    return ClassificationTask(attributes.classes)


def final_task_of(task: Task, training: dict[str, Any]) -> Task:
    """The task as a model is asked it once, after training: lines are read by beam search too."""
    if isinstance(task, TranscriptionTask):
        return FinalTranscriptionTask(task.alphabet, training.get("beam_width", BEAM_WIDTH))
    return task


def as_long(counts: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Counts, (classes, classes), as a row per pair: target, prediction, count."""
    table = pd.DataFrame(counts, index=list(classes), columns=list(classes))
    table = table.rename_axis(index="target", columns="prediction").stack()
    return table.rename("count").reset_index()

"""How long a trained model takes to answer."""

from typing import Any

import numpy as np
import torch

from liquidbench.datasets.cache import Sequences
from liquidbench.models.costs import median_seconds
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.batches import Batch, Transform, make_batch
from liquidbench.training.inputs import RunData
from liquidbench.training.precision import computing_in_precision


def median_length(sequences: Sequences) -> int:
    """The lower median of the lengths of a split: there is an example that is so long."""
    return int(np.sort(sequences.lengths)[(len(sequences) - 1) // 2])


def example_of_median_length(
    sequences: Sequences, transform: Transform, device: torch.device
) -> Batch:
    """The first example of the median length, as a model reads it."""
    index = np.flatnonzero(sequences.lengths == median_length(sequences))[:1]
    return make_batch(sequences, index, transform, device)


@torch.inference_mode()
def latencies(
    model: SequenceModel, data: RunData, training: dict[str, Any], device: torch.device
) -> dict[str, float]:
    """Seconds of a forward pass in evaluation mode, medians of several runs.

    Args:
        model: on `device`; put into evaluation mode.
        data: its test split gives the examples.
        training: the run's training settings: batch size, precision.
        device: where the model is.

    Returns:
        `one_example`: a batch of one example of the median length; `per_example_in_batch`: a batch of such examples,
        as large as in training, over its size. Both without the making of batches.
    """
    model.eval()
    one = example_of_median_length(data.test, data.transform, device)
    size = training["batch_size"]

    def seconds(copies: int) -> float:
        steps, elapsed = (
            None if part is None else part.expand(copies, *part.shape[1:]).contiguous()
            for part in (one.steps, one.elapsed)
        )

        def run() -> None:
            with computing_in_precision(training, device):
                model(steps, elapsed)

        return median_seconds(run, torch.cuda.synchronize if device.type == "cuda" else _nothing)

    return {
        "one_example": seconds(1),
        "per_example_in_batch": seconds(size) / size,
    }


def _nothing() -> None:
    """A processor is done when a call returns."""

"""Dropout of steps while training: the control of the stress test, whose models are trained on whole sequences."""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from liquidbench.evaluation.corruptions import RemoveSteps
from liquidbench.evaluation.removal import without_steps
from liquidbench.training.batches import Batch, Transform, make_batch, zeroed
from liquidbench.training.inputs import RunData


class StepDropout:
    """Training batches with steps lost, as in the stress test's `zero_steps` or `remove_steps` (`drop_hours`).

    Every example of every batch has a rate of its own, uniform between 0 and the highest. Removed steps of line images
    have one rate for the batch: its lines must stay equally wide, for the encoder reads padding as paper.

    Args:
        options: `how`, ``zeroed`` or ``removed``, and `highest_rate`.
        seed: the run's. The randomness is this class's own: the order of batches is that of a run without it.
        encoder: of the model that is trained.
    """

    def __init__(self, options: dict[str, Any], seed: int, encoder: nn.Module) -> None:
        self.how: str = options["how"]
        self.highest: float = options["highest_rate"]
        self.generator = np.random.default_rng([seed, zlib.crc32(b"step_dropout")])
        self.stride, self.equal = encoder.time_stride, not encoder.per_step

    def batch(
        self, data: RunData, indices: np.ndarray, transform: Transform, device: torch.device
    ) -> Batch:
        """The training examples `indices`, (batch,), as one batch; arguments as for `make_batch`."""
        if self.how == "zeroed":
            batch = make_batch(data.train, indices, transform, device)
            rates = self.generator.uniform(0, self.highest, (len(indices), 1))
            kept = self.generator.random(batch.steps.shape[:2]) >= rates
            return replace(batch, steps=zeroed(batch.steps, torch.from_numpy(kept).to(device)))
        part = data.before_imputation("train").subset(indices)
        rates = self.generator.uniform(0, self.highest, 1 if self.equal else len(indices))
        rates = np.broadcast_to(rates, len(indices))
        kept = RemoveSteps().kept(part, rates, self._uniform, self.stride)
        dataset, unit = data.attributes.dataset, data.elapsed_unit
        part = data.as_read(without_steps(part, kept, dataset, unit))
        return replace(make_batch(part, np.arange(len(part)), transform, device), indices=indices)

    def _uniform(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """As many numbers from 0 to 1 as the examples of a batch need together: others at every batch."""
        return self.generator.random(int(counts.sum()))

"""Batches: which examples, in which order, padded, and turned into what a model reads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from liquidbench.datasets.cache import Sequences

Transform = Callable[[Tensor], Tensor]
"""Stored values on the device, which it may overwrite, to float32 of the same shape."""


@dataclass(frozen=True)
class Batch:
    """Examples padded with zeros to the longest among them.

    Shapes: `steps` (batch, time, *features) float32; `lengths` (batch,) int64, or None if all are equally long;
    `targets` (batch,) int64, or for transcription a list of (characters,) int64; `indices` (batch,) of the
    examples in their split; `step_targets` (batch, time) uint8 where each step has a label, in the padding that of the
    sequence's first step; `elapsed` (batch, time) float32, the time since the previous step, 1 in the padding, or
    None if it is 1 everywhere.
    """

    steps: Tensor
    lengths: Tensor | None
    targets: Tensor | list[Tensor]
    indices: np.ndarray
    step_targets: Tensor | None = None
    elapsed: Tensor | None = None


def make_batch(
    sequences: Sequences,
    indices: np.ndarray,
    transform: Transform,
    device: torch.device,
) -> Batch:
    """Pad the examples `indices` of a split into one batch.

    Args:
        sequences: the split.
        indices: (batch,) which examples.
        transform: stored values, (batch, time, *features), to float32 of the same shape.
        device: where the batch goes, as stored: event counts and images are a quarter of their float32.
    """
    where, valid = places(sequences, indices)
    steps = transform(torch.from_numpy(sequences.inputs[where]).to(device))
    lengths = None
    if valid is not None:
        steps = zeroed(steps, torch.from_numpy(valid).to(device))
        lengths = torch.from_numpy(valid.sum(axis=1)).to(device)
    return Batch(
        steps=steps,
        lengths=lengths,
        targets=_targets(sequences, indices, device),
        indices=indices,
        step_targets=None
        if sequences.step_targets is None
        else torch.from_numpy(sequences.step_targets[where]).to(device),
        elapsed=_elapsed(sequences.elapsed[where], valid, device),
    )


def places(sequences: Sequences, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Where the steps of a batch stand in their split.

    Args:
        sequences: the split.
        indices: (batch,) which examples.

    Returns:
        (batch, longest) int64, in the padding the first step of the same sequence; and (batch, longest) bool, False
        in the padding, or None if there is none.
    """
    # Not `sequences.lengths`: it is of all examples, at every batch.
    starts = sequences.offsets[indices]
    lengths = sequences.offsets[indices + 1] - starts
    time = np.arange(lengths.max())
    where = starts[:, None] + time
    if lengths.min() == len(time):
        return where, None
    valid = time < lengths[:, None]
    return np.where(valid, where, starts[:, None]), valid


def _elapsed(elapsed: np.ndarray, valid: np.ndarray | None, device: torch.device) -> Tensor | None:
    """Elapsed times of a batch; None where all are 1, which every core counts by itself and to the bit."""
    if valid is not None:
        elapsed = np.where(valid, elapsed, np.float32(1.0))
    return None if (elapsed == 1.0).all() else torch.from_numpy(elapsed).to(device)


def zeroed(steps: Tensor, kept: Tensor) -> Tensor:
    """Steps, (batch, time, *features), multiplied in place by zero where `kept`, (batch, time) bool, is False."""
    return steps.mul_(kept.view(kept.shape + (1,) * (steps.dim() - 2)))


def _targets(
    sequences: Sequences, indices: np.ndarray, device: torch.device
) -> Tensor | list[Tensor]:
    if sequences.target_offsets is None:
        return torch.from_numpy(sequences.targets[indices]).to(device)
    begin, end = sequences.target_offsets[:-1], sequences.target_offsets[1:]
    return [torch.from_numpy(sequences.targets[begin[i] : end[i]]) for i in indices]


def shuffled(
    sequences: Sequences, batch_size: int, generator: np.random.Generator, pool_batches: int = 1
) -> Iterator[np.ndarray]:
    """Indices of each batch of an epoch in random order; the last batch may be smaller.

    Args:
        sequences: the training split.
        batch_size: examples per batch.
        generator: source of randomness.
        pool_batches: sort by length inside pools of this many batches, so that batches hold sequences of like
            length and little padding; 1 is plain shuffling. Batches then come in random order again.
    """
    order = generator.permutation(len(sequences))
    if pool_batches > 1:
        pool = batch_size * pool_batches
        pools = [order[i : i + pool] for i in range(0, len(order), pool)]
        order = np.concatenate(
            [pool[np.argsort(sequences.lengths[pool], kind="stable")] for pool in pools]
        )
    batches = list(_cut(order, batch_size))
    if pool_batches > 1:
        batches = [batches[i] for i in generator.permutation(len(batches))]
    yield from batches


def by_length(sequences: Sequences, batch_size: int) -> Iterator[np.ndarray]:
    """Indices of each batch of an evaluation, sequences of like length together: little padding."""
    return _cut(np.argsort(sequences.lengths, kind="stable"), batch_size)


def mixed(sequences: Sequences, batch_size: int) -> Iterator[np.ndarray]:
    """Indices of each batch of an evaluation in one fixed random order.

    For models whose results depend on their batch: in the order of the file, batches of one class would be
    padded alike, and the padding would tell the class.
    """
    return _cut(np.random.default_rng(0).permutation(len(sequences)), batch_size)


def _cut(order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    for begin in range(0, len(order), batch_size):
        yield order[begin : begin + batch_size]

"""Sequences without some of their steps, as a recorder that missed them would have written them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from liquidbench.datasets.observations import OBSERVED, time_since_observation

if TYPE_CHECKING:
    from liquidbench.datasets.cache import Sequences

MENDED = ("quickdraw", "physionet")
"""Data sets where a step also tells of the steps before it, so that those kept change when others are lost."""


def without_steps(
    sequences: Sequences, kept: NDArray[np.bool_], dataset: str, elapsed_unit: float
) -> Sequences:
    """Take steps out. The time that they took is added to the next kept step's; after the last it is lost.

    So it is before the first kept step: a recording begins with what was recorded, and that step counts as a first one.
    Nothing of a lost step stays: QuickDraw's moves (dx, dy) lead from kept point to kept point, and the hours since
    the last observation know only of kept hours. A step whose predecessor was kept stays to the bit as it is.

    Args:
        sequences: as recorded, before imputation; elapsed times in any unit.
        kept: (steps,), at least one True in each sequence.
        dataset: whose sequences they are.
        elapsed_unit: hours in a unit of elapsed time; `physionet` only.

    Raises:
        ValueError: a sequence would be without a step.
    """
    counts = np.add.reduceat(kept.astype(np.int64), sequences.offsets[:-1])
    if not counts.all():
        raise ValueError("a sequence loses all its steps")
    where = np.flatnonzero(kept)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    before = np.append(-1, where[:-1])
    before[offsets[:-1]] = sequences.offsets[:-1] - 1
    shorter = replace(
        sequences,
        inputs=sequences.inputs[where],
        elapsed=_summed(sequences, where, before, offsets),
        offsets=offsets,
        step_targets=_at(sequences.step_targets, where),
        time_since_observation=_at(sequences.time_since_observation, where),
    )
    if dataset == "quickdraw":
        return replace(shorter, inputs=_with_moves(shorter.inputs, offsets, where - before > 1))
    if dataset == "physionet":
        return observed_again(shorter, elapsed_unit)
    return shorter


def observed_again(stays: Sequences, elapsed_unit: float) -> Sequences:
    """Stays whose hours since the last observation follow from the values that are there.

    Args:
        stays: with NaN for "not measured".
        elapsed_unit: hours in a unit of their elapsed times.
    """
    observed = ~np.isnan(stays.inputs[:, :OBSERVED]).all(axis=1)
    hours = np.cumsum(stays.elapsed, dtype=np.float64) * elapsed_unit
    return replace(
        stays, time_since_observation=time_since_observation(observed, hours, stays.offsets)
    )


def _at(values: NDArray | None, where: NDArray[np.int64]) -> NDArray | None:
    return None if values is None else values[where]


def _summed(
    sequences: Sequences,
    where: NDArray[np.int64],
    before: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Per kept step the time since the kept step before it, (kept,) float32; at a first one as at any first step.

    Args:
        sequences: with all steps.
        where: (kept,), places of the kept steps.
        before: (kept,), the place after which each sum begins.
        offsets: (sequences + 1,), of the sequences in the kept steps.
    """
    # Sums from `before` to `where`, both ends in one list; every second sum is of what is lost at a sequence's end.
    ends = np.stack([before + 1, where + 1], axis=1).reshape(-1)
    padded = np.append(sequences.elapsed.astype(np.float64), 0.0)
    summed = np.add.reduceat(padded, ends)[::2].astype(np.float32)
    summed[offsets[:-1]] = sequences.elapsed[sequences.offsets[:-1]]
    return summed


def _with_moves(
    points: NDArray[np.float32], offsets: NDArray[np.int64], after_loss: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Points, (points, 5) of x, y, dx, dy and pen-up, with moves from the point before where that one was lost."""
    points = points.copy()
    moves = np.diff(points[:, :2], axis=0, prepend=points[:1, :2])
    moves[offsets[:-1]] = 0
    points[after_loss, 2:4] = moves[after_loss]
    return points

"""Corruptions of the stress test: which steps or values of the test sequences are lost.

What is lost depends on `mask_seed`, the corruption, the draw and the example's identifier: not on the model, nor on the
other examples, so that a drawing or a patient loses the same in every split. What is lost at a rate is lost at every
higher one, so that a curve over rates compares like with like.

A new corruption is one class and one line in `CORRUPTIONS`: a `StepLoss` says which steps are kept, a `ValueChange`
gives changed sequences. Each names the data sets that it applies to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from liquidbench.evaluation.random_streams import RandomStreams, Uniform
from liquidbench.evaluation.removal import OBSERVED, observed_again

if TYPE_CHECKING:
    from liquidbench.datasets.cache import Sequences

ALL = ("nmnist", "quickdraw", "iam", "physionet")
STEPS_PER_GAP = 32
"""Bursts: a sequence has one gap per so many steps, and at least one."""
WHITE = 255
_PEN_UP = 4


class StepLoss:
    """A corruption that loses whole steps.

    Attributes:
        datasets: where it applies.
        removes: whether a lost step leaves the sequence, its time being added to the next kept one's. Otherwise it
            stays, and what the model reads of it is multiplied by zero.
    """

    datasets: ClassVar[tuple[str, ...]] = ALL
    removes: ClassVar[bool]

    def kept(
        self,
        sequences: Sequences,
        rate: float | NDArray[np.float64],
        uniform: Uniform,
        stride: int,
    ) -> NDArray[np.bool_]:
        """Which steps are kept.

        Args:
            sequences: as recorded.
            rate: share of what is lost, 0 to 1; or (examples,) of each.
            uniform: source of randomness, with the same numbers at every rate.
            stride: where steps are removed, a multiple of this many must stay.

        Returns:
            (steps,) bool.
        """
        raise NotImplementedError


class ValueChange:
    """A corruption that changes what was recorded, before the model's inputs are made of it.

    Attributes:
        datasets: where it applies.
    """

    datasets: ClassVar[tuple[str, ...]]

    def changed(
        self,
        sequences: Sequences,
        rate: float,
        streams: RandomStreams,
        elapsed_unit: float,
    ) -> Sequences:
        """The sequences with values lost; those given stay as they are.

        Args:
            sequences: as recorded.
            rate: share of what is lost, 0 to 1.
            streams: source of randomness, with the same numbers at every rate.
            elapsed_unit: how much of the cache's unit a unit of the elapsed times is.
        """
        raise NotImplementedError


class ZeroSteps(StepLoss):
    """Each step is kept with probability 1 - rate, and otherwise multiplied by zero (the paper's section VI-C).

    The step stays in the sequence: nothing tells the model that something is missing.
    """

    removes = False

    def kept(self, sequences, rate, uniform, stride):
        rates = np.repeat(np.broadcast_to(rate, len(sequences)), sequences.lengths)
        return uniform(sequences.lengths) >= rates


class ZeroBursts(StepLoss):
    """Contiguous gaps are multiplied by zero: round(rate x length) steps of each sequence."""

    removes = False

    def kept(self, sequences, rate, uniform, stride):
        order = _burst_order(sequences.lengths, uniform)
        return order >= np.repeat(_rounded(rate * sequences.lengths), sequences.lengths)


class RemoveSteps(StepLoss):
    """Single steps leave the sequence: round(rate x length), each as likely as another. At least one stays."""

    datasets = ("nmnist", "quickdraw", "iam")
    removes = True

    def kept(self, sequences, rate, uniform, stride):
        order = _ranks(uniform(sequences.lengths), sequences.lengths)
        return order >= np.repeat(_removed(sequences.lengths, rate, stride), sequences.lengths)


class DropHours(RemoveSteps):
    """Hours of a stay were not recorded: they are removed before imputation, so that nothing is carried out of them."""

    datasets = ("physionet",)


class RemoveBursts(StepLoss):
    """Contiguous gaps leave the sequence: round(rate x length) steps. At least one stays."""

    removes = True

    def kept(self, sequences, rate, uniform, stride):
        order = _burst_order(sequences.lengths, uniform)
        return order >= np.repeat(_removed(sequences.lengths, rate, stride), sequences.lengths)


class DropStrokes(StepLoss):
    """Whole strokes of a drawing leave it: round(rate x strokes), each as likely as another. At least one stays."""

    datasets = ("quickdraw",)
    removes = True

    def kept(self, sequences, rate, uniform, stride):
        last = sequences.inputs[:, _PEN_UP] > 0
        # A drawing that was cut ends within a stroke.
        last[sequences.offsets[1:] - 1] = True
        strokes = np.add.reduceat(last.astype(np.int64), sequences.offsets[:-1])
        order = _ranks(uniform(strokes), strokes)
        kept = order >= np.repeat(_removed(strokes, rate, 1), strokes)
        return kept[np.cumsum(last) - last]


class DropEvents(ValueChange):
    """Each event is lost with probability rate before it is counted: the counts are thinned binomially.

    The bins stay those of the whole recording, between its first and its last event, lost or not.
    """

    datasets = ("nmnist",)

    def changed(self, sequences, rate, streams, elapsed_unit):
        inputs = sequences.inputs.copy()
        for example, (begin, end) in enumerate(pairwise(sequences.offsets)):
            counts = inputs[begin:end].reshape(-1)
            cells = np.flatnonzero(counts)
            cells = np.repeat(cells, counts[cells])
            lost = cells[streams.uniform_of(example, len(cells)) < rate]
            counts -= np.bincount(lost, minlength=len(counts)).astype(counts.dtype)
        return replace(sequences, inputs=inputs)


class BlankColumns(ValueChange):
    """Columns of a line become white paper: round(rate x width). The line keeps its width."""

    datasets = ("iam",)

    def changed(self, sequences, rate, streams, elapsed_unit):
        order = _ranks(streams.uniform(sequences.lengths), sequences.lengths)
        inputs = sequences.inputs.copy()
        inputs[order < np.repeat(_rounded(rate * sequences.lengths), sequences.lengths)] = WHITE
        return replace(sequences, inputs=inputs)


class DropMeasurements(ValueChange):
    """Each measured value (vital sign or laboratory) is lost with probability rate, before imputation."""

    datasets = ("physionet",)

    def changed(self, sequences, rate, streams, elapsed_unit):
        inputs = sequences.inputs.copy()
        # A number for every value, measured or not: what is lost does not hang on what else was measured.
        numbers = streams.uniform(OBSERVED * sequences.lengths).reshape(-1, OBSERVED)
        inputs[:, :OBSERVED][numbers < rate] = np.nan
        return observed_again(replace(sequences, inputs=inputs), elapsed_unit)


CORRUPTIONS: dict[str, StepLoss | ValueChange] = {
    "zero_steps": ZeroSteps(),
    "zero_bursts": ZeroBursts(),
    "remove_steps": RemoveSteps(),
    "remove_bursts": RemoveBursts(),
    "drop_events": DropEvents(),
    "drop_strokes": DropStrokes(),
    "blank_columns": BlankColumns(),
    "drop_hours": DropHours(),
    "drop_measurements": DropMeasurements(),
}


def applying_to(dataset: str, names: Sequence[str]) -> list[str]:
    """Those of the named corruptions that apply to a data set."""
    return [name for name in names if dataset in CORRUPTIONS[name].datasets]


def kept_steps(
    name: str, sequences: Sequences, rate: float, draw: int, mask_seed: int, stride: int = 1
) -> NDArray[np.bool_]:
    """The mask of one `StepLoss`, rate and draw: the same for every model that sees these sequences.

    Args:
        name: a name in `CORRUPTIONS`.
        sequences: as recorded.
        rate: between 0 (keep all) and 1 (lose all, or all that may go).
        draw: number of the repetition.
        mask_seed: the study's seed for masks.
        stride: steps that the model's encoder makes one of.

    Returns:
        (steps,) bool, True where a step is kept.
    """
    uniform = _streams(name, sequences, draw, mask_seed).uniform
    return CORRUPTIONS[name].kept(sequences, rate, uniform, stride)


def changed_sequences(
    name: str, sequences: Sequences, rate: float, draw: int, mask_seed: int, elapsed_unit: float
) -> Sequences:
    """What one `ValueChange`, rate and draw makes of a split: the same for every model.

    Args:
        name, sequences, rate, draw, mask_seed: as for `kept_steps`.
        elapsed_unit: how much of the cache's unit a unit of the elapsed times is.
    """
    streams = _streams(name, sequences, draw, mask_seed)
    return CORRUPTIONS[name].changed(sequences, rate, streams, elapsed_unit)


def _streams(name: str, sequences: Sequences, draw: int, mask_seed: int) -> RandomStreams:
    """The random numbers of one corruption and draw, a stream for each example."""
    return RandomStreams(sequences.ids, f"{name}, draw {draw}, mask_seed {mask_seed}")


def _rounded(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """To the nearest whole number, halves upwards; sums like 0.7 x 10 = 7.000000000000001 do no harm."""
    return np.floor(values + 0.5).astype(np.int64)


def _removed(
    lengths: NDArray[np.int64], rate: float | NDArray[np.float64], stride: int
) -> NDArray[np.int64]:
    """How many are removed of each sequence: what stays is a multiple of `stride`, and not nothing."""
    stays = stride * _rounded((lengths - _rounded(rate * lengths)) / stride)
    return lengths - np.clip(stays, stride, lengths)


def _ranks(keys: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each key among those of its own sequence, smallest first: (sum of lengths,), from 0."""
    order = np.lexsort((keys, np.repeat(np.arange(len(lengths)), lengths)))
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.arange(len(keys)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return ranks


def _burst_order(lengths: NDArray[np.int64], uniform: Uniform) -> NDArray[np.int64]:
    """In which order steps are lost when gaps grow: (sum of lengths,), ranks in each sequence.

    A sequence is cut into equal parts, one per `STEPS_PER_GAP` steps. In each, a point is drawn, and the gaps grow
    from these points at equal speed to both sides.
    """
    parts = np.maximum(_rounded(lengths / STEPS_PER_GAP), 1)
    first = np.cumsum(parts) - parts
    part = np.arange(parts.sum()) - np.repeat(first, parts)
    centres = (part + uniform(parts)) * np.repeat(lengths / parts, parts)
    step = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 0.5
    most = np.repeat(parts - 1, lengths)
    own = np.floor(step / np.repeat(lengths / parts, lengths)).astype(np.int64)
    # The nearest point lies in the step's own part or beside it.
    distances = [
        np.abs(step - centres[np.repeat(first, lengths) + np.clip(own + beside, 0, most)])
        for beside in (-1, 0, 1)
    ]
    return _ranks(np.minimum.reduce(distances), lengths)

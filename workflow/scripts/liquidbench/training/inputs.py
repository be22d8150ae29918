"""From a cache to the two splits of a run, and the transform that turns stored values into model inputs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from liquidbench.datasets.cache import (
    CacheAttributes,
    Sequences,
    read_attributes,
    read_split,
    read_split_names,
)
from liquidbench.datasets.splits import split_indices
from liquidbench.errors import InputError
from liquidbench.training.augmentation import Augmentation
from liquidbench.training.batches import Transform
from liquidbench.training.clinical import ClinicalScaling


@dataclass(frozen=True)
class RunData:
    """What one run trains and tests on."""

    attributes: CacheAttributes
    train: Sequences
    test: Sequences
    transform: Transform
    augment: Transform | None
    scaling: ClinicalScaling | None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one step."""
        return self.train.inputs.shape[1:]

    def input_shape_under(self, imputation: str | None) -> tuple[int, ...]:
        """The shape that a step would have under another imputation; None: the usual one."""
        if self.scaling is None:
            return self.input_shape
        variables = len(self.scaling.mean)
        return (2 * (variables - 1),) if imputation == "none_with_mask" else (variables,)


def load(cache: str | Path, training: dict[str, Any], seed: int) -> RunData:
    """Read a cache and split it by the run's seed where the source has no split.

    Args:
        cache: path of the HDF5 cache.
        training: the run's training settings (`test_fraction`, `stratify`, `augmentation`, ...).
        seed: the run's seed.

    Raises:
        InputError: an unreadable cache, or a split without examples.
    """
    attributes = read_attributes(cache)
    train, test = _splits(cache, attributes, training, seed)
    for name, split in (("train", train), ("test", test)):
        if len(split) == 0:
            raise InputError(cache, f"the {name} split is empty", "Prepare more examples")
    scaling = None
    if attributes.dataset == "physionet":
        scaling = ClinicalScaling.fit(train)
        imputation = training.get("imputation", "forward_fill")
        train = replace(train, inputs=scaling.apply(train, imputation))
        test = replace(test, inputs=scaling.apply(test, imputation))
    augment = None
    if "augmentation" in training:
        augment = Augmentation(**training["augmentation"])
    return RunData(attributes, train, test, TRANSFORMS[attributes.dataset], augment, scaling)


def _splits(
    cache: str | Path, attributes: CacheAttributes, training: dict[str, Any], seed: int
) -> tuple[Sequences, Sequences]:
    if "all" not in read_split_names(cache):
        return read_split(cache, "train"), read_split(cache, "test")
    everything = read_split(cache, "all")
    if attributes.dataset == "quickdraw" and training["recognized_only"]:
        everything = everything.subset(np.flatnonzero(everything.recognized))
    train, test = split_indices(
        everything.targets, training["test_fraction"], seed, training["stratify"]
    )
    return everything.subset(train), everything.subset(test)


def log_counts(counts: Tensor) -> Tensor:
    """Event counts to log(1 + count), float32 (the paper's section II-F)."""
    return counts.float().log1p_()


def grey_to_unit(columns: Tensor) -> Tensor:
    """Grey values 0..255 to -1..1, float32."""
    return columns.float().div_(127.5).sub_(1.0)


def as_stored(values: Tensor) -> Tensor:
    """Values that need nothing more, float32."""
    return values


TRANSFORMS: dict[str, Transform] = {
    "nmnist": log_counts,
    "quickdraw": as_stored,
    "iam": grey_to_unit,
    "physionet": as_stored,
}

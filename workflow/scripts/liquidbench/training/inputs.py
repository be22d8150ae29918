"""From a cache to the two splits of a run, and the transform that turns stored values into model inputs."""

from dataclasses import dataclass, field, replace
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
    """What one run trains, validates (if it does) and tests on.

    Attributes:
        attributes: of the cache.
        train, test: the splits, imputed and scaled. Here and below elapsed times are in units of the training split's
            median step, and 1 at the first step of a sequence.
        transform: from stored values to a model's inputs.
        augment: random distortions of training inputs.
        scaling: imputation and scaling, fitted on the training split.
        validation: as `train`, if the settings ask for it.
        imputation: how clinical values that were not measured are filled in.
        elapsed_unit: the training split's median step, in the cache's unit.
        recorded: `train` and `test` before imputation and scaling, for values and steps to be lost there; a split that
            is absent needs neither.
    """

    attributes: CacheAttributes
    train: Sequences
    test: Sequences
    transform: Transform
    augment: Transform | None
    scaling: ClinicalScaling | None
    validation: Sequences | None = None
    imputation: str = "forward_fill"
    elapsed_unit: float = 1.0
    recorded: dict[str, Sequences] = field(default_factory=dict)

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

    def before_imputation(self, split: str) -> Sequences:
        """A split, `train` or `test`, as recorded."""
        return self.recorded.get(split, getattr(self, split))

    def as_read(self, recorded: Sequences) -> Sequences:
        """Sequences as recorded, imputed and scaled as the run's own are."""
        if self.scaling is None:
            return recorded
        return replace(recorded, inputs=self.scaling.apply(recorded, self.imputation))


def load(cache: str | Path, training: dict[str, Any], seed: int) -> RunData:
    """Read a cache and split it by the run's seed where the source has no split.

    Args:
        cache: path of the HDF5 cache.
        training: the run's training settings (`test_fraction`, `stratify`, `validation_fraction`, `hospitals`,
            `augmentation`, ...). The validation split comes out of the training part; the scaling is fitted on what
            remains.
        seed: the run's seed.

    Raises:
        InputError: an unreadable cache, or a split without examples.
    """
    attributes = read_attributes(cache)
    train, test = _splits(cache, attributes, training, seed)
    validation = None
    if "validation_fraction" in training:
        train, validation = split_of(train, training["validation_fraction"], training, seed)
    for name, split in (("train", train), ("test", test)):
        if len(split) == 0:
            raise InputError(cache, f"the {name} split is empty", "Prepare more examples")
    unit = median_step(train)
    train, test = in_units(train, unit), in_units(test, unit)
    scaling = ClinicalScaling.fit(train) if attributes.dataset == "physionet" else None
    augment = None
    if "augmentation" in training:
        augment = Augmentation(**training["augmentation"])
    transform = TRANSFORMS[attributes.dataset]
    data = RunData(
        attributes=attributes,
        train=train,
        test=test,
        transform=transform,
        augment=augment,
        scaling=scaling,
        imputation=training.get("imputation", "forward_fill"),
        elapsed_unit=unit,
        recorded={"train": train, "test": test},
    )
    if validation is not None:
        validation = data.as_read(in_units(validation, unit))
    return replace(data, train=data.as_read(train), test=data.as_read(test), validation=validation)


def _splits(
    cache: str | Path, attributes: CacheAttributes, training: dict[str, Any], seed: int
) -> tuple[Sequences, Sequences]:
    if "all" not in read_split_names(cache):
        return read_split(cache, "train"), read_split(cache, "test")
    everything = read_split(cache, "all")
    if attributes.dataset == "quickdraw" and training["recognized_only"]:
        everything = everything.subset(np.flatnonzero(everything.recognized))
    fraction = training["test_fraction"]
    if "hospitals" not in training:
        return split_of(everything, fraction, training, seed)
    # Each hospital is split for itself, in the same way whatever the other part is: so models of either hospital are
    # tested on the same patients of one.
    owners = hospitals_of(everything.ids, attributes.settings["hospitals"])
    parts = {}
    for part in ("train", "test"):
        wanted = training["hospitals"][part]
        own = everything.subset(np.flatnonzero(owners == wanted))
        if len(own) == 0:
            problem = f"no patient of hospital {wanted} is there"
            remedy = "Add it to the hospitals of datasets.physionet.prepare"
            raise InputError(f"training.hospitals.{part}", problem, remedy)
        parts[part] = dict(zip(("train", "test"), split_of(own, fraction, training, seed)))[part]
    return parts["train"], parts["test"]


def split_of(
    sequences: Sequences, fraction: float, training: dict[str, Any], seed: int
) -> tuple[Sequences, Sequences]:
    """The rest, and a random share of the examples.

    Args:
        sequences: what to split.
        fraction: the share.
        training: whose `stratify` says whether both parts keep each class's share.
        seed: the run's.
    """
    rest, share = split_indices(sequences.targets, fraction, seed, training["stratify"])
    return sequences.subset(rest), sequences.subset(share)


def hospitals_of(ids: np.ndarray, prepared: list[str]) -> np.ndarray:
    """Which hospital each patient is of, (patients,) text.

    Args:
        ids: (patients,) as the cache has them: `<hospital>/<patient>`, or the patient alone where the cache is of one
            hospital.
        prepared: the hospitals of the cache.
    """
    if len(prepared) == 1:
        return np.full(len(ids), prepared[0])
    return np.array([name.split("/")[0] for name in ids])


def median_step(sequences: Sequences) -> float:
    """The median of all elapsed times but those of first steps; 1 where there is none above 0."""
    later = _without_first_steps(sequences)
    median = float(np.median(later)) if len(later) else 0.0
    return median if median > 0 else 1.0


def _without_first_steps(sequences: Sequences) -> np.ndarray:
    """The elapsed times of all steps but the first of each sequence."""
    later = np.ones(len(sequences.elapsed), dtype=bool)
    later[sequences.offsets[:-1]] = False
    return sequences.elapsed[later]


def in_units(sequences: Sequences, unit: float) -> Sequences:
    """Sequences with elapsed times in another unit, and 1 at first steps: a step of 0 would leave an LTC as it is."""
    elapsed = sequences.elapsed / np.float32(unit)
    elapsed[sequences.offsets[:-1]] = 1.0
    return replace(sequences, elapsed=elapsed)


def steps_vary(sequences: Sequences) -> bool:
    """Whether the steps of any one sequence differ in time, its first left out: by more than a thousandth."""
    elapsed, lengths = _without_first_steps(sequences), sequences.lengths - 1
    starts = (np.cumsum(lengths) - lengths)[lengths > 0]
    if len(starts) == 0:
        return False
    shortest, longest = np.minimum.reduceat(elapsed, starts), np.maximum.reduceat(elapsed, starts)
    return bool((longest > 1.001 * shortest).any())


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

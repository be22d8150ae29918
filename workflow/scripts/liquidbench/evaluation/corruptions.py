"""Corruptions of the stress test. A mask depends on its seed, the rate, the draw and the example: not on the model.

A new corruption is one function and one line in `CORRUPTIONS`.
"""

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def zero_steps(lengths: NDArray[np.int64], rate: float, generator: np.random.Generator) -> NDArray:
    """Each step is kept with probability 1 - rate, and otherwise multiplied by zero (the paper's section VI-C).

    The step stays in the sequence: nothing tells the model that something is missing.

    Args:
        lengths: (examples,) steps of each sequence.
        rate: probability of losing a step.
        generator: source of randomness.

    Returns:
        (sum of lengths,) bool, True where a step is kept.
    """
    return generator.random(int(np.sum(lengths))) >= rate


CORRUPTIONS: dict[str, Callable[..., NDArray]] = {"zero_steps": zero_steps}


def kept_steps(
    corruption: str, lengths: NDArray[np.int64], rate: float, draw: int, mask_seed: int
) -> NDArray:
    """The mask of one corruption, rate and draw: the same for every model that sees these sequences.

    Args:
        corruption: a name in `CORRUPTIONS`.
        lengths: (examples,) steps of each sequence.
        rate: between 0 (keep all) and 1 (lose all).
        draw: number of the repetition.
        mask_seed: the study's seed for masks.

    Returns:
        (sum of lengths,) bool, True where a step is kept.
    """
    # One stream per corruption and draw, whatever the rate. With uniform numbers shared between rates, a step
    # lost at a low rate is lost at every higher one, so a curve over rates compares like with like.
    stream = np.random.default_rng([mask_seed, draw, zlib.crc32(corruption.encode())])
    return CORRUPTIONS[corruption](lengths, rate, stream)

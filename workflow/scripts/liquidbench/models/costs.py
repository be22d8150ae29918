"""What a model costs: multiply-adds of a forward pass, and the time that one takes."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from liquidbench.models.heads import pool
from liquidbench.models.sequence_model import SequenceModel

LEAST_RUNS, MOST_RUNS, SECONDS = 5, 50, 0.3
"""A latency is the median of at least so many runs, and of more while they take less than so many seconds in all."""


@torch.no_grad()
def flops(model: SequenceModel, steps: Tensor, timed: bool = False) -> dict[str, int]:
    """Floating-point operations of the forward pass of one example, two for each multiply-add with a weight.

    The core's are its own account (`flops_per_step`), because the code that computes it differs from machine to
    machine; those of the encoder, readout and head are torch's count of their matrix products and convolutions.

    Args:
        model: any sequence model.
        steps: one example, (1, time, *input_shape).
        timed: whether the core gets elapsed times.

    Returns:
        `core_flops_per_step` and `flops_per_example`.
    """
    training = model.training
    model.eval()
    try:
        with FlopCounterMode(display=False) as counter:
            features = model.encoder(steps)
        counted = counter.get_total_flops()
        # What the states are does not matter here, only how many.
        states = features.new_zeros(1, features.shape[1], model.core.output_size)
        with FlopCounterMode(display=False) as counter:
            model.head(model.core.readout(pool(states, None, model.pooling)))
        counted += counter.get_total_flops()
    finally:
        model.train(training)
    per_step = model.core.flops_per_step(timed)
    return {
        "core_flops_per_step": per_step,
        "flops_per_example": counted + features.shape[1] * per_step,
    }


def median_seconds(run: Callable[[], object], finish: Callable[[], object] = lambda: None) -> float:
    """The median time of several runs of `run`, after one that does not count.

    Args:
        run: what to time.
        finish: waits until what `run` began is done, on a GPU.
    """
    run()
    finish()
    seconds: list[float] = []
    while len(seconds) < LEAST_RUNS or (sum(seconds) < SECONDS and len(seconds) < MOST_RUNS):
        started = time.perf_counter()
        run()
        finish()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))

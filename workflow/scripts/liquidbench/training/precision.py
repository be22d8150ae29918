"""In which floating-point precision a run's model computes."""

from typing import Any

import torch


def precision_of(training: dict[str, Any]) -> str:
    """``float32`` or ``bfloat16``: the training settings' `precision`, float32 unless they have one."""
    return training.get("precision", "float32")


def computing_in_precision(training: dict[str, Any], device: torch.device) -> torch.autocast:
    """A context for a model's forward pass; without `precision: bfloat16` it changes nothing.

    With it, matrix products and convolutions take and give bfloat16. Weights, their gradients and the optimizer stay
    float32, and so does what comes after the logits: losses, probabilities and metrics. Gradients need no scaling, as
    with float16, because bfloat16 has float32's range.

    Args:
        training: the run's training settings.
        device: where the model computes.
    """
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision_of(training) == "bfloat16"
    )

"""Optimizers and learning-rate schedules, by the names of the configuration."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimizer(model: nn.Module, settings: dict[str, Any]) -> torch.optim.Optimizer:
    """The optimizer that the training settings name."""
    return OPTIMIZERS[settings["optimizer"]](
        model.parameters(),
        lr=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        fused=True,
    )


def make_schedule(
    optimizer: torch.optim.Optimizer, settings: dict[str, Any], better: str
) -> Callable[[float], None]:
    """A function to call with the test metric after every epoch; it sets the next learning rate.

    `cosine` falls to 0 over the epochs; `step` multiplies by `factor` every `every_epochs`; `plateau_on_test`
    multiplies by `factor` after more than `patience_epochs` epochs without a better test metric, which looks at the
    test split, as the released QuickDraw code does; `constant` stays.

    Args:
        optimizer: its rate is set.
        settings: the run's training settings.
        better: "max" for a test metric that should grow, "min" for an error rate.
    """
    schedule = settings["schedule"]
    name = schedule["name"]
    if name == "constant":
        return lambda metric: None
    if name == "plateau_on_test":
        plateau = lr_scheduler.ReduceLROnPlateau(
            optimizer, mode=better, factor=schedule["factor"], patience=schedule["patience_epochs"]
        )
        return plateau.step
    if name == "cosine":
        stepper = lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings["epochs"])
    else:
        stepper = lr_scheduler.StepLR(
            optimizer, step_size=schedule["every_epochs"], gamma=schedule["factor"]
        )
    return lambda metric: stepper.step()

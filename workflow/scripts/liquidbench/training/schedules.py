"""Optimizers and learning-rate schedules, by the names of the configuration."""

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


class Schedule:
    """The learning rate over the epochs.

    Args:
        stepper: sets the optimizer's rate; None for a constant one.
        takes_metric: whether the stepper looks at the test metric.
    """

    def __init__(self, stepper: lr_scheduler.LRScheduler | None, takes_metric: bool = False):
        self.stepper, self.takes_metric = stepper, takes_metric

    def step(self, metric: float) -> None:
        """Set the next epoch's rate; `metric` is the test metric of the epoch that ended."""
        if self.stepper is not None:
            self.stepper.step(*([metric] if self.takes_metric else []))

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, in plain values."""
        return {} if self.stepper is None else self.stepper.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember what `state_dict` gave."""
        if self.stepper is not None:
            self.stepper.load_state_dict(state)


def make_schedule(
    optimizer: torch.optim.Optimizer, settings: dict[str, Any], better: str
) -> Schedule:
    """The schedule that the training settings name.

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
        return Schedule(None)
    if name == "plateau_on_test":
        plateau = lr_scheduler.ReduceLROnPlateau(
            optimizer, mode=better, factor=schedule["factor"], patience=schedule["patience_epochs"]
        )
        return Schedule(plateau, takes_metric=True)
    if name == "cosine":
        return Schedule(lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings["epochs"]))
    return Schedule(
        lr_scheduler.StepLR(optimizer, step_size=schedule["every_epochs"], gamma=schedule["factor"])
    )

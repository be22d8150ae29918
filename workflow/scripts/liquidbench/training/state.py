"""What an epoch changes: everything that a training needs to go on from there as if it had never stopped."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training.schedules import make_optimizer, make_schedule
from liquidbench.training.step_dropout import StepDropout


@dataclass
class Epoch:
    """One row of the history, and what it took.

    Attributes:
        row: of the history.
        seconds: with the test after it.
        sequences_per_second: how fast it trained.
        joules: None where the machine does not count them.
    """

    row: dict[str, Any]
    seconds: float
    sequences_per_second: float = 0.0
    joules: float | None = None


class TrainingState:
    """Weights, optimizer, learning rate, random numbers and history of a training.

    Args:
        model: on `device`, with its initial weights.
        settings: the run's training settings.
        better: "max" for a test metric that should grow, "min" for an error rate.
        seed: fixes the order of batches and the dropout of steps (weights, dropout and augmentation draw on torch's own
            generator).
        device: where to compute.
    """

    def __init__(
        self,
        model: SequenceModel,
        settings: dict[str, Any],
        better: str,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model, self.device = model, device
        self.optimizer = make_optimizer(model, settings)
        self.schedule = make_schedule(self.optimizer, settings, better)
        self.order = np.random.default_rng(seed)
        self.dropout = None
        if "step_dropout" in settings:
            self.dropout = StepDropout(settings["step_dropout"], seed, model.encoder)
        self.epochs: list[Epoch] = []
        self.processors: list[str] = []

    @property
    def learning_rate(self) -> float:
        """Of the epoch to come."""
        return self.optimizer.param_groups[0]["lr"]

    def begin_on(self, processor: str) -> None:
        """Note where the epochs to come are computed: on another processor the last digits may differ."""
        if self.processors[-1:] != [processor]:
            self.processors.append(processor)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, for `torch.save` and `torch.load` with `weights_only`."""
        generators = {"order": self.order}
        if self.dropout is not None:
            generators["step_dropout"] = self.dropout.generator
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            # As text: their whole numbers are longer than 64 bits.
            "numpy": {
                name: json.dumps(generator.bit_generator.state)
                for name, generator in generators.items()
            },
            "torch": torch.get_rng_state(),
            "processors": self.processors,
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` gave, of a training with the same settings.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: it is another training's.
        """
        generators = {"order": self.order}
        if self.dropout is not None:
            generators["step_dropout"] = self.dropout.generator
        numbers = {name: json.loads(state["numpy"][name]) for name in generators}
        epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        for name, generator in generators.items():
            generator.bit_generator.state = numbers[name]
        torch.set_rng_state(state["torch"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)
        self.epochs, self.processors = epochs, list(state["processors"])

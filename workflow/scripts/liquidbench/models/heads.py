"""Poolings over time, and heads: from states to logits."""

import torch
from torch import Tensor, nn


def pool(states: Tensor, lengths: Tensor | None, how: str) -> Tensor:
    """Summarise states over time.

    Args:
        states: (batch, time, units).
        lengths: (batch,) int64, the number of valid steps; None if all are valid.
        how: ``none`` keeps all steps; ``mean`` averages the valid ones; ``mean_with_padding`` averages all
            steps of the batch, padding included (as the released QuickDraw code does, so that a result depends
            on the batch); ``last`` takes the last valid state.

    Returns:
        (batch, units), or (batch, time, units) for ``none``.

    Raises:
        ValueError: an unknown pooling.
    """
    if how == "none":
        return states
    if how == "mean_with_padding":
        return states.mean(dim=1)
    if lengths is None:
        lengths = torch.full((states.shape[0],), states.shape[1], device=states.device)
    if how == "last":
        return states[torch.arange(states.shape[0], device=states.device), lengths - 1]
    if how == "mean":
        valid = torch.arange(states.shape[1], device=states.device) < lengths.unsqueeze(1)
        # where, not a product: whatever stands in the padding, NaN too, must not reach the sum.
        total = torch.where(valid.unsqueeze(-1), states, 0.0).sum(dim=1)
        return total / lengths.unsqueeze(1)
    raise ValueError(f"unknown pooling {how!r}")


class LinearHead(nn.Module):
    """One linear layer to the logits."""

    def __init__(self, input_size: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Linear(input_size, outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


class MLPHead(nn.Module):
    """Linear, ReLU, dropout, linear (the paper's section V-C)."""

    def __init__(self, input_size: int, outputs: int, units: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(input_size, units), nn.ReLU(), nn.Dropout(dropout), nn.Linear(units, outputs)
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


HEADS: dict[str, type[nn.Module]] = {"linear": LinearHead, "mlp": MLPHead}

"""The last part of a CfC step, from the gates' maps to the state, and its derivatives: for `portable.py`.

Both classes work on (rows, n maps x units) in place while going forwards, and on all steps at once, (time, batch,
n maps x units), for the derivatives. `elapsed` is (time, batch, 1), or None where every step counts as 1.
"""

import torch
from torch import Tensor


class Interpolation:
    """Modes ``default`` and ``no_gate``: from tanh(f) towards tanh(g), or by a part of tanh(g).

    Args:
        units: size of the state.
        gated: False for ``no_gate``.
        elapsed: see above; with it there are four maps, without it three.
    """

    def __init__(self, units: int, gated: bool, elapsed: Tensor | None) -> None:
        self.units, self.gated, self.elapsed = units, gated, elapsed

    def advance(self, maps: Tensor, elapsed: Tensor | None, out: Tensor) -> None:
        """The state of a step into `out`; `maps` become f, g and the gate s. `elapsed` is (rows, 1), or None."""
        maps[:, : 2 * self.units].tanh_()
        f, g, gate, *rest = maps.split(self.units, dim=1)
        if elapsed is not None:
            gate.mul_(elapsed).add_(rest[0])
        gate.sigmoid_()
        if self.gated:
            torch.lerp(f, g, gate, out=out)
        else:
            torch.addcmul(f, gate, g, out=out)

    def slopes(self, values: Tensor) -> Tensor:
        """Derivatives of the state by each map, from the values that `advance` left."""
        parts = values.split(self.units, dim=2)
        f, g, gate = parts[:3]
        slopes = torch.empty_like(values)
        by_f, by_g, by_time, *by_rest = slopes.split(self.units, dim=2)
        # In place: temporary tensors of all steps would be a fifth of the memory that a training step needs.
        still = 1.0 - gate
        torch.mul(f, f, out=by_f).neg_().add_(1.0)
        torch.mul(g, g, out=by_g).neg_().add_(1.0).mul_(gate)
        by_time.copy_(g)
        if self.gated:
            by_f.mul_(still)
            by_time.sub_(f)
        by_time.mul_(still.mul_(gate))
        if self.elapsed is not None:
            by_rest[0].copy_(by_time)
            by_time.mul_(self.elapsed)
        return slopes

    def parameter_gradients(self, values: Tensor, grads: Tensor) -> tuple[None, None]:
        """Nothing: these modes have no parameters but the maps."""
        return None, None


class Solution:
    """Mode ``pure``: A - A exp(-t (|w| + |f|)) f, the approximate solution of the differential equation itself.

    Args:
        decay: (units,), w.
        asymptote: (units,), A.
        elapsed: see above.
    """

    def __init__(self, decay: Tensor, asymptote: Tensor, elapsed: Tensor | None) -> None:
        self.decay, self.asymptote, self.elapsed = decay, asymptote, elapsed

    def advance(self, maps: Tensor, elapsed: Tensor | None, out: Tensor) -> None:
        """The state of a step into `out`; `maps` stay. `elapsed` is (rows, 1), or None."""
        decayed = self._decayed(maps, elapsed)
        torch.addcmul(self.asymptote, decayed.mul_(maps), self.asymptote, value=-1.0, out=out)

    def slopes(self, values: Tensor) -> Tensor:
        """Derivatives of the state by f."""
        passed = values.abs() if self.elapsed is None else values.abs() * self.elapsed
        return self._decayed(values, self.elapsed) * (passed - 1.0) * self.asymptote

    def parameter_gradients(self, values: Tensor, grads: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of w and A from those of the states, (time, batch, units)."""
        moved = self._decayed(values, self.elapsed).mul_(values)
        by_decay = moved * self.asymptote * self.decay.sign()
        if self.elapsed is not None:
            by_decay = by_decay * self.elapsed
        return (grads * by_decay).sum((0, 1)), (grads * (1.0 - moved)).sum((0, 1))

    def _decayed(self, f: Tensor, elapsed: Tensor | None) -> Tensor:
        rate = f.abs().add_(self.decay.abs()).neg_()
        return (rate if elapsed is None else rate.mul_(elapsed)).exp_()

"""Random small distortions of line images while training (the released code's affine and brightness)."""

import math

import torch
from torch import Tensor
from torch.nn import functional


class Augmentation:
    """Rotate, shear, scale and brighten each line image by its own random amounts.

    Where the distorted image has no source pixel, the nearest border pixel is repeated.

    Args:
        rotation_degrees: rotation in [-r, r].
        shear_degrees: horizontal shear in [-s, s].
        scale: [lowest, highest] factor of size.
        brightness: factor in [1 - b, 1 + b] on grey values of 0 (black) to 1.
    """

    def __init__(
        self, rotation_degrees: float, shear_degrees: float, scale: list[float], brightness: float
    ) -> None:
        self.rotation = math.radians(rotation_degrees)
        self.shear = math.radians(shear_degrees)
        self.scale = tuple(scale)
        self.brightness = brightness

    def __call__(self, columns: Tensor) -> Tensor:
        """Distort a batch of lines.

        Args:
            columns: (batch, width, height) float32 in [-1, 1], -1 is black. Randomness is torch's own, and
                drawn on the processor: the same on every device.

        Returns:
            The same shape and range.
        """
        batch, width, height = columns.shape
        images = columns.transpose(1, 2).unsqueeze(1)
        maps = self._inverse_maps(batch, width / height).to(columns.device)
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        images = functional.grid_sample(
            images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        factor = 1.0 + self.brightness * (2.0 * torch.rand(batch, 1, 1, 1) - 1.0)
        images = images.add_(1.0).mul_(factor.to(columns.device)).sub_(1.0).clamp_(-1.0, 1.0)
        return images.squeeze(1).transpose(1, 2)

    def _inverse_maps(self, batch: int, aspect: float) -> Tensor:
        """(batch, 2, 3) maps from target to source in grid_sample's coordinates, where both axes span [-1, 1]."""
        angle, shear, size = (2.0 * torch.rand(3, batch) - 1.0).unbind()
        angle, shear = angle * self.rotation, shear * self.shear
        low, high = self.scale
        size = low + (high - low) * (size + 1.0) / 2.0
        cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
        maps = torch.zeros(batch, 2, 3)
        # In pixels the inverse is R(-angle) S(-shear) / size; the aspect ratio turns pixels into grid units.
        maps[:, 0, 0] = cos
        maps[:, 0, 1] = (sin - cos * torch.tan(shear)) / aspect
        maps[:, 1, 0] = -sin * aspect
        maps[:, 1, 1] = cos + sin * torch.tan(shear)
        return maps

"""Encoders: from a batch of raw steps to features per step.

An encoder is a class built with ``(input_shape, **options)`` that has `output_size` (features per step),
`time_stride` (how many input steps one output step covers) and `per_step` (whether, in evaluation mode, a step's
features depend on that step alone), and maps (batch, time, *input_shape) to (batch, time // time_stride, output_size).
A new one is one class and one line in `ENCODERS`.
"""

import math

import torch
from torch import Tensor, nn

from liquidbench.models.frame_stage import convolve_normalise_pool


class Identity(nn.Module):
    """The steps as they are: (batch, time, features)."""

    time_stride = 1
    per_step = True

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        (self.output_size,) = input_shape

    def forward(self, steps: Tensor) -> Tensor:
        return steps


class Projection(nn.Module):
    """Linear, LayerNorm, ReLU on each step (the paper's section V-C).

    Args:
        input_shape: (features,).
        units: features after the projection.
    """

    time_stride = 1
    per_step = True

    def __init__(self, input_shape: tuple[int, ...], units: int) -> None:
        super().__init__()
        (features,) = input_shape
        self.layers = nn.Sequential(nn.Linear(features, units), nn.LayerNorm(units), nn.ReLU())
        self.output_size = units

    def forward(self, steps: Tensor) -> Tensor:
        return self.layers(steps)


class FrameCNN(nn.Module):
    """Per frame and per stage: 3x3 convolution, BatchNorm, ReLU, 2x2 max-pooling; then flattened (section V-A).

    Args:
        input_shape: (channels, height, width) of a frame.
        channels: filters of each stage; [32, 64] gives 64 x 8 x 8 = 4,096 features from 34 x 34.
    """

    time_stride = 1
    per_step = True

    def __init__(self, input_shape: tuple[int, ...], channels: list[int]) -> None:
        super().__init__()
        previous, height, width = input_shape
        stages: list[nn.Module] = []
        for filters in channels:
            stages += [
                nn.Conv2d(previous, filters, 3, padding=1),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            previous, height, width = filters, height // 2, width // 2
        self.layers = nn.Sequential(*stages, nn.Flatten())
        self.output_size = previous * height * width

    def forward(self, steps: Tensor) -> Tensor:
        batch, time = steps.shape[:2]
        frames = _as_images(steps)
        if self.training and _trains_by_hand(frames):
            for first in range(0, len(self.layers) - 1, 4):
                convolution, normalisation = self.layers[first], self.layers[first + 1]
                frames = convolve_normalise_pool(frames, convolution, normalisation)
            features = frames.flatten(1)
        else:
            features = self.layers(frames)
        return features.view(batch, time, self.output_size)


class FrameCNNProjection(nn.Module):
    """The released stress test's encoder: one convolution, ReLU, pooling; linear, LayerNorm, ReLU.

    Args:
        input_shape: (channels, height, width) of a frame.
        channels: filters of the convolution.
        units: features after the projection.
    """

    time_stride = 1
    per_step = True

    def __init__(self, input_shape: tuple[int, ...], channels: int, units: int) -> None:
        super().__init__()
        polarities, height, width = input_shape
        self.layers = nn.Sequential(
            nn.Conv2d(polarities, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(channels * (height // 2) * (width // 2), units),
            nn.LayerNorm(units),
            nn.ReLU(),
        )
        self.output_size = units

    def forward(self, steps: Tensor) -> Tensor:
        batch, time = steps.shape[:2]
        return self.layers(steps.flatten(0, 1)).view(batch, time, self.output_size)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm and a shortcut (He et al., CVPR 2016).

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: of the first convolution, (height, width).
    """

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1) or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.body(images) + self.shortcut(images))


class ResNet6(nn.Module):
    """The line reader's encoder: a convolution and six residual blocks, then positional encoding (section V-B).

    A line comes as columns, (batch, width, height), is read as an image, and leaves as width / 4 steps
    of channels x height / 8 features: 64 x 512 pixels become 128 steps of 4,096.

    Args:
        input_shape: (height,) of a column.
        channels: of the first convolution and the three pairs of blocks.
        positional_encoding: add the sinusoids of Vaswani et al. (2017).
    """

    time_stride = 4
    per_step = False

    def __init__(
        self, input_shape: tuple[int, ...], channels: list[int], positional_encoding: bool = True
    ) -> None:
        super().__init__()
        (height,) = input_shape
        if len(channels) != 4:
            raise ValueError(f"channels must be four numbers, got {channels}")
        first, second, third, fourth = channels
        self.stem = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            ResidualBlock(first, second, (2, 2)),
            ResidualBlock(second, second),
            ResidualBlock(second, third, (2, 2)),
            ResidualBlock(third, third),
            ResidualBlock(third, fourth, (2, 1)),
            ResidualBlock(fourth, fourth),
        )
        self.output_size = fourth * (height // 8)
        self.positions = PositionalEncoding() if positional_encoding else nn.Identity()

    def forward(self, steps: Tensor) -> Tensor:
        images = steps.transpose(1, 2).unsqueeze(1)
        features = self.blocks(self.stem(images))
        return self.positions(features.permute(0, 3, 1, 2).flatten(2))


class PositionalEncoding(nn.Module):
    """Adds sinusoidal positions to a sequence, (batch, time, width)."""

    def forward(self, sequence: Tensor) -> Tensor:
        return sequence + sinusoids(sequence.shape[1], sequence.shape[2], sequence.device)


def sinusoids(length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal positions (Vaswani et al., 2017, section 3.5): (length, width) float32, sines in even columns."""
    position = torch.arange(length, device=device).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    encoding = torch.zeros(length, width, device=device)
    encoding[:, 0::2] = torch.sin(position * rate)
    encoding[:, 1::2] = torch.cos(position * rate[: width // 2])
    return encoding


def _as_images(steps: Tensor) -> Tensor:
    """(batch, time, channels, height, width) as (batch x time, channels, height, width).

    On a processor channels become the innermost in memory, which halves a convolution's time.
    """
    images = steps.flatten(0, 1)
    if images.device.type == "cpu":
        return images.contiguous(memory_format=torch.channels_last)
    return images


def _trains_by_hand(images: Tensor) -> bool:
    """Whether `frame_stage` is to be used: not on a GPU, and not in mixed precision, which it does not know."""
    return images.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


ENCODERS: dict[str, type[nn.Module]] = {
    "identity": Identity,
    "projection": Projection,
    "frame_cnn": FrameCNN,
    "frame_cnn_projection": FrameCNNProjection,
    "resnet6": ResNet6,
}

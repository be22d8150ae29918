"""One stage of a frame encoder on a processor: convolution, batch normalisation, ReLU, max-pooling, and their gradient.

The numbers are those of the four modules one after the other, but for rounding. What differs is the traffic: frames go
through in pieces that stay in the processor's cache, with the channels innermost.

- Normalisation by scale and shift does not change the order of two pixels of a channel (a negative scale turns it
  around). So the pooling comes first, and only a quarter of the pixels is normalised and rectified.
- Of the loss's gradient only the pixels that won the pooling see anything. So the sums that batch normalisation needs
  on the way back run over the pooled pixels.
- Sums over a batch's pixels are taken piece by piece and joined in float64. torch's own normalisation adds up in
  float32 where channels are innermost, with relative errors of 1e-5 and more.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Numbers in a piece's convolution: 2 MB of float32, about a core's second-level cache.
_PIECE = 2**19

_convolution_backward = torch.ops.aten.convolution_backward.default
_max_pool_backward = torch.ops.aten.max_pool2d_with_indices_backward.default
_relu_backward = torch.ops.aten.threshold_backward.default


def convolve_normalise_pool(
    frames: Tensor, convolution: nn.Conv2d, normalisation: nn.BatchNorm2d
) -> Tensor:
    """A 3x3 convolution, batch normalisation in training mode, ReLU and 2x2 max-pooling.

    The running statistics move as the module's own do. The convolution's bias, which the normalisation takes away
    again, has a gradient of exactly 0.

    Args:
        frames: (frames, channels, height, width), channels innermost in memory.
        convolution: with padding 1.
        normalisation: its statistics are of this batch.

    Returns:
        (frames, filters, height // 2, width // 2), channels innermost in memory.
    """
    pooled, mean, variance = _Stage.apply(
        frames,
        convolution.weight,
        convolution.bias,
        normalisation.weight,
        normalisation.bias,
        normalisation.eps,
    )
    pixels = frames.shape[0] * frames.shape[2] * frames.shape[3]
    normalisation.num_batches_tracked.add_(1)
    normalisation.running_mean.lerp_(mean, normalisation.momentum)
    normalisation.running_var.lerp_(variance * (pixels / (pixels - 1)), normalisation.momentum)
    return pooled


class _Stage(torch.autograd.Function):
    """The stage's result, and the mean and variance of the convolution's outputs, (filters,) each."""

    @staticmethod
    def forward(
        ctx: Any,
        frames: Tensor,
        kernel: Tensor,
        bias: Tensor,
        scale: Tensor,
        shift: Tensor,
        epsilon: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        # Filters of a negative scale are turned around, so that the largest pixel wins in all of them.
        sign = torch.where(scale < 0, -1.0, 1.0).to(kernel.dtype)
        kernel = kernel * sign.view(-1, 1, 1, 1)
        filters, pixels = kernel.shape[0], frames.shape[2] * frames.shape[3]
        piece = max(1, _PIECE // (filters * pixels))
        # Any bias gives the same result. This one leaves means near 0, so that no digits cancel in the variance.
        centre = -_rows(functional.conv2d(frames[:piece], kernel, padding=1)).mean(dim=0)

        total, total_of_squares = torch.zeros(2, filters, dtype=torch.float64)
        squares = frames.new_empty(min(piece, frames.shape[0]) * pixels, filters)
        convolved, normalised, winners = [], [], []
        for some in frames.split(piece):
            outputs = functional.conv2d(some, kernel, centre, padding=1)
            rows = _rows(outputs)
            total += rows.sum(dim=0)
            total_of_squares += torch.mul(rows, rows, out=squares[: len(rows)]).sum(dim=0)
            largest, where = functional.max_pool2d(outputs, 2, return_indices=True)
            convolved.append(outputs)
            normalised.append(largest)
            winners.append(where)
        count = frames.shape[0] * pixels
        mean = total / count
        variance = total_of_squares / count - mean.square()
        inverse = (variance + epsilon).rsqrt().to(frames.dtype)
        mean = mean.to(frames.dtype)

        size = (frames.shape[0], *largest.shape[1:])
        pooled = torch.empty(size, dtype=frames.dtype, memory_format=torch.channels_last)
        for some, out in zip(normalised, pooled.split(piece), strict=True):
            some.sub_(_column(mean)).mul_(_column(inverse))
            torch.addcmul(_column(shift), some, _column(scale.abs()), out=out).clamp_min_(0)
        ctx.save_for_backward(
            *(frames, kernel, sign, scale, pooled, mean, inverse),
            *(*convolved, *normalised, *winners),
        )
        variance = variance.to(frames.dtype)
        mean = bias.detach() + (mean - centre) * sign
        ctx.mark_non_differentiable(mean, variance)
        return pooled, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        frames, kernel, sign, scale, pooled, mean, inverse, *pieces = ctx.saved_tensors
        number = len(pieces) // 3
        convolved, normalised, winners = (
            pieces[:number],
            pieces[number : 2 * number],
            pieces[2 * number :],
        )
        piece = len(convolved[0])

        to_shift, to_scale = torch.zeros(2, len(scale), dtype=torch.float64)
        rectified = []
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        for some, out, given in zip(gradient.split(piece), pooled.split(piece), normalised):
            some = _relu_backward(some, out, 0)
            to_shift += _rows(some).sum(dim=0)
            to_scale += _rows(some * given).sum(dim=0)
            rectified.append(some)
        to_shift, to_scale = to_shift.to(frames.dtype), to_scale.to(frames.dtype)

        # With n pixels and normalised outputs y, the convolution's outputs have the gradient
        # |scale| / deviation * (gradient - sum(gradient) / n - y * sum(gradient * y) / n).
        # Its factor moves into the kernel, and behind the loop.
        count = frames.shape[0] * frames.shape[2] * frames.shape[3]
        slope = -inverse * to_scale / count
        offset = -to_shift / count - slope * mean
        factor = (scale.abs() * inverse).view(-1, 1, 1, 1)
        wanted = [ctx.needs_input_grad[0], True, False]
        to_kernel = torch.zeros_like(kernel)
        to_frames = torch.empty_like(frames) if wanted[0] else None
        buffer = torch.empty_like(convolved[0])
        for number, some in enumerate(frames.split(piece)):
            outputs = convolved[number]
            dense = buffer[: len(outputs)]
            torch.addcmul(_column(offset), outputs, _column(slope), out=dense)
            dense += _max_pool_backward(
                rectified[number], outputs, [2, 2], [2, 2], [0, 0], [1, 1], False, winners[number]
            )
            back, of_kernel, _ = _convolution_backward(
                dense, some, kernel * factor, [0], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
            )
            to_kernel += of_kernel
            if to_frames is not None:
                to_frames[number * piece : number * piece + len(back)] = back
        to_kernel *= factor * sign.view(-1, 1, 1, 1)
        return to_frames, to_kernel, torch.zeros_like(scale), to_scale * sign, to_shift, None


def _rows(images: Tensor) -> Tensor:
    """(images, channels, height, width) as (pixels, channels)."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _column(values: Tensor) -> Tensor:
    """(channels,) to stand beside (images, channels, height, width)."""
    return values.view(-1, 1, 1)

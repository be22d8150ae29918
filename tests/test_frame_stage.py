"""The frame encoder's training step against its modules run one after the other."""

import copy

import pytest
import torch
from torch import Tensor, nn

from liquidbench.models import frame_stage
from liquidbench.models.encoders import FrameCNN

pytestmark = pytest.mark.usefixtures("one_thread")


def lived_in(shape: tuple[int, int, int], channels: list[int]) -> FrameCNN:
    """An encoder with scales of both signs, shifts, and running statistics, float64."""
    torch.manual_seed(0)
    encoder = FrameCNN(shape, channels).double()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return encoder


def plainly(encoder: FrameCNN, steps: Tensor) -> Tensor:
    """Module after module, as torch runs them."""
    return encoder.layers(steps.flatten(0, 1)).view(*steps.shape[:2], -1)


def all_of(encoder: FrameCNN, forward, steps: Tensor) -> dict[str, Tensor]:
    """The output, the gradients of a weighted sum of it, and the statistics that the step leaves."""
    encoder, steps = copy.deepcopy(encoder), steps.clone().requires_grad_()
    output = forward(encoder, steps)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    (output * weights.to(output.dtype)).sum().backward()
    found = {"output": output.detach(), "steps": steps.grad}
    found |= {name: parameter.grad for name, parameter in encoder.named_parameters()}
    return found | {f"buffer {name}": buffer for name, buffer in encoder.named_buffers()}


# Even and odd sizes, one and three stages, one channel, and batches of one piece and of several.
@pytest.mark.parametrize(
    ("shape", "channels", "piece"),
    [
        ((2, 8, 8), [3, 4], 2**19),
        ((2, 8, 8), [3, 4], 2 * 3 * 8 * 8),
        ((1, 9, 7), [1], 1),
        ((3, 17, 11), [5, 2, 3], 1000),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-6)], ids=str
)
def test_a_step_gives_what_the_modules_give(monkeypatch, shape, channels, piece, dtype, tolerance):
    monkeypatch.setattr(frame_stage, "_PIECE", piece)
    encoder = lived_in(shape, channels)
    steps = torch.randn((3, 5, *shape), generator=torch.Generator().manual_seed(1)).double()
    expected = all_of(encoder, plainly, steps)
    got = all_of(encoder.to(dtype), FrameCNN.forward, steps.to(dtype))
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()))
        error = float((got[name].double() - value).abs().max()) / scale
        assert error < tolerance, name


def test_pixels_far_from_zero_keep_their_digits():
    encoder = FrameCNN((1, 16, 16), [4])
    steps = 1000 + torch.randn((4, 4, 1, 16, 16), generator=torch.Generator().manual_seed(3))
    expected = all_of(encoder.double(), plainly, steps.double())
    got = all_of(encoder.float(), FrameCNN.forward, steps)
    for name in ("output", "buffer layers.1.running_mean", "buffer layers.1.running_var"):
        scale = float(expected[name].abs().max())
        assert float((got[name].double() - expected[name]).abs().max()) < 1e-5 * scale, name


def test_of_equal_pixels_the_first_has_the_gradient():
    # On an empty frame all pixels are equal: the gradient goes where torch's pooling sends it.
    encoder = lived_in((1, 6, 6), [2])
    steps = torch.zeros((2, 2, 1, 6, 6), dtype=torch.float64)
    steps[0, 0, 0, 2, 3] = 1.0
    expected = all_of(encoder, plainly, steps)
    got = all_of(encoder, FrameCNN.forward, steps)
    torch.testing.assert_close(got["steps"], expected["steps"], rtol=0, atol=1e-10)


def test_the_derivative_is_that_of_finite_differences():
    torch.manual_seed(4)
    normalisation = nn.BatchNorm2d(3).double()
    convolution = nn.Conv2d(2, 3, 3, padding=1).double()
    frames = torch.randn(3, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([0.7, -1.2, 0.4], dtype=torch.float64, requires_grad=True)

    def stage(frames: Tensor, kernel: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        bias, epsilon = convolution.bias.detach(), normalisation.eps
        return frame_stage._Stage.apply(frames, kernel, bias, scale, shift, epsilon)[0]

    assert torch.autograd.gradcheck(
        stage, (frames, convolution.weight, scale, normalisation.bias), atol=1e-6
    )


def test_evaluation_reads_the_running_statistics_and_leaves_them():
    encoder = lived_in((2, 8, 8), [3, 4]).eval()
    steps = torch.randn(2, 3, 2, 8, 8, dtype=torch.float64)
    before = copy.deepcopy(encoder.state_dict())
    torch.testing.assert_close(encoder(steps), plainly(encoder, steps), rtol=0, atol=1e-12)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_stored_weights_keep_their_names():
    assert list(FrameCNN((2, 8, 8), [3, 4]).state_dict()) == [
        f"layers.{first + offset}.{name}"
        for first in (0, 4)
        for offset, names in (
            (0, ("weight", "bias")),
            (1, ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
        )
        for name in names
    ]

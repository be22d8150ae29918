"""Encoders, poolings and whole models: shapes, and parameter counts by hand, at the paper's sizes."""

import math
from pathlib import Path

import pytest
import torch
import yaml

from liquidbench.configuration import Run, run_settings
from liquidbench.errors import InputError
from liquidbench.models.encoders import (
    FrameCNN,
    FrameCNNProjection,
    Identity,
    Projection,
    ResNet6,
    sinusoids,
)
from liquidbench.models.heads import pool
from liquidbench.models.sequence_model import SequenceModel

PROJECT = Path(__file__).parents[1]
# Shape of one step, and the number of logits. 80: an alphabet of 79 characters, and the blank.
INPUTS = {
    "nmnist": ((2, 34, 34), 10),
    "quickdraw": ((5,), 10),
    "iam": ((64,), 80),
    "physionet": ((40,), 1),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def model_of(dataset: str, protocol: str, model: str) -> SequenceModel:
    """The model that a run of the shipped configuration would train."""
    config: dict = {}
    for name in ("config", "protocols"):
        config |= yaml.safe_load((PROJECT / f"config/{name}.yaml").read_text(encoding="utf-8"))
    architecture = run_settings(config, Run(dataset, protocol, model, 0))["architecture"]
    torch.manual_seed(0)
    return SequenceModel(architecture, *INPUTS[dataset]).eval()


# Parameters by hand.


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def convolution(inputs: int, outputs: int, side: int = 3) -> int:
    return side * side * inputs * outputs


def lstm(inputs: int, units: int) -> int:
    """Four gates, each with weights for input and state and, in torch, two biases."""
    return 4 * (inputs * units + units * units + 2 * units)


def cfc(inputs: int, units: int, backbone: int) -> int:
    """A backbone of one layer over input and state, and four maps to the state."""
    return linear(inputs + units, backbone) + 4 * linear(backbone, units)


def block(inputs: int, outputs: int) -> int:
    """Two convolutions, each with scale and shift; where the size changes, a third for the shortcut."""
    body = convolution(inputs, outputs) + convolution(outputs, outputs) + 4 * outputs
    return body + (convolution(inputs, outputs, 1) + 2 * outputs if inputs != outputs else 0)


# Two convolutions with biases, each with the scale and shift of a BatchNorm: 608 + 64 + 18,496 + 128.
FRAME_CNN = 19_296
# Linear 5 -> 128 and the scale and shift of a LayerNorm: 768 + 256.
PROJECTION = 1_024
# One convolution with biases, 32 x 17 x 17 = 9,248 -> 128, LayerNorm: 608 + 1,183,872 + 256.
FRAME_CNN_PROJECTION = 1_184_736
RESNET6 = (
    (convolution(1, 64) + 2 * 64)
    + (block(64, 128) + block(128, 128))
    + (block(128, 256) + block(256, 256))
    + (block(256, 512) + block(512, 512))
)
MLP = linear(256, 128) + linear(128, 10)

# Data set, protocol, model: encoder, core, head.
PARAMETERS = {
    ("nmnist", "paper", "lstm"): (FRAME_CNN, lstm(4096, 128), linear(128, 10)),
    ("nmnist", "paper", "cfc"): (
        FRAME_CNN,
        cfc(4096, 128, 128) + linear(128, 128),
        linear(128, 10),
    ),
    ("nmnist", "released", "lstm"): (
        FRAME_CNN,
        lstm(4096, 128) + lstm(128, 128),
        linear(128, 10),
    ),
    ("nmnist", "released", "cfc"): (
        FRAME_CNN,
        cfc(4096, 128, 128) + linear(128, 128),
        linear(128, 10),
    ),
    ("quickdraw", "paper", "lstm"): (PROJECTION, lstm(128, 256), MLP),
    ("quickdraw", "paper", "cfc"): (PROJECTION, cfc(128, 256, 128) + linear(256, 256), MLP),
    ("quickdraw", "released", "lstm"): (PROJECTION, lstm(128, 256) + lstm(256, 256), MLP),
    ("quickdraw", "released", "cfc"): (PROJECTION, cfc(128, 256, 128) + linear(256, 256), MLP),
    ("iam", "paper", "lstm"): (RESNET6, 2 * lstm(4096, 256), linear(512, 80)),
    ("iam", "paper", "cfc"): (
        RESNET6,
        cfc(4096, 256, 128) + linear(256, 256),
        linear(256, 80),
    ),
    ("iam", "released", "lstm"): (RESNET6, 2 * lstm(4096, 256), linear(512, 80)),
    ("iam", "released", "cfc"): (RESNET6, cfc(4096, 256, 128), linear(256, 80)),
    ("physionet", "paper", "lstm-128"): (0, lstm(40, 128), linear(128, 1)),
    ("physionet", "paper", "cfc-128"): (0, cfc(40, 128, 128), linear(128, 1)),
    ("physionet", "paper", "cfc-256"): (0, cfc(40, 256, 128), linear(256, 1)),
    ("nmnist", "stress", "lstm"): (
        FRAME_CNN_PROJECTION,
        lstm(128, 256) + lstm(256, 256),
        linear(256, 10),
    ),
    ("nmnist", "stress", "cfc"): (
        FRAME_CNN_PROJECTION,
        cfc(128, 256, 128) + linear(256, 256),
        linear(256, 10),
    ),
    ("quickdraw", "stress", "lstm"): (
        PROJECTION,
        lstm(128, 256) + lstm(256, 256),
        linear(256, 10),
    ),
    ("quickdraw", "stress", "cfc"): (
        PROJECTION,
        cfc(128, 256, 128) + linear(256, 256),
        linear(256, 10),
    ),
}


@pytest.mark.parametrize("key", PARAMETERS, ids="-".join)
def test_a_model_has_the_parameters_that_one_counts_by_hand(key):
    encoder, core, head = PARAMETERS[key]
    expected = {"total": encoder + core + head, "encoder": encoder, "core": core, "head": head}
    assert model_of(*key).parameter_counts() == expected


def test_the_counts_by_hand_are_the_known_ones():
    known = {
        ("physionet", "paper", "lstm-128"): 87_169,
        ("physionet", "paper", "cfc-128"): 87_809,
        ("physionet", "paper", "cfc-256"): 170_369,
        ("nmnist", "released", "lstm"): 2_316_394,
        ("quickdraw", "stress", "lstm"): 925_194,
    }
    assert {key: sum(PARAMETERS[key]) for key in known} == known
    assert RESNET6 == 11_019_712
    # Two layers do not give the paper's 0.10 M for the clinical LSTM.
    assert lstm(40, 128) + lstm(128, 128) + linear(128, 1) == 219_265


@pytest.mark.parametrize(
    ("key", "steps", "features", "logits"),
    [
        (("nmnist", "released", "lstm"), (2, 10, 2, 34, 34), (2, 10, 4096), (2, 10)),
        (("nmnist", "stress", "cfc"), (2, 10, 2, 34, 34), (2, 10, 128), (2, 10)),
        (("quickdraw", "released", "cfc"), (3, 7, 5), (3, 7, 128), (3, 10)),
        (("physionet", "paper", "cfc-128"), (3, 9, 40), (3, 9, 40), (3, 1)),
        # 64 x 512 pixels: 512 x 8 x 128, read as 128 steps of 4,096.
        (("iam", "released", "lstm"), (1, 512, 64), (1, 128, 4096), (1, 128, 80)),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
@torch.no_grad()
def test_shapes_at_the_paper_s_sizes(key, steps, features, logits):
    model = model_of(*key)
    batch = torch.rand(steps, generator=torch.Generator().manual_seed(1))
    encoded = []
    model.encoder.register_forward_hook(lambda _module, _inputs, output: encoded.append(output))
    assert model(batch).shape == logits
    assert encoded[0].shape == features
    assert encoded[0].shape[1] == steps[1] // model.encoder.time_stride
    assert encoded[0].shape[2] == model.encoder.output_size


@torch.no_grad()
def test_an_encoder_sees_each_frame_alone():
    generator = torch.Generator().manual_seed(2)
    frames = torch.rand(2, 3, 2, 34, 34, generator=generator)
    for encoder in (FrameCNN((2, 34, 34), [3, 4]), FrameCNNProjection((2, 34, 34), 3, 6)):
        encoder.eval()
        together = encoder(frames)
        for example in range(2):
            for step in range(3):
                alone = encoder(frames[example : example + 1, step : step + 1])
                torch.testing.assert_close(together[example, step], alone[0, 0])


@torch.no_grad()
def test_frame_features_are_convolved_rectified_and_pooled():
    encoder = FrameCNN((1, 4, 4), [1]).eval()
    convolution_ = encoder.layers[0]
    # The kernel takes the right neighbour, less 5.
    convolution_.weight.zero_()
    convolution_.weight[0, 0, 1, 2] = 1.0
    convolution_.bias.fill_(-5.0)
    frame = torch.arange(16.0).view(1, 1, 1, 4, 4)
    # Right neighbours: 1 2 3 0 / 5 6 7 0 / 9 10 11 0 / 13 14 15 0; largest of each 2 x 2, less 5, not below 0.
    expected = torch.tensor([[[1.0, 2.0, 9.0, 10.0]]]) / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(encoder(frame), expected)


@torch.no_grad()
def test_a_projection_is_linear_normalised_and_rectified():
    torch.manual_seed(3)
    encoder = Projection((5,), 4)
    point = torch.tensor([0.1, 0.9, -0.2, 0.3, 1.0])
    mapped = [float(row @ point + bias) for row, bias in zip(*encoder.layers[0].parameters())]
    mean = sum(mapped) / 4
    deviation = math.sqrt(sum((value - mean) ** 2 for value in mapped) / 4 + 1e-5)
    expected = [max(0.0, (value - mean) / deviation) for value in mapped]
    torch.testing.assert_close(encoder(point.view(1, 1, 5)), torch.tensor([[expected]]))


def test_identity_gives_the_steps_as_they_are():
    steps = torch.rand(2, 3, 40)
    assert torch.equal(Identity((40,))(steps), steps)


@torch.no_grad()
def test_the_steps_of_a_line_run_from_left_to_right():
    torch.manual_seed(4)
    encoder = ResNet6((16,), [2, 3, 4, 5], positional_encoding=False).eval()
    blank, ink = torch.zeros(1, 256, 16), torch.zeros(1, 256, 16)
    ink[0, 252:] = 1.0
    difference = (encoder(ink) - encoder(blank)).abs().amax(dim=2)[0]
    assert difference.shape == (64,)
    assert difference[-1] > 0
    # The 13 convolutions reach 37 columns back: 10 steps of 4 columns.
    assert torch.all(difference[: 63 - 10] == 0)


@torch.no_grad()
def test_positions_are_added_to_what_the_image_gives():
    torch.manual_seed(5)
    encoder = ResNet6((16,), [2, 3, 4, 5], positional_encoding=True).eval()
    without = ResNet6((16,), [2, 3, 4, 5], positional_encoding=False).eval()
    without.load_state_dict(encoder.state_dict())
    columns = torch.rand(2, 32, 16)
    added = (encoder(columns) - without(columns)).numpy()
    for example in added:
        assert example == pytest.approx(sinusoids(8, 10, torch.device("cpu")).numpy(), abs=1e-5)


@pytest.mark.parametrize(("length", "width"), [(7, 6), (5, 5), (128, 512), (1, 1)])
def test_sinusoids_against_a_plain_loop(length, width):
    got = sinusoids(length, width, torch.device("cpu"))
    assert got.dtype == torch.float32
    expected = torch.empty(length, width)
    for position in range(length):
        for column in range(width):
            angle = position / 10000 ** ((column - column % 2) / width)
            expected[position, column] = math.cos(angle) if column % 2 else math.sin(angle)
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)


NAN = math.nan
# Two sequences of two units: three valid steps, and one with two steps of padding.
STATES = [
    [[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]],
    [[5.0, 7.0], [NAN, NAN], [NAN, NAN]],
]


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", [[3.0, 30.0], [5.0, 7.0]]), ("last", [[6.0, 60.0], [5.0, 7.0]])],
)
def test_pooling_is_blind_to_the_padding_even_where_it_is_not_a_number(how, expected):
    states = torch.tensor(STATES, requires_grad=True)
    pooled = pool(states, torch.tensor([3, 1]), how)
    assert pooled.tolist() == expected
    pooled.sum().backward()
    assert torch.isfinite(states.grad).all()
    assert torch.all(states.grad[1, 1:] == 0)


def test_the_mean_with_padding_takes_it_in():
    states = torch.tensor(STATES).nan_to_num(nan=1.0)
    pooled = pool(states, torch.tensor([3, 1]), "mean_with_padding")
    torch.testing.assert_close(pooled, torch.tensor([[3.0, 30.0], [7 / 3, 3.0]]))


def test_without_lengths_every_step_is_valid():
    states = torch.tensor(STATES[:1])
    assert pool(states, None, "mean").tolist() == [[3.0, 30.0]]
    assert pool(states, None, "last").tolist() == [[6.0, 60.0]]
    assert pool(states, None, "none") is states


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="unknown pooling 'max'"):
        pool(torch.zeros(1, 2, 3), None, "max")


class RecordingCore(torch.nn.Module):
    """Keeps what it was given; its states are the features."""

    readout = torch.nn.Identity()
    takes_elapsed = True

    def forward(self, features, elapsed, lengths):
        self.elapsed, self.lengths = elapsed, lengths
        return features


@torch.no_grad()
def test_a_core_is_told_the_time_and_the_lengths_of_the_encoder_s_steps():
    architecture = {
        "encoder": {"name": "resnet6", "channels": [2, 2, 2, 4]},
        "core": {"name": "cfc", "units": 4},
        "pooling": "none",
        "head": {"name": "linear"},
        "elapsed": "core",
    }
    model = SequenceModel(architecture, (8,), 3)
    model.core = RecordingCore()
    model.head = torch.nn.Linear(4, 3)
    elapsed = torch.arange(24.0).view(2, 12)
    logits = model(torch.rand(2, 12, 8), elapsed, torch.tensor([12, 8]))
    assert logits.shape == (2, 3, 3)
    # Columns 0 to 3, 4 to 7, 8 to 11 of each line, in units of a group of four.
    assert model.core.elapsed.tolist() == [[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]]
    assert model.core.lengths.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("part", "options", "told"),
    [
        ("encoder", {"name": "projection"}, "units"),
        ("encoder", {"name": "projection", "units": 4, "channels": [1]}, "channels"),
        # The line reader has four sizes.
        ("encoder", {"name": "resnet6", "channels": [8, 16]}, "channels"),
        ("core", {"name": "lstm", "units": 4, "projection": True}, "projection"),
        ("head", {"name": "mlp"}, "units"),
    ],
)
def test_options_that_a_part_does_not_have_are_refused(part, options, told):
    architecture = {
        "encoder": {"name": "identity"},
        "core": {"name": "cfc", "units": 4},
        "pooling": "mean",
        "head": {"name": "linear"},
    }
    with pytest.raises(InputError, match=told) as caught:
        SequenceModel(architecture | {part: options}, (5,), 2)
    assert caught.value.where == f"configuration of the {part} {options['name']!r}"

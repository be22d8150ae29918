"""What a run's settings do to its training, its inputs and its encoder: each seen from outside, against plain sums."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

from liquidbench.datasets.cache import CacheAttributes, CacheWriter, Sequences
from liquidbench.models.encoders import FrameCNN, FrameCNNProjection, ResNet6
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs, loop
from liquidbench.training.augmentation import Augmentation
from liquidbench.training.batches import Batch
from liquidbench.training.inputs import RunData
from liquidbench.training.run import RunRequest, load_run, train_run
from liquidbench.training.schedules import make_optimizer
from liquidbench.training.state import TrainingState
from liquidbench.training.tasks import ClassificationTask
from test_training import drawings, settings

CPU = torch.device("cpu")
ATTRIBUTES = CacheAttributes(
    dataset="quickdraw",
    source="synthetic",
    synthetic=True,
    task="classification",
    elapsed_unit="points",
    feature_names=(),
    classes=("a", "b"),
    settings={"categories": ["a", "b"]},
    raw_sha256={},
    code_sha256="0" * 64,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more, and other tests may be using the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def hard_drawings(count: int, seed: int) -> Sequences:
    """Sequences of 3 to 7 steps with little of their class in them: no accuracy of 0 or 1."""
    sequences = drawings([3 + i % 5 for i in range(count)], seed=seed)
    noise = np.random.default_rng(seed + 1).normal(scale=8.0, size=sequences.inputs.shape)
    return replace(sequences, inputs=sequences.inputs + noise.astype(np.float32))


def run_data(train: Sequences, test: Sequences, augment=None) -> RunData:
    return RunData(ATTRIBUTES, train, test, inputs.as_stored, augment, None)


def model_of(run: dict, data: RunData) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(run["architecture"], data.input_shape, 2)


def trained(data: RunData, run: dict, model: SequenceModel | None = None) -> list[dict]:
    """The history of a training; the model is a new one unless given."""
    model = model or model_of(run, data)
    task = ClassificationTask(("a", "b"))
    state = TrainingState(model, run["training"], task.better, 0, CPU)
    loop.train(state, data, task, run["training"], lambda _: None)
    return [epoch.row for epoch in state.epochs]


@pytest.fixture
def made(monkeypatch) -> list[tuple[Sequences, Batch]]:
    """The batches that the loop makes, with the split that each is of."""
    batches, original = [], loop.make_batch

    def recorded(sequences: Sequences, *arguments) -> Batch:
        batches.append((sequences, original(sequences, *arguments)))
        return batches[-1][1]

    monkeypatch.setattr(loop, "make_batch", recorded)
    return batches


# The training loop.


def test_only_training_batches_move_batch_normalisation():
    def frames(seed: int) -> Sequences:
        base = drawings([2] * 20, features=16, seed=seed)
        return replace(base, inputs=base.inputs.reshape(-1, 1, 4, 4))

    run = settings(epochs=3, batch_size=8)
    run["architecture"]["encoder"] = {"name": "frame_cnn", "channels": [3]}
    data = run_data(frames(0), frames(1))
    model = model_of(run, data)
    before = model.encoder.layers[1].running_mean.clone()
    trained(data, run, model)
    normalisation = model.encoder.layers[1]
    # Three epochs of 8, 8 and 4 examples; the tests in between count nothing.
    assert int(normalisation.num_batches_tracked) == 9
    assert not torch.equal(normalisation.running_mean, before)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"name": "constant"}, [0.01] * 4),
        ({"name": "cosine"}, [0.005 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]),
        ({"name": "step", "every_epochs": 2, "factor": 0.1}, [0.01, 0.01, 0.001, 0.001]),
    ],
    ids=lambda value: value.get("name") if isinstance(value, dict) else "",
)
def test_the_history_has_the_rates_of_the_schedule_and_the_steps_use_them(schedule, expected):
    used = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"])
    )
    run = settings(epochs=4, learning_rate=0.01, schedule=schedule, batch_size=8)
    try:
        rows = trained(run_data(hard_drawings(16, 0), hard_drawings(8, 5)), run)
    finally:
        handle.remove()
    assert [row["learning_rate"] for row in rows] == pytest.approx(expected)
    assert used == pytest.approx(np.repeat(expected, 2))


def test_gradients_are_clipped_before_each_step_where_the_settings_say_so():
    norms = []

    def measure(optimizer, *_) -> None:
        gradients = [p.grad.flatten() for p in optimizer.param_groups[0]["params"]]
        norms.append(float(torch.cat(gradients).norm()))

    def norms_with(clip: float | None) -> list[float]:
        norms.clear()
        handle = register_optimizer_step_pre_hook(measure)
        run = settings(epochs=2, gradient_clip=clip)
        data = run_data(hard_drawings(24, 0), hard_drawings(8, 5))
        model = model_of(run, data)
        with torch.no_grad():
            # The gradients become larger than any usual bound.
            model.head.layers.weight.mul_(100)
        try:
            trained(data, run, model)
        finally:
            handle.remove()
        return list(norms)

    free = norms_with(None)
    assert len(free) == 6 and min(free) > 1.5
    assert norms_with(0.001) == pytest.approx([0.001] * 6, rel=1e-2)
    # A bound that no gradient reaches changes none.
    assert norms_with(1000.0) == free


def test_training_figures_are_running_ones_over_the_examples(made):
    train, test = hard_drawings(20, 0), hard_drawings(12, 5)
    run = settings(epochs=3, batch_size=8)
    data = run_data(train, test)
    model = model_of(run, data)
    logits: list[Tensor] = []
    model.register_forward_hook(lambda _module, _inputs, output: logits.append(output.detach()))
    rows = trained(data, run, model)

    passes = [(batch, given) for (split, batch), given in zip(made, logits) if split is train]
    # 20 examples make batches of 8, 8 and 4: a mean over batches is another one.
    assert [len(batch.indices) for batch, _ in passes] == [8, 8, 4] * 3
    for row, epoch in zip(rows, (passes[0:3], passes[3:6], passes[6:9]), strict=True):
        right, loss = 0, 0.0
        for batch, given in epoch:
            for example, scores in zip(batch.indices, given.double()):
                target = int(train.targets[example])
                right += int(scores[target] > scores[1 - target])
                loss += float(torch.logsumexp(scores, 0) - scores[target])
        assert row["train_accuracy"] == right / 20
        assert row["train_loss"] == pytest.approx(loss / 20, rel=1e-5)


def test_only_training_batches_are_augmented():
    seen = []

    def augment(steps: Tensor) -> Tensor:
        seen.append(len(steps))
        return steps

    trained(run_data(hard_drawings(20, 0), hard_drawings(12, 5), augment), settings(epochs=2))
    assert seen == [8, 8, 4] * 2


def test_the_released_mean_is_evaluated_in_fixed_mixed_batches_of_the_protocol_s_size(made):
    sequences = hard_drawings(20, 0)
    for pooling, expected in (
        ("mean_with_padding", np.split(np.random.default_rng(0).permutation(20), [8, 16])),
        # Lengths are 3, 4, 5, 6, 7, 3, ...: those of like length come together.
        ("mean", [np.array([i for first in range(5) for i in range(first, 20, 5)])]),
    ):
        run, data = settings(pooling), run_data(sequences, sequences)
        model, task = model_of(run, data), ClassificationTask(("a", "b"))
        made.clear()
        said, _ = loop.evaluate(model, sequences, data, task, run["training"], CPU)
        assert [batch.indices.tolist() for _, batch in made] == [e.tolist() for e in expected]
        # The answers are in the split's order again.
        with torch.no_grad():
            for _, batch in made:
                alone = torch.softmax(model(batch.steps, None, batch.lengths).double(), dim=1)
                np.testing.assert_allclose(said[batch.indices], alone.numpy(), atol=1e-6)


# Optimizers.


@pytest.mark.parametrize(
    ("name", "decay", "expected"),
    [
        # Decoupled decay (Loshchilov and Hutter, 2019): w - rate * decay * w.
        ("adamw", 0.1, [2.0 * (1 - 0.01 * 0.1), -4.0 * (1 - 0.01 * 0.1)]),
        # In Adam decay is a gradient, and the first step of any gradient is the rate.
        ("adam", 0.1, [2.0 - 0.01, -4.0 + 0.01]),
        ("adamw", 0.0, [2.0, -4.0]),
        ("adam", 0.0, [2.0, -4.0]),
    ],
)
def test_one_step_without_a_gradient_shows_the_optimizer_and_its_decay(name, decay, expected):
    layer = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -4.0]]))
    layer.weight.grad = torch.zeros(1, 2)
    training = settings(optimizer=name, learning_rate=0.01, weight_decay=decay)["training"]
    make_optimizer(layer, training).step()
    assert layer.weight[0].tolist() == pytest.approx(expected, rel=1e-6)


# Whole runs.


def test_the_training_figures_of_a_run_are_of_the_training_split(tmp_path):
    cache = tmp_path / "cache.h5"
    with CacheWriter(cache, ATTRIBUTES) as writer:
        writer.append("all", hard_drawings(60, 0))
    train_run(RunRequest("quickdraw", "p", "m", 1, settings(), cache), tmp_path / "run", CPU, 1)
    model, data, _, metrics = load_run(tmp_path / "run", cache, CPU, 1)
    for name, split in (("train", data.train), ("test", data.test)):
        right, loss = 0, 0.0
        for i in range(len(split)):
            steps = torch.from_numpy(split.inputs[split.offsets[i] : split.offsets[i + 1]])
            with torch.no_grad():
                scores = model(steps[None])[0].double()
            target = int(split.targets[i])
            right += int(scores[target] > scores[1 - target])
            loss += float(torch.logsumexp(scores, 0) - scores[target]) / len(split)
        assert metrics[name]["accuracy"] == right / len(split)
        assert metrics[name]["loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["train"]["loss"] != pytest.approx(metrics["test"]["loss"], rel=1e-2)


def stays(count: int) -> Sequences:
    """Hospital stays of two variables, about half measured, whose level differs from stay to stay."""
    generator = np.random.default_rng(3)
    base = drawings([4 + i % 3 for i in range(count)], features=2)
    hours = len(base.inputs)
    level = np.repeat(np.arange(count) ** 2.0, base.lengths)
    values = level[:, None] * [1.0, -3.0] + generator.normal(size=(hours, 2))
    values[generator.random((hours, 2)) < 0.5] = np.nan
    since = generator.integers(0, 9, size=hours).astype(np.float32)
    return replace(
        base,
        inputs=values.astype(np.float32),
        recognized=None,
        step_targets=np.zeros(hours, dtype=np.uint8),
        time_since_observation=since,
    )


def test_clinical_scaling_is_fitted_on_the_training_split_alone(tmp_path):
    everything, cache = stays(24), tmp_path / "cache.h5"
    attributes = replace(ATTRIBUTES, dataset="physionet", task="binary", settings={})
    with CacheWriter(cache, attributes) as writer:
        writer.append("all", everything)
    run = settings(threshold=0.5, epochs=1) | {"dataset": {}}
    train_run(RunRequest("physionet", "p", "m", 1, run, cache), tmp_path / "run", CPU, 1)
    stored = json.loads((tmp_path / "run/scaling.json").read_text(encoding="utf-8"))

    tested = set(pd.read_csv(tmp_path / "run/predictions.csv").id)
    assert len(tested) == 6

    def medians(of_test: bool) -> list[float]:
        measured: list[list[float]] = [[], [], []]
        for i, name in enumerate(everything.ids):
            if (name in tested) != of_test:
                continue
            for hour in range(everything.offsets[i], everything.offsets[i + 1]):
                row = [*everything.inputs[hour], everything.time_since_observation[hour]]
                for column, value in zip(measured, row):
                    if not math.isnan(value):
                        column.append(float(value))
        return [median(column) for column in measured]

    assert stored["median"] == pytest.approx(medians(of_test=False))
    assert stored["median"][:2] != pytest.approx(medians(of_test=True)[:2], rel=0.05)
    # Standardised by what was fitted on it, the training split has no mean left where it is always measured.
    data = inputs.load(cache, run["training"], seed=1)
    assert data.train.inputs[:, 2].mean() == pytest.approx(0, abs=1e-6)
    since = np.concatenate(
        [
            everything.time_since_observation[everything.offsets[i] : everything.offsets[i + 1]]
            for i in map(everything.ids.tolist().index, data.test.ids)
        ]
    )
    expected = (since - stored["mean"][2]) / stored["standard_deviation"][2]
    np.testing.assert_allclose(data.test.inputs[:, 2], expected, rtol=1e-5, atol=1e-6)


# Inputs.


def test_stored_values_become_the_inputs_that_the_paper_describes():
    counts = np.array([0, 1, 9, 255], dtype=np.uint8)
    expected = [math.log(1 + count) for count in (0, 1, 9, 255)]
    got = inputs.TRANSFORMS["nmnist"](torch.from_numpy(counts))
    assert got.dtype == torch.float32 and got.tolist() == pytest.approx(expected, rel=1e-6)
    for grey in (np.array([0, 51, 255], dtype=np.uint8), np.array([0, 51, 255], dtype=np.float32)):
        got = inputs.TRANSFORMS["iam"](torch.from_numpy(grey))
        assert got.dtype == torch.float32 and got.tolist() == pytest.approx([-1, -0.6, 1])
    assert inputs.grey_to_unit(torch.tensor([127.5])).tolist() == [0.0]
    for name in ("quickdraw", "physionet"):
        values = torch.tensor([-2.5, 0.0, 300.0])
        assert inputs.TRANSFORMS[name](values.clone()).tolist() == values.tolist()


def test_brightness_scales_each_line_by_its_own_factor_within_the_bounds():
    torch.manual_seed(0)
    # In -1..1, black, a quarter, a half and three quarters of white, and white.
    shades = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0])
    lines = shades.view(1, 5, 1).expand(400, 5, 4).contiguous()
    bright = (Augmentation(0.0, 0.0, [1.0, 1.0], 0.2)(lines) + 1) / 2
    factors = bright[:, 2, 0] / 0.5
    assert float(factors.min()) == pytest.approx(0.8, abs=0.01) and factors.min() >= 0.8 - 1e-5
    assert float(factors.max()) == pytest.approx(1.2, abs=0.01) and factors.max() <= 1.2 + 1e-5
    assert float(factors.mean()) == pytest.approx(1.0, abs=0.02)
    expected = (factors[:, None] * (shades + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(bright, expected[:, :, None].expand(400, 5, 4), atol=1e-5, rtol=0)


# Encoders, computed again from their weights.


def with_lived_in_normalisation(encoder: torch.nn.Module) -> dict[str, Tensor]:
    """Give every normalisation scales (some negative), shifts and statistics; returns all weights."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.LayerNorm):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return encoder.eval().state_dict()


def normalised(weights: dict[str, Tensor], name: str, images: Tensor) -> Tensor:
    """Batch normalisation by its running statistics: (x - mean) / sqrt(variance + 1e-5) * scale + shift."""

    def column(of: str) -> Tensor:
        return weights[f"{name}.{of}"].view(-1, 1, 1)

    scaled = (images - column("running_mean")) / torch.sqrt(column("running_var") + 1e-5)
    return scaled * column("weight") + column("bias")


@torch.no_grad()
def test_frame_cnn_convolves_normalises_rectifies_and_pools():
    torch.manual_seed(0)
    encoder = FrameCNN((2, 9, 8), [3, 4])
    weights = with_lived_in_normalisation(encoder)
    frames = torch.randn(2, 3, 2, 9, 8)
    images = frames.reshape(6, 2, 9, 8)
    for first in (0, 4):
        kernel, bias = weights[f"layers.{first}.weight"], weights[f"layers.{first}.bias"]
        images = functional.conv2d(images, kernel, bias, padding=1)
        images = normalised(weights, f"layers.{first + 1}", images).clamp(min=0)
        images = functional.max_pool2d(images, 2)
    torch.testing.assert_close(encoder(frames), images.reshape(2, 3, 4 * 2 * 2))


@torch.no_grad()
def test_frame_cnn_projection_rectifies_twice_and_normalises_once():
    torch.manual_seed(1)
    encoder = FrameCNNProjection((2, 8, 6), 3, 5)
    weights = with_lived_in_normalisation(encoder)
    frames = torch.randn(2, 3, 2, 8, 6)
    images = frames.reshape(6, 2, 8, 6)
    kernel, bias = weights["layers.0.weight"], weights["layers.0.bias"]
    images = functional.conv2d(images, kernel, bias, padding=1).clamp(min=0)
    pooled = functional.max_pool2d(images, 2).reshape(6, 3 * 4 * 3)
    mapped = pooled @ weights["layers.4.weight"].T + weights["layers.4.bias"]
    deviation = torch.sqrt(mapped.var(dim=1, unbiased=False, keepdim=True) + 1e-5)
    scaled = (mapped - mapped.mean(dim=1, keepdim=True)) / deviation
    expected = (scaled * weights["layers.5.weight"] + weights["layers.5.bias"]).clamp(min=0)
    torch.testing.assert_close(encoder(frames), expected.reshape(2, 3, 5), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_resnet6_is_a_stem_and_six_blocks_in_order():
    torch.manual_seed(2)
    encoder = ResNet6((16,), [2, 3, 4, 5], positional_encoding=False)
    weights = with_lived_in_normalisation(encoder)
    columns = torch.randn(2, 12, 16)

    def layer(images: Tensor, convolution: str, normalisation: str, stride, padding=1) -> Tensor:
        kernel = weights[f"{convolution}.weight"]
        images = functional.conv2d(images, kernel, stride=stride, padding=padding)
        return normalised(weights, normalisation, images)

    images = columns.transpose(1, 2)[:, None]
    images = layer(images, "stem.0", "stem.1", 1).clamp(min=0)
    # Strides of height and width: 16 x 12 pixels become 2 x 3.
    for block, stride in enumerate([(2, 2), 1, (2, 2), 1, (2, 1), 1]):
        name = f"blocks.{block}"
        inner = layer(images, f"{name}.body.0", f"{name}.body.1", stride).clamp(min=0)
        inner = layer(inner, f"{name}.body.3", f"{name}.body.4", 1)
        if stride != 1:
            images = layer(images, f"{name}.shortcut.0", f"{name}.shortcut.1", stride, padding=0)
        images = (inner + images).clamp(min=0)
    assert images.shape == (2, 5, 2, 3)
    expected = torch.stack([images[:, :, :, step].reshape(2, 10) for step in range(3)], dim=1)
    torch.testing.assert_close(encoder(columns), expected, atol=1e-5, rtol=1e-4)

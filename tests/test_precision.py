"""bfloat16 beside float32: trainings, evaluations and the stress test of every encoder, core and head."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from liquidbench.datasets.cache import CacheWriter, Sequences, offsets_of
from liquidbench.models.cores import CORES
from liquidbench.models.encoders import ENCODERS
from liquidbench.models.heads import HEADS
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs, loop, stress
from liquidbench.training.inputs import RunData
from liquidbench.training.run import RunRequest, load_run, train_run
from liquidbench.training.state import TrainingState
from liquidbench.training.tasks import BinaryTask, ClassificationTask, Task, TranscriptionTask
from test_stress import OPTIONS, masks_of
from test_training import drawings, settings
from test_training_settings import ATTRIBUTES

CPU = torch.device("cpu")
CLASSES = ClassificationTask(("a", "b"))
HEAD_OPTIONS = {"linear": {}, "mlp": {"units": 7, "dropout": 0.1}}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more, and other tests may be using the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def a_run(encoder="projection", core="lstm", head="linear", pooling="mean") -> dict:
    run = settings(pooling, epochs=2, batch_size=8, learning_rate=0.005)
    architecture = run["architecture"]
    architecture["encoder"] = {"name": encoder, **OPTIONS[encoder][0]}
    architecture["core"] = {"name": core, "units": 8}
    architecture["head"] = {"name": head, **HEAD_OPTIONS[head]}
    return run


def data_of(encoder: str, count: int = 24) -> RunData:
    shape = OPTIONS[encoder][1]

    def split(seed: int) -> Sequences:
        lengths = [4 * (1 + i % 3) for i in range(count)]
        made = drawings(lengths, features=int(np.prod(shape)), seed=seed)
        return replace(made, inputs=made.inputs.reshape(-1, *shape))

    return RunData(ATTRIBUTES, split(0), split(1), inputs.as_stored, None, None)


def trained(run: dict, data: RunData, task: Task, precision: str):
    """A training from the same initial weights: (model, rows of the history, what it says, figures)."""
    training = run["training"] | {"precision": precision}
    torch.manual_seed(0)
    model = SequenceModel(run["architecture"], data.input_shape, task.outputs)
    state = TrainingState(model, training, task.better, 0, CPU)
    said, figures = loop.train(state, data, task, training, lambda _: None)
    return model, [epoch.row for epoch in state.epochs], said, figures


def evaluated(model: SequenceModel, run: dict, data: RunData, task: Task, precision: str):
    training = run["training"] | {"precision": precision}
    return loop.evaluate(model, data.test, data, task, training, CPU)


@pytest.mark.parametrize(
    ("encoder", "core", "head", "pooling"),
    [(name, "lstm", "linear", "mean") for name in ENCODERS]
    + [("projection", name, "linear", "mean") for name in CORES]
    + [("frame_cnn", name, "linear", "last") for name in CORES]
    + [("identity", "cfc", name, "mean_with_padding") for name in HEADS],
)
def test_every_part_trains_and_answers_nearly_as_in_float32(encoder, core, head, pooling):
    run, data = a_run(encoder, core, head, pooling), data_of(encoder)
    model, rows, _, figures = trained(run, data, CLASSES, "bfloat16")
    _, exact_rows, _, _ = trained(run, data, CLASSES, "float32")
    for row, exact in zip(rows, exact_rows, strict=True):
        assert row["train_loss"] != exact["train_loss"]
        assert row["train_loss"] == pytest.approx(exact["train_loss"], rel=0.1)
    assert all(np.isfinite(value) for value in figures.values())
    assert all(value.dtype != torch.bfloat16 for value in model.state_dict().values())

    said, _ = evaluated(model, run, data, CLASSES, "bfloat16")
    exact, _ = evaluated(model, run, data, CLASSES, "float32")
    assert said.dtype == np.float64
    assert not np.array_equal(said, exact)
    np.testing.assert_allclose(said, exact, atol=0.03)
    # Probabilities are of float32 logits: in bfloat16 they would add up to 1 only roughly.
    np.testing.assert_allclose(said.sum(axis=1), 1.0, atol=1e-12)


def test_lines_are_transcribed(monkeypatch):
    lengths, codes = [16] * 12, [1 + i % 3 for i in range(24)]
    lines = drawings(lengths, features=8)
    lines = replace(
        lines,
        recognized=None,
        targets=np.array(codes, dtype=np.int64),
        target_offsets=offsets_of([2] * 12),
        texts=np.array(["".join("abc"[code - 1] for code in codes[i : i + 2]) for i in range(12)]),
    )
    data = RunData(ATTRIBUTES, lines, lines, inputs.as_stored, None, None)
    task, run = TranscriptionTask(("a", "b", "c")), a_run("resnet6", "cfc", pooling="none")
    given = []
    loss = torch.nn.functional.ctc_loss
    monkeypatch.setattr(
        torch.nn.functional,
        "ctc_loss",
        lambda values, *rest, **options: (
            given.append(values.dtype) or loss(values, *rest, **options)
        ),
    )
    _, rows, said, figures = trained(run, data, task, "bfloat16")
    assert set(given) == {torch.float32}
    _, exact_rows, _, _ = trained(run, data, task, "float32")
    assert rows[-1]["train_loss"] == pytest.approx(exact_rows[-1]["train_loss"], rel=0.1)
    assert rows[-1]["train_loss"] != exact_rows[-1]["train_loss"]
    assert len(said) == 12 and np.isfinite(figures["loss"]) and np.isfinite(figures["cer"])


def test_one_logit_is_read():
    data, run = data_of("identity"), a_run("identity", "cfc", pooling="last")
    model, _, said, figures = trained(run, data, BinaryTask(("no", "yes"), 0.5), "bfloat16")
    assert said.dtype == np.float64 and np.isfinite(figures["loss"])
    steps = torch.from_numpy(data.test.inputs[:4])[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(steps).dtype == torch.float32
    assert copy.deepcopy(model).double()(steps.double()).dtype == torch.float64


@pytest.mark.parametrize("encoder", ["projection", "frame_cnn", "resnet6"])
def test_the_stress_test_computes_in_the_run_s_precision(encoder):
    run, data = a_run(encoder), data_of(encoder)
    model, _, said, _ = trained(run, data, CLASSES, "bfloat16")
    masks = masks_of(data)

    def under_masks(precision: str) -> list[np.ndarray]:
        training = run["training"] | {"precision": precision}
        return stress.answers_in_one_pass(
            model, data, CLASSES, training, CPU, masks, stress.zeroing
        )

    answers, exact = under_masks("bfloat16"), under_masks("float32")
    np.testing.assert_allclose(answers[0], said, atol=0.005)
    for ours, theirs in zip(answers, exact, strict=True):
        assert not np.array_equal(ours, theirs)
        np.testing.assert_allclose(ours, theirs, atol=0.03)


def test_a_run_records_its_precision_and_loads_with_it(tmp_path):
    cache = tmp_path / "cache.h5"
    with CacheWriter(cache, ATTRIBUTES) as writer:
        writer.append("all", drawings([3 + i % 6 for i in range(64)]))
    figures = {}
    for name, extra in (
        ("default", {}),
        ("float32", {"precision": "float32"}),
        ("bfloat16", {"precision": "bfloat16"}),
    ):
        request = RunRequest("quickdraw", "p", "m", 1, settings(**extra), cache)
        train_run(request, tmp_path / name, CPU, threads=1)
        provenance = json.loads((tmp_path / name / "provenance.json").read_text())
        assert provenance["precision"] == (name if extra else "float32")
        model, data, task, metrics = load_run(tmp_path / name, cache, CPU, 1)
        _, again = loop.evaluate(model, data.test, data, task, metrics["settings"]["training"], CPU)
        assert again == metrics["test"]
        figures[name] = pd.read_csv(tmp_path / name / "history.csv")
    pd.testing.assert_frame_equal(figures["default"], figures["float32"])
    assert (figures["bfloat16"].train_loss != figures["float32"].train_loss).all()
    assert figures["bfloat16"].test_accuracy.iloc[-1] > 0.8

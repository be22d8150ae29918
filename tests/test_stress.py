"""The stress test's one pass over the data against one pass per mask over zeroed sequences."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from liquidbench.evaluation.corruptions import kept_steps
from liquidbench.models.encoders import ENCODERS
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs, loop, stress
from liquidbench.training.inputs import RunData
from liquidbench.training.tasks import ClassificationTask
from test_training import drawings, settings
from test_training_settings import ATTRIBUTES

CPU = torch.device("cpu")
TASK = ClassificationTask(("a", "b", "c"))
# The encoder's options, and the shape of a step.
OPTIONS = {
    "identity": ({}, (5,)),
    "projection": ({"units": 6}, (5,)),
    "frame_cnn": ({"channels": [3, 4]}, (2, 8, 8)),
    "frame_cnn_projection": ({"channels": 3, "units": 6}, (2, 8, 8)),
    "resnet6": ({"channels": [4, 4, 4, 4], "positional_encoding": False}, (8,)),
}


@pytest.fixture(autouse=True)
def _one_thread():
    """Small tensors gain nothing from more, and other tests may be using the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def a_run(encoder: str, pooling: str = "mean") -> tuple[SequenceModel, RunData, dict]:
    """A model with lived-in weights, and test sequences of several lengths (multiples of 4)."""
    options, shape = OPTIONS[encoder]
    run = settings(pooling, batch_size=4)
    run["architecture"]["encoder"] = {"name": encoder, **options}
    test = drawings([4 * (1 + i % 3) for i in range(27)], classes=3, features=int(np.prod(shape)))
    test = replace(test, inputs=test.inputs.reshape(-1, *shape))
    torch.manual_seed(0)
    model = SequenceModel(run["architecture"], shape, 3)
    # So that a zero step has features of its own.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval(), RunData(ATTRIBUTES, test, test, inputs.as_stored, None, None), run


def masks_of(data: RunData) -> list[np.ndarray]:
    return [kept_steps("zero_steps", data.test, rate, 0, 0) for rate in (0.0, 0.4, 1.0)]


def in_one_pass(model, data, run, masks, reader=stress.zeroing) -> list[np.ndarray]:
    return stress.answers_in_one_pass(model, data, TASK, run["training"], CPU, masks, reader)


@pytest.mark.parametrize(
    ("encoder", "pooling"),
    [(name, "mean") for name in OPTIONS]
    + [("projection", "last"), ("projection", "mean_with_padding"), ("frame_cnn", "last")],
)
def test_one_pass_says_what_a_pass_over_each_zeroed_split_says(encoder, pooling):
    model, data, run = a_run(encoder, pooling)
    masks = masks_of(data)
    got = in_one_pass(model, data, run, masks)
    assert len(got) == len(masks)
    for kept, answers in zip(masks, got):
        inputs = data.test.inputs * kept.reshape(-1, *(1,) * (data.test.inputs.ndim - 1))
        zeroed = replace(data.test, inputs=inputs)
        expected, _ = loop.evaluate(model, zeroed, data, TASK, run["training"], CPU)
        np.testing.assert_allclose(answers, expected, atol=1e-6)
        np.testing.assert_array_equal(answers.argmax(axis=1), expected.argmax(axis=1))
    assert not np.allclose(got[0], got[1], atol=1e-3)


def test_steps_are_encoded_once_whatever_the_number_of_masks():
    model, data, run = a_run("projection")
    seen = []
    model.encoder.register_forward_hook(lambda _module, given, _: seen.append(given[0].shape[:2]))
    in_one_pass(model, data, run, masks_of(data))
    # Batches of at most 16, and a zero step beside each.
    assert seen == [(16, 8), (1, 1), (11, 12), (1, 1)]


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_an_encoder_that_says_so_takes_each_step_for_itself(name):
    model, data, _ = a_run(name)
    steps = torch.from_numpy(data.test.inputs[:8])[None]
    zeroed = steps.clone()
    zeroed[0, 3] = 0
    changed = (model.encoder(zeroed) - model.encoder(steps)).abs().amax(dim=2)[0]
    assert model.encoder.per_step == (changed.nonzero().flatten().tolist() == [3])


def test_values_of_steps_become_rows_that_end_in_false():
    sequences = drawings([2, 4, 3])
    values = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1], dtype=bool)
    rows = stress.padded(values, sequences, np.array([2, 0]))
    assert rows.tolist() == [[False, True, True], [True, False, False]]

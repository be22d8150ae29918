"""The benchmark of whole models: what it times side by side computes the same."""

import copy

import epochs
import pytest
import torch

from liquidbench.training.batches import make_batch
from liquidbench.training.loop import train_step
from liquidbench.training.schedules import make_optimizer
from liquidbench.training.tasks import ClassificationTask
from test_training import drawings, settings

CPU = torch.device("cpu")


def settings_of_both(projection: bool) -> dict:
    both = {"lstm": settings(core="lstm"), "cfc": settings(core="cfc")}
    both["cfc"]["architecture"]["core"]["projection"] = projection
    return both


@pytest.mark.parametrize("projection", [False, True])
def test_all_cfcs_take_the_same_step(projection):
    both, sequences = settings_of_both(projection), drawings([5, 3, 4, 2])
    batch = make_batch(sequences, torch.arange(4).numpy(), lambda values: values, CPU)
    models = epochs.models_of(both, (5,), 2)
    assert {"LSTM", "CfC, ncps", "CfC, reference", "CfC, portable"} <= models.keys()
    epochs.check_agreement(models, batch)
    task, training = ClassificationTask(("a", "b")), both["cfc"]["training"]
    losses = {}
    for name, model in models.items():
        model.train()
        optimizer = make_optimizer(model, training)
        losses[name] = [
            float(train_step(model, batch, task, optimizer, training, CPU)[0]) for _ in range(3)
        ]
    expected = losses["CfC, ncps"]
    assert expected[2] < expected[0]
    for name in losses.keys() - {"LSTM"}:
        assert losses[name] == pytest.approx(expected, rel=1e-4), name


def test_a_model_that_computes_something_else_is_not_timed():
    models = epochs.models_of(settings_of_both(False), (5,), 2)
    batch = make_batch(drawings([5, 3]), torch.arange(2).numpy(), lambda values: values, CPU)
    models["CfC, portable"] = copy.deepcopy(models["CfC, portable"])
    with torch.no_grad():
        models["CfC, portable"].head.layers.bias.add_(0.1)
    with pytest.raises(AssertionError, match="CfC, portable"):
        epochs.check_agreement(models, batch)

"""Training with dropout of steps: what batches lose, and that nothing of it is left in them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from liquidbench.evaluation.corruptions import ALL, RemoveSteps
from liquidbench.training import loop
from liquidbench.training.inputs import TRANSFORMS, RunData
from liquidbench.training.state import TrainingState
from liquidbench.training.step_dropout import StepDropout
from test_lost_steps import CPU, TASKS, TRAINING, as_split, data_of, model_of

pytestmark = pytest.mark.usefixtures("one_thread")


def dropped(dataset: str, how: str, highest: float = 0.7, seed: int = 0, epochs: int = 1) -> list:
    """The batches of a training with dropout of steps."""
    data, model = data_of(dataset), model_of(dataset)
    dropout = StepDropout({"how": how, "highest_rate": highest}, seed, model.encoder)
    order = np.random.default_rng(seed)
    return [
        batch
        for _ in range(epochs)
        for batch in loop.training_batches(data, TRAINING, order, CPU, dropout)
    ]


@pytest.mark.parametrize("how", ["zeroed", "removed"])
@pytest.mark.parametrize("dataset", ALL)
def test_training_batches_lose_steps_and_are_otherwise_those_without_dropout(dataset, how):
    data = data_of(dataset)
    plain = list(loop.training_batches(data, TRAINING, np.random.default_rng(0), CPU))
    batches, again = dropped(dataset, how), dropped(dataset, how)
    lost = 0
    for batch, same, whole in zip(batches, again, plain, strict=True):
        assert torch.equal(batch.steps, same.steps)
        np.testing.assert_array_equal(batch.indices, whole.indices)
        if how == "zeroed":
            assert batch.steps.shape == whole.steps.shape
            gone = (batch.steps == 0).flatten(2).all(2)
            assert torch.equal(batch.steps[~gone], whole.steps[~gone])
            lost += int(gone.sum() - (whole.steps == 0).flatten(2).all(2).sum())
        else:
            before = int(data.train.lengths[batch.indices].sum())
            rows, longest = batch.steps.shape[:2]
            after = rows * longest if batch.lengths is None else int(batch.lengths.sum())
            lost += before - after
            assert batch.elapsed is not None
            if dataset == "iam":
                assert batch.lengths is None and batch.steps.shape[1] % 4 == 0
    assert lost > 0
    assert any(
        not torch.equal(a.steps, b.steps) for a, b in zip(batches, dropped(dataset, how, seed=1))
    )


@pytest.mark.parametrize(
    ("dataset", "imputation"),
    [*((name, "forward_fill") for name in ALL), ("physionet", "none_with_mask")],
)
def test_training_batches_know_nothing_of_removed_steps_and_their_times_add_up(
    dataset, imputation, monkeypatch
):
    """Other contents of the lost steps give the same batches: nothing is taken of the imputed and scaled split."""
    data, masks = data_of(dataset, imputation), []
    recorded = data.recorded["train"]
    plain = RemoveSteps.kept

    def kept_and_noted(self, *arguments):
        masks.append(plain(self, *arguments))
        return masks[-1]

    monkeypatch.setattr(RemoveSteps, "kept", kept_and_noted)
    options = {"how": "removed", "highest_rate": 0.9}
    chosen = [np.arange(0, 4), np.arange(4, 8)]

    def batches_of(some: RunData) -> list:
        dropout = StepDropout(options, 0, model_of(dataset).encoder)
        return [dropout.batch(some, indices, some.transform, CPU) for indices in chosen]

    first, kept = batches_of(data), np.concatenate(masks)
    assert 0.1 < np.mean(~kept) < 0.9
    other = np.where(
        kept.reshape(-1, *(1,) * (recorded.inputs.ndim - 1)),
        recorded.inputs,
        as_split(dataset, 9).inputs,
    )
    changed = replace(recorded, inputs=other)
    hidden = replace(data, recorded={"train": changed}, train=data.as_read(changed))
    for batch, same in zip(first, batches_of(hidden), strict=True):
        assert torch.equal(batch.steps, same.steps) and torch.equal(batch.elapsed, same.elapsed)
    # The time of each kept step since the one before it, by hand; a first one counts as 1.
    for batch, indices in zip(first, chosen, strict=True):
        for row, example in enumerate(indices):
            own = slice(recorded.offsets[example], recorded.offsets[example + 1])
            clock, expected, last = np.cumsum(recorded.elapsed[own], dtype=float), [], None
            for time, stays in zip(clock, kept[own]):
                if stays:
                    expected.append(1.0 if last is None else time - last)
                    last = time
            expected += [1.0] * (batch.elapsed.shape[1] - len(expected))
            assert batch.elapsed[row].tolist() == pytest.approx(expected, abs=1e-5)


def test_rates_are_uniform_up_to_the_highest_and_of_each_example_its_own():
    data = data_of("nmnist")
    long = replace(
        data,
        train=replace(data.train, inputs=np.maximum(data.train.inputs, 1)),
    )
    dropout = StepDropout({"how": "zeroed", "highest_rate": 0.6}, 0, model_of("nmnist").encoder)
    shares = []
    for _ in range(300):
        batch = dropout.batch(long, np.arange(8), TRANSFORMS["nmnist"], CPU)
        shares.append((batch.steps == 0).flatten(2).all(2).float().mean(1))
    shares = torch.stack(shares)
    # The mean of a uniform number up to 0.6, and its spread with that of ten coins.
    assert abs(float(shares.mean()) - 0.3) < 0.02
    variance = 0.6**2 / 12 + (0.3 - (0.6**2 / 12 + 0.09)) / 10
    assert abs(float(shares.var()) - variance) < 0.01
    assert float(shares.var(dim=1).mean()) > 0.8 * variance


@pytest.mark.parametrize("how", ["zeroed", "removed"])
def test_a_training_with_dropout_of_steps_is_repeatable_and_another_than_without(how):
    task, data = TASKS["quickdraw"], data_of("quickdraw")

    def losses(training: dict) -> list[float]:
        model = model_of("quickdraw", "gru")
        state = TrainingState(model, training, task.better, 0, CPU)
        loop.train(state, data, task, training, lambda _: None)
        epochs = state.epochs
        return [epoch.row["train_loss"] for epoch in epochs]

    training = TRAINING | {"step_dropout": {"how": how, "highest_rate": 0.7}, "epochs": 2}
    first = losses(training)
    assert first == losses(training)
    assert first[0] != losses(TRAINING | {"epochs": 1})[0]

"""Sepsis by the hour: no hour sees a later one, the loss and the figures are over hours, thresholds and hospitals."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from liquidbench.datasets.cache import CacheAttributes, CacheWriter, Sequences, offsets_of
from liquidbench.errors import InputError
from liquidbench.evaluation.clinical import best_f1_threshold
from liquidbench.evaluation.utility import best_utility_threshold, normalised_utility
from liquidbench.models.cores import CORES as KINDS
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs, loop
from liquidbench.training.batches import make_batch
from liquidbench.training.clinical import ClinicalScaling
from liquidbench.training.loop import evaluate
from liquidbench.training.run import RunRequest, load_run, train_run
from liquidbench.training.state import TrainingState
from liquidbench.training.step_dropout import StepDropout
from liquidbench.training.tasks import HourlyTask

CPU = torch.device("cpu")
PREPARED = {"hospitals": ["a", "b"], "limit_patients": None}
CORES = {
    "lstm": {"name": "lstm", "units": 6, "layers": 2},
    "gru": {"name": "gru", "units": 6},
    "rnn": {"name": "rnn", "units": 6},
    "cfc": {"name": "cfc", "units": 6, "backbone_units": 8, "backbone_layers": 1},
    "mixed": {"name": "cfc", "units": 6, "backbone_units": 8, "mixed_memory": True},
    "no gate": {"name": "cfc", "units": 6, "backbone_units": 8, "mode": "no_gate"},
    "pure": {"name": "cfc", "units": 6, "backbone_units": 8, "mode": "pure"},
    "wired cfc": {"name": "cfc", "units": 12, "wiring": "ncp", "outputs": 4},
    "ltc": {"name": "ltc", "units": 6},
    "wired ltc": {"name": "ltc", "units": 12, "wiring": "ncp", "outputs": 4},
    "gru_d": {"name": "gru_d", "units": 6},
}
# With each way that the core has to be told the time.
TOLD = [
    (name, elapsed)
    for name, core in CORES.items()
    for elapsed in ("none", "core", "feature")
    if (elapsed != "core" or KINDS[core["name"]].takes_elapsed)
    and (elapsed != "feature" or name != "gru_d")
]


def test_every_core_is_among_those_that_are_asked_by_the_hour():
    assert {core["name"] for core in CORES.values()} == set(KINDS)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stays(count: int, prefix: str, seed: int, shift: float = 0.0) -> Sequences:
    """Stays of 4 to 24 hours, a third septic; the first variable rises from the first labelled hour on."""
    random = np.random.default_rng(seed)
    lengths = random.integers(4, 25, count)
    offsets = offsets_of(lengths)
    labels = np.zeros(offsets[-1], dtype=np.uint8)
    for i in range(0, count, 3):
        labels[offsets[i] + random.integers(0, lengths[i]) : offsets[i + 1]] = 1
    values = random.normal(shift, 1, (offsets[-1], 39)).astype(np.float32)
    values[:, 0] += 3 * labels
    values[random.random(values.shape) < 0.6] = np.nan
    return Sequences(
        inputs=values,
        elapsed=np.ones(len(labels), dtype=np.float32),
        offsets=offsets,
        targets=np.maximum.reduceat(labels, offsets[:-1]).astype(np.int64),
        ids=np.array([f"{prefix}{i:06d}" for i in range(count)]),
        step_targets=labels,
        time_since_observation=random.integers(0, 5, len(labels)).astype(np.float32),
    )


def write_cache(path, parts: list[Sequences], prepared: dict) -> None:
    attributes = CacheAttributes(
        dataset="physionet",
        source="synthetic",
        synthetic=True,
        task="binary",
        elapsed_unit="hours",
        feature_names=(),
        classes=("no sepsis", "sepsis"),
        settings=prepared,
        raw_sha256={},
        code_sha256="0" * 64,
    )
    with CacheWriter(path, attributes) as writer:
        for part in parts:
            writer.append("all", part)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "cache.h5"
    write_cache(path, [stays(60, "a/p0", 1), stays(45, "b/p1", 2, shift=5.0)], PREPARED)
    return path


def settings(core: str = "gru", **training) -> dict:
    return {
        "architecture": {
            "encoder": {"name": "identity"},
            "core": CORES[core],
            "pooling": "none",
            "head": {"name": "linear"},
        },
        "training": {
            "epochs": 2,
            "batch_size": 8,
            "optimizer": "adam",
            "learning_rate": 0.01,
            "weight_decay": 0.0,
            "schedule": {"name": "constant"},
            "gradient_clip": 1.0,
            "test_fraction": 0.2,
            "stratify": True,
            "threshold": 0.5,
            "level": "hour",
            "length_pool_batches": 2,
        }
        | training,
        "dataset": PREPARED,
    }


def trained(cache, out, own: dict, seed: int = 3) -> dict:
    train_run(RunRequest("physionet", "hourly", "m", seed, own, cache), out, CPU, threads=1)
    return json.loads((out / "metrics.json").read_text())


# Causal.


@pytest.mark.parametrize(("core", "elapsed"), TOLD)
def test_no_hour_sees_a_later_one(core, elapsed):
    original, random = stays(9, "p", 5), np.random.default_rng(6)
    original.elapsed[:] = random.exponential(1.0, len(original.elapsed))
    changed = replace(
        original,
        inputs=original.inputs.copy(),
        elapsed=original.elapsed.copy(),
        time_since_observation=original.time_since_observation.copy(),
    )
    # Two hours of each stay are kept; all later ones are other values, measured or not, at other times.
    kept = np.zeros(len(original.inputs), dtype=bool)
    for start in original.offsets[:-1]:
        kept[start : start + 2] = True
    changed.inputs[~kept] = random.normal(50, 30, (np.sum(~kept), 39))
    changed.elapsed[~kept] = random.exponential(5.0, np.sum(~kept))
    changed.time_since_observation[~kept] = 40
    scaling = ClinicalScaling.fit(stays(30, "p", 7))
    torch.manual_seed(0)
    architecture = settings(core)["architecture"] | {"elapsed": elapsed}
    imputation = "none_with_mask" if core == "gru_d" else "forward_fill"
    shape = (78,) if core == "gru_d" else (40,)
    model, task = SequenceModel(architecture, shape, 1), HourlyTask(("no", "yes"), 0.5)
    data = inputs.RunData(None, None, None, inputs.as_stored, None, scaling, imputation=imputation)
    own = settings()["training"]
    said = [
        evaluate(model, data.as_read(part), data, task, own, CPU)[0] for part in (original, changed)
    ]
    first, second = map(np.concatenate, said)
    np.testing.assert_array_equal(first[kept], second[kept])
    assert (first[~kept] != second[~kept]).mean() > 0.9


def test_the_scaling_is_that_of_the_training_split_without_the_validation_split(cache):
    data = inputs.load(cache, settings(validation_fraction=0.25)["training"], seed=3)
    plain = inputs.load(cache, settings()["training"], seed=3)
    assert set(data.train.ids) | set(data.validation.ids) == set(plain.train.ids)
    assert len(data.train) + len(data.validation) == len(plain.train)
    assert data.test.ids.tolist() == plain.test.ids.tolist()
    assert data.scaling != plain.scaling
    # Standardised over the training part's measured hours: its medians lie near 0, whatever the others hold.
    raw = inputs.read_split(cache, "all")
    own = raw.subset(np.flatnonzero(np.isin(raw.ids, data.train.ids)))
    assert data.scaling == ClinicalScaling.fit(own)


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("core", {"name": "lstm", "units": 4, "bidirectional": True}, "bidirectional"),
        ("pooling", "last", "pooling is last"),
    ],
)
def test_a_model_that_looks_ahead_is_refused(cache, tmp_path, part, value, told):
    own = settings()
    own["architecture"] |= {part: value}
    with pytest.raises(InputError, match=told):
        trained(cache, tmp_path / "run", own)


# The task.


def test_the_loss_is_the_mean_over_valid_hours():
    sequences = stays(5, "p", 8)
    sequences = replace(sequences, inputs=np.nan_to_num(sequences.inputs))
    indices = np.array([4, 0, 2])
    batch = make_batch(sequences, indices, inputs.as_stored, CPU)
    logits = torch.randn(*batch.steps.shape[:2], 1, generator=torch.Generator().manual_seed(1))
    task = HourlyTask(("no", "yes"), 0.5)
    one_by_one, right, hours = [], 0, 0
    for place, index in enumerate(indices):
        labels = sequences.step_targets[sequences.offsets[index] : sequences.offsets[index + 1]]
        for hour, label in enumerate(labels):
            logit = logits[place, hour, 0]
            one_by_one.append(functional.softplus(-logit if label else logit))
            right += int((logit >= 0) == bool(label))
            hours += 1
    torch.testing.assert_close(task.loss(logits, batch), torch.stack(one_by_one).mean())
    assert int(task.correct(logits, batch)) == right
    assert int(task.answers(batch)) == hours
    said = task.read(logits, batch.lengths)
    assert [len(row) for row in said] == sequences.lengths[indices].tolist()
    np.testing.assert_allclose(said[1], torch.sigmoid(logits[1, : len(said[1]), 0]), rtol=1e-6)


@pytest.mark.parametrize("how", ["zeroed", "removed"])
def test_running_figures_are_over_the_hours_that_were_answered(cache, how):
    """Where hours are removed of the training batches, those that are left."""
    own = settings(step_dropout={"how": how, "highest_rate": 0.9}, learning_rate=0.0, epochs=1)
    own = own["training"]
    data, task = inputs.load(cache, own, seed=3), HourlyTask(("no", "yes"), 0.5)
    torch.manual_seed(0)
    # Nothing is learnt at a rate of 0: the same model can be asked again.
    model = SequenceModel(settings()["architecture"], (40,), 1)
    state = TrainingState(model, own, task.better, 3, CPU)
    loop.train(state, data, task, own, lambda _: None)
    (epoch,) = state.epochs
    dropout = StepDropout(own["step_dropout"], 3, model.encoder)
    order, losses, right = np.random.default_rng(3), [], []
    for batch in loop.training_batches(data, own, order, CPU, dropout):
        logits = model(batch.steps, batch.elapsed, batch.lengths).detach()
        for row, labels, hours in zip(logits, batch.step_targets, batch.lengths.tolist()):
            for logit, label in zip(row[:hours, 0], labels[:hours]):
                losses.append(float(functional.softplus(-logit if label else logit)))
                right.append(bool(logit >= 0) == bool(label))
    hours = int(data.train.offsets[-1])
    assert len(losses) == hours if how == "zeroed" else len(losses) < 0.8 * hours
    assert epoch.row["train_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert epoch.row["train_accuracy"] == pytest.approx(np.mean(right), rel=1e-9)


def test_a_run_leaves_a_row_per_hour_and_figures_over_hours(cache, tmp_path):
    metrics = trained(cache, tmp_path / "run", settings())
    data = inputs.load(cache, settings()["training"], seed=3)
    table = pd.read_csv(tmp_path / "run/predictions.csv")
    assert table.columns.tolist() == ["id", "hour", "target", "prediction", "probability"]
    assert table.id.tolist() == np.repeat(data.test.ids, data.test.lengths).tolist()
    assert table.hour.tolist() == [hour for count in data.test.lengths for hour in range(count)]
    assert table.target.tolist() == data.test.step_targets.tolist()
    assert metrics["examples"] == {
        "train": 84,
        "test": 21,
        "train_hours": int(data.train.lengths.sum()),
        "test_hours": len(table),
    }
    test = metrics["test"]
    assert test["accuracy"] == pytest.approx((table.target == table.prediction).mean())
    alarms = table.probability.to_numpy() >= 0.5
    assert test["utility"] == normalised_utility(table.target, alarms, data.test.offsets)
    confusion = pd.read_csv(tmp_path / "run/confusion.csv")
    assert confusion["count"].sum() == len(table)
    history = pd.read_csv(tmp_path / "run/history.csv")
    assert history.test_accuracy.iloc[-1] == test["accuracy"]
    assert history.train_accuracy.between(0, 1).all()
    # What is read back is what was said.
    model, again, task, _ = load_run(tmp_path / "run", cache, CPU, 1)
    assert evaluate(model, again.test, again, task, settings()["training"], CPU)[1] == test


def test_the_order_of_a_split_is_kept_whatever_the_batches(cache):
    data = inputs.load(cache, settings()["training"], seed=3)
    torch.manual_seed(0)
    model, task = SequenceModel(settings()["architecture"], (40,), 1), HourlyTask(("n", "y"), 0.5)
    one = evaluate(model, data.test, data, task, settings(batch_size=1)["training"], CPU)
    all_ = evaluate(model, data.test, data, task, settings(batch_size=100)["training"], CPU)
    np.testing.assert_allclose(np.concatenate(one[0]), np.concatenate(all_[0]), rtol=1e-5)
    assert one[1]["loss"] == pytest.approx(all_[1]["loss"], rel=1e-5)


# The threshold.


@pytest.mark.parametrize(
    ("rule", "level"), [("best_utility", "hour"), ("best_f1", "hour"), ("best_f1", "patient")]
)
def test_the_threshold_is_chosen_on_the_validation_split_alone(cache, tmp_path, rule, level):
    own = settings(threshold=rule, validation_fraction=0.25, level=level)
    own["architecture"]["pooling"] = "none" if level == "hour" else "last"
    metrics = trained(cache, tmp_path / "run", own)
    said = {
        name: pd.read_csv(tmp_path / "run" / f"{name}predictions.csv")
        for name in ("validation_", "")
    }
    validation = said["validation_"]
    data = inputs.load(cache, own["training"], seed=3)
    assert validation.id.drop_duplicates().tolist() == data.validation.ids.tolist()
    assert not set(validation.id) & (set(said[""].id) | set(data.train.ids))
    target, probability = validation.target.to_numpy(), validation.probability.to_numpy()
    if rule == "best_utility":
        expected = best_utility_threshold(target, probability, data.validation.offsets)
    else:
        expected = best_f1_threshold(target, probability)
    for split in ("train", "validation", "test"):
        assert metrics[split]["threshold"] == expected != 0.5
    for table in said.values():
        assert (table.prediction == (table.probability >= expected)).all()
    test = said[""]
    assert metrics["test"]["accuracy"] == pytest.approx((test.target == test.prediction).mean())
    assert metrics["settings"]["training"]["threshold"] == rule
    model, again, task, _ = load_run(tmp_path / "run", cache, CPU, 1)
    assert task.threshold == expected
    assert evaluate(model, again.test, again, task, own["training"], CPU)[1] == metrics["test"]


def test_a_fixed_threshold_stays_and_no_validation_leaves_none(cache, tmp_path):
    metrics = trained(cache, tmp_path / "run", settings(validation_fraction=0.25, threshold=0.3))
    assert metrics["test"]["threshold"] == metrics["validation"]["threshold"] == 0.3
    assert (tmp_path / "run/validation_predictions.csv").exists()
    # The same run without a validation split must not keep the other's.
    metrics = trained(cache, tmp_path / "run", settings())
    assert "validation" not in metrics
    assert not (tmp_path / "run/validation_predictions.csv").exists()


def test_a_threshold_to_choose_needs_a_split_to_choose_it_on(cache, tmp_path):
    with pytest.raises(InputError, match="no validation split"):
        trained(cache, tmp_path / "run", settings(threshold="best_f1"))


# Hospitals.


@pytest.mark.parametrize(("train", "test"), [("a", "b"), ("b", "a"), ("a", "a")])
def test_one_hospital_trains_and_one_is_tested(cache, train, test):
    def load(**hospitals):
        return inputs.load(cache, settings(hospitals=hospitals)["training"], seed=3)

    data = load(train=train, test=test)
    assert {name[0] for name in data.train.ids} == {train}
    assert {name[0] for name in data.test.ids} == {test}
    assert not set(data.train.ids) & set(data.test.ids)
    # The same patients are tested, whichever hospital trained, and the same train, whichever is tested.
    assert data.test.ids.tolist() == load(train=test, test=test).test.ids.tolist()
    assert data.train.ids.tolist() == load(train=train, test=train).train.ids.tolist()
    # Fitted on the training hospital: B's values lie five of A's deviations higher.
    assert np.mean(data.train.inputs[:, 1:39]) == pytest.approx(0, abs=0.1)
    if test != train:
        shift = np.mean(data.test.inputs[:, 1:39]) * (1 if test == "b" else -1)
        # Less than 5: hours before the first value have the training hospital's median.
        assert 4 < shift < 5


def test_a_hospital_that_is_not_there_is_named(tmp_path):
    alone = tmp_path / "cache.h5"
    # Prepared alone, a hospital's patients have no prefix.
    write_cache(alone, [stays(30, "p0", 1)], {"hospitals": ["a"], "limit_patients": None})
    within = settings(hospitals={"train": "a", "test": "a"})["training"]
    assert len(inputs.load(alone, within, seed=0).train) == 24
    across = settings(hospitals={"train": "a", "test": "b"})["training"]
    with pytest.raises(InputError, match="no patient of hospital b"):
        inputs.load(alone, across, seed=0)

"""Batches, schedules, clinical inputs, decoding, augmentation and whole small trainings."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from liquidbench.datasets.cache import CacheAttributes, CacheWriter, Sequences, offsets_of
from liquidbench.errors import InputError
from liquidbench.models.sequence_model import SequenceModel, describe
from liquidbench.training import batches, inputs, stress
from liquidbench.training.augmentation import Augmentation
from liquidbench.training.clinical import ClinicalScaling, forward_fill
from liquidbench.training.loop import evaluate
from liquidbench.training.run import RunRequest, load_run, train_run
from liquidbench.training.schedules import make_optimizer, make_schedule
from liquidbench.training.stress import stress_test
from liquidbench.training.tasks import ClassificationTask, TranscriptionTask, final_task_of

CPU = torch.device("cpu")


def drawings(lengths, classes=2, features=5, seed=0) -> Sequences:
    """Sequences whose class shows in the sign of their first feature."""
    generator = np.random.default_rng(seed)
    steps = generator.normal(size=(sum(lengths), features)).astype(np.float32)
    targets = np.arange(len(lengths)) % classes
    steps[:, 0] += np.repeat(targets * 4.0 - 2.0, lengths)
    return Sequences(
        inputs=steps,
        elapsed=np.ones(len(steps), dtype=np.float32),
        offsets=offsets_of(list(lengths)),
        targets=targets.astype(np.int64),
        ids=np.array([f"d{i}" for i in range(len(lengths))]),
        recognized=np.ones(len(lengths), dtype=np.uint8),
    )


def settings(pooling="mean", core="lstm", **training) -> dict:
    options = {"units": 8} | ({"layers": 1} if core == "lstm" else {"backbone_units": 8})
    return {
        "architecture": {
            "encoder": {"name": "projection", "units": 6},
            "core": {"name": core, **options},
            "pooling": pooling,
            "head": {"name": "linear"},
        },
        "training": {
            "epochs": 3,
            "batch_size": 8,
            "optimizer": "adamw",
            "learning_rate": 0.02,
            "weight_decay": 0.01,
            "schedule": {"name": "cosine"},
            "gradient_clip": 1.0,
            "test_fraction": 0.25,
            "stratify": True,
            "recognized_only": True,
            **training,
        },
        "dataset": {"categories": ["a", "b"]},
    }


@pytest.fixture
def cache(tmp_path):
    path = tmp_path / "cache.h5"
    attributes = CacheAttributes(
        dataset="quickdraw",
        source="synthetic",
        synthetic=True,
        task="classification",
        elapsed_unit="points",
        feature_names=("x", "y", "dx", "dy", "pen_up"),
        classes=("a", "b"),
        settings={"categories": ["a", "b"]},
        raw_sha256={},
        code_sha256="0" * 64,
    )
    with CacheWriter(path, attributes) as writer:
        writer.append("all", drawings([3 + i % 6 for i in range(64)]))
    return path


def request(cache, **changes) -> RunRequest:
    values = {"dataset": "quickdraw", "protocol": "p", "model": "m", "seed": 1}
    return RunRequest(cache=cache, **(values | {"settings": settings()} | changes))


def test_a_batch_is_padded_with_zeros_and_keeps_every_step():
    sequences = drawings([2, 4, 3])
    batch = batches.make_batch(sequences, np.array([2, 0]), inputs.as_stored, CPU)
    assert batch.steps.shape == (2, 3, 5)
    np.testing.assert_array_equal(batch.steps[0], sequences.inputs[6:9])
    np.testing.assert_array_equal(batch.steps[1, :2], sequences.inputs[:2])
    assert (batch.steps[1, 2] == 0).all()
    assert batch.lengths.tolist() == [3, 2]
    assert batch.targets.tolist() == [0, 0]
    assert batches.make_batch(sequences, np.array([1]), inputs.as_stored, CPU).lengths is None


def plain_steps(sequences, indices, transform, kept):
    """The steps of a batch, one at a time: (batch, time, *features) float32."""
    longest = max(sequences.lengths[i] for i in indices)
    batch = []
    for i in indices:
        start, end = sequences.offsets[i : i + 2]
        for place in range(longest):
            step = start + place if start + place < end else start
            valid = start + place < end and (kept is None or kept[step])
            # Zero times the step and not a new zero: signs count here.
            batch.append(transform(torch.from_numpy(sequences.inputs[step].copy())) * valid)
    return torch.stack(batch).unflatten(0, (len(indices), longest))


@pytest.mark.parametrize("name", ["nmnist", "quickdraw", "iam", "physionet"])
@pytest.mark.parametrize("lengths", [[4, 4, 4, 4, 4], [2, 5, 1, 5, 3]])
@pytest.mark.parametrize("some", [False, True])
def test_a_batch_is_to_the_bit_what_its_steps_are_alone(name, lengths, some):
    generator = np.random.default_rng(3)
    sequences = drawings(lengths)
    if name in ("nmnist", "iam"):
        # As wide as real ones: vectorised and remaining values must agree.
        values = generator.integers(0, 256, (sum(lengths), 2, 34, 34), dtype=np.uint8)
        sequences = replace(sequences, inputs=values)
    kept = generator.random(sum(lengths)) < 0.6 if some else None
    indices, transform = np.array([3, 0, 4, 2]), inputs.TRANSFORMS[name]
    stored = sequences.inputs.copy()
    found = batches.make_batch(sequences, indices, transform, CPU).steps
    if some:
        found = batches.zeroed(found, torch.from_numpy(stress.padded(kept, sequences, indices)))
    expected = plain_steps(sequences, indices, transform, kept)
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))
    # The split is read again in every epoch.
    np.testing.assert_array_equal(sequences.inputs, stored)


def test_steps_that_are_not_kept_are_zero_and_stay():
    sequences = drawings([2, 3])
    kept = np.array([True, False, False, True, True])
    indices = np.array([0, 1])
    batch = batches.make_batch(sequences, indices, inputs.as_stored, CPU)
    assert batch.lengths.tolist() == [2, 3]
    mask = torch.from_numpy(stress.padded(kept, sequences, indices))
    zeros = (batches.zeroed(batch.steps, mask) == 0).all(dim=2)
    assert zeros.tolist() == [[False, True, True], [True, False, False]]


@pytest.mark.parametrize("pool", [1, 4])
def test_an_epoch_shows_every_example_once(pool):
    sequences = drawings(list(np.random.default_rng(0).integers(1, 50, size=203)))
    seen = list(batches.shuffled(sequences, 10, np.random.default_rng(1), pool))
    assert sorted(np.concatenate(seen).tolist()) == list(range(203))
    assert max(map(len, seen)) == 10 and len(seen) == 21
    assert not np.array_equal(np.concatenate(seen), np.arange(203))
    again = list(batches.shuffled(sequences, 10, np.random.default_rng(1), pool))
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate(again))
    padding = sum(len(b) * sequences.lengths[b].max() - sequences.lengths[b].sum() for b in seen)
    plain = batches.shuffled(sequences, 10, np.random.default_rng(1), 1)
    plain = sum(len(b) * sequences.lengths[b].max() - sequences.lengths[b].sum() for b in plain)
    assert padding == plain if pool == 1 else padding < plain / 2


def test_schedules_give_known_rates():
    def rates(schedule, metrics, better="max"):
        training = settings(schedule=schedule, learning_rate=1.0, epochs=len(metrics))["training"]
        optimizer = make_optimizer(torch.nn.Linear(1, 1), training)
        schedule, seen = make_schedule(optimizer, training, better), []
        for metric in metrics:
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step(metric)
        return seen

    assert rates({"name": "constant"}, [0] * 3) == [1, 1, 1]
    cosine = [(1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert rates({"name": "cosine"}, [0] * 4) == pytest.approx(cosine)
    step = {"name": "step", "every_epochs": 2, "factor": 0.1}
    assert rates(step, [0] * 5) == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    plateau = {"name": "plateau_on_test", "patience_epochs": 1, "factor": 0.5}
    assert rates(plateau, [0.5, 0.4, 0.4, 0.6, 0.7]) == [1, 1, 1, 0.5, 0.5]
    # An error rate that falls is getting better.
    assert rates(plateau, [0.5, 0.4, 0.3, 0.2, 0.1], "min") == [1, 1, 1, 1, 1]


def test_forward_fill_stays_within_a_stay():
    nan = np.nan
    values = np.array([[nan, 1], [2, nan], [nan, nan], [nan, 5], [7, nan]])
    filled = forward_fill(values, np.array([0, 3, 5]))
    np.testing.assert_array_equal(filled, [[nan, 1], [2, 1], [2, 1], [nan, 5], [7, 5]])


def test_clinical_scaling_is_fitted_on_measured_training_values():
    nan = np.nan

    def stays(values, since):
        values = np.array(values, dtype=np.float32)
        base = drawings([2, 2])
        since = np.array(since, dtype=np.float32)
        return replace(base, inputs=values, time_since_observation=since)

    training = stays([[nan, nan], [1, nan], [3, nan], [nan, nan]], [0, 1, 0, 1])
    scaling = ClinicalScaling.fit(training)
    assert scaling.median == [2.0, 0.0, 0.5]
    assert scaling.mean == [2.0, 0.0, 0.5]
    assert scaling.standard_deviation == [1.0, 1.0, 0.5]
    test = stays([[nan, nan], [5, 4], [nan, nan], [1, nan]], [0, 2, 0, 1])
    expected = [[0, 0, -1], [3, 4, 3], [0, 0, -1], [-1, 0, 1]]
    np.testing.assert_allclose(scaling.apply(test), expected)


def test_ctc_loss_against_all_paths():
    # Two steps, blank and one character: "a" is written by (a, a), (a, -) and (-, a).
    logits = torch.tensor([[[0.3, -0.2], [1.0, 0.5]]])
    probabilities = torch.softmax(logits[0], dim=1).numpy()
    (blank_1, a_1), (blank_2, a_2) = probabilities
    expected = -np.log(a_1 * a_2 + a_1 * blank_2 + blank_1 * a_2)
    batch = batches.Batch(torch.zeros(1, 2, 1), None, [torch.tensor([1])], np.array([0]))
    task = TranscriptionTask(("a",))
    assert task.loss(logits, batch).item() == pytest.approx(expected, rel=1e-6)
    # A character outside the alphabet (code 0) is left out of the target.
    unknown = replace(batch, targets=[torch.tensor([0, 1])])
    assert task.loss(logits, unknown).item() == pytest.approx(expected, rel=1e-6)


def test_after_training_lines_are_read_in_both_ways():
    alphabet = ("a", "b")
    task = final_task_of(TranscriptionTask(alphabet), {"beam_width": 4})
    # Blank is the likeliest of each step, but three of the four paths, 0.64 in all, say "a".
    either = np.log([[0.6, 0.4, 1e-9], [0.6, 0.4, 1e-9]])
    surely_b = np.log([[1e-9, 1e-9, 1.0], [1.0, 1e-9, 1e-9]])
    said = task.read(torch.from_numpy(np.stack([either, surely_b])))
    assert said.tolist() == [["", "a"], ["b", "b"]]
    lines = replace(drawings([1, 1]), texts=np.array(["a", "ba"], dtype=object))
    # Greedily 1 edit of 1 and 1 of 2; by beam search 0 and 1 of 2.
    figures = task.figures(said, lines)
    assert (figures["cer"], figures["cer_beam"]) == (0.75, 0.25)
    assert (figures["cer_pooled"], figures["cer_pooled_beam"]) == (2 / 3, 1 / 3)
    assert (figures["wer"], figures["wer_beam"]) == (1.0, 0.5)
    assert (figures["wer_pooled"], figures["wer_pooled_beam"]) == (1.0, 0.5)
    assert figures["beam_width"] == 4
    rows = task.predictions(said, lines)
    assert rows.columns.tolist() == ["id", "target", "prediction", "prediction_beam"]
    assert rows[["target", "prediction", "prediction_beam"]].to_numpy().tolist() == [
        ["a", "", "a"],
        ["ba", "b", "b"],
    ]
    # While training a line is read greedily, and other tasks are asked once and for all.
    assert TranscriptionTask(alphabet).read(torch.from_numpy(either[None])).tolist() == [""]
    other = ClassificationTask(alphabet)
    assert final_task_of(other, {}) is other


def test_augmentation_without_amounts_changes_nothing_and_a_rotation_turns():
    lines = torch.rand(2, 40, 20) * 2 - 1
    same = Augmentation(0.0, 0.0, [1.0, 1.0], 0.0)(lines)
    torch.testing.assert_close(same, lines, atol=1e-5, rtol=0)
    # Rotating by up to 30 degrees must keep distances: a round dot stays round, in pixels.
    dot = torch.full((8, 120, 60), -1.0)
    columns, rows = torch.meshgrid(torch.arange(120.0), torch.arange(60.0), indexing="ij")
    dot[:, (columns - 80) ** 2 + (rows - 30) ** 2 < 64] = 1.0
    torch.manual_seed(0)
    turned = (Augmentation(30.0, 0.0, [1.0, 1.0], 0.0)(dot) + 1) / 2
    for image in turned:
        mass = image.sum()
        center = (image.sum(1) * torch.arange(120.0)).sum() / mass - 59.5
        middle = (image.sum(0) * torch.arange(60.0)).sum() / mass - 29.5
        assert float(torch.hypot(center, middle)) == pytest.approx(20.5, abs=0.5)
        assert float(mass) == pytest.approx(float(((dot[0] + 1) / 2).sum()), rel=0.05)


@pytest.mark.parametrize("core", ["lstm", "cfc"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_result_does_not_depend_on_the_batch(core, pooling):
    torch.manual_seed(0)
    sequences = drawings([2, 9, 5, 7])
    model = SequenceModel(settings(pooling, core)["architecture"], (5,), 2).eval()
    together = batches.make_batch(sequences, np.arange(4), inputs.as_stored, CPU)
    logits = model(together.steps, None, together.lengths)
    for i in range(4):
        alone = batches.make_batch(sequences, np.array([i]), inputs.as_stored, CPU)
        torch.testing.assert_close(logits[i], model(alone.steps)[0], atol=1e-6, rtol=1e-5)


def test_the_released_mean_takes_in_the_padding():
    torch.manual_seed(0)
    sequences = drawings([2, 9])
    model = SequenceModel(settings("mean_with_padding")["architecture"], (5,), 2).eval()
    together = batches.make_batch(sequences, np.arange(2), inputs.as_stored, CPU)
    alone = batches.make_batch(sequences, np.array([0]), inputs.as_stored, CPU)
    logits = model(together.steps, None, together.lengths)
    assert not torch.allclose(logits[0], model(alone.steps)[0], atol=1e-4)


def test_an_architecture_tells_shapes_and_counts():
    model = SequenceModel(settings(core="cfc")["architecture"], (5,), 2)
    told = describe(model, torch.zeros(1, 7, 5), None)
    assert told["input_shape"] == ["batch", 7, 5] and told["output_shape"] == ["batch", 2]
    assert sum(entry["parameters"] for entry in told["modules"]) == sum(
        parameter.numel() for parameter in model.parameters()
    )
    core = next(entry for entry in told["modules"] if entry["part"] == "core")
    assert core["output_shape"] == ["batch", 7, 8]


RUN_FILES = {
    "weights.safetensors",
    "history.csv",
    "predictions.csv",
    "confusion.csv",
    "metrics.json",
    "provenance.json",
    "architecture.json",
}


@pytest.mark.parametrize("core", ["lstm", "cfc"])
def test_a_training_learns_and_leaves_the_same_bytes_when_repeated(cache, tmp_path, core):
    wanted = request(cache, settings=settings(core=core))
    for name in ("first", "second"):
        train_run(wanted, tmp_path / name, CPU, threads=1)
    assert {path.name for path in (tmp_path / "first").iterdir()} == RUN_FILES
    for name in RUN_FILES - {"provenance.json"}:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    metrics = json.loads((tmp_path / "first/metrics.json").read_text())
    predictions = pd.read_csv(tmp_path / "first/predictions.csv")
    assert metrics["examples"] == {"train": 48, "test": 16} and len(predictions) == 16
    assert metrics["test"]["accuracy"] == (predictions.target == predictions.prediction).mean()
    assert metrics["test"]["accuracy"] > 0.8
    assert metrics["synthetic"] is True
    history = pd.read_csv(tmp_path / "first/history.csv")
    assert history.epoch.tolist() == [1, 2, 3]
    assert history.test_accuracy.iloc[-1] == metrics["test"]["accuracy"]


def test_another_seed_gives_another_split_and_other_weights(cache, tmp_path):
    train_run(request(cache), tmp_path / "one", CPU, threads=1)
    train_run(request(cache, seed=2), tmp_path / "two", CPU, threads=1)
    first, second = (pd.read_csv(tmp_path / name / "predictions.csv").id for name in ("one", "two"))
    assert set(first) != set(second)


def test_figures_of_earlier_weights_do_not_outlive_them(cache, tmp_path):
    train_run(request(cache), tmp_path / "run", CPU, threads=1)
    for name in ("stress.csv", "stress_answers.npz"):
        (tmp_path / "run" / name).write_text("measured on the old weights")
    train_run(request(cache), tmp_path / "run", CPU, threads=1)
    assert not (tmp_path / "run/stress.csv").exists()
    assert not (tmp_path / "run/stress_answers.npz").exists()


def test_a_stored_run_gives_its_predictions_again_and_is_stressed(cache, tmp_path):
    train_run(request(cache), tmp_path / "run", CPU, threads=1)
    model, data, task, metrics = load_run(tmp_path / "run", cache, CPU, 1)
    _, figures = evaluate(model, data.test, data, task, metrics["settings"]["training"], CPU)
    assert figures == metrics["test"]
    wanted = {"corruptions": ["zero_steps"], "rates": [0.0, 0.5, 1.0], "draws": 2, "mask_seed": 0}
    rows, answers = stress_test(model, data, task, metrics, wanted, CPU)
    assert set(rows.metric) == {"accuracy"}
    assert rows[["rate", "draw"]].to_numpy().tolist() == [
        [0, 0],
        [0.5, 0],
        [0.5, 1],
        [1, 0],
        [1, 1],
    ]
    assert rows.value.iloc[0] == metrics["test"]["accuracy"]
    # With every step zeroed all drawings of a length look alike: about half is right.
    assert rows.value.iloc[-1] < 0.8
    assert answers["ids"].tolist() == data.test.ids.tolist()
    assert answers["rate"].tolist() == [0, 0.5, 0.5, 1, 1]
    assert answers["draw"].tolist() == [0, 0, 1, 0, 1]
    assert answers["correct"].mean(axis=1) == pytest.approx(rows.value.tolist())


def test_a_matched_run_tells_its_units_and_is_read_again(cache, tmp_path):
    other = settings()["architecture"]
    other["core"] = {"name": "lstm", "units": 16}
    matched = settings(epochs=1) | {"match": {"model": "lstm-16", "architecture": other}}
    matched["architecture"]["core"] = {"name": "cfc", "backbone_units": 8}
    train_run(request(cache, settings=matched), tmp_path / "run", CPU, threads=1)
    model, data, task, metrics = load_run(tmp_path / "run", cache, CPU, 1)
    # The LSTM has 4 x 16 x (6 + 16 + 2) parameters, a CfC of u units 8 x (6 + u + 1) + 4 x 9 u.
    assert metrics["settings"]["match"] == {
        "model": "lstm-16",
        "core": {"name": "lstm", "units": 16},
        "core_parameters": 56 + 44 * 34,
        "other_core_parameters": 1536,
    }
    assert metrics["settings"]["architecture"]["core"]["units"] == 34
    assert metrics["parameters"]["core"] == 56 + 44 * 34
    _, figures = evaluate(model, data.test, data, task, metrics["settings"]["training"], CPU)
    assert figures == metrics["test"]


def test_costs_are_recorded(cache, tmp_path):
    train_run(request(cache), tmp_path / "run", CPU, threads=1)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    # Lengths are 3 to 8, so 5 is the lower median; LSTM, projection and head have these weights.
    step = 4 * 8 * (6 + 8)
    lengths = sorted(3 + i % 6 for i in range(64))
    assert metrics["costs"]["core_flops_per_step"] == 2 * step
    per_step = 2 * (step + 5 * 6)
    assert (metrics["costs"]["flops_per_example"] - 2 * 8 * 2) % per_step == 0
    assert (metrics["costs"]["flops_per_example"] - 2 * 8 * 2) // per_step in set(lengths)
    latency = json.loads((tmp_path / "run/provenance.json").read_text())["latency_seconds"]
    assert 0 < latency["per_example_in_batch"] < latency["one_example"]


def test_a_run_refuses_another_cache_and_damaged_weights(cache, tmp_path):
    train_run(request(cache), tmp_path / "run", CPU, threads=1)
    weights = tmp_path / "run/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="weights"):
        load_run(tmp_path / "run", cache, CPU, 1)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    metrics["cache_sha256"] = "0" * 64
    (tmp_path / "run/metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(InputError, match="is not the cache"):
        load_run(tmp_path / "run", cache, CPU, 1)


def test_a_training_refuses_a_cache_prepared_otherwise(cache, tmp_path):
    wanted = request(cache, settings=settings() | {"dataset": {"categories": ["a", "c"]}})
    with pytest.raises(InputError, match="was prepared with"):
        train_run(wanted, tmp_path / "run", CPU, threads=1)
    with pytest.raises(InputError, match="holds quickdraw, expected nmnist"):
        train_run(request(cache, dataset="nmnist"), tmp_path / "run", CPU, threads=1)


def test_a_diverging_training_stops_and_leaves_nothing(cache, tmp_path):
    wild = settings(learning_rate=1e30, gradient_clip=None, optimizer="adamw")
    with pytest.raises(InputError, match="diverged"):
        train_run(request(cache, settings=wild), tmp_path / "run", CPU, threads=1)
    assert not (tmp_path / "run").exists()


def test_unrecognised_drawings_are_left_out_where_the_protocol_says_so(tmp_path):
    everything = replace(
        drawings([5] * 40), recognized=np.array([1] * 30 + [0] * 10, dtype=np.uint8)
    )
    path = tmp_path / "cache.h5"
    attributes = CacheAttributes(
        "quickdraw", "synthetic", True, "classification", "points", (), ("a", "b"), {}, {}, "0"
    )
    with CacheWriter(path, attributes) as writer:
        writer.append("all", everything)
    for only, expected in ((True, 30), (False, 40)):
        training = settings(recognized_only=only)["training"]
        data = inputs.load(path, training, seed=0)
        assert len(data.train) + len(data.test) == expected


def test_predictions_table_names_classes():
    task = ClassificationTask(("cat", "dog"))
    sequences = drawings([2, 2, 2])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    table = task.predictions(probabilities, sequences)
    assert table.target.tolist() == ["cat", "dog", "cat"]
    assert table.prediction.tolist() == ["cat", "dog", "dog"]
    assert table.probability_dog.tolist() == [0.1, 0.8, 0.6]
    counts = task.confusion(probabilities, sequences)
    assert counts.to_numpy().tolist() == [
        ["cat", "cat", 1],
        ["cat", "dog", 1],
        ["dog", "cat", 0],
        ["dog", "dog", 1],
    ]

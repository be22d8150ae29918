"""Steps and values lost of all four data sets in the stress test, for every core and encoder."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from liquidbench.datasets.cache import CacheAttributes, Sequences
from liquidbench.evaluation.corruptions import (
    ALL,
    CORRUPTIONS,
    applying_to,
    changed_sequences,
    kept_steps,
)
from liquidbench.evaluation.removal import without_steps
from liquidbench.models.sequence_model import SequenceModel
from liquidbench.training import inputs, loop, stress
from liquidbench.training.batches import make_batch
from liquidbench.training.clinical import ClinicalScaling
from liquidbench.training.inputs import TRANSFORMS, RunData
from liquidbench.training.tasks import BinaryTask, ClassificationTask, TranscriptionTask
from plain_metrics import edit_distance
from test_corruptions import sequences
from test_elapsed import WAYS
from test_training import settings

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
# Encoder and its options, the pooling, the shape of a step and the number of outputs.
MODELS = {
    "nmnist": ({"name": "frame_cnn_projection", "channels": 2, "units": 4}, "mean", (2, 4, 4), 2),
    "quickdraw": ({"name": "projection", "units": 4}, "mean", (5,), 2),
    "iam": ({"name": "resnet6", "channels": [2, 2, 2, 4]}, "none", (8,), 4),
    "physionet": ({"name": "identity"}, "last", (40,), 1),
}
TASKS = {
    "nmnist": ClassificationTask(("a", "b")),
    "quickdraw": ClassificationTask(("a", "b")),
    "iam": TranscriptionTask(("x", "y", "z")),
    "physionet": BinaryTask(("no", "yes"), 0.5),
}


def as_split(dataset: str, seed: int, count: int = 8) -> Sequences:
    """Irregular sequences; lines all equally wide, recordings with equally many bins."""
    equal = {"nmnist": 10, "iam": 32}
    lengths = [equal.get(dataset, 3 + 5 * i % 17) for i in range(count)]
    some = inputs.in_units(sequences(dataset, lengths, seed), 2.0)
    if dataset == "iam":
        texts = np.array(["xyz", "zx", "y", "xx"] * count)[:count]
        codes = [["xyz".index(c) + 1 for c in text] for text in texts]
        some = replace(
            some,
            texts=texts,
            targets=np.concatenate(codes).astype(np.int64),
            target_offsets=np.cumsum([0, *map(len, codes)]),
        )
    if dataset == "physionet":
        some = changed_sequences("drop_measurements", some, 0.0, 0, 0, 2.0)
    return some


def data_of(dataset: str, imputation: str = "forward_fill") -> RunData:
    attributes = CacheAttributes(
        *(dataset, "synthetic", True, "", "", (), ("a", "b"), {}, {}, "0" * 64)
    )
    train, test = as_split(dataset, 0), as_split(dataset, 1)
    scaling = ClinicalScaling.fit(train) if dataset == "physionet" else None
    recorded = {"train": train, "test": test}
    data = RunData(
        *(attributes, train, test, TRANSFORMS[dataset], None, scaling),
        elapsed_unit=2.0,
        recorded=recorded,
        imputation=imputation,
    )
    return replace(data, train=data.as_read(train), test=data.as_read(test))


def model_of(dataset: str, core: str = "lstm", elapsed: str = "none") -> SequenceModel:
    encoder, pooling, shape, outputs = MODELS[dataset]
    architecture = {
        "encoder": encoder,
        "core": {"name": core, "units": 6},
        "pooling": pooling,
        "head": {"name": "linear"},
        "elapsed": elapsed,
    }
    torch.manual_seed(0)
    model = SequenceModel(architecture, shape, outputs, "portable")
    # So that a zero step has features of its own, and running statistics are not those of no batch.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


TRAINING = settings(batch_size=3)["training"] | {"threshold": 0.5}


@torch.inference_mode()
def alone(model, data: RunData, split: Sequences, example: int) -> np.ndarray:
    """What a model says of one example of a split as recorded, without any other beside it."""
    one = data.as_read(split.subset(np.array([example])))
    batch = make_batch(one, np.array([0]), data.transform, CPU)
    return model(batch.steps, batch.elapsed, batch.lengths)[0].numpy()


def corrupted(name: str, data: RunData, model, rate: float, draw: int) -> Sequences:
    """The test split as recorded, with steps removed or values changed."""
    some, dataset = data.recorded["test"], data.attributes.dataset
    if name in ("drop_events", "blank_columns", "drop_measurements"):
        return changed_sequences(name, some, rate, draw, 0, 2.0)
    kept = kept_steps(name, some, rate, draw, 0, model.encoder.time_stride)
    return without_steps(some, kept, dataset, 2.0)


def probabilities(dataset: str, logits: np.ndarray) -> np.ndarray:
    return TASKS[dataset].read(torch.from_numpy(logits)[None])[0]


NOT_ZEROED = [name for name in CORRUPTIONS if not name.startswith("zero")]
ZEROED = [name for name in CORRUPTIONS if name.startswith("zero")]


def zeroed_alone(model, data: RunData, kept: np.ndarray, example: int) -> np.ndarray:
    """What a model says of one test example, some of whose steps are read as zeros; their times stay."""
    some = data.test
    batch = make_batch(some.subset(np.array([example])), np.array([0]), data.transform, CPU)
    own = torch.from_numpy(kept[some.offsets[example] : some.offsets[example + 1]])
    steps = batch.steps * own.view(1, -1, *(1,) * (batch.steps.dim() - 2))
    with torch.inference_mode():
        return model(steps, batch.elapsed, batch.lengths)[0].numpy()


@pytest.mark.parametrize(("core", "elapsed"), WAYS)
@pytest.mark.parametrize("dataset", ALL)
def test_zeroed_steps_keep_their_times_for_every_core(dataset, core, elapsed):
    data, model, task = data_of(dataset), model_of(dataset, core, elapsed), TASKS[dataset]
    assert (data.test.elapsed != 1).any()
    for name in ZEROED:
        condition = (name, [(0.5, 0)], 0)
        (answers,) = stress.answers_under(model, data, task, TRAINING, CPU, *condition)
        kept = kept_steps(name, data.recorded["test"], 0.5, 0, 0)
        for example in range(len(data.test)):
            expected = probabilities(dataset, zeroed_alone(model, data, kept, example))
            if dataset == "iam":
                assert answers[example] == expected
            else:
                np.testing.assert_allclose(answers[example], expected, atol=1e-5)


def with_marks(elapsed: str = "core") -> tuple[RunData, SequenceModel]:
    """Stays with nothing filled in, and a GRU-D that reads which values were measured."""
    encoder, pooling, _, outputs = MODELS["physionet"]
    architecture = {"encoder": encoder, "core": {"name": "gru_d", "units": 6}, "pooling": pooling}
    architecture |= {"head": {"name": "linear"}, "elapsed": elapsed}
    torch.manual_seed(0)
    model = SequenceModel(architecture, (78,), outputs)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return data_of("physionet", "none_with_mask"), model.eval()


@pytest.mark.parametrize("name", applying_to("physionet", list(CORRUPTIONS)))
def test_gru_d_is_told_which_values_are_left(name):
    """On inputs of its own: values without imputation, and marks of what was measured."""
    data, model = with_marks()
    task, seen = TASKS["physionet"], []
    model.encoder.register_forward_hook(lambda _module, given, _: seen.append(given[0]))
    conditions = [(0.0, 0), (0.5, 0), (0.9, 1)]
    said = list(stress.answers_under(model, data, task, TRAINING, CPU, name, conditions, 0))
    assert all(steps.shape[2] == 78 for steps in seen)
    for (rate, draw), answers in zip(conditions, said, strict=True):
        for example in range(len(data.test)):
            if name in ZEROED:
                kept = kept_steps(name, data.recorded["test"], rate, draw, 0)
                logits = zeroed_alone(model, data, kept, example)
            else:
                logits = alone(model, data, corrupted(name, data, model, rate, draw), example)
            np.testing.assert_allclose(
                answers[example], probabilities("physionet", logits), atol=1e-5
            )
    clean, _ = loop.evaluate(model, data.test, data, task, TRAINING, CPU)
    np.testing.assert_array_equal(said[0], clean)
    assert not np.allclose(said[0], said[1], atol=1e-4)


def test_a_measurement_that_is_lost_is_one_that_was_not_made():
    """Every value lost and none measured at all: the same to a model that reads marks, but for what always is known."""
    data, model = with_marks()
    never = data.recorded["test"].inputs.copy()
    never[:, :34] = np.nan
    never = replace(data.recorded["test"], inputs=never)
    condition = ("drop_measurements", [(1.0, 0)], 0)
    (lost,) = stress.answers_under(model, data, TASKS["physionet"], TRAINING, CPU, *condition)
    for example in range(len(data.test)):
        expected = probabilities("physionet", alone(model, data, never, example))
        np.testing.assert_allclose(lost[example], expected, atol=1e-6)


@pytest.mark.parametrize(("core", "elapsed"), WAYS)
@pytest.mark.parametrize("dataset", ALL)
def test_every_core_answers_to_what_is_left_as_to_each_example_alone(dataset, core, elapsed):
    data, model, task = data_of(dataset), model_of(dataset, core, elapsed), TASKS[dataset]
    conditions = [(0.0, 0), (0.3, 0), (0.3, 1), (0.9, 0)]
    for name in applying_to(dataset, NOT_ZEROED):
        said = list(stress.answers_under(model, data, task, TRAINING, CPU, name, conditions, 0))
        for (rate, draw), answers in zip(conditions, said, strict=True):
            split = corrupted(name, data, model, rate, draw)
            for example in range(len(split)):
                expected = probabilities(dataset, alone(model, data, split, example))
                if dataset == "iam":
                    assert answers[example] == expected
                else:
                    np.testing.assert_allclose(answers[example], expected, atol=1e-5)
        clean, _ = loop.evaluate(model, data.test, data, task, TRAINING, CPU)
        np.testing.assert_array_equal(said[0], clean)


@pytest.mark.parametrize("dataset", ALL)
def test_removed_steps_change_answers_and_removed_lines_keep_a_common_width(dataset):
    data, model = data_of(dataset), model_of(dataset, "cfc", "core")
    split = corrupted("remove_bursts", data, model, 0.5, 0)
    whole = [alone(model, data, data.recorded["test"], i) for i in range(8)]
    less = [alone(model, data, split, i) for i in range(8)]
    assert any(a.shape != b.shape or not np.allclose(a, b, atol=1e-3) for a, b in zip(whole, less))
    if dataset in ("iam", "nmnist"):
        (width,) = set(split.lengths.tolist())
        assert width % model.encoder.time_stride == 0 and width == data.test.lengths[0] // 2


@pytest.mark.parametrize("dataset", ALL)
@torch.inference_mode()
def test_answers_know_nothing_of_removed_steps(dataset):
    """Whatever the lost steps held: also through imputation, hours since an observation, and moves of the pen."""
    data, model = data_of(dataset), model_of(dataset, "gru", "feature")
    name = "drop_hours" if dataset == "physionet" else "remove_steps"
    other = as_split(dataset, 9).inputs
    for rate in (0.3, 0.7):
        kept = kept_steps(name, data.recorded["test"], rate, 0, 0, model.encoder.time_stride)
        mixed = np.where(
            kept.reshape(-1, *(1,) * (other.ndim - 1)), data.recorded["test"].inputs, other
        )
        changed = replace(data.recorded["test"], inputs=mixed)
        hidden = replace(data, recorded={"test": changed}, test=data.as_read(changed))
        condition = (name, [(rate, 0)], 0)
        first, second = (
            list(stress.answers_under(model, one, TASKS[dataset], TRAINING, CPU, *condition))
            for one in (data, hidden)
        )
        np.testing.assert_array_equal(first, second)


def test_where_selecting_suffices_frames_are_encoded_once_and_the_answers_are_the_same():
    data, model = data_of("nmnist"), model_of("nmnist", "cfc", "core")
    seen = []
    model.encoder.register_forward_hook(lambda _module, given, _: seen.append(len(given[0])))
    conditions = [(rate, draw) for rate in (0.2, 0.5, 0.8) for draw in range(3)]
    task = TASKS["nmnist"]
    list(stress.answers_under(model, data, task, TRAINING, CPU, "remove_steps", conditions, 0))
    # One batch of eight, and a zero frame: not nine of each.
    assert seen == [8, 1]


def test_selected_steps_of_unequal_number_are_padded_like_any_others():
    data, model = data_of("nmnist"), model_of("nmnist", "lstm")
    model.pooling = "mean_with_padding"
    kept = np.random.default_rng(0).random(80) < 0.6
    kept[::10] = True
    training = TRAINING | {"batch_size": 8}
    task = TASKS["nmnist"]
    (got,) = stress.answers_in_one_pass(model, data, task, training, CPU, [kept], stress.selecting)
    split = without_steps(data.test, kept, "nmnist", 1.0)
    expected, _ = loop.evaluate(model, split, data, task, training, CPU)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_answers_for_comparisons_are_those_of_the_figures():
    for dataset in ALL:
        data, model, task = data_of(dataset), model_of(dataset, "gru"), TASKS[dataset]
        metrics = {"dataset": dataset, "protocol": "p", "model": "m", "seed": 3}
        metrics["settings"] = {"training": TRAINING}
        wanted = {"rates": [0.0, 0.5], "draws": 2, "mask_seed": 4}
        wanted["corruptions"] = applying_to(dataset, ["zero_steps", "remove_bursts"])
        rows, answers = stress.stress_test(model, data, task, metrics, wanted, CPU)
        conditions = [
            (name, rate, draw)
            for name in wanted["corruptions"]
            for rate, draw in [(0.0, 0), (0.5, 0), (0.5, 1)]
        ]
        keys = ("corruption", "rate", "draw")
        assert list(zip(*(answers[key].tolist() for key in keys), strict=True)) == conditions
        assert answers["ids"].tolist() == data.test.ids.tolist()
        value = rows.set_index([*keys, "metric"]).value
        for index, condition in enumerate(conditions):
            if dataset == "iam":
                rate = np.mean(answers["edits"][index] / answers["lengths"])
                assert value[*condition, "cer"] == pytest.approx(rate)
                continue
            right = answers["correct"][index].mean()
            assert value[*condition, "accuracy"] == pytest.approx(right)
            if dataset == "physionet":
                alarms = answers["probability"][index] >= 0.5
                assert ((alarms == answers["targets"]) == answers["correct"][index]).all()
                assert answers["probability"].dtype == np.float32
                assert {"auroc", "average_precision"} < set(rows.metric)
        assert (rows.mask_seed == 4).all() and (rows.examples == 8).all()


def test_edits_are_levenshtein_distances():
    data, model = data_of("iam"), model_of("iam", "gru")
    said, _ = loop.evaluate(model, data.test, data, TASKS["iam"], TRAINING, CPU)
    edits = stress.answers_of(TASKS["iam"].predictions(said, data.test))["edits"]
    assert edits.tolist() == [edit_distance(a, b) for a, b in zip(data.test.texts, said)]

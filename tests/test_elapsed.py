"""Elapsed times: their unit, where they go, and that a model which needs them is lost with wrong ones."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from liquidbench.datasets.cache import CacheWriter, Sequences, offsets_of
from liquidbench.errors import InputError
from liquidbench.models.cores import CORES
from liquidbench.models.sequence_model import SequenceModel, describe
from liquidbench.training import inputs, loop
from liquidbench.training.batches import make_batch
from liquidbench.training.inputs import RunData
from liquidbench.training.run import RunRequest, train_run
from liquidbench.training.state import TrainingState
from liquidbench.training.tasks import ClassificationTask
from test_training import drawings, settings
from test_training_settings import ATTRIBUTES

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TIMED = [name for name, core in CORES.items() if core.takes_elapsed]
WAYS = [(name, how) for name in CORES for how in ("none", "core", "feature")]
WAYS = [(name, how) for name, how in WAYS if how != "core" or name in TIMED]
# GRU-D's features are a value and a mark for each variable: there is no place for one more.
WAYS.remove(("gru_d", "feature"))


def model_of(
    core: str, elapsed: str, features: int = 6, pooling: str = "mean", **options
) -> SequenceModel:
    torch.manual_seed(0)
    architecture = {
        "encoder": {"name": "identity"},
        "core": {"name": core, "units": 6} | options,
        "pooling": pooling,
        "head": {"name": "linear"},
        "elapsed": elapsed,
    }
    # In plain PyTorch: other code would have to be built first.
    return SequenceModel(architecture, (features,), 2, "portable").eval()


def test_the_unit_is_the_median_step_of_the_training_split_and_a_first_step_is_one():
    some = replace(drawings([3, 1, 4]), elapsed=np.array([0, 4, 2, 0, 0, 8, 4, 6], np.float32))
    # Steps but the first: 4, 2, 8, 4, 6.
    assert inputs.median_step(some) == 4
    got = inputs.in_units(some, 4.0)
    assert got.elapsed.tolist() == [1, 1, 0.5, 1, 1, 2, 1, 1.5]
    assert some.elapsed[0] == 0 and got.elapsed.dtype == np.float32


@pytest.mark.parametrize("elapsed", [[0, 0, 0], [0.0, 0.0, 7.0]])
def test_without_a_step_above_zero_the_unit_stays(elapsed):
    some = replace(drawings([2, 1]), elapsed=np.array(elapsed, np.float32))
    assert inputs.median_step(some) == 1.0


def test_equal_steps_of_any_length_are_ones():
    for step in (0.1, 1 / 3, 33_333.3, 1e-7):
        elapsed = np.full(50, step, np.float32)
        some = replace(drawings([20, 30]), elapsed=elapsed)
        assert (inputs.in_units(some, inputs.median_step(some)).elapsed == 1).all()


@pytest.mark.parametrize(
    ("elapsed", "varies"),
    [
        # The first step of each sequence does not count, nor do other steps in another sequence.
        ([9, 2, 2, 5, 1, 3, 3, 3], False),
        ([1, 2, 2, 1, 1, 3, 3, 3.001], False),
        ([1, 2, 2, 1, 1, 3, 3, 3.1], True),
        ([1, 2, 0, 1, 1, 3, 3, 3], True),
    ],
)
def test_whether_the_steps_of_a_sequence_differ_in_time(elapsed, varies):
    some = replace(drawings([3, 1, 4]), elapsed=np.array(elapsed, np.float32))
    assert inputs.steps_vary(some) is varies
    assert not inputs.steps_vary(some.subset(np.array([1])))


def test_a_batch_has_elapsed_times_with_ones_in_the_padding_or_none_if_all_are_one():
    some = replace(drawings([2, 3]), elapsed=np.array([1, 5, 1, 1, 1], np.float32))
    batch = make_batch(some, np.array([1, 0]), inputs.as_stored, CPU)
    assert batch.elapsed.tolist() == [[1, 1, 1], [1, 5, 1]]
    assert make_batch(some, np.array([1]), inputs.as_stored, CPU).elapsed is None
    # The padding repeats a sequence's first step in all else, and not in its time.
    late = replace(some, elapsed=np.array([7, 5, 1, 1, 1], np.float32))
    batch = make_batch(late, np.array([1, 0]), inputs.as_stored, CPU)
    assert batch.elapsed[1].tolist() == [7, 5, 1]


@pytest.mark.parametrize(("core", "elapsed"), WAYS)
def test_elapsed_times_reach_the_core_or_its_input_or_nothing(core, elapsed):
    model, x = model_of(core, elapsed), torch.randn(3, 7, 6)
    times, lengths = torch.rand(3, 7) * 3, torch.tensor([7, 2, 5])
    got = model(x, times, lengths)
    features, given = x, None
    if elapsed == "feature":
        features = torch.cat([x, torch.log(1 + times).unsqueeze(2)], dim=2)
    elif elapsed == "core":
        given = times
    states = model.core(features, given, lengths)
    valid = (torch.arange(7) < lengths.unsqueeze(1)).unsqueeze(2)
    expected = model.head((states * valid).sum(1) / lengths.unsqueeze(1))
    torch.testing.assert_close(got, expected)
    # No times: every step counts as 1.
    ones = model(x, torch.ones(3, 7), lengths)
    torch.testing.assert_close(model(x, None, lengths), ones)
    if elapsed != "none":
        assert not torch.allclose(got, ones, atol=1e-5)
    assert describe(model, x, lengths, times)["output_shape"] == ["batch", 2]


@pytest.mark.parametrize("core", sorted(set(CORES) - set(TIMED)))
def test_a_core_that_has_no_notion_of_time_is_told_so(core):
    with pytest.raises(
        InputError, match=rf"core '{core}' has no notion.*feature or none.*cfc, ltc"
    ):
        model_of(core, "core")
    with pytest.raises(InputError, match="elapsed is 'maybe'"):
        model_of(core, "maybe")


def test_cores_that_take_elapsed_times_answer_otherwise_to_others():
    for name, core in CORES.items():
        torch.manual_seed(0)
        made, x = core(6, 6), torch.randn(2, 4, 6)
        first, second = made(x, torch.ones(2, 4), None), made(x, torch.full((2, 4), 3.0), None)
        assert core.takes_elapsed == (not torch.equal(first, second)), name


def a_run(folder, elapsed_times, how, **training):
    """Train a CfC on a cache with these elapsed times; gives the bytes of its weights and its figures."""
    wanted = settings(core="cfc", **training)
    if how != "none":
        wanted["architecture"]["elapsed"] = how
    some = drawings([3 + i % 6 for i in range(64)])
    some = replace(some, elapsed=elapsed_times(some).astype(np.float32))
    cache = folder / "cache.h5"
    with CacheWriter(cache, ATTRIBUTES) as writer:
        writer.append("all", some)
    train_run(
        RunRequest("quickdraw", "p", "m", 1, wanted, cache), folder / "run", CPU, 1, "portable"
    )
    metrics = json.loads((folder / "run/metrics.json").read_text())
    figures = {key: metrics[key] for key in ("train", "test", "parameters")}
    return (folder / "run/weights.safetensors").read_bytes(), figures


def regular(some):
    elapsed = np.full(len(some.elapsed), 1 / 3)
    elapsed[some.offsets[:-1]] = 0
    return elapsed


def irregular(some):
    elapsed = np.random.default_rng(0).exponential(2.0, len(some.elapsed))
    elapsed[some.offsets[:-1]] = 0
    return elapsed


def test_untimed_models_do_not_see_elapsed_times_and_regular_ones_change_no_bit(tmp_path):
    runs = {}
    for name, times, how in (
        ("untimed, regular", regular, "none"),
        ("untimed, irregular", irregular, "none"),
        ("timed, regular", regular, "core"),
        ("timed, irregular", irregular, "core"),
        ("feature, irregular", irregular, "feature"),
    ):
        (tmp_path / name).mkdir()
        runs[name] = a_run(tmp_path / name, times, how)
    plain = runs.pop("untimed, regular")
    assert runs["untimed, irregular"] == plain
    assert runs["timed, regular"] == plain
    assert runs["timed, irregular"][0] != plain[0]
    assert runs["timed, irregular"][1]["parameters"] == plain[1]["parameters"]
    # One more input of the backbone's 8 units.
    assert runs["feature, irregular"][1]["parameters"]["core"] == plain[1]["parameters"]["core"] + 8


@pytest.mark.parametrize(
    ("times", "how", "dropout", "varies"),
    [
        (regular, "none", None, None),
        (irregular, "none", "removed", None),
        (regular, "core", None, False),
        (regular, "feature", None, False),
        (regular, "core", "zeroed", False),
        (regular, "feature", "removed", True),
        (irregular, "core", None, True),
    ],
)
def test_a_model_that_was_told_the_time_and_met_no_gap_says_so(
    tmp_path, capsys, times, how, dropout, varies
):
    training = {"epochs": 1}
    if dropout:
        training["step_dropout"] = {"how": dropout, "highest_rate": 0.5}
    a_run(tmp_path, times, how, **training)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["elapsed_varies"] is varies
    assert ("what it makes of a gap is untrained" in capsys.readouterr().out) == (varies is False)


# A task that nobody can do who is not told the time.


def pulses(count: int, seed: int) -> Sequences:
    """Two pulses and up to three silent steps between them; the class is whether over 4 units lie between the two.

    The number of steps says nothing: the time between the pulses is drawn first and then divided among the steps.
    """
    generator = np.random.default_rng(seed)
    steps, elapsed, lengths, targets = [], [], [], []
    for _ in range(count):
        silent = int(generator.integers(0, 4))
        total = (
            generator.uniform(0.5, 3.5) if generator.random() < 0.5 else generator.uniform(4.5, 8)
        )
        steps += [1.0, *[0.0] * silent, 1.0]
        elapsed += [1.0, *(total * generator.dirichlet(np.full(silent + 1, 5.0)))]
        lengths.append(silent + 2)
        targets.append(int(total > 4))
    return Sequences(
        inputs=np.array(steps, dtype=np.float32)[:, None],
        elapsed=np.array(elapsed, dtype=np.float32),
        offsets=offsets_of(lengths),
        targets=np.array(targets),
        ids=np.arange(count).astype(str),
    )


@pytest.mark.parametrize(
    ("core", "elapsed", "rate", "epochs"),
    [("cfc", "core", 0.03, 6), ("ltc", "core", 0.05, 10), ("lstm", "feature", 0.03, 8)],
)
def test_a_model_that_was_trained_with_elapsed_times_needs_the_right_ones(
    core, elapsed, rate, epochs
):
    run = settings("last", learning_rate=rate, epochs=epochs, batch_size=32)["training"]
    data = RunData(ATTRIBUTES, pulses(640, 0), pulses(400, 1), inputs.as_stored, None, None)
    task = ClassificationTask(("near", "far"))
    options = {"backbone_units": 16} if core == "cfc" else {}
    model = model_of(core, elapsed, 1, "last", units=16, **options)
    state = TrainingState(model, run, task.better, 0, CPU)
    loop.train(state, data, task, run, lambda _: None)

    def accuracy(times: np.ndarray) -> float:
        told = replace(data.test, elapsed=times.astype(np.float32))
        return loop.evaluate(model, told, data, task, run, CPU)[1]["accuracy"]

    right = data.test.elapsed
    shuffled = np.random.default_rng(2).permutation(right)
    assert accuracy(right) > 0.9
    assert accuracy(np.ones_like(right)) < 0.65
    assert accuracy(shuffled) < 0.7


def test_a_model_that_is_not_told_the_time_cannot_do_it():
    run = settings("last", learning_rate=0.02, epochs=6, batch_size=32)["training"]
    data = RunData(ATTRIBUTES, pulses(640, 0), pulses(400, 1), inputs.as_stored, None, None)
    model = model_of("cfc", "none", 1, "last")
    task = ClassificationTask(("near", "far"))
    state = TrainingState(model, run, task.better, 0, CPU)
    figures = loop.train(state, data, task, run, lambda _: None)[1]
    assert figures["accuracy"] < 0.65

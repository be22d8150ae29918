"""Corruptions: how much they take, what they depend on, and what they make of hand-made sequences."""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest

from liquidbench.datasets.cache import Sequences, offsets_of
from liquidbench.evaluation.corruptions import (
    ALL,
    CORRUPTIONS,
    StepLoss,
    ZeroSteps,
    applying_to,
    changed_sequences,
    kept_steps,
)
from liquidbench.evaluation.random_streams import RandomStreams, split_mix
from liquidbench.evaluation.removal import without_steps

RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
STEP_LOSSES = [name for name, one in CORRUPTIONS.items() if isinstance(one, StepLoss)]
REMOVALS = [name for name in STEP_LOSSES if CORRUPTIONS[name].removes]
EXACT = ["zero_bursts", "remove_steps", "remove_bursts", "drop_hours"]
nan = np.nan


def sequences(dataset: str, lengths=(3, 1, 7, 40), seed=0) -> Sequences:
    """Small sequences as a cache of the data set would hold them, elapsed times in its unit."""
    generator = np.random.default_rng(seed)
    steps = int(np.sum(lengths))
    extra = {}
    if dataset == "nmnist":
        inputs = generator.integers(0, 6, (steps, 2, 4, 4)).astype(np.uint8)
    elif dataset == "quickdraw":
        inputs = generator.random((steps, 5), dtype=np.float32)
        inputs[:, 4] = generator.random(steps) < 0.3
    elif dataset == "iam":
        inputs = generator.integers(0, 255, (steps, 8)).astype(np.uint8)
    else:
        inputs = generator.normal(size=(steps, 39)).astype(np.float32)
        inputs[generator.random(inputs.shape) < 0.7] = nan
        extra["time_since_observation"] = generator.random(steps).astype(np.float32)
        extra["step_targets"] = (generator.random(steps) < 0.2).astype(np.uint8)
    return Sequences(
        inputs=inputs,
        elapsed=generator.integers(1, 4, steps).astype(np.float32),
        offsets=offsets_of(list(lengths)),
        targets=np.arange(len(lengths)) % 2,
        ids=np.array([f"s{i}" for i in range(len(lengths))]),
        **extra,
    )


MANY = sequences("quickdraw", [100] * 400)


def mask(name="zero_steps", some=MANY, rate=0.5, draw=0, seed=7, stride=1) -> np.ndarray:
    return kept_steps(name, some, rate, draw, seed, stride)


def change(name, some, rate, draw=0, seed=7) -> Sequences:
    return changed_sequences(name, some, rate, draw, seed, elapsed_unit=1.0)


def lost_values(name: str, some: Sequences, rate: float, draw: int = 0, seed: int = 7):
    """What a corruption takes: a truth value per step, or a number per value."""
    if name in STEP_LOSSES:
        return ~mask(name, some, rate, draw, seed)
    got = change(name, some, rate, draw, seed).inputs
    if name == "drop_measurements":
        return np.isnan(got) & ~np.isnan(some.inputs)
    return np.abs(got.astype(int) - some.inputs)


def test_every_data_set_has_corruptions_of_its_own_and_both_families():
    for dataset in ALL:
        names = applying_to(dataset, list(CORRUPTIONS))
        assert {"zero_steps", "zero_bursts", "remove_bursts"} < set(names)
        assert any(CORRUPTIONS[name].datasets == (dataset,) for name in names)
        assert len(set(names) & {"remove_steps", "drop_hours"}) == 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_lost_grows_with_the_rate_and_hangs_on_seed_and_draw_alone(name):
    some = sequences(CORRUPTIONS[name].datasets[0], [40] * 30)
    lost = [lost_values(name, some, rate) for rate in RATES]
    assert not lost[0].any()
    for lower, higher in itertools.pairwise(lost):
        assert (lower <= higher).all()
        assert lower.sum() < higher.sum() or higher.sum() == lost[-1].sum()
    np.testing.assert_array_equal(lost[3], lost_values(name, some, RATES[3]))
    for other in ({"draw": 1}, {"seed": 8}):
        assert (lost[3] != lost_values(name, some, RATES[3], **other)).mean() > 0.02


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_example_loses_the_same_alone_and_wherever_it_stands_among_others(name):
    some = sequences(CORRUPTIONS[name].datasets[0], [12, 20, 8])
    places = [slice(0, 12), slice(12, 32), slice(32, 40)]
    lost = lost_values(name, some, 0.5)
    assert all(lost[place].any() for place in places)
    for example, place in enumerate(places):
        alone = some.subset(np.array([example]))
        np.testing.assert_array_equal(lost_values(name, alone, 0.5), lost[place])
    turned = lost_values(name, some.subset(np.array([2, 1, 0])), 0.5)
    np.testing.assert_array_equal(turned, np.concatenate([lost[place] for place in places[::-1]]))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_equal_examples_of_other_names_lose_other_things(name):
    some = sequences(CORRUPTIONS[name].datasets[0], [40])
    if name == "drop_strokes":
        some.inputs[:, 4] = np.arange(40) % 2
    other = replace(some, ids=np.array(["another"]))
    assert (lost_values(name, some, 0.5) != lost_values(name, other, 0.5)).any()


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7])
def test_the_share_of_zeroed_steps_is_near_the_rate(rate):
    steps = int(MANY.offsets[-1])
    # Five standard deviations of a binomial share.
    margin = 5 * np.sqrt(rate * (1 - rate) / steps)
    assert abs(np.mean(~mask(rate=rate)) - rate) < margin


def test_a_step_is_zeroed_whatever_the_steps_beside_it():
    lost = ~mask(rate=0.3)
    margin = 5 * np.sqrt(0.3 * 0.7 / (0.3 * lost.size))
    assert abs(np.mean(lost[1:][lost[:-1]]) - 0.3) < margin


def test_a_step_is_kept_where_a_uniform_number_reaches_the_rate():
    numbers = np.random.default_rng(4).random(51)
    some = sequences("quickdraw")
    kept = ZeroSteps().kept(some, 0.6, lambda counts: numbers, 1)
    assert kept.tolist() == [bool(value >= 0.6) for value in numbers]
    rates = np.array([0.0, 1.0, 0.5, 0.2])
    kept = ZeroSteps().kept(some, rates, lambda counts: numbers, 1)
    assert kept.tolist() == (numbers >= np.repeat(rates, some.lengths)).tolist()


def split_mix_by_hand(seed: int, count: int) -> list[int]:
    """The first numbers of a SplitMix64 generator, as its authors' C code has them."""
    numbers = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        mixed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % 2**64
        numbers.append(mixed ^ (mixed >> 31))
    return numbers


def test_the_random_bits_are_those_of_the_published_generator():
    # The values that the generator's test suites publish for this seed.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    seeds = np.full(3, 1234567, dtype=np.uint64)
    assert split_mix(seeds, 0).tolist() == published == split_mix_by_hand(1234567, 3)
    assert split_mix(seeds[:1], 2).tolist() == published[2:]


def test_each_example_has_the_stream_of_its_name_and_purpose():
    """A study that is extended keeps its masks, and so does every machine."""
    streams = RandomStreams(["a/1", "é", "a/1"], "zero_steps, draw 2, mask_seed 7")
    salt = hashlib.blake2b(b"zero_steps, draw 2, mask_seed 7", digest_size=16).digest()
    counts = np.array([40_000, 5, 3])
    expected = []
    for name, count in zip(("a/1", "é", "a/1"), counts):
        hashed = hashlib.blake2b(name.encode(), digest_size=8, salt=salt).digest()
        bits = split_mix_by_hand(int.from_bytes(hashed, "little"), count)
        expected += [(number >> 11) / 2**53 for number in bits]
    assert streams.uniform(counts).tolist() == expected
    assert streams.uniform_of(1, 5).tolist() == expected[40_000:40_005]
    some = replace(sequences("quickdraw", [40_000, 5, 3]), ids=np.array(["a/1", "é", "a/1"]))
    np.testing.assert_array_equal(mask(some=some, rate=0.3, draw=2), np.array(expected) >= 0.3)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("rate", RATES)
def test_a_number_of_steps_that_is_round_rate_times_length(name, rate):
    some = sequences("quickdraw", [10] * 20 + [7, 1, 40, 33])
    lost = np.add.reduceat(~mask(name, some, rate), some.offsets[:-1])
    wanted = [int(rate * length + 0.5) for length in some.lengths]
    if CORRUPTIONS[name].removes:
        wanted = [min(w, length - 1) for w, length in zip(wanted, some.lengths)]
    assert lost.tolist() == wanted


@pytest.mark.parametrize("name", ["remove_steps", "remove_bursts"])
def test_what_stays_of_a_line_is_a_multiple_of_the_stride(name):
    lines = sequences("iam", [64] * 5)
    previous = 64
    for rate in np.linspace(0, 1, 41):
        (stays,) = set(
            np.add.reduceat(mask(name, lines, rate, stride=4), lines.offsets[:-1]).tolist()
        )
        assert stays % 4 == 0 and 4 <= stays <= previous
        assert abs(stays - 64 * (1 - rate)) <= 2.5 or stays == 4
        previous = stays


def runs_of_lost(kept: np.ndarray) -> list[int]:
    return [sum(1 for _ in group) for lost, group in itertools.groupby(~kept) if lost]


@pytest.mark.parametrize("name", ["zero_bursts", "remove_bursts"])
def test_bursts_are_contiguous_gaps(name):
    short = sequences("nmnist", [10] * 50)
    for index in range(50):
        kept = mask(name, short, 0.3)[index * 10 : index * 10 + 10]
        assert runs_of_lost(kept) == [3]
    # One gap for every 32 steps, and none much longer than another.
    (long,) = (mask(name, sequences("iam", [512]), 0.25),)
    assert 10 <= len(runs_of_lost(long)) <= 16
    assert sum(runs_of_lost(long)) == 128 and max(runs_of_lost(long)) <= 20
    # Anywhere: every step is lost somewhere, and kept somewhere.
    share = (~mask(name, short, 0.3)).reshape(50, 10).mean(axis=0)
    assert ((share > 0) & (share < 0.7)).all()


def test_single_steps_are_lost_each_as_likely_as_another():
    share = (~mask("remove_steps", MANY, 0.3)).reshape(400, 100).mean(axis=0)
    assert np.abs(share - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / 400)


def test_strokes_are_lost_as_a_whole_and_one_stays():
    pens = [0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0]
    some = sequences("quickdraw", [8, 3, 3])
    some.inputs[:, 4] = pens
    strokes = np.array([0, 0, 1, 1, 1, 2, 3, 3, 4, 4, 4, 5, 6, 6])
    for draw in range(8):
        for rate, left in ((0.25, [3, 1, 1]), (0.5, [2, 1, 1]), (1.0, [1, 1, 1])):
            kept = mask("drop_strokes", some, rate, draw)
            per_stroke = [set(kept[strokes == number].tolist()) for number in range(7)]
            assert all(len(one) == 1 for one in per_stroke)
            stay = [one == {True} for one in per_stroke]
            # The third drawing's last stroke was cut, and is one all the same: half of two is lost.
            assert [sum(stay[:4]), sum(stay[4:5]), sum(stay[5:])] == (
                left if rate > 0.25 else [3, 1, 1]
            )


def test_thinned_counts_are_binomial_and_events_do_not_move():
    some = sequences("nmnist", [10] * 200)
    thinned = change("drop_events", some, 0.3).inputs
    assert thinned.dtype == np.uint8 and (thinned <= some.inputs).all()
    assert some.inputs.sum() == sequences("nmnist", [10] * 200).inputs.sum()
    for count in range(1, 6):
        left = thinned[some.inputs == count]
        expected = np.random.default_rng(0).binomial(count, 0.7, size=200_000)
        for kept in range(count + 1):
            share = np.mean(expected == kept)
            margin = 5 * np.sqrt(share * (1 - share) / len(left)) + 0.005
            assert abs(np.mean(left == kept) - share) < margin
    assert not change("drop_events", some, 1.0).inputs.any()


def test_blank_columns_are_white_paper_and_the_others_untouched():
    lines = sequences("iam", [64, 64])
    for rate in (0.25, 0.5, 1.0):
        got = change("blank_columns", lines, rate).inputs
        white = (got == 255).all(axis=1)
        assert white.reshape(2, 64).sum(axis=1).tolist() == [rate * 64] * 2
        np.testing.assert_array_equal(got[~white], lines.inputs[~white])


def test_measurements_are_lost_and_what_is_known_from_the_start_is_not():
    stays = sequences("physionet", [30] * 60)
    got = change("drop_measurements", stays, 0.3)
    measured = ~np.isnan(stays.inputs[:, :34])
    share = np.isnan(got.inputs[:, :34])[measured].mean()
    assert abs(share - 0.3) < 5 * np.sqrt(0.21 / measured.sum())
    np.testing.assert_array_equal(got.inputs[:, 34:], stays.inputs[:, 34:])
    # A value that was lost cannot be told from one that was not measured.
    gone = change("drop_measurements", stays, 1.0)
    assert np.isnan(gone.inputs[:, :34]).all()


def test_hours_since_an_observation_know_nothing_of_lost_values():
    stays = sequences("physionet", [5])
    stays.inputs[:, :34] = nan
    stays.inputs[[0, 2], 3] = 1.0
    stays.elapsed[:] = [1, 1, 2, 1, 1]  # in half hours: hours 0, 2 units, ...
    full = changed_sequences("drop_measurements", stays, 0.0, 0, 0, elapsed_unit=0.5)
    assert full.time_since_observation.tolist() == [0, 0.5, 1.5, 0.5, 1.0]
    lost = changed_sequences("drop_measurements", stays, 1.0, 0, 0, elapsed_unit=0.5)
    assert lost.time_since_observation.tolist() == [0, 0.5, 1.5, 2.0, 2.5]


def test_hours_since_an_observation_know_nothing_of_removed_hours():
    stays = sequences("physionet", [5])
    stays.inputs[:, :34] = nan
    stays.inputs[[0, 2], 3] = 1.0
    stays.elapsed[:] = 1
    kept = np.array([1, 1, 0, 1, 1], dtype=bool)
    # The observation of hour 2 is gone: hours 3 and 4 look back to hour 0.
    got = without_steps(stays, kept, "physionet", 1.0)
    assert got.time_since_observation.tolist() == [0, 1, 3, 4]


# Steps that leave a sequence.


def test_the_time_of_lost_steps_goes_to_the_next_kept_one_of_the_same_sequence():
    some = sequences("iam", [4, 3, 2])
    some.elapsed[:] = [1, 2, 4, 8, 1, 16, 32, 1, 64]
    kept = np.array([1, 0, 0, 1, 0, 1, 0, 0, 1], dtype=bool)
    got = without_steps(some, kept, "iam", 1.0)
    # Lost at the end: gone. Lost at the start: gone too, for nothing was recorded before the first kept step.
    assert got.elapsed.tolist() == [1, 14, 1, 1]
    assert got.offsets.tolist() == [0, 2, 3, 4]
    np.testing.assert_array_equal(got.inputs, some.inputs[[0, 3, 5, 8]])
    assert got.elapsed.dtype == np.float32 and got.ids is some.ids


@pytest.mark.parametrize("dataset", ALL)
def test_sequences_that_lose_nothing_are_to_the_bit_what_they_were(dataset):
    some = sequences(dataset)
    if dataset == "physionet":
        some = change("drop_measurements", some, 0.0)
    got = without_steps(some, np.ones(51, dtype=bool), dataset, 1.0)
    for name in ("inputs", "elapsed", "offsets", "step_targets", "time_since_observation"):
        np.testing.assert_array_equal(getattr(got, name), getattr(some, name))


@pytest.mark.parametrize(
    ("name", "dataset"), [(name, one) for name in REMOVALS for one in CORRUPTIONS[name].datasets]
)
def test_elapsed_times_add_up_from_the_first_to_the_last_kept_step(name, dataset):
    some = sequences(dataset)
    kept = mask(name, some, 0.6)
    got = without_steps(some, kept, dataset, 1.0)
    for i in range(len(some)):
        place = slice(some.offsets[i], some.offsets[i + 1])
        times, own = np.cumsum(some.elapsed[place]), kept[place]
        mine = got.elapsed[got.offsets[i] : got.offsets[i + 1]]
        assert mine[0] == some.elapsed[place][0]
        np.testing.assert_array_equal(np.cumsum(mine) - mine[0], times[own] - times[own][0])


def test_moves_lead_from_kept_point_to_kept_point():
    some = sequences("quickdraw", [5, 2])
    some.inputs[:, :2] = [[0, 0], [1, 2], [3, 3], [7, 4], [8, 8], [5, 5], [6, 6]]
    kept = np.array([0, 1, 0, 1, 1, 0, 1], dtype=bool)
    got = without_steps(some, kept, "quickdraw", 1.0).inputs
    assert got[:, 2:4].tolist() == [[0, 0], [6, 2], some.inputs[4, 2:4].tolist(), [0, 0]]
    np.testing.assert_array_equal(got[:, [0, 1, 4]], some.inputs[kept][:, [0, 1, 4]])


@pytest.mark.parametrize("dataset", ALL)
def test_nothing_of_a_lost_step_is_left(dataset):
    some = sequences(dataset)
    name = "drop_hours" if dataset == "physionet" else "remove_steps"
    kept = mask(name, some, 0.5)
    other = sequences(dataset, seed=5)
    changed = np.where(kept.reshape(-1, *(1,) * (some.inputs.ndim - 1)), some.inputs, other.inputs)
    first = without_steps(some, kept, dataset, 1.0)
    second = without_steps(replace(some, inputs=changed), kept, dataset, 1.0)
    np.testing.assert_array_equal(first.inputs, second.inputs)
    if dataset == "physionet":
        np.testing.assert_array_equal(first.time_since_observation, second.time_since_observation)
        np.testing.assert_array_equal(first.step_targets, some.step_targets[kept])


def test_a_sequence_without_any_step_is_refused():
    with pytest.raises(ValueError, match="loses all"):
        without_steps(sequences("iam", [2, 2]), np.array([1, 1, 0, 0], dtype=bool), "iam", 1.0)


def test_corruptions_do_not_share_their_masks(monkeypatch):
    monkeypatch.setitem(CORRUPTIONS, "another", ZeroSteps())
    other = mask("another")
    assert abs(np.mean(mask() == other) - 0.5) < 5 * np.sqrt(0.25 / MANY.offsets[-1])

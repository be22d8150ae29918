"""The masks of the stress test: how many steps they take, and what they depend on."""

import itertools

import numpy as np
import pytest

from liquidbench.evaluation.corruptions import CORRUPTIONS, kept_steps, zero_steps

LENGTHS = np.array([3, 1, 7, 10], dtype=np.int64)
MANY = np.full(2_000, 100, dtype=np.int64)
RATES = (0.0, 0.3, 0.5, 0.7, 1.0)


def mask(lengths=LENGTHS, rate=0.5, draw=0, seed=7) -> np.ndarray:
    return kept_steps("zero_steps", lengths, rate, draw, seed)


def test_a_mask_has_a_truth_value_per_step():
    assert mask().shape == (21,)
    assert mask().dtype == np.bool_


def test_rate_0_keeps_every_step_and_rate_1_none():
    assert mask(MANY, 0.0).all()
    assert not mask(MANY, 1.0).any()


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7])
def test_the_share_of_lost_steps_is_near_the_rate(rate):
    steps = int(MANY.sum())
    # Five standard deviations of a binomial share.
    margin = 5 * np.sqrt(rate * (1 - rate) / steps)
    assert abs(np.mean(~mask(MANY, rate)) - rate) < margin


def test_a_step_is_lost_whatever_the_steps_beside_it():
    lost = ~mask(MANY, 0.3)
    margin = 5 * np.sqrt(0.3 * 0.7 / (0.3 * lost.size))
    assert abs(np.mean(lost[1:][lost[:-1]]) - 0.3) < margin


def test_the_same_seed_and_draw_give_the_same_mask():
    np.testing.assert_array_equal(mask(MANY), mask(MANY.copy()))


@pytest.mark.parametrize("other", [{"draw": 1}, {"seed": 8}])
def test_another_draw_or_seed_gives_an_independent_mask(other):
    # Two independent masks of rate 1/2 agree in half of the steps.
    agreement = np.mean(mask(MANY) == mask(MANY, **other))
    assert abs(agreement - 0.5) < 5 * np.sqrt(0.25 / MANY.sum())


@pytest.mark.parametrize("draw", [0, 1, 2])
def test_a_step_lost_at_a_rate_is_lost_at_every_higher_one(draw):
    masks = [mask(MANY, rate, draw) for rate in RATES]
    for lower, higher in itertools.pairwise(masks):
        assert not np.any(higher & ~lower)
        assert np.sum(higher) < np.sum(lower)


def test_an_example_keeps_its_mask_when_others_follow():
    np.testing.assert_array_equal(mask(LENGTHS[:3]), mask(LENGTHS)[: LENGTHS[:3].sum()])


def test_the_state_of_other_generators_does_not_reach_a_mask():
    np.random.seed(1)  # noqa: NPY002 - the global generator is what must not matter
    first = mask(MANY)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first, mask(MANY))


def test_a_step_is_kept_where_a_uniform_number_reaches_the_rate():
    uniform = np.random.default_rng(4).random(21)
    kept = zero_steps(LENGTHS, 0.6, np.random.default_rng(4))
    assert kept.tolist() == [bool(value >= 0.6) for value in uniform]


def test_corruptions_do_not_share_their_masks(monkeypatch):
    monkeypatch.setitem(CORRUPTIONS, "another", zero_steps)
    other = kept_steps("another", MANY, 0.5, 0, 7)
    assert abs(np.mean(mask(MANY) == other) - 0.5) < 5 * np.sqrt(0.25 / MANY.sum())

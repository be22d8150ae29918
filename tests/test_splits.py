"""Splits: deterministic, disjoint, complete, stratified; subsets balanced."""

import numpy as np
import pytest

from liquidbench.datasets.splits import balanced_subset, split_indices
from liquidbench.errors import InputError

TARGETS = np.array([0] * 90 + [1] * 10)


@pytest.mark.parametrize("stratify", [True, False])
def test_a_split_is_ascending_disjoint_complete_and_repeats(stratify):
    train, test = split_indices(TARGETS, 0.2, 7, stratify)
    assert len(test) == 20
    assert sorted([*train, *test]) == list(range(100))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    again = split_indices(TARGETS, 0.2, 7, stratify)
    np.testing.assert_array_equal(again[1], test)
    other = split_indices(TARGETS, 0.2, 8, stratify)
    assert other[1].tolist() != test.tolist()


def test_stratification_keeps_the_shares():
    for seed in range(5):
        train, test = split_indices(TARGETS, 0.2, seed, True)
        assert TARGETS[test].sum() == 2
        assert TARGETS[train].sum() == 8


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(InputError, match="test_fraction"):
        split_indices(TARGETS, fraction, 0, False)


def test_a_split_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="1 examples cannot be split"):
        split_indices(np.array([0]), 0.5, 0, False)
    with pytest.raises(InputError, match="3 examples cannot be split"):
        split_indices(np.array([0, 0, 1]), 0.5, 0, True)


def test_balanced_subset_serves_the_classes_in_turn():
    labels = np.array([2, 0, 0, 1, 0, 2, 1])
    assert balanced_subset(labels, 3).tolist() == [0, 1, 3]
    assert balanced_subset(labels, 4).tolist() == [0, 1, 2, 3]
    assert balanced_subset(labels, 1).tolist() == [1]
    # Class 0 alone is left after two rounds.
    assert balanced_subset(labels, 7).tolist() == list(range(7))
    assert balanced_subset(labels, None).tolist() == list(range(7))
    assert balanced_subset(labels, 99).tolist() == list(range(7))
    assert balanced_subset(np.array([0, 0, 0, 1]), 3).tolist() == [0, 1, 3]

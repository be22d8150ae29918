"""Stays as models that handle missing values themselves read them."""

from dataclasses import replace

import numpy as np
import pytest

from liquidbench.datasets.cache import CacheAttributes, CacheWriter
from liquidbench.models.gru_d import GRUDCore
from liquidbench.training import inputs
from liquidbench.training.clinical import ClinicalScaling
from test_training import drawings

NAN = np.nan


def stays(values, lengths):
    values = np.array(values, dtype=np.float32)
    base = drawings(lengths)
    return replace(base, inputs=values, time_since_observation=np.zeros(len(values), np.float32))


def test_values_are_standardised_where_measured_and_marked():
    training = stays([[1, 10], [3, NAN], [NAN, 30]], [2, 1])
    scaling = ClinicalScaling.fit(training)
    test = stays([[NAN, 40], [5, NAN]], [2])
    # Means 2 and 20, deviations 1 and 10. A missing value is the mean, never a later or another stay's.
    expected = [[0, 2, 0, 1], [3, 0, 1, 0]]
    np.testing.assert_allclose(scaling.apply(test, "none_with_mask"), expected)
    assert scaling.apply(test, "none_with_mask").dtype == np.float32


def test_each_hour_is_read_as_if_none_followed():
    training = stays([[1, 10], [3, NAN], [NAN, 30], [2, 20]], [2, 2])
    scaling = ClinicalScaling.fit(training)
    whole = scaling.apply(training, "none_with_mask")
    for end in (1, 2, 3):
        part = replace(training, inputs=training.inputs[:end])
        np.testing.assert_array_equal(scaling.apply(part, "none_with_mask"), whole[:end])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Stays of 39 variables, a tenth of the values measured."""
    random = np.random.default_rng(0)
    lengths = [3 + i % 9 for i in range(40)]
    values = random.normal(50, 10, (sum(lengths), 39)).astype(np.float32)
    values[random.random(values.shape) < 0.9] = NAN
    path = tmp_path_factory.mktemp("stays") / "cache.h5"
    attributes = CacheAttributes(
        *("physionet", "synthetic", True, "binary", "hours"),
        *((), ("no sepsis", "sepsis"), {}, {}, "0"),
    )
    with CacheWriter(path, attributes) as writer:
        writer.append(
            "all",
            replace(
                drawings(lengths),
                inputs=values,
                recognized=None,
                step_targets=np.zeros(len(values), np.uint8),
                time_since_observation=np.ones(len(values), np.float32),
            ),
        )
    return path


@pytest.mark.parametrize(
    ("imputation", "features"), [(None, 40), ("forward_fill", 40), ("none_with_mask", 78)]
)
def test_a_run_s_inputs_are_as_wide_as_they_were_said_to_be(cache, imputation, features):
    training = {"test_fraction": 0.25, "stratify": True}
    usual = inputs.load(cache, training, seed=0)
    wanted = training if imputation is None else training | {"imputation": imputation}
    data = inputs.load(cache, wanted, seed=0)
    assert data.input_shape == (features,)
    for one in (usual, data):
        assert one.input_shape_under(imputation) == (features,)
    assert np.isfinite(data.train.inputs).all() and np.isfinite(data.test.inputs).all()
    # The split and the scaling are the same, whatever is put in.
    assert data.test.ids.tolist() == usual.test.ids.tolist()
    assert data.scaling == usual.scaling


def test_the_marks_are_what_gru_d_takes_them_for(cache):
    data = inputs.load(
        cache, {"test_fraction": 0.25, "stratify": True, "imputation": "none_with_mask"}, seed=0
    )
    core = GRUDCore(*data.input_shape, units=4)
    assert core.variables == 39
    marks = data.train.inputs[:, core.variables :]
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert marks.mean() == pytest.approx(0.1, abs=0.02)
    assert (data.train.inputs[:, : core.variables][marks == 0] == 0).all()

"""Whole trainings with the library's CfC and with ours, from the same weights on the same batches."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from curves import curves, round_once
from studies import PROJECT, open_study

from cfc_helpers import each_implementation, runnable
from liquidbench.training import inputs
from test_training import drawings, settings
from test_training_settings import run_data


def largest_difference(table) -> float:
    assert len(table) and set(table["figure"]) >= {"train_loss", "test_loss", "test_accuracy"}
    # Not pandas' maximum, which passes over NaN.
    assert np.isfinite(table[["library", "ours", "control"]].to_numpy()).all()
    return float(np.max(table["relative_difference"].to_numpy()))


@each_implementation
def test_curves_are_those_of_the_library_s_cfc(implementation):
    runnable(implementation)
    data = run_data(drawings([5, 9, 3, 7] * 8), drawings([4, 6, 8]))
    run = settings("mean", "cfc")
    run["architecture"]["core"] |= {"projection": True}
    table = curves(data, run, 4, torch.float64, implementation=implementation)
    assert largest_difference(table) < 1e-10
    losses = table[table["figure"] == "train_loss"]["ours"].tolist()
    assert len(losses) == 4 and losses[-1] != losses[0]
    assert set(table["implementation"]) == {
        f"own CfC ({implementation}), with the numbers of ncps 1.0.1"
    }


@pytest.fixture(scope="module")
def sepsis(tmp_path_factory):
    """Real stays of PhysioNet's set A, and the settings of the study's CfC."""
    mirror = os.environ.get("LIQUIDBENCH_MIRROR")
    if not mirror:
        pytest.skip("LIQUIDBENCH_MIRROR names no mirror of real files")
    study = open_study(PROJECT, Path(mirror), tmp_path_factory.mktemp("study"))
    run = study.resolved["physionet"]["settings"]["cfc"]
    data = inputs.load(study.cache("physionet"), run["training"], 0)
    assert not data.attributes.synthetic
    return data, run


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_curves_on_real_stays_are_those_of_the_library_s_cfc(sepsis, dtype, bound):
    table = curves(*sepsis, 2, dtype)
    assert largest_difference(table) < bound
    # A control that moved no figure would say nothing of rounding.
    assert table["control_difference"].max() > 0


def test_the_control_is_one_rounding_away():
    model = torch.nn.Linear(3, 2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    round_once(model)
    for old, new in zip(before, model.parameters(), strict=True):
        step = new.detach() - old
        assert (step > 0).all() and (step <= old.abs() * 2**-23 + 2**-149).all()

"""The benchmarks' own checks on small synthetic files: what they time must give the same numbers."""

import argparse
import math
from pathlib import Path

import cores
import differences
import loader
import numpy as np
import pandas as pd
import planning
import preparation
import pytest
import timing
from studies import DATASETS, PROJECT, Study, add_mirror_option, open_study

from liquidbench.datasets.manifest import Manifest, read_manifest

SMALL = {
    "nmnist": {"train": 20, "test": 10},
    "quickdraw": {"per_category": 10},
    "iam": {"train": 12, "validation": 10, "test": 10},
    "physionet": {"patients": 60, "septic_fraction": 0.3},
}


@pytest.fixture(scope="module")
def small_study(tmp_path_factory) -> Study:
    everything: dict = {name: {} for name in DATASETS}
    return open_study(PROJECT, None, tmp_path_factory.mktemp("study"), everything, SMALL)


@pytest.fixture(scope="module")
def recordings(small_study) -> Manifest:
    return read_manifest(small_study.manifest("nmnist"), "nmnist")


def test_all_ways_of_counting_events_agree(recordings):
    contents = list(preparation.read(recordings.file("train").path, ".bin", 20))
    assert len(contents) == 20
    preparation.check_counts(contents)


def test_a_way_of_counting_that_loses_an_event_is_found(recordings, monkeypatch):
    contents = list(preparation.read(recordings.file("train").path, ".bin", 2))
    monkeypatch.setattr(
        preparation, "add_at", lambda content: preparation.loop_over_events(content[:-5])
    )
    with pytest.raises(SystemExit, match=r"np\.add\.at counts"):
        preparation.check_counts(contents)


def test_pandas_and_the_preparation_read_the_same_clinical_values(small_study):
    manifest = read_manifest(small_study.manifest("physionet"), "physionet")
    contents = list(preparation.read(manifest.file("set_a").path, ".psv", 60))
    preparation.check_values(contents)
    shifted = [contents[1], contents[0], *contents[2:]]
    assert not np.array_equal(
        preparation.by_liquidbench(shifted), preparation.by_pandas(contents), equal_nan=True
    )


@pytest.mark.parametrize("dataset", DATASETS)
def test_batches_equal_those_of_a_plain_loop(dataset, small_study):
    training = small_study.resolved[dataset]["settings"]["cfc"]["training"]
    loader.check(loader.inputs.load(small_study.cache(dataset), training, 0), training)


def test_the_mirror_is_the_option_s_else_the_variable_s_else_none(monkeypatch):
    found = []
    for variable in ("", "elsewhere"):
        monkeypatch.setenv("LIQUIDBENCH_MIRROR", variable)
        made = argparse.ArgumentParser()
        add_mirror_option(made)
        found += [made.parse_args(options).mirror for options in ([], ["--mirror", "here"])]
    assert found == [None, Path("here"), Path("elsewhere"), Path("here")]


def test_ratios_are_taken_within_a_round():
    times = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [2.0, 4.0, 6.0]})
    table = timing.compared(times, "b", "what", "where")
    assert list(table.columns) == timing.COLUMNS
    assert table["ratio"].tolist() == [0.5, 1.0]
    assert table["milliseconds"].tolist() == [2000.0, 4000.0]


def test_every_variant_is_timed_once_a_round_in_changing_orders():
    ticking, calls = iter(range(1000)), []
    variants = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = timing.interleaved(variants, rounds=8, warmups=1, clock=lambda: next(ticking))
    assert list(times.columns) == ["a", "b", "c"] and times.shape == (8, 3)
    assert (times == 1).all(axis=None)
    orders = ["".join(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert len(orders) == 9 and {"".join(sorted(order)) for order in orders} == {"abc"}
    # Not only turned: else each variant would always follow the same other one.
    assert len(set(orders)) > 3


SHAPE = cores.Case(3, 4, 5, 6, backbone_units=7, timed=True, inputs_learn=False)


def test_a_core_that_is_off_is_not_timed():
    made = cores.cores_of(SHAPE)
    steps = cores.steps_of(SHAPE, made)
    cores.check("here", made, steps)
    portable = made["CfC portable"]
    portable.layers[0].heads.weight.register_hook(lambda gradient: gradient * 1.001)
    with pytest.raises(SystemExit, match=r"here: CfC portable is .* off the library's numbers"):
        cores.check("here", made, steps)


def test_the_floor_counts_the_products():
    cfc, lstm = cores.floor(SHAPE)
    rows = 3 * 4
    # Forwards; backwards by the weights, and by what is before a layer, but for inputs that do not learn.
    layers = [(5, 7, 2), (6, 7, 3), (7, 4 * 6, 3)]
    assert math.isclose(cfc * 1e9, sum(2 * rows * a * b * passes for a, b, passes in layers))
    layers = [(5, 4 * 6, 2), (6, 4 * 6, 3)]
    assert math.isclose(lstm * 1e9, sum(2 * rows * a * b * passes for a, b, passes in layers))


def test_the_floor_is_at_the_rate_of_the_round_s_product():
    times = pd.DataFrame({cores.PRODUCT: [2.0, 4.0], "LSTM": [1.0, 1.0]})
    found = cores.with_floors(SHAPE, times)
    rate = 2 * cores.PRODUCT_SIZE**3 / 1e9
    assert found["floor of a CfC"].tolist() == pytest.approx(
        [seconds * cores.floor(SHAPE)[0] / rate for seconds in (2.0, 4.0)]
    )


def test_the_comparisons_of_models_equal_those_of_a_plain_loop(monkeypatch):
    studies = differences.accuracy_study(50), differences.sepsis_study(150)
    for study in (*studies, differences.hourly_study(60, models=2)):
        differences.check(study, 3)
    drawn = differences.compare_all(studies[0], 3)
    assert drawn.units == 50 and len(drawn.values) == 40
    # The draws of other answers.
    other = differences.accuracy_study(49)
    monkeypatch.setattr(differences, "draw_figures", lambda *arguments: drawn)
    with pytest.raises(SystemExit, match="differs from a plain loop"):
        differences.check(other, 3)


def test_a_large_study_is_planned_with_all_its_jobs(tmp_path):
    row = planning.plan(9, tmp_path, [])
    # Eight models with two seeds, half of them stressed; four data sets; summary, tables, figures, claims, page, all.
    assert (row["runs"], row["jobs"]) == (16, 16 + 8 + 2 * 4 + 6)
    assert row["processor_seconds"] > 0 and 30 < row["peak_mebibytes"] < 2048
    with pytest.raises(SystemExit, match="no plan of 16 trainings"):
        planning.plan(9, tmp_path, ["-c", "raise SystemExit(3)"])

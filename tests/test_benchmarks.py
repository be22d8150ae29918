"""The benchmarks' own checks on small synthetic files: what they time must give the same numbers."""

import argparse
from pathlib import Path

import differences
import loader
import numpy as np
import pandas as pd
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


def test_the_comparisons_of_models_equal_those_of_a_plain_loop(monkeypatch):
    studies = differences.accuracy_study(50), differences.sepsis_study(150)
    for study in studies:
        differences.check(study, 3)
    drawn = differences.compare_all(studies[0], 3)
    assert drawn.units == 50 and len(drawn.values) == 40
    # The draws of other answers.
    other = differences.accuracy_study(49)
    monkeypatch.setattr(differences, "draw_figures", lambda *arguments: drawn)
    with pytest.raises(SystemExit, match="differs from a plain loop"):
        differences.check(other, 3)

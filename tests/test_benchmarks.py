"""The benchmarks' own checks on small synthetic files: what they time must give the same numbers."""

import loader
import numpy as np
import pandas as pd
import preparation
import pytest
import raw_data
import timing

SMALL = {
    "nmnist": {"train": 20, "test": 10},
    "quickdraw": {"per_category": 8},
    "iam": {"train": 12, "validation": 1, "test": 4},
    "physionet": {"patients": 60, "septic_fraction": 0.3},
}


@pytest.fixture(scope="module")
def config():
    return raw_data.study()


def test_all_ways_of_counting_events_agree(config, tmp_path):
    manifest = raw_data.raw_files("nmnist", config, None, tmp_path, SMALL["nmnist"])
    contents = list(preparation.read(manifest.file("train").path, ".bin", 20))
    assert len(contents) == 20
    preparation.check_counts(contents)


def test_a_way_of_counting_that_loses_an_event_is_found(config, tmp_path, monkeypatch):
    manifest = raw_data.raw_files("nmnist", config, None, tmp_path, SMALL["nmnist"])
    contents = list(preparation.read(manifest.file("train").path, ".bin", 2))
    monkeypatch.setattr(
        preparation, "add_at", lambda content: preparation.loop_over_events(content[:-5])
    )
    with pytest.raises(SystemExit, match=r"np\.add\.at counts"):
        preparation.check_counts(contents)


def test_pandas_and_the_preparation_read_the_same_clinical_values(config, tmp_path):
    manifest = raw_data.raw_files("physionet", config, None, tmp_path, SMALL["physionet"])
    contents = list(preparation.read(manifest.file("set_a").path, ".psv", 60))
    preparation.check_values(contents)
    shifted = [contents[1], contents[0], *contents[2:]]
    assert not np.array_equal(
        preparation.by_liquidbench(shifted), preparation.by_pandas(contents), equal_nan=True
    )


@pytest.mark.parametrize("dataset", SMALL)
def test_batches_equal_those_of_a_plain_loop(dataset, config, tmp_path, monkeypatch):
    monkeypatch.setitem(raw_data.SYNTHETIC, dataset, SMALL[dataset])
    cache = raw_data.prepared(dataset, config, None, tmp_path, {})
    run = loader.runs_of(config, dataset)["cfc"]
    training = loader.configuration.run_settings(config, run)["training"]
    loader.check(loader.inputs.load(cache, training, 0), training)


def test_ratios_are_taken_within_a_round():
    times = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [2.0, 4.0, 6.0]})
    table = timing.compared(times, "b", "what", "where")
    assert list(table.columns) == timing.COLUMNS
    assert table["ratio"].tolist() == [0.5, 1.0]
    assert table["milliseconds"].tolist() == [2000.0, 4000.0]

"""Summaries of stays against a plain loop, and whole small fits."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from liquidbench.datasets.cache import CacheAttributes, CacheWriter, read_split
from liquidbench.errors import InputError
from liquidbench.evaluation.clinical import best_f1_threshold
from liquidbench.reporting.runs import RunKey, read_run
from liquidbench.training import inputs
from liquidbench.training.baselines import fit_baseline
from liquidbench.training.summary_features import STATISTICS, summary_features
from test_training import drawings

NAN = np.nan
NAMES = ("HR", "Lactate", "pH")
PREPARED = {"hospitals": ["a"], "limit_patients": None}


def stays(count: int, seed: int = 0, never: int | None = 2):
    """Stays whose second variable is higher where the label is 1; the third is never measured."""
    random = np.random.default_rng(seed)
    lengths = [1 + i % 11 for i in range(count)]
    base = drawings(lengths)
    values = random.normal(0, 1, (sum(lengths), 3)).astype(np.float32)
    values[:, 1] += 2 * np.repeat(base.targets, lengths)
    values[random.random(values.shape) < 0.3] = NAN
    if never is not None:
        values[:, never] = NAN
    return replace(
        base,
        inputs=values,
        recognized=None,
        step_targets=np.repeat(base.targets, lengths).astype(np.uint8),
        time_since_observation=np.zeros(len(values), np.float32),
    )


def by_hand(values: np.ndarray) -> list[float]:
    """The seven statistics of one variable of one stay."""
    there = [float(value) for value in values if not np.isnan(value)]
    share = len(there) / len(values)
    if not there:
        return [NAN] * 6 + [share]
    mean = sum(there) / len(there)
    variance = sum((value - mean) ** 2 for value in there) / len(there)
    return [there[0], there[-1], mean, min(there), max(there), variance**0.5, share]


def test_the_statistics_of_a_stay_are_those_of_a_plain_loop():
    sequences = stays(23, never=None)
    features, labels = summary_features(sequences, NAMES)
    assert labels == [f"{name}.{statistic}" for name in NAMES for statistic in STATISTICS]
    assert features.shape == (23, 21)
    for i in range(len(sequences)):
        stay = sequences.inputs[sequences.offsets[i] : sequences.offsets[i + 1]]
        expected = [number for column in stay.T for number in by_hand(column)]
        np.testing.assert_allclose(features[i], expected, rtol=1e-6, atol=1e-12)
    # Some stay lacks some variable, or the loop would show less than it seems to.
    assert np.isnan(features).any()


def test_the_length_of_a_stay_comes_in_on_request_only():
    """Every hour measured: then a count would be the length itself."""
    sequences = stays(22, never=None)
    sequences = replace(sequences, inputs=np.ones_like(sequences.inputs))
    features, labels = summary_features(sequences, NAMES)
    assert (np.ptp(features, axis=0) == 0).all()
    told, with_length = summary_features(sequences, NAMES, length_of_stay=True)
    assert with_length == [*labels, "hours"]
    assert (told[:, -1] == sequences.lengths).all()
    counts = [place for place, label in enumerate(labels) if label.endswith(".measured")]
    assert (told[:, counts] == sequences.lengths[:, None]).all()


def write_stays(path, sequences) -> None:
    """A cache of these stays."""
    attributes = CacheAttributes(
        *("physionet", "synthetic", True, "binary", "hours", NAMES),
        *(("no sepsis", "sepsis"), PREPARED, {}, "0" * 64),
    )
    with CacheWriter(path, attributes) as writer:
        writer.append("all", sequences)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    path = tmp_path_factory.mktemp("stays") / "cache.h5"
    write_stays(path, stays(120))
    return path


def settings_of(name: str, length_of_stay: bool = False, **training) -> dict:
    split = {"test_fraction": 0.25, "stratify": True, "threshold": 0.5}
    return {
        "baseline": {"name": name, "length_of_stay": length_of_stay},
        "training": split | training,
        "dataset": PREPARED,
        "overrides": {},
    }


def names_of(seed: int = 0) -> dict:
    return {"dataset": "physionet", "protocol": "paper", "model": "m", "seed": seed}


FILES = ["confusion.csv", "features.csv", "history.csv", "metrics.json", "predictions.csv"]


@pytest.mark.parametrize("name", ["logistic", "gradient_boosting"])
def test_a_fit_learns_and_leaves_the_same_bytes_when_repeated(cache, tmp_path, name):
    for folder in ("one", "two"):
        fit_baseline(names_of(), settings_of(name), cache, tmp_path / folder, threads=1)
    found = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert found == sorted([*FILES, "provenance.json"])
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    metrics = json.loads((tmp_path / "one/metrics.json").read_text())
    predictions = pd.read_csv(tmp_path / "one/predictions.csv")
    assert metrics["examples"] == {"train": 90, "test": 30} and len(predictions) == 30
    assert metrics["test"]["accuracy"] == (predictions.target == predictions.prediction).mean()
    assert metrics["test"]["auroc"] > 0.75
    pairs = predictions.assign(
        own=np.where(predictions.target == 1, predictions.probability, 1 - predictions.probability)
    )
    assert metrics["test"]["loss"] == pytest.approx(-np.log(pairs.own).mean())


def test_the_reports_read_a_baseline_s_run(cache, tmp_path):
    out = tmp_path / "physionet/paper/m/seed-0"
    fit_baseline(names_of(), settings_of("gradient_boosting"), cache, out, threads=1)
    run = read_run(tmp_path, RunKey("physionet", "paper", "m", 0))
    assert run.metrics["parameters"] == dict.fromkeys(("total", "encoder", "core", "head"))
    assert run.metrics["costs"] == {"core_flops_per_step": None, "flops_per_example": None}
    assert run.provenance["latency_seconds"]["one_example"] > 0
    assert len(run.history) == 1 and run.history["train_accuracy"].isna().all()


@pytest.mark.parametrize("length_of_stay", [False, True])
def test_the_table_of_features_is_the_whole_logistic_regression(cache, tmp_path, length_of_stay):
    settings = settings_of("logistic", length_of_stay)
    fit_baseline(names_of(), settings, cache, tmp_path / "run", threads=1)
    table = pd.read_csv(tmp_path / "run/features.csv")
    *rows, intercept = table.to_dict("records")
    assert len(rows) == 3 * 7 + length_of_stay
    assert intercept["feature"] == "(intercept)"
    predictions = pd.read_csv(tmp_path / "run/predictions.csv")
    everything = read_split(cache, "all")
    test = everything.subset(np.flatnonzero(np.isin(everything.ids, predictions.id)))
    features, labels = summary_features(test, NAMES, length_of_stay)
    assert labels == [row["feature"] for row in rows]
    for values, name, told in zip(features, test.ids, predictions.probability):
        logit = intercept["coefficient"]
        for value, row in zip(values, rows):
            value = row["median"] if np.isnan(value) else value
            logit += row["coefficient"] * (value - row["mean"]) / row["deviation"]
        assert told == pytest.approx(1 / (1 + np.exp(-logit))), name
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["parameters"]["total"] == len(table)
    assert metrics["costs"]["flops_per_example"] == 2 * len(rows)


def test_a_fit_sees_the_training_split_only(cache, tmp_path):
    """Whatever stands in the test split, the model is the same."""
    fit_baseline(names_of(), settings_of("logistic"), cache, tmp_path / "run", threads=1)
    tested = pd.read_csv(tmp_path / "run/predictions.csv").id
    everything = read_split(cache, "all")
    of_test = np.repeat(np.isin(everything.ids, tested), everything.lengths)
    everything.inputs[of_test] = 1e3
    other = tmp_path / "other.h5"
    write_stays(other, everything)
    fit_baseline(names_of(), settings_of("logistic"), other, tmp_path / "again", threads=1)
    first, second = (tmp_path / name / "features.csv" for name in ("run", "again"))
    assert first.read_bytes() == second.read_bytes()
    assert (
        json.loads((tmp_path / "run/metrics.json").read_text())["test"]
        != json.loads((tmp_path / "again/metrics.json").read_text())["test"]
    )


def test_another_seed_splits_otherwise_and_another_cache_is_refused(cache, tmp_path):
    for seed in (0, 1):
        out = tmp_path / str(seed)
        fit_baseline(names_of(seed), settings_of("logistic"), cache, out, threads=1)
    ids = [set(pd.read_csv(tmp_path / name / "predictions.csv").id) for name in "01"]
    assert ids[0] != ids[1]
    settings = settings_of("logistic") | {"dataset": {"hospitals": ["b"]}}
    with pytest.raises(InputError, match="was prepared with"):
        fit_baseline(names_of(), settings, cache, tmp_path / "2", threads=1)


@pytest.mark.parametrize("name", ["logistic", "gradient_boosting"])
def test_a_threshold_to_choose_is_chosen_on_the_validation_split_of_the_models(
    cache, tmp_path, name
):
    training = {"threshold": "best_f1", "validation_fraction": 0.25}
    settings = settings_of(name, **training)
    fit_baseline(names_of(3), settings, cache, tmp_path / "run", threads=1)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    # The patients of each split are those of a model with a core under the same settings and seed.
    data = inputs.load(cache, settings["training"], 3)
    validation = pd.read_csv(tmp_path / "run/validation_predictions.csv")
    tested = pd.read_csv(tmp_path / "run/predictions.csv")
    assert validation.id.tolist() == data.validation.ids.tolist()
    assert tested.id.tolist() == data.test.ids.tolist()
    assert metrics["examples"] == {"train": 67, "validation": 23, "test": 30}
    expected = best_f1_threshold(validation.target.to_numpy(), validation.probability.to_numpy())
    for split in ("train", "validation", "test"):
        assert metrics[split]["threshold"] == expected != 0.5
    for table in (validation, tested):
        assert (table.prediction == (table.probability >= expected)).all()
    # A fixed threshold without such a split leaves no predictions of one.
    fit_baseline(names_of(3), settings_of(name), cache, tmp_path / "run", threads=1)
    assert not (tmp_path / "run/validation_predictions.csv").exists()
    assert "validation" not in json.loads((tmp_path / "run/metrics.json").read_text())


def test_what_a_validation_split_holds_does_not_reach_the_fit(cache, tmp_path):
    settings = settings_of("logistic", threshold="best_f1", validation_fraction=0.25)
    fit_baseline(names_of(), settings, cache, tmp_path / "run", threads=1)
    chosen_on = pd.read_csv(tmp_path / "run/validation_predictions.csv").id
    everything = read_split(cache, "all")
    everything.inputs[np.repeat(np.isin(everything.ids, chosen_on), everything.lengths)] = 1e3
    write_stays(tmp_path / "other.h5", everything)
    fit_baseline(names_of(), settings, tmp_path / "other.h5", tmp_path / "again", threads=1)
    first, second = (tmp_path / name / "features.csv" for name in ("run", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_a_threshold_to_choose_needs_a_split_to_choose_it_on(cache, tmp_path):
    with pytest.raises(InputError, match="no validation split"):
        settings = settings_of("logistic", threshold="best_f1")
        fit_baseline(names_of(), settings, cache, tmp_path / "run", threads=1)

"""Baselines without recurrence for the sepsis task: scikit-learn's models on summaries of each stay.

They leave the run directory of a training, but for what they do not have: weights and an architecture. Nothing is
pickled: the logistic regression is whole in `features.csv`, and either is fitted again in seconds.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from liquidbench.datasets.cache import Sequences, read_attributes, read_split
from liquidbench.datasets.checksum import verified_sha256
from liquidbench.files import sha256_of_code, write_json
from liquidbench.models.costs import median_seconds
from liquidbench.stages import parts_of
from liquidbench.training.costs import median_length
from liquidbench.training.inputs import split_of
from liquidbench.training.provenance import environment, peak_memory_bytes, utc_now
from liquidbench.training.run_files import check_cache, write_table
from liquidbench.training.summary_features import summary_features
from liquidbench.training.tasks import BinaryTask, task_of

Estimator = Pipeline | HistGradientBoostingClassifier


def logistic(seed: int) -> Pipeline:
    """Medians for what is missing, standardised, then logistic regression with scikit-learn's own penalty."""
    return make_pipeline(
        SimpleImputer(strategy="median"),
        StandardScaler(),
        LogisticRegression(max_iter=5000, random_state=seed),
    )


def gradient_boosting(seed: int) -> HistGradientBoostingClassifier:
    """Boosted trees on binned features with scikit-learn's presets; missing values go their own way at each split."""
    return HistGradientBoostingClassifier(random_state=seed)


BASELINES = {"logistic": logistic, "gradient_boosting": gradient_boosting}


def fit_baseline(
    names: dict[str, Any], settings: dict[str, Any], cache: Path, out: Path, threads: int
) -> None:
    """Fit, test, and write the run directory `out`. The metrics are written last.

    Args:
        names: `dataset`, `protocol`, `model` and `seed`.
        settings: resolved: `baseline` (its `name` and whether `length_of_stay` is let in), `training` and `dataset`.
        cache: the data set's HDF5 cache.
        out: the run directory.
        threads: for the record: the libraries take theirs from the environment.

    Raises:
        InputError: the cache is damaged, of another task, or was prepared with other settings.
    """
    started, clock = utc_now(), time.monotonic()
    checksum = verified_sha256(cache)
    attributes = read_attributes(cache)
    check_cache(cache, attributes, "physionet", settings["dataset"])
    wish, training, seed = settings["baseline"], settings["training"], names["seed"]
    task = task_of(attributes, training)
    everything = read_split(cache, "all")
    splits = _splits(everything, training, seed)

    # What no training stay has says nothing: 0 in all stays, so that it keeps its place among the features.
    known = np.ones((), dtype=bool)

    def features_of(sequences: Sequences) -> NDArray[np.float64]:
        found = summary_features(sequences, attributes.feature_names, wish["length_of_stay"])[0]
        return np.where(known, found, 0.0)

    for name in ("metrics.json", "validation_predictions.csv"):
        (out / name).unlink(missing_ok=True)
    fitting = time.monotonic()
    estimator = BASELINES[wish["name"]](seed)
    known = ~np.isnan(features_of(splits["train"])).all(axis=0)
    estimator.fit(features_of(splits["train"]), splits["train"].targets)
    testing = time.monotonic()
    said = {name: _probabilities(estimator, features_of(part)) for name, part in splits.items()}
    if isinstance(training["threshold"], str):
        chosen = training["threshold"], said["validation"], splits["validation"]
        task.threshold = task.best_threshold(*chosen)
    figures = {name: _figures(task, said[name], part) for name, part in splits.items()}
    finished = time.monotonic()

    _, labels = summary_features(
        everything.subset(np.array([0])), attributes.feature_names, wish["length_of_stay"]
    )
    write_table(out / "features.csv", feature_table(estimator, labels))
    write_table(out / "history.csv", _history(figures))
    write_table(out / "predictions.csv", task.predictions(said["test"], splits["test"]))
    if "validation" in splits:
        table = task.predictions(said["validation"], splits["validation"])
        write_table(out / "validation_predictions.csv", table)
    write_table(out / "confusion.csv", task.confusion(said["test"], splits["test"]))
    seconds = {
        "total": finished - clock,
        "training": testing - fitting,
        "evaluation": finished - testing,
        # One pass over the training split is all there is.
        "median_epoch": testing - fitting,
    }
    cpu = torch.device("cpu")
    record = environment(cpu, "float64") | {
        "threads": threads,
        "seconds": seconds,
        "latency_seconds": _latencies(estimator, features_of, splits["test"]),
        "peak_memory_bytes": peak_memory_bytes(cpu),
        "started": started,
        "finished": utc_now(),
    }
    write_json(out / "provenance.json", record)
    parameters = dict.fromkeys(("encoder", "core", "head"))
    costs = {"core_flops_per_step": None, "flops_per_example": None}
    if wish["name"] == "logistic":
        parameters |= {"total": len(labels) + 1}
        costs["flops_per_example"] = 2 * len(labels)
    metrics = names | {
        "task": attributes.task,
        "source": attributes.source,
        "synthetic": attributes.synthetic,
        "examples": {name: len(part) for name, part in splits.items()},
        "classes": list(attributes.classes),
        # What trees have for parameters is a matter of taste: none are told.
        "parameters": {"total": None} | parameters,
        "costs": costs,
        "settings": settings,
        "core_implementation": _implementation(estimator),
        "cache_sha256": checksum,
        "code_sha256": sha256_of_code(*parts_of("baseline")),
    }
    write_json(out / "metrics.json", metrics | figures)
    told = "  ".join(f"{key} {figures['test'][key]:.4g}" for key in ("loss", "accuracy"))
    print(f"{wish['name']} on {len(labels)} features: test {told}", flush=True)


def _splits(everything: Sequences, training: dict[str, Any], seed: int) -> dict[str, Sequences]:
    """The splits of a model with a core under the same settings: `train`, `test` and, if asked for, `validation`."""
    train, test = split_of(everything, training["test_fraction"], training, seed)
    if "validation_fraction" not in training:
        return {"train": train, "test": test}
    train, validation = split_of(train, training["validation_fraction"], training, seed)
    return {"train": train, "validation": validation, "test": test}


def feature_table(estimator: Estimator, labels: list[str]) -> pd.DataFrame:
    """A row per feature.

    A logistic regression has `median` (put in where it is missing), `mean`, `deviation` and `coefficient` (of the
    standardised feature), and a last row ``(intercept)``: the whole model. Boosted trees have the names alone.
    """
    if not isinstance(estimator, Pipeline):
        return pd.DataFrame({"feature": labels})
    imputer, scaler, regression = (step for _, step in estimator.steps)
    table = pd.DataFrame(
        {
            "feature": labels,
            "median": imputer.statistics_,
            "mean": scaler.mean_,
            "deviation": scaler.scale_,
            "coefficient": regression.coef_[0],
        }
    )
    last = pd.DataFrame({"feature": ["(intercept)"], "coefficient": regression.intercept_})
    return pd.concat([table, last], ignore_index=True)


def _probabilities(estimator: Estimator, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(stays,) of class 1; 0 or 1 where the training split had one class only."""
    classes = list(estimator.classes_)
    return estimator.predict_proba(features)[:, classes.index(1)]


def _figures(task: BinaryTask, said: NDArray, sequences: Sequences) -> dict[str, Any]:
    loss = float(log_loss(sequences.targets, said, labels=[0, 1]))
    return {"loss": loss} | task.figures(said, sequences)


def _history(figures: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """One row: there are no epochs, and no figures as one went."""
    return pd.DataFrame(
        {
            "epoch": [1],
            "learning_rate": [None],
            "train_loss": [figures["train"]["loss"]],
            "train_accuracy": [None],
            "test_loss": [figures["test"]["loss"]],
            "test_accuracy": [figures["test"]["accuracy"]],
        }
    )


def _latencies(estimator: Estimator, features_of: Any, test: Sequences) -> dict[str, float]:
    """From stays to probabilities: the first of the median length alone; the whole test split, over its size."""
    one = test.subset(np.flatnonzero(test.lengths == median_length(test))[:1])
    return {
        "one_example": median_seconds(lambda: _probabilities(estimator, features_of(one))),
        "per_example_in_batch": median_seconds(lambda: _probabilities(estimator, features_of(test)))
        / len(test),
    }


def _implementation(estimator: Estimator) -> str:
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return f"scikit-learn's {type(last).__name__}"

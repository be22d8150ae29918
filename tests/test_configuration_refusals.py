"""Configurations that are refused, each by the key that is wrong."""

import copy
from typing import Any

import pytest

from configuration_helpers import HOURLY, REMOVED, SCHEMA, changed, refusal, shipped
from liquidbench import configuration
from liquidbench.errors import InputError


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    """The shipped study with one seed, so that a list of its runs stays readable."""
    return shipped() | {"seeds": [0]}


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("stress.corruptions", ["zero_steps", "drop_pages"], "drop_pages"),
        ("stress.corruptions", None, "stress.corruptions"),
        ("stress", None, "stress"),
        ("datasets.nmnsit", None, "nmnsit"),
        ("datasets", ["nmnist"], "datasets"),
    ],
)
def test_what_is_wrong_beside_a_null_is_still_refused(study, key, value, problem):
    config = changed(changed(study, "datasets.iam", None), key, value)
    configuration.leave_out_unstudied(config, SCHEMA)
    with pytest.raises(InputError, match=problem):
        configuration.check(config, SCHEMA)


@pytest.mark.parametrize(
    ("where", "misspelt", "one_allowed"),
    [
        ("", "sedes", "seeds"),
        ("paths", "report", "reports"),
        ("threads", "training", "train"),
        ("statistics", "draw", "draws"),
        ("datasets", "mnist", "nmnist"),
        ("datasets.nmnist", "modles", "models"),
        ("datasets.nmnist.prepare", "bin", "bins"),
        ("datasets.iam.synthetic", "words", "vocabulary"),
        ("datasets.physionet.training", "epoch", "epochs"),
        ("stress", "rate", "rates"),
        ("models.lstm", "unit", "units"),
        ("protocols.released", "quickdrawn", "quickdraw"),
        ("protocols.released.nmnist", "core", "cores"),
        ("protocols.released.nmnist.cores", "mamba", "lstm"),
        ("protocols.released.nmnist.cores.cfc", "layers", "backbone_layers"),
        ("protocols.paper.iam.encoder", "channel", "channels"),
        ("protocols.paper.iam.training", "learning_rat", "learning_rate"),
        ("protocols.released.iam.training.augmentation", "rotate", "rotation_degrees"),
    ],
)
def test_an_unknown_key_is_named_with_the_keys_that_are_allowed(
    study, where, misspelt, one_allowed
):
    error = refusal(study, f"{where}.{misspelt}".lstrip("."), 1)
    assert error.where == f"configuration key {where or '(top level)'}"
    assert error.problem == f"unknown key {misspelt}"
    allowed = error.remedy.split(";")[0].partition("Allowed here: ")[2].split(", ")
    assert one_allowed in allowed
    assert misspelt not in allowed


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("seeds", [], "non-empty"),
        ("seeds", 3, "'array'"),
        ("seeds", [0, 0], "non-unique"),
        ("device", "gpu", "'auto', 'cpu', 'cuda'"),
        ("jobs_per_gpu", 0, "minimum of 1"),
        ("jobs_per_gpu", 1.5, "'integer'"),
        ("paths.raw", "", "does not match"),
        ("paths.results", "a{b}", "does not match"),
        ("threads.train", 0, "minimum of 1"),
        ("datasets.nmnist.source", "downlaod", "'download', 'mirror', 'synthetic'"),
        ("datasets.nmnist.prepare.bins", 0, "minimum of 1"),
        ("datasets.nmnist.prepare.bins", 1001, "maximum of 1000"),
        ("datasets.nmnist.prepare.bins", "10", "'integer'"),
        ("datasets.nmnist.models", [], "non-empty"),
        ("datasets.quickdraw.prepare.categories", ["apple"], "too short"),
        ("datasets.iam.prepare.height", 60, "multiple of 8"),
        ("datasets.physionet.training.test_fraction", 1, "maximum of 1"),
        ("datasets.physionet.synthetic.septic_fraction", 1.5, "maximum of 1"),
        ("stress.draws", 0, "minimum of 1"),
        ("statistics.draws", 10, "minimum of 100"),
        ("statistics.confidence", 1, "maximum of 1"),
        ("models.lstm.core", "mamba", "'lstm', 'gru', 'rnn', 'cfc', 'ltc', 'gru_d'"),
        ("protocols.released.nmnist.pooling", "max", "'mean', 'mean_with_padding', 'last'"),
        ("protocols.released.nmnist.encoder.name", "cnn", "'frame_cnn'"),
        # What YAML makes of 1e-3, without a point.
        ("protocols.released.nmnist.training.learning_rate", "1e-3", "'number'"),
        ("protocols.released.nmnist.training.learning_rate", -0.1, "minimum of 0"),
        ("protocols.released.nmnist.training.learning_rate", None, "'number'"),
        ("datasets.nmnist.training.precision", "float16", "'float32', 'bfloat16'"),
        ("datasets.nmnist", None, "'object'"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_named_with_what_is_allowed(
    study, key, value, told
):
    error = refusal(study, key, value)
    assert error.where == f"configuration key {key}"
    assert told in error.problem
    assert repr(value) in error.problem


@pytest.mark.parametrize(
    ("key", "items", "position", "told"),
    [
        ("seeds", [0, -1], 1, "minimum of 0"),
        ("seeds", [1.5], 0, "'integer'"),
        ("datasets.quickdraw.prepare.categories", ["apple", "../x"], 1, "does not match"),
        ("datasets.physionet.prepare.hospitals", ["a", "c"], 1, "'a', 'b'"),
        ("stress.rates", [0.0, 1.5], 1, "maximum of 1"),
        ("stress.corruptions", [3], 0, "'string'"),
        ("stress.datasets", ["nmnist", "mnist"], 1, "'nmnist', 'quickdraw'"),
        ("protocols.released.nmnist.encoder.channels", [32, 0], 1, "minimum of 1"),
    ],
)
def test_the_item_of_a_list_that_is_wrong_is_named(study, key, items, position, told):
    error = refusal(study, key, items)
    assert error.where == f"configuration key {key}.{position}"
    assert told in error.problem


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("", "seeds"),
        ("datasets.nmnist", "prepare"),
        ("datasets.nmnist.prepare", "overflow_events"),
        ("stress", "mask_seed"),
        ("models.cfc", "core"),
        ("protocols.paper.iam", "pooling"),
        ("protocols.paper.iam.training", "learning_rate"),
    ],
)
def test_a_missing_key_is_named(study, where, key):
    error = refusal(study, f"{where}.{key}".lstrip("."), REMOVED)
    assert error.where == f"configuration key {where or '(top level)'}"
    assert error.problem == f"'{key}' is a required key"


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"name": "stepp"}, "plateau_on_test"),
        ({"name": "step", "factor": 0.5}, "every_epochs"),
        ({"name": "cosine", "factor": 0.5}, "factor"),
        ({"name": "step", "every_epochs": 2, "factor": 3}, "maximum of 1"),
    ],
)
def test_a_wrong_schedule_is_told_what_is_wrong_with_it(study, schedule, told):
    key = "protocols.released.nmnist.training.schedule"
    error = refusal(study, key, schedule)
    assert error.where.startswith(f"configuration key {key}")
    assert told in str(error).replace(repr(schedule), "")


@pytest.mark.parametrize(
    ("key", "value", "where", "problem", "choices"),
    [
        (
            "datasets.nmnist.models",
            ["lstm", "mamba"],
            None,
            "no model 'mamba'",
            "cfc-128-clipped, cfc-256, cfc-as-lstm",
        ),
        (
            "stress.models",
            ["mamba"],
            None,
            "no model 'mamba'",
            "cfc-128-clipped, cfc-256, cfc-as-lstm",
        ),
        ("datasets.nmnist.protocol", "realised", None, "'realised' for nmnist", "paper, released"),
        # It exists, but for another data set.
        (
            "datasets.physionet.protocol",
            "released",
            None,
            "'released' for physionet",
            "demo, demo-hourly, hourly,",
        ),
        ("stress.protocol", "stres", None, "no protocol 'stres'", "stress"),
        ("stress.corruptions", ["blur"], None, "no corruption 'blur'", "zero_steps, zero_bursts"),
        # It exists, but for another data set than those that are stressed.
        (
            "stress.datasets",
            ["nmnist", "quickdraw", "iam"],
            "stress.corruptions",
            "drop_hours applies to none of nmnist, quickdraw, iam",
            "physionet",
        ),
        # The protocol has no settings for a model's core.
        (
            "protocols.released.nmnist.cores",
            {"cfc": {"units": 8}},
            "datasets.nmnist.models",
            "no settings of the core 'lstm' for nmnist, which model lstm needs",
            "protocols.released.nmnist.cores.lstm",
        ),
        # The stress test asks for a data set that the study does not have.
        (
            "datasets.quickdraw",
            REMOVED,
            "stress.datasets",
            "quickdraw is not",
            "datasets.quickdraw",
        ),
    ],
)
def test_a_name_that_refers_to_nothing_is_refused(study, key, value, where, problem, choices):
    error = refusal(study, key, value)
    assert error.where == f"configuration key {where or key}"
    assert problem in error.problem
    assert choices in error.remedy


def test_a_core_without_a_notion_of_time_is_refused_elapsed_times(study):
    error = refusal(study, "models.lstm.elapsed", "core")
    assert error.where == "configuration key models.lstm.elapsed"
    assert "'none', 'feature'" in error.problem


@pytest.mark.parametrize(
    ("further", "where", "told"),
    [
        ({"protocol": "hourli", "models": ["lstm-128"]}, "further_protocols.0.protocol", "hourli"),
        ({"protocol": "hourly", "models": ["mamba"]}, "further_protocols.0.models", "mamba"),
        ({"protocol": "hourly"}, "further_protocols.0", "'models' is a required key"),
        ({"protocol": "hourly", "models": []}, "further_protocols.0.models", "non-empty"),
    ],
)
def test_a_wrong_further_protocol_is_named(study, further, where, told):
    error = refusal(study, "datasets.physionet.further_protocols", [further])
    assert error.where == f"configuration key datasets.physionet.{where}"
    assert told in error.problem


@pytest.mark.parametrize(
    ("changes", "where", "told"),
    [
        # By the hour every hour answers, by the patient one state does.
        ({"pooling": "last"}, "pooling", "'none' was expected"),
        ({"training.level": "patient"}, "pooling", "'mean', 'mean_with_padding', 'last'"),
        ({"cores.lstm": {"layers": 1, "bidirectional": True}}, "training.level", "bidirectional"),
        ({"training.validation_fraction": REMOVED}, "training.threshold", "no validation split"),
        ({"training.threshold": "best"}, "training.threshold", "'best'"),
        ({"training.threshold": 1}, "training.threshold", "1"),
        ({"training.hospitals": {"train": "a", "test": "b"}}, "training.hospitals", "names b"),
        ({"training.hospitals": {"train": "a"}}, "training.hospitals", "'test' is a required key"),
    ],
)
def test_a_contradiction_in_the_hour_level_task_is_refused(study, changes, where, told):
    config = changed(study, "datasets.physionet.further_protocols", HOURLY)
    for key, value in changes.items():
        config = changed(config, f"protocols.hourly.physionet.{key}", value)
    with pytest.raises(InputError) as caught:
        configuration.check(config, SCHEMA)
    assert caught.value.where == f"configuration key protocols.hourly.physionet.{where}"
    assert told in caught.value.problem


@pytest.mark.parametrize(
    ("dataset", "training", "name", "told"),
    [
        ("physionet", {"level": "hour"}, "level", "is hour, and pooling is last"),
        ("physionet", {"threshold": "best_f1"}, "threshold", "no validation split"),
        (
            "physionet",
            {"threshold": "best_utility", "validation_fraction": 0.1},
            "threshold",
            "by the hour alone",
        ),
        ("iam", {"validation_fraction": 0.1}, "validation_fraction", "iam has no such setting"),
    ],
)
def test_a_setting_that_the_task_cannot_have_is_refused(study, dataset, training, name, told):
    error = refusal(study, f"datasets.{dataset}.training", training)
    assert error.where == f"configuration key datasets.{dataset}.training.{name}"
    assert told in error.problem


def test_a_baseline_is_refused_where_hours_are_told(study):
    further = [{"protocol": "hourly", "models": ["logistic"]}]
    error = refusal(study, "datasets.physionet.further_protocols", further)
    assert "protocols.hourly.physionet.training.level" in str(error)
    assert "logistic is a baseline" in str(error)


@pytest.mark.parametrize(
    ("models", "key", "problem"),
    [
        ({"a": {"core": "lstm", "match": "a"}}, "models.a.match", "matched with itself"),
        (
            {"a": {"core": "lstm", "match": "b"}, "b": {"core": "gru", "match": "a"}},
            "models.a.match",
            "b is itself matched, with a",
        ),
        (
            {"a": {"core": "lstm", "match": "b"}, "b": {"core": "gru", "match": "cfc"}},
            "models.a.match",
            "b is itself matched, with cfc",
        ),
        ({"a": {"core": "lstm", "match": "mamba"}}, "models.a.match", "no model 'mamba'"),
        ({"a": {"core": "lstm", "match": "logistic"}}, "models.a.match", "it has no core"),
        (
            {"a": {"core": "lstm", "match": "cfc", "units": 3}},
            "models.a.units",
            "they are solved for",
        ),
    ],
)
def test_a_match_that_cannot_be_solved_is_refused(study, models, key, problem):
    config = copy.deepcopy(study)
    config["models"] |= models
    with pytest.raises(InputError) as caught:
        configuration.check(config, SCHEMA)
    assert caught.value.where == f"configuration key {key}"
    assert problem in caught.value.problem


def test_a_match_with_a_core_that_the_protocol_does_not_have_is_refused(study):
    config = changed(study, "protocols.released.nmnist.cores", {"lstm": {"units": 8}})
    config["datasets"]["nmnist"]["models"] = ["lstm-as-cfc"]
    config["stress"]["datasets"] = []
    with pytest.raises(InputError, match=r"models\.lstm-as-cfc\.match: .* core 'cfc'"):
        configuration.check(config, SCHEMA)


@pytest.mark.parametrize(
    ("dataset", "model"),
    [
        ("nmnist", {"core": "gru_d", "units": 4, "training": {"imputation": "none_with_mask"}}),
        ("physionet", {"core": "gru_d", "units": 4}),
        ("physionet", {"core": "gru_d", "units": 4, "training": {"imputation": "forward_fill"}}),
    ],
)
def test_a_core_that_reads_marks_is_refused_where_none_are_given(study, dataset, model):
    config = changed(study, "models.probe", model)
    error = refusal(config, f"datasets.{dataset}.models", ["probe"])
    assert "which values were measured" in error.problem


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"baseline": "logistic", "units": 3}, "unknown key units"),
        ({"baseline": "logistic", "core": "lstm"}, "unknown key core"),
        ({"baseline": "forest"}, "'gradient_boosting'"),
        ({"core": "gru_d", "layers": 2}, "unknown key layers"),
        ({"core": "lstm", "length_of_stay": True}, "unknown key length_of_stay"),
        ({"core": "cfc", "training": {"epoch": 3}}, "unknown key epoch"),
        ({"units": 3}, "'core' is a required key"),
    ],
)
def test_a_model_has_the_keys_of_its_kind(study, model, told):
    assert told in str(refusal(study, "models.probe", model))


def test_a_near_miss_is_asked_about_and_a_far_one_is_not(study):
    near = refusal(study, "datasets.physionet.training.epoch", 3)
    assert near.remedy.startswith("Did you mean epochs? Allowed here: ")
    assert refusal(study, "qqq", 3).remedy.startswith("Allowed here: ")

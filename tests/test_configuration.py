"""The shipped configurations, refusals that name the key, and the runs that a configuration gives."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from liquidbench import configuration
from liquidbench.configuration import Run
from liquidbench.errors import InputError

PROJECT = Path(__file__).parents[1]
SCHEMA = PROJECT / "workflow/schemas/config.schema.yaml"
REMOVED = object()


def shipped(*overlays: str) -> dict[str, Any]:
    """config.yaml and protocols.yaml with overlays, merged by Snakemake's own routine."""
    config: dict[str, Any] = {}
    for name in ("config", "protocols", *overlays):
        text = (PROJECT / f"config/{name}.yaml").read_text(encoding="utf-8")
        update_config(config, yaml.safe_load(text))
    return config


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    """The shipped study with one seed, so that a list of its runs stays readable."""
    return shipped() | {"seeds": [0]}


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a dotted key replaced, added or REMOVED."""
    result = copy.deepcopy(config)
    *path, last = key.split(".")
    block = result
    for name in path:
        block = block.setdefault(name, {})
    if value is REMOVED:
        del block[last]
    else:
        block[last] = value
    return result


def refusal(config: dict[str, Any], key: str, value: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        configuration.check(changed(config, key, value), SCHEMA)
    assert "\n" not in str(caught.value)
    return caught.value


def test_data_sets_that_are_null_are_neither_studied_nor_stressed(study):
    config = changed(changed(study, "datasets.iam", None), "datasets.quickdraw", None)
    configuration.leave_out_unstudied(config, SCHEMA)
    configuration.check(config, SCHEMA)
    assert {run.dataset for run in configuration.all_runs(config)} == {"nmnist", "physionet"}
    # What applies to lines and drawings alone goes with them; a name that does not exist is still refused.
    expected = [
        n for n in study["stress"]["corruptions"] if n not in ("drop_strokes", "blank_columns")
    ]
    assert config["stress"]["corruptions"] == expected
    everything = copy.deepcopy(study)
    configuration.leave_out_unstudied(everything, SCHEMA)
    assert everything == study


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
    "overlays",
    [(), ("demo",), ("mirror",), ("fair",), ("fair", "demo"), ("gaps",), ("gaps", "demo")],
)
def test_the_shipped_configurations_are_valid(overlays):
    configuration.check(shipped(*overlays), SCHEMA)


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


def test_the_protocol_for_gaps_is_the_stress_test_s_but_for_the_padding_in_a_mean(study):
    gaps, stress = (study["protocols"][name] for name in ("gaps", "stress"))
    assert gaps["nmnist"] == stress["nmnist"]
    assert gaps["quickdraw"] == stress["quickdraw"] | {"pooling": "mean"}
    assert set(gaps) == set(stress)


def test_what_gaps_yaml_compares_differs_in_what_the_names_say():
    config = shipped("gaps")
    models = config["models"]
    compared = {*config["stress"]["models"], *config["datasets"]["iam"]["models"]}
    compared |= {*config["datasets"]["physionet"]["models"]}
    dropout = {"removed": "removed", "timed": None, "zeroed": "zeroed", "clipped": None}
    parts = {name: re.split(r"-(?=(?:timed|removed|zeroed|clipped)\b)", name) for name in compared}
    told = {name: own for name, own in parts.items() if len(own) > 1}
    assert len(told) >= 20
    for name, (base, *ways) in told.items():
        entry = dict(models[name])
        training = dict(entry.pop("training"))
        timed = entry.pop("elapsed", "none")
        expected = {key: value for key, value in models[base].items() if key != "training"}
        if base == "gru-d":
            assert (expected.pop("elapsed"), timed) == ("core", "core")
            assert training.pop("imputation") == models[base]["training"]["imputation"]
        else:
            how = "feature" if base.startswith("lstm") else "core"
            assert timed == (how if "timed" in ways else "none")
        assert entry == expected, name
        assert training.pop("gradient_clip") == 1.0
        lost = dropout[ways[-1]]
        assert training == ({"step_dropout": {"how": lost, "highest_rate": 0.9}} if lost else {})


# The default study with one seed, written out.
TRAININGS = [
    Run("nmnist", "released", "lstm", 0),
    Run("nmnist", "released", "cfc", 0),
    Run("quickdraw", "released", "lstm", 0),
    Run("quickdraw", "released", "cfc", 0),
    Run("iam", "released", "lstm", 0),
    Run("iam", "released", "cfc", 0),
    Run("physionet", "paper", "lstm-128", 0),
    Run("physionet", "paper", "cfc-128", 0),
    Run("physionet", "paper", "cfc-256", 0),
]
STRESS = [
    Run("nmnist", "stress", "lstm", 0),
    Run("nmnist", "stress", "cfc", 0),
    Run("quickdraw", "stress", "lstm", 0),
    Run("quickdraw", "stress", "cfc", 0),
]
# The stress protocol has no lines and no stays: the main study's models are tested.
STRESSED_MAIN = TRAININGS[4:]


def test_the_runs_of_the_default_study(study):
    assert configuration.training_runs(study) == TRAININGS
    assert configuration.stress_runs(study) == STRESS + STRESSED_MAIN
    assert configuration.all_runs(study) == TRAININGS + STRESS


def test_the_default_study_has_five_seeds():
    runs = configuration.all_runs(shipped())
    assert len(runs) == 5 * len(TRAININGS + STRESS)
    assert {run.seed for run in runs} == {0, 1, 2, 3, 4}


def test_every_run_is_repeated_for_every_seed(study):
    runs = configuration.all_runs(changed(study, "seeds", [0, 3]))
    assert len(runs) == 26
    assert {run.seed for run in runs} == {0, 3}
    assert [run for run in runs if run.seed == 0] == TRAININGS + STRESS


def test_a_stress_test_of_the_study_s_own_runs_trains_nothing_twice(study):
    config = changed(study, "stress.protocol", "released")
    assert configuration.all_runs(config) == TRAININGS
    assert configuration.stress_runs(config) == TRAININGS


def test_a_data_set_is_stressed_by_the_corruptions_that_apply_to_it(study):
    config = changed(study, "stress.corruptions", ["remove_steps", "drop_hours"])
    told = {
        name: configuration.stress_settings(config, name)["corruptions"]
        for name in study["datasets"]
    }
    assert told["nmnist"] == told["quickdraw"] == told["iam"] == ["remove_steps"]
    assert told["physionet"] == ["drop_hours"]
    # Nothing that could be done to lines: no stress test of them.
    config = changed(study, "stress.corruptions", ["drop_hours", "drop_strokes", "drop_events"])
    assert {run.dataset for run in configuration.stress_runs(config)} == {
        "nmnist",
        "quickdraw",
        "physionet",
    }


@pytest.mark.parametrize(("core", "elapsed"), [("lstm", "feature"), ("cfc", "core")])
def test_elapsed_times_are_the_model_s_and_no_option_of_its_core(study, core, elapsed):
    config = changed(study, "models.timed", {"core": core, "units": 8, "elapsed": elapsed})
    config = changed(config, "models.untimed", {"core": core, "units": 8, "elapsed": "none"})
    configuration.check(config, SCHEMA)
    timed, untimed, plain = (
        configuration.run_settings(config, Run("physionet", "paper", name, 0))["architecture"]
        for name in ("timed", "untimed", f"{core}-128")
    )
    assert timed == untimed | {"elapsed": elapsed}
    assert set(untimed) == set(plain) and untimed["core"] == plain["core"] | {"units": 8}


def test_a_core_without_a_notion_of_time_is_refused_elapsed_times(study):
    error = refusal(study, "models.lstm.elapsed", "core")
    assert error.where == "configuration key models.lstm.elapsed"
    assert "'none', 'feature'" in error.problem


HOURLY = [{"protocol": "hourly", "models": ["lstm-128", "cfc-128"]}]


def test_further_protocols_of_a_data_set_are_studied_beside_its_main_one(study):
    config = changed(study, "datasets.physionet.further_protocols", HOURLY)
    configuration.check(config, SCHEMA)
    further = [Run("physionet", "hourly", name, 0) for name in ("lstm-128", "cfc-128")]
    assert configuration.training_runs(config) == TRAININGS + further
    assert configuration.hourly_protocols(config) == ["hourly"]
    assert configuration.hourly_protocols(study) == []
    settings = configuration.run_settings(config, further[0])
    assert settings["architecture"]["pooling"] == "none"
    assert settings["training"]["level"] == "hour"
    # The main protocol's runs are what they were.
    for run in TRAININGS:
        assert configuration.run_settings(config, run) == configuration.run_settings(study, run)


def test_a_further_protocol_for_every_seed_and_named_twice_trains_once(study):
    config = changed(study, "datasets.physionet.further_protocols", [*HOURLY, *HOURLY])
    config["seeds"] = [0, 4]
    runs = [run for run in configuration.all_runs(config) if run.protocol == "hourly"]
    assert [(run.model, run.seed) for run in runs] == [
        ("lstm-128", 0),
        ("lstm-128", 4),
        ("cfc-128", 0),
        ("cfc-128", 4),
    ]


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


def test_a_threshold_may_be_chosen_and_hospitals_told_apart(study):
    training = {"threshold": "best_f1", "validation_fraction": 0.1}
    configuration.check(changed(study, "datasets.physionet.training", training), SCHEMA)
    both = changed(study, "datasets.physionet.prepare.hospitals", ["a", "b"])
    further = [{"protocol": "hourly-a-to-b", "models": ["cfc-256"]}]
    configuration.check(changed(both, "datasets.physionet.further_protocols", further), SCHEMA)


def test_a_study_without_a_stress_test(study):
    config = changed(study, "stress.datasets", [])
    configuration.check(config, SCHEMA)
    assert configuration.all_runs(config) == TRAININGS


def test_a_run_names_its_directory():
    run = Run("physionet", "paper", "cfc-256", 11)
    assert run.directory == "physionet/paper/cfc-256/seed-11"
    other = Run("physionet", "paper", "cfc-256", 2)
    names = {"dataset": "physionet", "protocol": "paper", "model": "cfc-256"}
    assert configuration.runs_by_model([run, other]) == [names | {"seeds": [11, 2]}]


def test_a_run_gets_its_protocol_s_settings(study):
    settings = configuration.run_settings(study, Run("quickdraw", "released", "lstm", 0))
    assert settings["architecture"] == {
        "encoder": {"name": "projection", "units": 128},
        "core": {"name": "lstm", "units": 256, "layers": 2, "dropout": 0.1},
        "pooling": "mean_with_padding",
        "head": {"name": "mlp", "units": 128, "dropout": 0.2},
    }
    assert settings["training"] == {
        "epochs": 30,
        "batch_size": 128,
        "optimizer": "adamw",
        "learning_rate": 0.001,
        "weight_decay": 0.01,
        "schedule": {"name": "plateau_on_test", "patience_epochs": 3, "factor": 0.5},
        "gradient_clip": 1.0,
        "test_fraction": 0.15,
        "stratify": False,
        "recognized_only": True,
    }
    assert settings["dataset"]["categories"][:2] == ["airplane", "apple"]


def test_a_model_s_own_options_win_over_the_protocol_s(study):
    run = Run("physionet", "paper", "cfc-128", 0)
    assert configuration.run_settings(study, run)["architecture"]["core"] == {
        "name": "cfc",
        "units": 128,
        "backbone_units": 128,
        "backbone_layers": 1,
        "projection": False,
    }
    deep = changed(study, "models.deep", {"core": "lstm", "units": 64, "layers": 3})
    core = configuration.run_settings(deep, Run("quickdraw", "released", "deep", 0))["architecture"]
    assert core["core"] == {"name": "lstm", "units": 64, "layers": 3, "dropout": 0.1}


def test_a_baseline_is_refused_where_hours_are_told(study):
    further = [{"protocol": "hourly", "models": ["logistic"]}]
    error = refusal(study, "datasets.physionet.further_protocols", further)
    assert "protocols.hourly.physionet.training.level" in str(error)
    assert "logistic is a baseline" in str(error)


def test_a_baseline_has_the_models_rule_for_the_threshold_and_the_split_to_choose_it_on(study):
    config = changed(study, "datasets.physionet.models", ["lstm-128", "logistic"])
    error = refusal(config, "datasets.physionet.training", {"threshold": "best_f1"})
    assert error.where == "configuration key datasets.physionet.training.threshold"
    assert "no validation split" in error.problem
    chosen = {"threshold": "best_f1", "validation_fraction": 0.2}
    config = changed(config, "datasets.physionet.training", chosen)
    configuration.check(config, SCHEMA)
    settings = configuration.run_settings(config, Run("physionet", "paper", "logistic", 0))
    assert settings["training"] == {"test_fraction": 0.2, "stratify": True} | chosen
    alone = changed(config, "datasets.physionet.models", ["logistic"])
    alone = changed(alone, "stress.datasets", [])
    error = refusal(alone, "datasets.physionet.training.threshold", "best_utility")
    assert "exists by the hour alone" in error.problem


def test_a_wired_model_does_not_take_over_the_protocol_s_backbone(study):
    model = {"core": "cfc", "wiring": "ncp", "outputs": 8}
    wired = changed(study, "models.wired", model)
    settings = configuration.run_settings(wired, Run("quickdraw", "released", "wired", 0))
    core = settings["architecture"]["core"]
    assert core == {
        "name": "cfc",
        "units": 256,
        "projection": True,
        "wiring": "ncp",
        "outputs": 8,
    }


def test_a_data_set_s_training_wins_over_the_protocol_s_and_touches_no_other(study):
    config = changed(study, "datasets.quickdraw.training", {"epochs": 2, "optimizer": "adam"})
    configuration.check(config, SCHEMA)
    training = configuration.run_settings(config, TRAININGS[2])["training"]
    assert (training["epochs"], training["optimizer"], training["batch_size"]) == (2, "adam", 128)
    for run in (TRAININGS[0], TRAININGS[4], TRAININGS[6]):
        assert configuration.run_settings(config, run) == configuration.run_settings(study, run)


def test_a_model_s_training_wins_over_both_and_only_what_it_changes_is_told(study):
    own = {"core": "cfc", "training": {"gradient_clip": 1.0, "epochs": 3}}
    config = changed(study, "models.careful", own)
    config = changed(config, "datasets.nmnist.training", {"epochs": 2, "batch_size": 64})
    configuration.check(config, SCHEMA)
    settings = configuration.run_settings(config, Run("nmnist", "released", "careful", 0))
    assert settings["training"]["gradient_clip"] == 1.0
    assert settings["training"]["epochs"] == 3
    # The batch size is the protocol's own: nothing was changed by saying it again.
    assert settings["overrides"] == {"gradient_clip": 1.0, "epochs": 3}
    assert "training" not in settings["architecture"]["core"]
    other = configuration.run_settings(config, Run("nmnist", "released", "cfc", 0))
    assert other["overrides"] == {"epochs": 2}
    assert other["training"]["gradient_clip"] is None


def test_a_matched_model_gets_the_other_s_architecture_and_no_units(study):
    run = Run("quickdraw", "released", "lstm-as-cfc", 0)
    settings = configuration.run_settings(study, run)
    assert settings["architecture"]["core"] == {"name": "lstm", "layers": 1, "dropout": 0.1}
    other = configuration.run_settings(study, Run("quickdraw", "released", "cfc", 0))
    assert settings["match"] == {"model": "cfc", "architecture": other["architecture"]}
    assert "match" not in other
    masked = changed(study, "models.probe", {"core": "rnn", "match": "gru-d"})
    settings = configuration.run_settings(masked, Run("physionet", "paper", "probe", 0))
    assert settings["match"]["imputation"] == "none_with_mask"


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


def test_a_baseline_has_what_concerns_it_and_is_for_clinical_stays(study):
    config = changed(study, "datasets.physionet.models", ["logistic", "boosting-hours"])
    config = changed(config, "datasets.physionet.training", {"threshold": 0.3, "epochs": 2})
    configuration.check(config, SCHEMA)
    assert configuration.run_settings(config, Run("physionet", "paper", "logistic", 0)) == {
        "dataset": study["datasets"]["physionet"]["prepare"],
        "baseline": {"name": "logistic", "length_of_stay": False},
        "training": {"test_fraction": 0.2, "stratify": True, "threshold": 0.3},
        "overrides": {"threshold": 0.3},
    }
    hours = configuration.run_settings(config, Run("physionet", "paper", "boosting-hours", 0))
    assert hours["baseline"] == {"name": "gradient_boosting", "length_of_stay": True}
    assert configuration.is_baseline(config, "logistic")
    assert not configuration.is_baseline(config, "cfc")
    error = refusal(study, "datasets.nmnist.models", ["lstm", "logistic"])
    assert error.where == "configuration key datasets.nmnist.models"
    assert "clinical summaries" in error.problem
    error = refusal(study, "stress.models", ["lstm", "logistic"])
    assert error.where == "configuration key stress.models"


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


def test_a_data_set_may_have_seeds_of_its_own(study):
    study["datasets"]["iam"]["seeds"] = [7, 8]
    study["datasets"]["physionet"]["further_protocols"] = [
        {"protocol": "hourly", "models": ["lstm-128"], "seeds": [9]},
    ]
    configuration.check(study, SCHEMA)
    runs = configuration.all_runs(study)

    def seeds(dataset, protocol):
        return sorted(
            {run.seed for run in runs if (run.dataset, run.protocol) == (dataset, protocol)}
        )

    assert seeds("iam", "released") == [7, 8]
    assert seeds("physionet", "hourly") == [9]
    assert seeds("physionet", "paper") == seeds("nmnist", "stress") == study["seeds"]
    # A line's stress test is of the main study's runs.
    stressed = {run.seed for run in configuration.stress_runs(study) if run.dataset == "iam"}
    assert stressed == {7, 8}
    # Trained under the stress test's own protocol with seeds of its own: those are tested.
    block = {"protocol": "stress", "models": ["lstm"], "seeds": [3]}
    study["datasets"]["nmnist"]["further_protocols"] = [block]
    stressed = {run.seed for run in configuration.stress_runs(study) if run.dataset == "nmnist"}
    assert stressed == {3}
    assert (
        refusal(study, "datasets.iam.seeds", [1, 1]).where == "configuration key datasets.iam.seeds"
    )


def test_settings_of_a_run_are_its_own_copy(study):
    settings = configuration.run_settings(study, TRAININGS[0])
    settings["architecture"]["encoder"]["channels"].append(1)
    settings["dataset"]["bins"] = 99
    assert configuration.run_settings(study, TRAININGS[0])["dataset"]["bins"] == 10
    again = configuration.run_settings(study, TRAININGS[0])
    assert again["architecture"]["encoder"]["channels"] == [32, 64]


def test_fetching_and_generating_know_what_belongs_to_a_data_set():
    demo = shipped("demo")
    categories = demo["datasets"]["quickdraw"]["prepare"]["categories"]
    assert configuration.fetch_options(demo, "nmnist") == {}
    assert configuration.fetch_options(demo, "physionet") == {"hospitals": ["a"]}
    assert configuration.fetch_options(demo, "quickdraw") == {
        "categories": categories,
        "variant": "simplified",
    }
    assert configuration.synthesis_options(demo, "quickdraw") == {
        **demo["datasets"]["quickdraw"]["synthetic"],
        "categories": categories,
    }
    assert "categories" not in demo["datasets"]["quickdraw"]["synthetic"]


def test_what_is_the_same_for_all_seeds_is_looked_at_once():
    runs = [Run("nmnist", "p", model, seed) for model in ("b", "a") for seed in (3, 1, 2)]
    assert configuration.of_one_seed(runs) == [runs[0], runs[3]]
    # However many seeds: a check of each run would take minutes.
    config = shipped() | {"seeds": list(range(1000))}
    looked_at = []
    settings = configuration.run_settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            configuration, "run_settings", lambda *of: looked_at.append(of) or settings(*of)
        )
        configuration.check(config, SCHEMA)
    assert 0 < len(looked_at) < 100

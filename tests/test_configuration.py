"""The shipped configurations, and the runs and settings that a configuration gives."""

import copy
import re
from typing import Any

import pytest

from configuration_helpers import HOURLY, SCHEMA, changed, refusal, shipped
from liquidbench import configuration
from liquidbench.configuration import Run


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    """The shipped study with one seed, so that a list of its runs stays readable."""
    return shipped() | {"seeds": [0]}


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
    "overlays",
    [(), ("demo",), ("mirror",), ("fair",), ("fair", "demo"), ("gaps",), ("gaps", "demo")],
)
def test_the_shipped_configurations_are_valid(overlays):
    configuration.check(shipped(*overlays), SCHEMA)


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


def test_models_with_seeds_of_their_own_under_the_main_protocol_are_stressed_with_these(study):
    further = [
        {"protocol": "paper", "models": ["gru", "boosting"], "seeds": [3, 4]},
        {"protocol": "paper", "models": ["lstm-128"], "seeds": [0, 5]},
    ]
    config = changed(study, "datasets.physionet.further_protocols", further)
    config = changed(config, "models.boosting", {"baseline": "boosting"})
    stressed = [run for run in configuration.stress_runs(config) if run.dataset == "physionet"]
    main = [run for run in STRESSED_MAIN if run.dataset == "physionet"]
    assert {Run("physionet", "paper", "lstm-128", 0)} < set(main)
    own = [("gru", 3), ("gru", 4), ("lstm-128", 5)]
    assert stressed == main + [Run("physionet", "paper", *one) for one in own]
    # The same where the main protocol is the stress test's.
    config["stress"] |= {"protocol": "paper", "models": ["gru", "lstm-128", "cfc-128"]}
    stressed = [run for run in configuration.stress_runs(config) if run.dataset == "physionet"]
    told = [(run.model, run.seed) for run in stressed]
    assert told == [("gru", 3), ("gru", 4), ("lstm-128", 0), ("lstm-128", 5), ("cfc-128", 0)]


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
    stressed = [run for run in configuration.stress_runs(study) if run.dataset == "nmnist"]
    own = [("lstm", 3), *(("cfc", seed) for seed in study["seeds"])]
    assert [(run.model, run.seed) for run in stressed] == own
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

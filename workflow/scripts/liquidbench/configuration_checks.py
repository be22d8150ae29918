"""Refusals: what a configuration says that its schema cannot forbid, since one key depends on another.

Every check raises an `InputError` that names the key, what was found and what would do.
"""

from collections.abc import Callable
from typing import Any

from liquidbench.errors import InputError
from liquidbench.evaluation.corruptions import CORRUPTIONS

Config = dict[str, Any]


def training_of(config: Config, dataset: str, protocol: str, model: str) -> dict[str, Any]:
    """The protocol's training, with what the data set and then the model say otherwise."""
    return (
        config["protocols"][protocol][dataset]["training"]
        | config["datasets"][dataset].get("training", {})
        | config["models"][model].get("training", {})
    )


def check_names(config: Config, key: str, dataset: str, protocol: str, models: list[str]) -> None:
    """Refuse a protocol or a model that is named and not defined."""
    with_dataset = sorted(name for name, sets in config["protocols"].items() if dataset in sets)
    if protocol not in with_dataset:
        raise InputError(
            f"configuration key {key}.protocol",
            f"no protocol {protocol!r} for {dataset}",
            f"Choose one of {', '.join(with_dataset)}, or add it to config/protocols.yaml",
        )
    for model in models:
        _check_model(config, f"{key}.models", dataset, protocol, model)


def _check_model(config: Config, key: str, dataset: str, protocol: str, model: str) -> None:
    """Refuse a model that is not defined, or that the protocol or the data set cannot have."""
    if model not in config["models"]:
        raise InputError(
            f"configuration key {key}",
            f"no model {model!r}",
            f"Choose among {', '.join(sorted(config['models']))}, or add a line to `models` in "
            "config/protocols.yaml",
        )
    entry = config["models"][model]
    if "baseline" in entry:
        if dataset != "physionet":
            raise InputError(
                f"configuration key {key}",
                f"model {model} is a baseline on clinical summaries, which {dataset} does not have",
                "Name it for physionet alone",
            )
        return
    core = entry["core"]
    by_itself = "units" in entry or "match" in entry
    if not by_itself and core not in config["protocols"][protocol][dataset]["cores"]:
        raise InputError(
            f"configuration key {key}",
            f"protocol {protocol} has no settings of the core {core!r} for {dataset}, which model {model} needs",
            f"Give the model `units`, or add protocols.{protocol}.{dataset}.cores.{core} in config/protocols.yaml",
        )
    imputation = training_of(config, dataset, protocol, model).get("imputation")
    if core == "gru_d" and (dataset, imputation) != ("physionet", "none_with_mask"):
        raise InputError(
            f"configuration key {key}",
            f"model {model} reads which values were measured, and {dataset} under {protocol} does not tell it",
            "Name it for physionet alone, and give it `training: {imputation: none_with_mask}`",
        )
    if "match" in entry:
        _check_model(config, f"models.{model}.match", dataset, protocol, entry["match"])


def check_matches(models: dict[str, dict[str, Any]]) -> None:
    """Refuse a `match` with itself, with nothing, with another match or with what has no core."""
    for name, entry in models.items():
        if "match" not in entry:
            continue
        other = entry["match"]
        where = f"configuration key models.{name}.match"
        with_a_size = sorted(
            key for key, value in models.items() if "core" in value and "match" not in value
        )
        remedy = f"Choose among {', '.join(key for key in with_a_size if key != name)}"
        if other not in models:
            raise InputError(where, f"no model {other!r}", remedy)
        if other == name:
            raise InputError(where, "a model cannot be matched with itself", remedy)
        if "baseline" in models[other]:
            raise InputError(where, f"{other} is a baseline: it has no core", remedy)
        if "match" in models[other]:
            raise InputError(
                where, f"{other} is itself matched, with {models[other]['match']}", remedy
            )
        if "units" in entry:
            raise InputError(
                f"configuration key models.{name}.units",
                f"they are solved for, to match {other}",
                "Leave out `units` or `match`",
            )


def check_stress(config: Config) -> None:
    """Refuse a stress test under a protocol that does not exist, of baselines, or of data sets that are not studied."""
    stress = config["stress"]
    if stress["protocol"] not in config["protocols"]:
        raise InputError(
            "configuration key stress.protocol",
            f"no protocol {stress['protocol']!r}",
            f"Choose one of {', '.join(sorted(config['protocols']))}, or add it to config/protocols.yaml",
        )
    for model in stress["models"]:
        if "baseline" in config["models"].get(model, {}):
            raise InputError(
                "configuration key stress.models",
                f"model {model} is a baseline: it reads no steps that could be taken away",
                "Take it from the list",
            )
    for dataset in stress["datasets"]:
        if dataset not in config["datasets"]:
            raise InputError(
                "configuration key stress.datasets",
                f"{dataset} is not among the configured data sets",
                f"Add a block datasets.{dataset} or take it from the list",
            )


def check_stressed(config: Config, dataset: str, protocol: str, model: str) -> None:
    """Refuse a model that a data set's stress test cannot have under this protocol."""
    check_names(config, "stress", dataset, protocol, [model])
    if training_of(config, dataset, protocol, model).get("level") == "hour":
        raise InputError(
            "configuration key stress.datasets",
            f"protocol {protocol} tells {dataset} by the hour: an hour that is lost has no answer to compare",
            "Take the data set from the list, or stress a protocol that tells it by the stay",
        )


def check_corruptions(stress: Config) -> None:
    """Refuse a corruption that does not exist, or that none of the stressed data sets can have."""
    for name in stress["corruptions"]:
        if name not in CORRUPTIONS:
            raise InputError(
                "configuration key stress.corruptions",
                f"no corruption {name!r}",
                f"Choose among {', '.join(CORRUPTIONS)}",
            )
        datasets = CORRUPTIONS[name].datasets
        if stress["datasets"] and not set(datasets) & set(stress["datasets"]):
            raise InputError(
                "configuration key stress.corruptions",
                f"{name} applies to none of {', '.join(stress['datasets'])}",
                f"Take it from the list, or stress {' or '.join(datasets)}",
            )


# What only the sepsis data can be trained with: patients, hours with labels, hospitals.
_OF_SEPSIS = ("level", "hospitals", "validation_fraction", "threshold")


def check_sepsis(
    config: Config, dataset: str, protocol: str, model: str, settings: dict[str, Any]
) -> None:
    """Refuse settings of the sepsis task that contradict each other, or that stand with other data.

    Args:
        config: the configuration.
        dataset, protocol, model: of a run.
        settings: the run's, resolved.
    """
    training = training_of(config, dataset, protocol, model)

    def refuse(name: str, problem: str, remedy: str) -> None:
        of_protocol = f"protocols.{protocol}.{dataset}"
        block = f"datasets.{dataset}" if name in settings["overrides"] else of_protocol
        raise InputError(f"configuration key {block}.training.{name}", problem, remedy)

    if dataset != "physionet":
        for name in _OF_SEPSIS:
            if name in training:
                refuse(name, f"{dataset} has no such setting", "Take it away")
        return
    hourly = training.get("level") == "hour"
    if "baseline" in settings:
        for name in ("level", "hospitals"):
            if training.get(name, "patient") != "patient":
                refuse(
                    name,
                    f"is {training[name]}, and the model {model} is a baseline, fitted to whole stays",
                    "Take the model from this protocol's list",
                )
    else:
        _check_level(settings["architecture"], hourly, model, refuse)
    if isinstance(training["threshold"], str) and "validation_fraction" not in training:
        refuse(
            "threshold",
            f"is {training['threshold']}, and there is no validation split to choose it on",
            "Set validation_fraction, for example to 0.1",
        )
    if training["threshold"] == "best_utility" and not hourly:
        refuse(
            "threshold",
            "is best_utility, which exists by the hour alone",
            "Take best_f1 or a number, or level: hour",
        )
    unprepared = set(training.get("hospitals", {}).values()) - set(settings["dataset"]["hospitals"])
    if unprepared:
        refuse(
            "hospitals",
            f"names {', '.join(sorted(unprepared))}, which is not prepared",
            "Add it to datasets.physionet.prepare.hospitals",
        )


def _check_level(
    architecture: dict[str, Any], hourly: bool, model: str, refuse: Callable[[str, str, str], None]
) -> None:
    """Refuse a model that does not answer as often as it is asked, or that sees later hours."""
    level = "hour" if hourly else "patient"
    if hourly != (architecture["pooling"] == "none"):
        refuse(
            "level",
            f"is {level}, and pooling is {architecture['pooling']}",
            "Take pooling none by the hour, and mean or last by the patient",
        )
    if hourly and architecture["core"].get("bidirectional"):
        refuse(
            "level",
            f"is hour, and the core of the model {model} is bidirectional",
            "Take a model that reads forward alone: no hour may see a later one",
        )

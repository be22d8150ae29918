"""The configuration: checked against its schema, and turned into the runs that it asks for.

Used by the Snakefile and by tests. Imports yaml, jsonschema and numpy, nothing heavier: a dry run must stay fast.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from liquidbench.errors import InputError
from liquidbench.evaluation.corruptions import CORRUPTIONS, applying_to

Config = dict[str, Any]


@dataclass(frozen=True, order=True)
class Run:
    """One training: a data set under a protocol, a model and a seed."""

    dataset: str
    protocol: str
    model: str
    seed: int

    @property
    def directory(self) -> str:
        """The run directory, relative to the results folder."""
        return f"{self.dataset}/{self.protocol}/{self.model}/seed-{self.seed}"


def check(config: Config, schema_path: str | Path) -> None:
    """Check a configuration against the schema, and that its names refer to something.

    Raises:
        InputError: names the key, its value and what is allowed.
    """
    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))
    if errors:
        raise _explain(jsonschema.exceptions.best_match(errors))
    for dataset, settings in config["datasets"].items():
        _check_names(
            config, f"datasets.{dataset}", dataset, settings["protocol"], settings["models"]
        )
    stress = config["stress"]
    if stress["protocol"] not in config["protocols"]:
        raise InputError(
            "configuration key stress.protocol",
            f"no protocol {stress['protocol']!r}",
            f"Choose one of {', '.join(sorted(config['protocols']))}, or add it to config/protocols.yaml",
        )
    for dataset in stress["datasets"]:
        if dataset not in config["datasets"]:
            raise InputError(
                "configuration key stress.datasets",
                f"{dataset} is not among the configured data sets",
                f"Add a block datasets.{dataset} or take it from the list",
            )
        _check_names(config, "stress", dataset, *_stressed(config, dataset))
    _check_corruptions(stress)


def _check_corruptions(stress: Config) -> None:
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


def _check_names(config: Config, key: str, dataset: str, protocol: str, models: list[str]) -> None:
    """Refuse a protocol or a model that is named and not defined."""
    with_dataset = sorted(name for name, sets in config["protocols"].items() if dataset in sets)
    if protocol not in with_dataset:
        raise InputError(
            f"configuration key {key}.protocol",
            f"no protocol {protocol!r} for {dataset}",
            f"Choose one of {', '.join(with_dataset)}, or add it to config/protocols.yaml",
        )
    for model in models:
        if model not in config["models"]:
            raise InputError(
                f"configuration key {key}.models",
                f"no model {model!r}",
                f"Choose among {', '.join(sorted(config['models']))}, or add a line to `models` in "
                "config/protocols.yaml",
            )
        core = config["models"][model]["core"]
        by_itself = "units" in config["models"][model]
        if not by_itself and core not in config["protocols"][protocol][dataset]["cores"]:
            raise InputError(
                f"configuration key {key}.models",
                f"protocol {protocol} has no settings of the core {core!r} for {dataset}, which model {model} needs",
                f"Give the model `units`, or add protocols.{protocol}.{dataset}.cores.{core} in config/protocols.yaml",
            )


def _explain(error: jsonschema.ValidationError) -> InputError:
    """One line for a schema violation: the key, what was found and what is allowed."""
    key = ".".join(map(str, error.absolute_path)) or "(top level)"
    where = f"configuration key {key}"
    remedy = "config/README.md explains every key"
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(allowed))
        return InputError(
            where,
            f"unknown key {', '.join(unknown)}",
            f"Allowed here: {', '.join(allowed)}; {remedy}",
        )
    if error.validator == "required":
        return InputError(where, error.message.replace(" property", " key"), remedy)
    if error.validator == "propertyNames" or "propertyNames" in error.absolute_schema_path:
        allowed = error.schema.get("enum") or [f"names like {error.schema.get('pattern')}"]
        return InputError(
            where, f"unknown key {error.instance}", f"Allowed here: {', '.join(allowed)}; {remedy}"
        )
    if error.validator == "type" and isinstance(error.instance, str) and "e" in error.instance:
        remedy = f"YAML reads 1e-3 as text: write 1.0e-3; {remedy}"
    return InputError(where, error.message, remedy)


def training_runs(config: Config) -> list[Run]:
    """The runs of the main study: data set × model × seed, each under its data set's protocol."""
    return [
        Run(dataset, settings["protocol"], model, seed)
        for dataset, settings in config["datasets"].items()
        for model in settings["models"]
        for seed in config["seeds"]
    ]


def stress_runs(config: Config) -> list[Run]:
    """The runs that are put to the stress test."""
    return [
        Run(dataset, protocol, model, seed)
        for dataset in config["stress"]["datasets"]
        if stress_settings(config, dataset)["corruptions"]
        for protocol, models in [_stressed(config, dataset)]
        for model in models
        for seed in config["seeds"]
    ]


def stress_settings(config: Config, dataset: str) -> dict[str, Any]:
    """What a stress test of a data set must know: rates, draws, seed, and the corruptions that apply to it."""
    settings = {key: config["stress"][key] for key in ("rates", "draws", "mask_seed")}
    return settings | {"corruptions": applying_to(dataset, config["stress"]["corruptions"])}


def _stressed(config: Config, dataset: str) -> tuple[str, list[str]]:
    """Protocol and models of a data set's stress test: its own ones, or those of the main study."""
    stress, main = config["stress"], config["datasets"][dataset]
    if dataset in config["protocols"].get(stress["protocol"], {}):
        return stress["protocol"], stress["models"]
    return main["protocol"], main["models"]


def all_runs(config: Config) -> list[Run]:
    """Every training that the configuration asks for, once each."""
    return list(dict.fromkeys(training_runs(config) + stress_runs(config)))


def runs_by_model(runs: list[Run]) -> list[dict[str, Any]]:
    """The runs as the summary stage reads them: one JSON object per model, with its seeds.

    Short enough for a command line even for a study of thousands of runs.
    """
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for run in runs:
        seeds.setdefault((run.dataset, run.protocol, run.model), []).append(run.seed)
    return [
        {"dataset": dataset, "protocol": protocol, "model": model, "seeds": own}
        for (dataset, protocol, model), own in seeds.items()
    ]


def run_settings(config: Config, run: Run) -> dict[str, Any]:
    """The resolved settings of one run: what its training job gets to know, and nothing else.

    The model's own keys win over the protocol's core settings, and a null takes one back; the data set's
    `training` block wins over the protocol's.

    Returns:
        A dictionary with `architecture` (encoder, core, pooling, head), `training` and `dataset`
        (how the cache was prepared), and `overrides`: what of the protocol's training was changed.

    Raises:
        InputError: the run is of a data set, protocol or model that is not configured.
    """
    if run.dataset not in config["datasets"]:
        raise InputError(
            run.directory,
            f"{run.dataset} is not a configured data set",
            f"Choose among {', '.join(config['datasets'])}",
        )
    _check_names(config, run.directory, run.dataset, run.protocol, [run.model])
    dataset = config["datasets"][run.dataset]
    protocol = config["protocols"][run.protocol][run.dataset]
    model = config["models"][run.model]
    core = {"name": model["core"], **protocol["cores"].get(model["core"], {})}
    core |= {key: value for key, value in model.items() if key not in ("core", "elapsed")}
    core = {key: value for key, value in core.items() if value is not None}
    settings = {
        "dataset": dataset["prepare"],
        "architecture": {
            "encoder": protocol["encoder"],
            "core": core,
            "pooling": protocol["pooling"],
            "head": protocol["head"],
        },
        "training": protocol["training"] | dataset.get("training", {}),
        "overrides": dataset.get("training", {}),
    }
    if model.get("elapsed", "none") != "none":
        settings["architecture"]["elapsed"] = model["elapsed"]
    return copy.deepcopy(settings)


def fetch_options(config: Config, dataset: str) -> dict[str, Any]:
    """What the fetch stage must know of a data set: which files belong to it."""
    prepare = config["datasets"][dataset]["prepare"]
    if dataset == "quickdraw":
        return {"categories": prepare["categories"], "variant": prepare["variant"]}
    if dataset == "physionet":
        return {"hospitals": prepare["hospitals"]}
    return {}


def synthesis_options(config: Config, dataset: str) -> dict[str, Any]:
    """What the generator of a data set must know: its `synthetic` block, and the categories to draw."""
    options = dict(config["datasets"][dataset].get("synthetic", {}))
    if dataset == "quickdraw":
        options["categories"] = config["datasets"][dataset]["prepare"]["categories"]
    return options

"""The configuration: checked against its schema, and turned into the runs that it asks for.

Used by the Snakefile and by tests. Imports yaml, jsonschema and numpy, nothing heavier: a dry run must stay fast.
"""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from liquidbench.errors import InputError
from liquidbench.evaluation.corruptions import CORRUPTIONS, applying_to
from liquidbench.options import options_of

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


def read_schema(schema_path: str | Path) -> dict[str, Any]:
    """The schema of a configuration, completed with the cores and what each can be told.

    A core is known by its line in `CORES` alone; its options are its constructor's. Of an option the schema's
    `core_ranges` may say more.
    """
    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))
    ranges = schema["$defs"]["core_ranges"]
    cores = {
        name: {option: values | ranges.get(option, {}) for option, values in options.items()}
        for name, options in options_of("models/cores.py", "CORES").items()
    }
    schema["$defs"]["protocol"]["properties"]["cores"]["properties"] = {
        name: {"type": "object", "properties": options, "propertyNames": {"enum": [*options]}}
        for name, options in cores.items()
    }
    own = schema["$defs"]["beside_core_options"]["enum"]
    model = schema["$defs"]["model"]
    model["properties"]["core"] = {"enum": [*cores]}
    model["allOf"] = model.get("allOf", []) + [
        {
            "if": {"required": ["core"], "properties": {"core": {"const": name}}},
            "then": {"properties": options, "propertyNames": {"enum": [*own, *options]}},
        }
        for name, options in cores.items()
    ]
    return schema


def check(config: Config, schema_path: str | Path) -> None:
    """Check a configuration against the schema, and that its names refer to something.

    Raises:
        InputError: names the key, its value and what is allowed.
    """
    validator = jsonschema.Draft202012Validator(read_schema(schema_path))
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))
    if errors:
        raise _explain(jsonschema.exceptions.best_match(errors))
    _check_matches(config["models"])
    for dataset, settings in config["datasets"].items():
        key = f"datasets.{dataset}"
        _check_names(config, key, dataset, settings["protocol"], settings["models"])
        for place, further in enumerate(settings.get("further_protocols", [])):
            own = f"{key}.further_protocols.{place}"
            _check_names(config, own, dataset, further["protocol"], further["models"])
    for run in training_runs(config):
        _check_sepsis(config, run)
    stress = config["stress"]
    if stress["protocol"] not in config["protocols"]:
        raise InputError(
            "configuration key stress.protocol",
            f"no protocol {stress['protocol']!r}",
            f"Choose one of {', '.join(sorted(config['protocols']))}, or add it to config/protocols.yaml",
        )
    for model in stress["models"]:
        if is_baseline(config, model):
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
        protocol, models = _stressed(config, dataset)
        _check_names(config, "stress", dataset, protocol, models)
        for model in models:
            if _training(config, dataset, protocol, model).get("level") == "hour":
                raise InputError(
                    "configuration key stress.datasets",
                    f"protocol {protocol} tells {dataset} by the hour: an hour that is lost has no answer to compare",
                    "Take the data set from the list, or stress a protocol that tells it by the stay",
                )
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
    imputation = _training(config, dataset, protocol, model).get("imputation")
    if core == "gru_d" and (dataset, imputation) != ("physionet", "none_with_mask"):
        raise InputError(
            f"configuration key {key}",
            f"model {model} reads which values were measured, and {dataset} under {protocol} does not tell it",
            "Name it for physionet alone, and give it `training: {imputation: none_with_mask}`",
        )
    if "match" in entry:
        _check_model(config, f"models.{model}.match", dataset, protocol, entry["match"])


def _check_matches(models: dict[str, dict[str, Any]]) -> None:
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


# What only the sepsis data can be trained with: patients, hours with labels, hospitals.
_OF_SEPSIS = ("level", "hospitals", "validation_fraction", "threshold")


def _check_sepsis(config: Config, run: Run) -> None:
    """Refuse settings of the sepsis task that contradict each other, or that stand with other data."""
    settings = run_settings(config, run)
    training = _training(config, run.dataset, run.protocol, run.model)

    def refuse(name: str, problem: str, remedy: str) -> None:
        of_protocol = f"protocols.{run.protocol}.{run.dataset}"
        block = f"datasets.{run.dataset}" if name in settings["overrides"] else of_protocol
        raise InputError(f"configuration key {block}.training.{name}", problem, remedy)

    if run.dataset != "physionet":
        for name in _OF_SEPSIS:
            if name in training:
                refuse(name, f"{run.dataset} has no such setting", "Take it away")
        return
    hourly = training.get("level") == "hour"
    if "baseline" in settings:
        for name in ("level", "validation_fraction", "hospitals"):
            if training.get(name, "patient") != "patient":
                refuse(
                    name,
                    f"is {training[name]}, and the model {run.model} is a baseline, fitted to whole stays",
                    "Take the model from this protocol's list",
                )
        return
    core = settings["architecture"]["core"]
    if hourly != (settings["architecture"]["pooling"] == "none"):
        refuse(
            "level",
            f"is {training.get('level', 'patient')}, and pooling is {settings['architecture']['pooling']}",
            "Take pooling none by the hour, and mean or last by the patient",
        )
    if hourly and core.get("bidirectional"):
        refuse(
            "level",
            f"is hour, and the core of the model {run.model} is bidirectional",
            "Take a model that reads forward alone: no hour may see a later one",
        )
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
    if error.validator == "type" and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", str(error.instance)):
        remedy = f"YAML reads 1e-3 as text: write 1.0e-3; {remedy}"
    return InputError(where, error.message, remedy)


def training_runs(config: Config) -> list[Run]:
    """The runs of the main study: data set × model × seed, under its data set's protocol, then the further ones."""
    return [
        Run(dataset, block["protocol"], model, seed)
        for dataset, settings in config["datasets"].items()
        for block in (settings, *settings.get("further_protocols", []))
        for model in block["models"]
        for seed in config["seeds"]
    ]


def hourly_protocols(config: Config) -> list[str]:
    """The protocols under which sepsis is told by the hour, and not once for the whole stay, as the paper does."""
    runs = [run for run in training_runs(config) if run.dataset == "physionet"]
    hourly = [run for run in runs if run_settings(config, run)["training"].get("level") == "hour"]
    return list(dict.fromkeys(run.protocol for run in hourly))


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
    # A baseline reads no steps that could be taken away.
    return main["protocol"], [name for name in main["models"] if not is_baseline(config, name)]


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


def is_baseline(config: Config, model: str) -> bool:
    """Whether a model has no core: it is fitted to summaries and not trained in epochs."""
    return "baseline" in config["models"].get(model, {})


def run_settings(config: Config, run: Run) -> dict[str, Any]:
    """The resolved settings of one run: what its training job gets to know, and nothing else.

    The model's own keys win over the protocol's core settings, and a null takes one back; the model's `training`
    wins over the data set's, and this over the protocol's.

    Returns:
        A dictionary with `architecture` (encoder, core, pooling, head), `training` and `dataset`
        (how the cache was prepared), and `overrides`: what of the protocol's training is another here. A model with
        `match` has `match` too: the name of the other `model`, its `architecture` and, if it has any, its
        `imputation`; the core's own `units` are not there. A baseline has `baseline` in place of `architecture`.

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
    training = _training(config, run.dataset, run.protocol, run.model)
    protocol = config["protocols"][run.protocol][run.dataset]["training"]
    model = config["models"][run.model]
    settings: dict[str, Any] = {"dataset": config["datasets"][run.dataset]["prepare"]}
    if "baseline" in model:
        training = {key: training[key] for key in _BASELINE_TRAINING}
        options = {key: value for key, value in model.items() if key != "baseline"}
        settings["baseline"] = {"name": model["baseline"], "length_of_stay": False, **options}
    else:
        settings["architecture"] = _architecture(config, run.dataset, run.protocol, run.model)
    if "match" in model:
        other = model["match"]
        settings["architecture"]["core"].pop("units", None)
        settings["match"] = {
            "model": other,
            "architecture": _architecture(config, run.dataset, run.protocol, other),
        }
        imputation = _training(config, run.dataset, run.protocol, other).get("imputation")
        if imputation is not None:
            settings["match"]["imputation"] = imputation
    settings["training"] = training
    settings["overrides"] = {
        key: value
        for key, value in training.items()
        if key not in protocol or protocol[key] != value
    }
    return copy.deepcopy(settings)


# What of a protocol's training concerns a baseline: which examples, and from which probability on it says yes.
_BASELINE_TRAINING = ("test_fraction", "stratify", "threshold")


def _training(config: Config, dataset: str, protocol: str, model: str) -> dict[str, Any]:
    """The protocol's training, with what the data set and then the model say otherwise."""
    return (
        config["protocols"][protocol][dataset]["training"]
        | config["datasets"][dataset].get("training", {})
        | config["models"][model].get("training", {})
    )


def _architecture(config: Config, dataset: str, protocol: str, model: str) -> dict[str, Any]:
    """Encoder, core, pooling and head of a model that has a core."""
    block = config["protocols"][protocol][dataset]
    entry = config["models"][model]
    core = {"name": entry["core"], **block["cores"].get(entry["core"], {})}
    if entry.get("wiring") is not None:
        # A wired core has no backbone: what the protocol says of one is not for it.
        core = {key: value for key, value in core.items() if not key.startswith("backbone_")}
    core |= {key: value for key, value in entry.items() if key not in _ABOUT_THE_MODEL}
    elapsed = {} if entry.get("elapsed", "none") == "none" else {"elapsed": entry["elapsed"]}
    return {
        "encoder": block["encoder"],
        "core": {key: value for key, value in core.items() if value is not None},
        "pooling": block["pooling"],
        "head": block["head"],
        **elapsed,
    }


# Keys of a model that are no options of its core.
_ABOUT_THE_MODEL = ("core", "elapsed", "training", "match")


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

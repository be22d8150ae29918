"""The configuration: checked against its schema, and turned into the runs that it asks for.

Used by the Snakefile and by tests. Imports yaml and jsonschema, nothing heavy: a dry run must stay fast.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from liquidbench.errors import InputError
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
    for dataset, settings in config["datasets"].items():
        _check_names(
            config, f"datasets.{dataset}", dataset, settings["protocol"], settings["models"]
        )
    for dataset in config["stress"]["datasets"]:
        if dataset not in config["datasets"]:
            raise InputError(
                "configuration key stress.datasets",
                f"{dataset} is not among the configured data sets",
                f"Add a block datasets.{dataset} or take it from the list",
            )
        stress = config["stress"]
        _check_names(config, "stress", dataset, stress["protocol"], stress["models"])


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
    """The runs of the stress test's own models."""
    stress = config["stress"]
    return [
        Run(dataset, stress["protocol"], model, seed)
        for dataset in stress["datasets"]
        for model in stress["models"]
        for seed in config["seeds"]
    ]


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
    core |= {key: value for key, value in model.items() if key != "core"}
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

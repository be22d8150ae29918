"""The configuration: checked against its schema, and turned into the runs that it asks for.

Used by the Snakefile and by tests. Imports yaml, jsonschema and numpy, nothing heavier: a dry run must stay fast.
"""

import copy
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from liquidbench.configuration_checks import (
    Config,
    check_corruptions,
    check_matches,
    check_names,
    check_sepsis,
    check_stress,
    check_stressed,
    training_of,
)
from liquidbench.errors import InputError
from liquidbench.evaluation.corruptions import CORRUPTIONS, applying_to
from liquidbench.options import options_of


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


def leave_out_unstudied(config: Config, schema_path: str | Path) -> None:
    """Take data sets that are null out of a configuration, and out of its stress test; changes it in place.

    So a further file can leave a data set out: merged, a key can be replaced but not taken away. What the schema does
    not know, or is of another kind than it says, stays for `check` to refuse.
    """
    datasets, stress = config.get("datasets"), config.get("stress")
    if not isinstance(datasets, dict) or None not in datasets.values():
        return
    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))["properties"]
    known = schema["datasets"]["properties"]
    gone = {name for name in known if name in datasets and datasets[name] is None}
    lists = isinstance(stress, dict) and all(
        isinstance(stress.get(name), list) for name in ("datasets", "corruptions")
    )
    if not gone or not lists:
        return
    for name in gone:
        del datasets[name]
    stress["datasets"] = [name for name in stress["datasets"] if name not in gone]

    def stays(corruption: str) -> bool:
        applies = set(CORRUPTIONS[corruption].datasets) if corruption in CORRUPTIONS else set()
        return not applies & gone or bool(applies & set(stress["datasets"]))

    stress["corruptions"] = [name for name in stress["corruptions"] if stays(name)]


def check(config: Config, schema_path: str | Path) -> None:
    """Check a configuration against the schema, and that its names refer to something.

    Raises:
        InputError: names the key, its value and what is allowed.
    """
    validator = jsonschema.Draft202012Validator(read_schema(schema_path))
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))
    if errors:
        raise _explain(jsonschema.exceptions.best_match(errors))
    check_matches(config["models"])
    for dataset, settings in config["datasets"].items():
        key = f"datasets.{dataset}"
        check_names(config, key, dataset, settings["protocol"], settings["models"])
        for place, further in enumerate(settings.get("further_protocols", [])):
            own = f"{key}.further_protocols.{place}"
            check_names(config, own, dataset, further["protocol"], further["models"])
    for run in of_one_seed(training_runs(config)):
        check_sepsis(config, run.dataset, run.protocol, run.model, run_settings(config, run))
    check_stress(config)
    for dataset in config["stress"]["datasets"]:
        for run in of_one_seed(_stressed(config, dataset)):
            check_stressed(config, dataset, run.protocol, run.model)
    check_corruptions(config["stress"])


def _explain(error: jsonschema.ValidationError) -> InputError:
    """One line for a schema violation: the key, what was found and what is allowed."""
    key = ".".join(map(str, error.absolute_path)) or "(top level)"
    where = f"configuration key {key}"
    remedy = "config/README.md explains every key"
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(allowed))
        told = f"unknown key {', '.join(unknown)}"
        return InputError(where, told, f"{_nearest(unknown, allowed)}; {remedy}")
    if error.validator == "required":
        return InputError(where, error.message.replace(" property", " key"), remedy)
    if error.validator == "propertyNames" or "propertyNames" in error.absolute_schema_path:
        allowed = error.schema.get("enum") or [f"names like {error.schema.get('pattern')}"]
        told = f"unknown key {error.instance}"
        return InputError(where, told, f"{_nearest([error.instance], allowed)}; {remedy}")
    if error.validator == "type" and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", str(error.instance)):
        remedy = f"YAML reads 1e-3 as text: write 1.0e-3; {remedy}"
    return InputError(where, error.message, remedy)


def _nearest(unknown: list[str], allowed: list[str]) -> str:
    """The keys that are allowed, after those that were probably meant."""
    meant = [match for name in unknown for match in get_close_matches(str(name), allowed, n=1)]
    question = f"Did you mean {', '.join(meant)}? " if meant else ""
    return f"{question}Allowed here: {', '.join(allowed)}"


def training_runs(config: Config) -> list[Run]:
    """The runs of the main study: data set × model × seed, under its data set's protocol, then the further ones."""
    return [
        Run(dataset, block["protocol"], model, seed)
        for dataset, settings in config["datasets"].items()
        for block in (settings, *settings.get("further_protocols", []))
        for model in block["models"]
        for seed in seeds_of(config, dataset, block)
    ]


def seeds_of(config: Config, dataset: str, block: dict[str, Any] | None = None) -> list[int]:
    """The seeds of a data set, or of a block of it that has its own; else those of the study."""
    settings = config["datasets"][dataset]
    return (block or {}).get("seeds") or settings.get("seeds") or config["seeds"]


def of_one_seed(runs: list[Run]) -> list[Run]:
    """The first run of each data set, protocol and model: all that differs between seeds is the seed."""
    first: dict[tuple[str, str, str], Run] = {}
    for run in runs:
        first.setdefault((run.dataset, run.protocol, run.model), run)
    return list(first.values())


def hourly_protocols(config: Config) -> list[str]:
    """The protocols under which sepsis is told by the hour, and not once for the whole stay, as the paper does."""
    runs = [run for run in of_one_seed(training_runs(config)) if run.dataset == "physionet"]
    hourly = [run for run in runs if run_settings(config, run)["training"].get("level") == "hour"]
    return list(dict.fromkeys(run.protocol for run in hourly))


def stress_runs(config: Config) -> list[Run]:
    """The runs that are put to the stress test."""
    return [
        run
        for dataset in config["stress"]["datasets"]
        if stress_settings(config, dataset)["corruptions"]
        for run in _stressed(config, dataset)
    ]


def stress_settings(config: Config, dataset: str) -> dict[str, Any]:
    """What a stress test of a data set must know: rates, draws, seed, and the corruptions that apply to it."""
    settings = {key: config["stress"][key] for key in ("rates", "draws", "mask_seed")}
    return settings | {"corruptions": applying_to(dataset, config["stress"]["corruptions"])}


def _stressed(config: Config, dataset: str) -> list[Run]:
    """A data set's runs in the stress test: its own ones, or all of the main study under its main protocol."""
    protocol, studied = config["stress"]["protocol"], dict.fromkeys(training_runs(config))
    if dataset not in config["protocols"].get(protocol, {}):
        main = dataset, config["datasets"][dataset]["protocol"]
        # A baseline reads no steps that could be taken away.
        return [
            run
            for run in studied
            if (run.dataset, run.protocol) == main and not is_baseline(config, run.model)
        ]
    runs = []
    for model in config["stress"]["models"]:
        # With the seeds that the study trains it with anyway, if it does.
        own = [
            run
            for run in studied
            if (run.dataset, run.protocol, run.model) == (dataset, protocol, model)
        ]
        runs += own or [Run(dataset, protocol, model, seed) for seed in seeds_of(config, dataset)]
    return runs


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
    check_names(config, run.directory, run.dataset, run.protocol, [run.model])
    training = training_of(config, run.dataset, run.protocol, run.model)
    protocol = config["protocols"][run.protocol][run.dataset]["training"]
    model = config["models"][run.model]
    settings: dict[str, Any] = {"dataset": config["datasets"][run.dataset]["prepare"]}
    if "baseline" in model:
        training = {key: training[key] for key in _BASELINE_TRAINING if key in training}
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
        imputation = training_of(config, run.dataset, run.protocol, other).get("imputation")
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
_BASELINE_TRAINING = ("test_fraction", "stratify", "validation_fraction", "threshold")


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

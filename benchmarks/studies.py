"""The four data sets as a study would have them: settings from a checkout's configuration, caches by its own code.

Everything that another commit's code does runs in a process of its own, from that commit's folder.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
DATASETS = ("nmnist", "quickdraw", "iam", "physionet")

# Settings of preparations, or of generators, by data set.
Sizes = dict[str, dict[str, Any]]

# Enough for a few batches of each protocol. A step of the line reader takes seconds on a processor.
LIMITS: Sizes = {
    "nmnist": {"limit_train": 320, "limit_test": 50},
    "quickdraw": {"per_category": 200},
    "iam": {"limit_train": 16, "limit_test": 10},
    "physionet": {"limit_patients": 800},
}
QUICK_LIMITS: Sizes = {
    "nmnist": {"limit_train": 64, "limit_test": 20},
    "quickdraw": {"per_category": 30},
    "iam": {"limit_train": 10, "limit_test": 10},
    "physionet": {"limit_patients": 100},
}
SYNTHETIC: Sizes = {
    "nmnist": {"train": 320, "test": 50},
    "quickdraw": {"per_category": 200},
    "iam": {"train": 16, "validation": 10, "test": 10, "sentences": True},
    "physionet": {"patients": 800},
}

# Reads a checkout's configuration with the checkout's own code. Arguments: its folder, overlays' names, changes.
_RESOLVE = """
import json, sys
from pathlib import Path
folder, overlays, changes = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
sys.path.insert(0, str(Path(folder, "workflow", "scripts")))
import yaml
from snakemake.utils import update_config
from liquidbench import configuration
config = {}
for name in ("config", "protocols", *overlays):
    update_config(config, yaml.safe_load(Path(folder, "config", name + ".yaml").read_text()))
update_config(config, changes)
resolved = {}
for dataset, block in config["datasets"].items():
    models = {config["models"][name]["core"]: name for name in reversed(block["models"])}
    runs = {
        core: configuration.Run(dataset, block["protocol"], name, 0)
        for core, name in models.items()
        if core in ("lstm", "cfc")
    }
    resolved[dataset] = {
        "protocol": block["protocol"],
        "prepare": block["prepare"],
        "fetch": configuration.fetch_options(config, dataset),
        "synthesis": configuration.synthesis_options(config, dataset),
        "models": {core: run.model for core, run in runs.items()},
        "settings": {core: configuration.run_settings(config, run) for core, run in runs.items()},
    }
print(json.dumps(resolved))
"""


@dataclass(frozen=True)
class Study:
    """A checkout's data sets and models.

    Attributes:
        checkout: folder of the project whose code and configuration count.
        mirror: folder with raw files; None: synthetic ones.
        work: folder to write into.
        resolved: by data set: `protocol`, `prepare`, and by core (`lstm`, `cfc`) `models` and `settings`.
    """

    checkout: Path
    mirror: Path | None
    work: Path
    resolved: dict[str, Any]

    def manifest(self, dataset: str) -> Path:
        """The manifest of the data set's raw files: the mirror's, or synthetic ones made by the checkout's code.

        Raises:
            subprocess.CalledProcessError: a stage failed; it has said why.
        """
        block, manifest = self.resolved[dataset], self.work / dataset / "manifest.json"
        if manifest.exists():
            return manifest
        if self.mirror is None:
            options = json.dumps(block["synthesis"])
            self.script("synthesise", "--dataset", dataset, "--options", options, "--out", manifest)
        else:
            self.script(
                *("fetch", "--dataset", dataset, "--source", "mirror", "--mirror", self.mirror),
                *("--options", json.dumps(block["fetch"]), "--out", manifest),
                *("--sources", self.checkout / "resources/sources.yaml"),
            )
        return manifest

    def cache(self, dataset: str) -> Path:
        """The data set's cache, made by the checkout's code if it is not there.

        Raises:
            subprocess.CalledProcessError: a stage failed; it has said why.
        """
        folder = self.work / dataset
        cache = folder / "cache.h5"
        if cache.exists():
            return cache
        settings = json.dumps(self.resolved[dataset]["prepare"])
        self.script(
            *("prepare", "--dataset", dataset, "--manifest", self.manifest(dataset)),
            *("--cache", cache, "--settings", settings, "--threads", 1),
            *("--examples", folder / "examples.npz"),
        )
        return cache

    def train(self, dataset: str, core: str, threads: int) -> dict[str, Any]:
        """Train a model for one epoch as a job of the study would; gives the run's `provenance.json`."""
        settings = self.resolved[dataset]["settings"][core]
        settings = settings | {"training": settings["training"] | {"epochs": 1}}
        out = self.work / dataset / core
        self.script(
            *("train", "--cache", self.cache(dataset), "--dataset", dataset, "--seed", 0),
            *("--protocol", self.resolved[dataset]["protocol"], "--device", "cpu"),
            *("--model", self.resolved[dataset]["models"][core], "--threads", threads),
            *("--settings", json.dumps(settings), "--out", out),
            threads=threads,
        )
        return json.loads((out / "provenance.json").read_text(encoding="utf-8"))

    def script(self, name: str, *arguments: Any, threads: int = 1) -> None:
        """Run one of the checkout's programs, with the threads in the environment that Snakemake puts there."""
        command = [sys.executable, self.checkout / "workflow/scripts" / f"{name}.py", *arguments]
        counts = dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)
        )
        subprocess.run(
            [str(part) for part in command],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | counts,
        )


def open_study(
    checkout: Path,
    mirror: Path | None,
    work: Path,
    limits: Sizes = LIMITS,
    synthetic: Sizes = SYNTHETIC,
    protocols: dict[str, str] | None = None,
) -> Study:
    """Resolve a checkout's configuration, with small data.

    Args:
        checkout: the project's folder, of whatever commit.
        mirror: as `Study.mirror`; then `config/mirror.yaml` counts too, with its protocols and categories.
        work: folder to write into.
        limits: settings of the preparations that keep them small.
        synthetic: settings of the generators, where there is no mirror.
        protocols: by data set, instead of the configuration's.
    """
    datasets: Sizes = {name: {"prepare": limits[name]} for name in DATASETS}
    for name, protocol in (protocols or {}).items():
        datasets[name]["protocol"] = protocol
    if mirror is None:
        for name in DATASETS:
            datasets[name] |= {"source": "synthetic", "synthetic": synthetic[name]}
    changes = {"datasets": datasets}
    overlays = json.dumps([] if mirror is None else ["mirror"])
    command = [sys.executable, "-c", _RESOLVE, str(checkout), overlays, json.dumps(changes)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Study(checkout, mirror, work, json.loads(result.stdout))


def add_mirror_option(parser: argparse.ArgumentParser) -> None:
    """The option `--mirror` of every benchmark that reads files: a folder, else the variable, else None."""
    parser.add_argument(
        "--mirror",
        type=Path,
        default=os.environ.get("LIQUIDBENCH_MIRROR") or None,
        help="folder with raw files (the variable LIQUIDBENCH_MIRROR; none: synthetic data)",
    )


def source_of(mirror: Path | None) -> str:
    """How a table says what was measured on."""
    return "synthetic files" if mirror is None else "real files"

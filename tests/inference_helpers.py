"""Small studies on synthetic raw files, and the raw files of their test examples as a user has new ones."""

import json
import zipfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import torch

from liquidbench.datasets.manifest import read_manifest
from liquidbench.datasets.preparation import read_settings
from liquidbench.datasets.synthetic.raw_files import write_manifest
from liquidbench.training.run import RunRequest, train_run

CPU = torch.device("cpu")
# In plain PyTorch: other code would have to be built first.
PLAIN = "portable"

SYNTHETIC = {
    "nmnist": {"train": 30, "test": 20},
    "quickdraw": {"categories": ["bed", "apple", "bee"], "per_category": 16},
    "iam": {"train": 8, "validation": 2, "test": 5, "vocabulary": 4},
    "physionet": {"patients": 48, "septic_fraction": 0.3},
}
PREPARATION = {
    "nmnist": {"bins": 4},
    # Most drawings are cut, and a few left out.
    "quickdraw": {"categories": ["bed", "apple", "bee"], "maximum_points": 20},
    "iam": {"height": 16, "width": 64},
    "physionet": {"hospitals": ["a"]},
}
ENCODERS = {
    "nmnist": {"name": "frame_cnn", "channels": [2, 3]},
    "quickdraw": {"name": "projection", "units": 6},
    "iam": {"name": "resnet6", "channels": [2, 2, 3, 4]},
    "physionet": {"name": "identity"},
}
POOLINGS = {"nmnist": "mean", "quickdraw": "mean", "iam": "none", "physionet": "last"}
TRAINING = {
    "epochs": 1,
    "batch_size": 5,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "schedule": {"name": "constant"},
    "gradient_clip": 1.0,
    "test_fraction": 0.25,
    "stratify": False,
    "recognized_only": True,
    "threshold": 0.3,
}


@dataclass(frozen=True)
class Study:
    """A prepared data set.

    Attributes:
        dataset: its name.
        files: role to raw file.
        settings: of the preparation, whole.
        cache: the cache.
    """

    dataset: str
    files: dict[str, Path]
    settings: dict
    cache: Path


def make_study(folder: Path, dataset: str) -> Study:
    """Synthetic raw files of a data set, prepared."""
    generator = import_module(f"liquidbench.datasets.synthetic.{dataset}")
    files = generator.synthesise(SYNTHETIC[dataset], folder / "raw")
    write_manifest(folder / "manifest.json", dataset, files)
    module = import_module(f"liquidbench.datasets.{dataset}")
    settings = read_settings(module.Settings, PREPARATION[dataset])
    cache = folder / "cache.h5"
    module.prepare(read_manifest(folder / "manifest.json", dataset), settings, cache, 1)
    kept = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(settings).items()
    }
    return Study(dataset, files, kept, cache)


def trained(study: Study, out: Path, core: dict, training: dict | None = None, **architecture):
    """A run directory: one epoch of a small model."""
    dataset = study.dataset
    settings = {
        "architecture": {
            "encoder": ENCODERS[dataset],
            "core": core,
            "pooling": POOLINGS[dataset],
            "head": {"name": "linear"},
        }
        | architecture,
        "training": TRAINING | (training or {}),
        "dataset": study.settings,
    }
    request = RunRequest(dataset, "own", "small", 0, settings, study.cache)
    implementation = PLAIN if core["name"] == "cfc" else "auto"
    train_run(request, out, CPU, threads=1, core_implementation=implementation)
    return out


def own_predictions(run: Path) -> pd.DataFrame:
    """What the run itself said of its test split."""
    return pd.read_csv(run / "predictions.csv", dtype={"id": str}, keep_default_na=False)


def raw_test_files(study: Study, run: Path, folder: Path) -> dict[str, Path]:
    """The raw files of a run's test examples, in the order of its predictions: the run's id to the file.

    All drawings of a category are in one file.
    """
    folder.mkdir()
    ids = own_predictions(run)["id"].drop_duplicates().tolist()
    if study.dataset == "quickdraw":
        return _drawings(study, ids, folder)
    if study.dataset == "iam":
        table = pq.read_table(study.files["test"]).to_pylist()
        contents = {row["image"]["path"]: row["image"]["bytes"] for row in table}
    else:
        contents = {}
        role = "test" if study.dataset == "nmnist" else "set_a"
        with zipfile.ZipFile(study.files[role]) as archive:
            for name in archive.namelist():
                stem = Path(name).stem
                own = f"test/{Path(name).parent.name}/{stem}" if role == "test" else stem
                contents[own] = archive.read(name)
    suffix = {"nmnist": ".bin", "iam": "", "physionet": ".psv"}[study.dataset]
    found = {name: folder / (name.replace("/", "_") + suffix) for name in ids}
    for name, path in found.items():
        path.write_bytes(contents[name])
    return found


def _drawings(study: Study, ids: list[str], folder: Path) -> dict[str, Path]:
    found = {}
    for category in study.settings["categories"]:
        lines = study.files[category].read_text(encoding="utf-8").splitlines()
        named = {json.loads(line)["key_id"]: line for line in lines}
        own = [name for name in ids if name in named]
        path = folder / f"{category}.ndjson"
        path.write_text("".join(named[name] + "\n" for name in own), encoding="utf-8")
        found |= dict.fromkeys(own, path)
    return found

"""docs/extending.md, done as it says, in a copy of the project."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from documentation_helpers import blocks, extended_project, section
from liquidbench import configuration
from liquidbench.datasets.cache import CacheAttributes, CacheWriter, Sequences, offsets_of
from liquidbench.errors import InputError
from workflow_helpers import PROJECT

PAGE = "docs/extending.md"
SCHEMA = PROJECT / "workflow/schemas/config.schema.yaml"


def python(project: Path, *arguments: str) -> str:
    """Run Python with the copy's library; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project / "workflow/scripts",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def study(*changes: str) -> dict:
    """The shipped study with blocks of the page merged into it."""
    config: dict = {}
    for name in ("config", "protocols"):
        update_config(config, yaml.safe_load((PROJECT / f"config/{name}.yaml").read_text()))
    for change in changes:
        update_config(config, yaml.safe_load(change))
    return config


# What the copy's own checks say of a configuration.
CHECK = """
import json, sys
from liquidbench import configuration
from liquidbench.errors import InputError
try:
    configuration.check(json.loads(sys.argv[1]), "../schemas/config.schema.yaml")
except InputError as error:
    print(error)
"""

# With a drive that stays the same, time passes in one step as in three.
STEPS_AND_TIME = """
import torch
from liquidbench.models.leaky import LeakyCore
core = LeakyCore(2, 5, slowest=20.0)
x = torch.tensor([0.3, -1.0])
three = core(x.expand(1, 3, 2), torch.tensor([[1.0, 0.5, 2.5]]), None)
one = core(x.expand(1, 1, 2), torch.tensor([[4.0]]), None)
plain = core(x.expand(1, 4, 2), None, None)
torch.testing.assert_close(three[:, -1], one[:, -1])
torch.testing.assert_close(plain[:, -1], one[:, -1])
constants = torch.exp(core.log_constants)
assert torch.allclose(constants[[0, -1]], torch.tensor([1.0, 20.0]))
"""


# Three of ten steps are missing, and one of four: 0.3 x 4 is nearest to 1. Of each, one stays at the highest rate.
LATE_STARTS = """
import numpy as np
from liquidbench.datasets.cache import Sequences
from liquidbench.evaluation.corruptions import kept_steps
from liquidbench.evaluation.removal import without_steps
both = Sequences(
    inputs=np.arange(14, dtype=np.float32)[:, None], elapsed=np.ones(14, np.float32),
    offsets=np.array([0, 10, 14]), targets=np.zeros(2, np.int64), ids=np.array(["a", "b"]),
)
kept = kept_steps("late_start", both, 0.3, 0, 7)
assert np.flatnonzero(~kept).tolist() == [0, 1, 2, 10]
shorter = without_steps(both, kept, "nmnist", 1.0)
assert shorter.lengths.tolist() == [7, 3]
# Nothing was recorded before the first kept step: it counts as a first one.
assert shorter.elapsed.tolist() == [1] * 10
assert np.flatnonzero(kept_steps("late_start", both, 1.0, 0, 7)).tolist() == [9, 13]
assert kept_steps("late_start", both, 0.0, 0, 7).all()
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy with the page's core and its corruption in it."""
    return extended_project(tmp_path_factory.mktemp("project"))


def drawings(categories: int) -> Sequences:
    """A few random drawings of each class, with a hint of it."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(6, 12, 8 * categories)
    targets = np.arange(len(lengths)) % categories
    steps = generator.random((lengths.sum(), 5), dtype=np.float32)
    steps[:, 0] += np.repeat(targets, lengths)
    return Sequences(
        inputs=steps,
        elapsed=np.ones(len(steps), dtype=np.float32),
        offsets=offsets_of(lengths.tolist()),
        targets=targets.astype(np.int64),
        ids=np.array([f"d{number}" for number in range(len(lengths))]),
        recognized=np.ones(len(lengths), dtype=np.uint8),
    )


def write_cache(path: Path, prepared: dict) -> None:
    """A cache of QuickDraw as the study's settings would have prepared it."""
    names = tuple(prepared["categories"])
    attributes = CacheAttributes(
        dataset="quickdraw",
        source="synthetic",
        synthetic=True,
        task="classification",
        elapsed_unit="points",
        feature_names=("x", "y", "dx", "dy", "pen_up"),
        classes=names,
        settings=prepared,
        raw_sha256={},
        code_sha256="0" * 64,
    )
    with CacheWriter(path, attributes) as writer:
        writer.append("all", drawings(len(names)))


def test_every_example_of_configuration_that_needs_no_new_class_is_valid():
    for title in ("A seed", "A model of a core that exists", "A protocol"):
        (example,) = blocks(section(PAGE, title), "yaml")
        configuration.check(study(example), SCHEMA)


def test_a_core_is_one_class_and_one_line(extended):
    (example,) = blocks(section(PAGE, "A core, worked through"), "yaml")
    python(extended, "-c", STEPS_AND_TIME)
    config = study(example)
    assert python(extended, "-c", CHECK, json.dumps(config)) == ""
    # It does not exist where the line is not.
    with pytest.raises(InputError, match=r"models\.leaky\.core: 'leaky' is not one of"):
        configuration.check(config, SCHEMA)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"slow": 20.0}, "unknown key slow. Did you mean slowest? Allowed here: core, "),
        ({"layers": 2}, "models.leaky: unknown key layers. Allowed here: core, "),
        ({"slowest": "20"}, "models.leaky.slowest: '20' is not of type 'number', 'null'"),
        ({"units": 0}, "models.leaky.units: 0 is less than the minimum of 1"),
    ],
)
def test_a_wrong_option_of_the_new_core_is_refused_by_name(extended, options, told):
    config = study() | {"models": {**study()["models"], "leaky": {"core": "leaky"} | options}}
    said = python(extended, "-c", CHECK, json.dumps(config))
    assert told in said
    assert ("units, slowest" in said) == ("unknown key" in told)


@pytest.fixture(scope="module")
def trained(extended, tmp_path_factory) -> Path:
    """A folder with a cache, and a run of the new core that was trained on it for an epoch."""
    folder = tmp_path_factory.mktemp("trained")
    (example,) = blocks(section(PAGE, "A core, worked through"), "yaml")
    # The settings as the rule hands them over.
    run = configuration.Run("quickdraw", "released", "leaky", 0)
    settings = configuration.run_settings(study(example), run)
    settings["training"]["epochs"] = 1
    write_cache(folder / "cache.h5", settings["dataset"])
    command = ["train.py", "--cache", str(folder / "cache.h5"), "--dataset", "quickdraw"]
    command += ["--protocol", "released", "--model", "leaky", "--seed", "0", "--device", "cpu"]
    python(extended, *command, "--settings", json.dumps(settings), "--out", str(folder / "run"))
    return folder


def test_the_new_core_trains(trained):
    metrics = json.loads((trained / "run/metrics.json").read_text())
    # Weights and biases of the drive, and the time constants: 128 features come from the encoder.
    assert metrics["parameters"]["core"] == 128 * 64 + 64 + 64
    assert metrics["core_implementation"] == "own, a loop"
    assert np.isfinite(metrics["test"]["loss"])


def test_a_corruption_is_one_class_and_one_line(extended):
    (example,) = blocks(section(PAGE, "A corruption, worked through"), "yaml")
    python(extended, "-c", LATE_STARTS)
    config = study(example)
    assert python(extended, "-c", CHECK, json.dumps(config)) == ""
    # It does not exist where the line is not.
    with pytest.raises(InputError, match="no corruption 'late_start'"):
        configuration.check(config, SCHEMA)


def test_the_new_corruption_is_put_to_a_trained_model(extended, trained):
    settings = {"corruptions": ["late_start"], "rates": [0.0, 0.5, 1.0], "draws": 1, "mask_seed": 0}
    command = ["stress.py", "--cache", str(trained / "cache.h5"), "--run", str(trained / "run")]
    command += ["--settings", json.dumps(settings), "--device", "cpu"]
    python(extended, *command, "--out", str(trained / "run/stress.csv"))
    rows = pd.read_csv(trained / "run/stress.csv")
    assert rows[["corruption", "rate"]].to_numpy().tolist() == [
        ["late_start", rate] for rate in settings["rates"]
    ]
    accuracy = json.loads((trained / "run/metrics.json").read_text())["test"]["accuracy"]
    assert rows["value"].iloc[0] == accuracy

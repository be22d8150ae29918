"""docs/extending.md, done as it says, in a copy of the project."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from snakemake.utils import update_config

from liquidbench import configuration
from liquidbench.datasets.cache import CacheAttributes, CacheWriter, Sequences, offsets_of
from workflow_helpers import PROJECT, copy_project

PAGE = (PROJECT / "docs/extending.md").read_text(encoding="utf-8")
LIBRARY = "workflow/scripts/liquidbench"


def section(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def register(path: Path, registry: str, lines: str) -> None:
    """Do what a block of an import and an entry says: each line to its place, and nothing else."""
    text = path.read_text(encoding="utf-8")
    for line in filter(str.strip, lines.splitlines()):
        if line.startswith("from "):
            text = re.sub(
                r"^from liquidbench", f"{line}\n\\g<0>", text, count=1, flags=re.MULTILINE
            )
        else:
            assert re.fullmatch(r'    "\w+": \w+(\(\))?,', line), line
            text, done = re.subn(
                rf"^{registry}\b.*{{\n", f"\\g<0>{line}\n", text, flags=re.MULTILINE
            )
            assert done == 1
    path.write_text(text, encoding="utf-8")


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


@pytest.fixture(scope="module")
def with_core(tmp_path_factory) -> Path:
    """A copy with the page's core in it."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    code, lines = blocks(section("A core, worked through"), "python")
    (project / LIBRARY / "models/leaky.py").write_text(code, encoding="utf-8")
    register(project / LIBRARY / "models/cores.py", "CORES", lines)
    return project


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
        (example,) = blocks(section(title), "yaml")
        configuration.check(study(example), PROJECT / "workflow/schemas/config.schema.yaml")


def test_a_core_is_one_class_and_one_line(with_core):
    (example,) = blocks(section("A core, worked through"), "yaml")
    python(with_core, "-c", STEPS_AND_TIME)
    config = study(example)
    assert python(with_core, "-c", CHECK, json.dumps(config)) == ""
    # It does not exist where the line is not.
    with pytest.raises(
        configuration.InputError, match=r"models\.leaky\.core: 'leaky' is not one of"
    ):
        configuration.check(config, PROJECT / "workflow/schemas/config.schema.yaml")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"slow": 20.0}, "models.leaky: unknown key slow. Allowed here: core, "),
        ({"layers": 2}, "models.leaky: unknown key layers. Allowed here: core, "),
        ({"slowest": "20"}, "models.leaky.slowest: '20' is not of type 'number', 'null'"),
        ({"units": 0}, "models.leaky.units: 0 is less than the minimum of 1"),
    ],
)
def test_a_wrong_option_of_the_new_core_is_refused_by_name(with_core, options, told):
    config = study() | {"models": {**study()["models"], "leaky": {"core": "leaky"} | options}}
    said = python(with_core, "-c", CHECK, json.dumps(config))
    assert told in said
    assert ("units, slowest" in said) == ("unknown key" in told)


def test_the_new_core_trains(with_core, tmp_path):
    (example,) = blocks(section("A core, worked through"), "yaml")
    config = study(example)
    run = configuration.Run("quickdraw", "released", "leaky", 0)
    # The settings as the rule hands them over.
    settings = configuration.run_settings(config, run)
    settings["training"]["epochs"] = 1
    write_cache(tmp_path / "cache.h5", settings["dataset"])
    command = ["train.py", "--cache", str(tmp_path / "cache.h5"), "--dataset", "quickdraw"]
    command += ["--protocol", "released", "--model", "leaky", "--seed", "0", "--device", "cpu"]
    python(with_core, *command, "--settings", json.dumps(settings), "--out", str(tmp_path / "run"))
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    # Weights and biases of the drive, and the time constants: 128 features come from the encoder.
    assert metrics["parameters"]["core"] == 128 * 64 + 64 + 64
    assert metrics["core_implementation"] == "own, a loop"
    assert np.isfinite(metrics["test"]["loss"])

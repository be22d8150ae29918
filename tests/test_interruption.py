"""Trainings that Snakemake stops, repeats and ends; on small synthetic drawings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflow_helpers import PROJECT, copy_project, snakemake

RUN = "demo/results/quickdraw/demo/lstm/seed-0"
SMALL = """
datasets:
  quickdraw:
    synthetic: {per_category: 20}
    training: {epochs: %d}
"""
RESULTS = ("weights.safetensors", "history.csv", "metrics.json", "predictions.csv")


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the project with the cache of a few drawings."""
    folder = copy_project(tmp_path / "project")
    result = train(folder, 3, "demo/results/quickdraw/cache.h5")
    assert result.returncode == 0, result.stdout
    return folder


def train(folder: Path, epochs: int, *targets: str, more: str = "", options=()):
    (folder / "config/small.yaml").write_text(SMALL % epochs + more)
    files = ["--configfile", "config/demo.yaml", "config/small.yaml"]
    return snakemake(folder, "--cores", "1", *files, *options, "--", *targets)


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / RUN / name).read_bytes() for name in RESULTS}


def test_out_of_time_again_and_again_ends_as_if_it_had_not_been(project):
    whole = train(project, 3, f"{RUN}/metrics.json")
    assert whole.returncode == 0, whole.stdout
    expected = results(project)
    for name in RESULTS:
        (project / RUN / name).unlink()
    # Less than an epoch: one is done each time, and three attempts end the run.
    limited = train(
        *(project, 3, f"{RUN}/metrics.json"),
        more="max_minutes: 0.0001\n",
        options=("--retries", "2"),
    )
    assert limited.returncode == 0, limited.stdout
    assert (
        "stopped: " in limited.stdout
        and "going on after epoch 1" in limited.stdout
        and "after epoch 2" in limited.stdout
    )
    assert results(project) == expected
    assert not list((project / RUN).glob("*checkpoint*"))


def test_a_killed_workflow_goes_on_where_its_training_was(project):
    """SIGTERM to Snakemake and all that it started, as a shutdown does it, once a few epochs are kept."""
    (project / "config/small.yaml").write_text(SMALL % 30)
    command = [sys.executable, "-m", "snakemake", "--nocolor", "--cores", "1"]
    command += [
        "--configfile",
        "config/demo.yaml",
        "config/small.yaml",
        "--",
        f"{RUN}/metrics.json",
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        *(command,),
        cwd=project,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    manifest = project / RUN / "checkpoint.json"
    deadline = time.monotonic() + 120
    while not manifest.exists() or json.loads(manifest.read_text())["epoch"] < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    kept = json.loads(manifest.read_text())["epoch"]
    assert 2 <= kept < 30 and not (project / RUN / "metrics.json").exists()
    again = train(project, 30, f"{RUN}/metrics.json")
    assert again.returncode == 0, again.stdout
    assert f"going on after epoch {kept}," in again.stdout
    assert f"epoch {kept:>3} " not in again.stdout
    history = (project / RUN / "history.csv").read_text().splitlines()
    assert len(history) == 31


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf"])
def test_a_time_limit_that_is_none_is_refused(text):
    script = PROJECT / "workflow/scripts/train.py"
    result = subprocess.run(
        [sys.executable, script, "--max-minutes", text], capture_output=True, text=True
    )
    assert result.returncode == 2 and "--max-minutes" in result.stderr

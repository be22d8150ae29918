"""Faults that a study meets: a cache that rots, a second start in the same folder."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from liquidbench.datasets.checksum import verified_sha256
from workflow_helpers import copy_project, job_counts, snakemake

SMALL = """
datasets:
  quickdraw:
    models: [lstm]
    synthetic: {per_category: 10}
    training: {epochs: 1}
stress: {datasets: []}
"""
CACHE = "demo/results/quickdraw/cache.h5"
METRICS = "demo/results/quickdraw/demo/lstm/seed-0/metrics.json"
OPTIONS = ("--cores", "1", "--configfile", "config/demo.yaml", "overlay.yaml")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    (folder / "overlay.yaml").write_text(SMALL)
    return folder


def waiting_python(folder: Path, go: Path) -> str:
    """A PATH whose `python` waits until the file `go` is there, at most a minute."""
    folder.mkdir()
    script = folder / "python"
    script.write_text(
        f'#!/bin/sh\nfor i in $(seq 600); do [ -e "{go}" ] && break; sleep 0.1; done\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_second_start_in_the_same_folder_stops_with_a_word_and_harms_nothing(project, tmp_path):
    go, path = tmp_path / "go", waiting_python(tmp_path / "bin", tmp_path / "go")
    command = [sys.executable, "-m", "snakemake", "--nocolor", CACHE, *OPTIONS]
    with subprocess.Popen(
        command,
        cwd=project,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as first:
        try:
            deadline = time.monotonic() + 60
            while not list(project.glob(".snakemake/locks/*")) and time.monotonic() < deadline:
                time.sleep(0.1)
            second = snakemake(project, CACHE, *OPTIONS)
            seen = snakemake(project, CACHE, "-n", *OPTIONS[2:])
        finally:
            go.touch()
        output = first.communicate()[0]
    assert second.returncode == 1
    assert "cannot be locked" in second.stdout and "--unlock" in second.stdout
    assert "Traceback" not in second.stdout and job_counts(second.stdout) == {}
    # Looking is allowed.
    assert job_counts(seen.stdout) == {"synthesise": 1, "prepare": 1}
    assert first.returncode == 0, output
    assert job_counts(output) == {"synthesise": 1, "prepare": 1}
    verified_sha256(project / CACHE)
    assert job_counts(snakemake(project, CACHE, "-n", *OPTIONS[2:]).stdout) == {}


def test_a_cache_that_rots_is_named_and_the_next_start_recovers(project):
    cache = project / CACHE
    assert snakemake(project, CACHE, *OPTIONS).returncode == 0
    good = cache.read_bytes()
    rotten = bytearray(good)
    # In the attributes: HDF5 itself notices nothing.
    rotten[good.index(b"airplane") + 3] ^= 1
    date = cache.stat().st_mtime
    cache.write_bytes(rotten)
    os.utime(cache, (date, date))
    refused = snakemake(project, METRICS, *OPTIONS)
    assert refused.returncode == 1
    assert f"error: {CACHE}: damaged: " in refused.stdout, refused.stdout
    assert f"It is now {CACHE}.damaged. Start again" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert not (project / METRICS).exists()

    recovered = snakemake(project, METRICS, *OPTIONS)
    assert recovered.returncode == 0, recovered.stdout
    assert job_counts(recovered.stdout) == {"prepare": 1, "train": 1}
    assert cache.read_bytes() == good
    assert not (project / f"{CACHE}.damaged").exists()
    # What has been trained is not stressed on another cache either.
    cache.write_bytes(rotten)
    command = ["workflow/scripts/stress.py", "--cache", CACHE, "--run", Path(METRICS).parent]
    command += ["--settings", "{}", "--device", "cpu", "--out", "stress.csv"]
    stressed = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True
    )
    assert stressed.returncode == 1
    assert f"error: {CACHE}: damaged: " in stressed.stderr
    assert not (project / "stress.csv").exists()

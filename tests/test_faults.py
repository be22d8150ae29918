"""Faults that a study meets: a cache that rots, a second start in the same folder."""

import os
import shutil
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
    models: [lstm, cfc]
    synthetic: {per_category: 10}
    training: {epochs: 1}
  physionet:
    models: [lstm-128]
    synthetic: {patients: 40}
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
    first, second = METRICS, METRICS.replace("/lstm/", "/cfc/")
    other = "demo/results/physionet/demo/lstm-128/seed-0/metrics.json"
    cache, mark = project / CACHE, project / f"{CACHE}.damaged"
    finished = snakemake(project, first, *OPTIONS)
    assert finished.returncode == 0, finished.stdout
    good, trained = cache.read_bytes(), (project / first).stat().st_mtime_ns
    rotten = bytearray(good)
    # In the attributes: HDF5 itself notices nothing.
    rotten[good.index(b"airplane") + 3] ^= 1
    date = cache.stat().st_mtime
    cache.write_bytes(rotten)
    os.utime(cache, (date, date))

    refused = snakemake(project, second, other, *OPTIONS)
    assert refused.returncode == 1
    assert f"error: {CACHE}: damaged: " in refused.stdout, refused.stdout
    assert "Start again: it is made anew, and finished runs are kept" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert not (project / second).exists()
    # The other data set went on, and the file that other jobs have as their input is still there.
    assert (project / other).exists() and cache.read_bytes() == rotten
    # A run that is there is not stressed on it either.
    command = ["workflow/scripts/stress.py", "--cache", CACHE, "--run", Path(first).parent]
    command += ["--settings", "{}", "--device", "cpu", "--out", "stress.csv"]
    stressed = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True
    )
    assert stressed.returncode == 1
    assert f"error: {CACHE}: damaged: " in stressed.stderr
    assert not (project / "stress.csv").exists()

    plan = snakemake(project, first, second, "-n", *OPTIONS[2:])
    assert job_counts(plan.stdout) == {"prepare": 1, "train": 1}, plan.stdout
    assert cache.read_bytes() == rotten and "checksum differs" in mark.read_text()
    recovered = snakemake(project, first, second, *OPTIONS)
    assert recovered.returncode == 0, recovered.stdout
    assert job_counts(recovered.stdout) == {"prepare": 1, "train": 1}, recovered.stdout
    assert cache.read_bytes() == good
    # The finished run stays, then and later, though the cache is newer.
    assert (project / first).stat().st_mtime_ns == trained < cache.stat().st_mtime_ns
    later = snakemake(project, first, second, "-n", *OPTIONS[2:])
    assert job_counts(later.stdout) == {}, later.stdout


def test_a_cache_that_is_made_again_alike_repeats_no_run(project):
    assert snakemake(project, METRICS, *OPTIONS).returncode == 0
    (project / CACHE).unlink()
    assert snakemake(project, CACHE, *OPTIONS).returncode == 0
    assert (project / CACHE).stat().st_mtime_ns > (project / METRICS).stat().st_mtime_ns
    plan = snakemake(project, METRICS, "-n", *OPTIONS[2:]).stdout
    assert job_counts(plan) == {}, plan
    # One with other bytes does.
    settings = SMALL.replace("per_category: 10", "per_category: 11")
    (project / "overlay.yaml").write_text(settings)
    assert snakemake(project, CACHE, *OPTIONS).returncode == 0
    plan = snakemake(project, METRICS, "-n", *OPTIONS[2:]).stdout
    assert job_counts(plan) == {"train": 1}, plan
    (project / "overlay.yaml").write_text(SMALL)


def test_a_log_that_cannot_be_written_ends_no_job(project):
    """Only the program's status counts: a training of hours is not thrown away because its last line was not kept."""
    shutil.rmtree(project / "demo/results/quickdraw/demo", ignore_errors=True)
    bin_folder = project / "bin"
    bin_folder.mkdir()
    # As on a full disk: it passes all on, writes nothing to the log, and ends with an error.
    (bin_folder / "tee").write_text("#!/bin/sh\ncat\necho 'tee: No space left' >&2\nexit 1\n")
    (bin_folder / "tee").chmod(0o755)
    path = f"{bin_folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = snakemake(project, METRICS, *OPTIONS, PATH=path)
    assert "tee: No space left" in result.stdout
    assert result.returncode == 0, result.stdout
    assert (project / METRICS).exists()
    # A program that fails still fails its job.
    (project / CACHE).write_bytes(b"")
    failed = snakemake(project, METRICS.replace("/lstm/", "/cfc/"), *OPTIONS)
    assert failed.returncode == 1 and "damaged: " in failed.stdout

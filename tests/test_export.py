"""Export, import and drawing again, as a user of two machines does it."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fake_study import write_study
from liquidbench.sharing.exporting import export_study
from workflow_helpers import copy_project, damage, job_counts, snakemake

# An order of its own, which the tables keep; what holds on one machine alone; and a data set left out.
OVERLAY = """
study: "Café: two models' study"
seeds: [0]
mirror: /secret/mirror
models:
  zeta: {core: lstm}
  alpha: {core: cfc}
datasets:
  nmnist: {models: [cfc, lstm, zeta, alpha]}
  quickdraw: null
statistics: {draws: 500}
figures: {png: false}
"""


@pytest.fixture
def two_projects(tmp_path) -> tuple[Path, Path]:
    """Copies of the project, one with a study that has finished but for two models."""
    there = copy_project(tmp_path / "there")
    here = Path(shutil.copytree(there, tmp_path / "here, a folder"))
    write_study(there / "results")
    (there / "overlay.yaml").write_text(OVERLAY, encoding="utf-8")
    return there, here


def import_runs(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "workflow/scripts/import_runs.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def drawn(folder: Path) -> dict[str, bytes]:
    """Tables, figures, claims and the page, without the archive."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".zip"
    }


def test_a_study_that_was_exported_and_imported_draws_the_same_bytes(
    two_projects, without_heavy_packages
):
    there, here = two_projects
    blocked = {"PYTHONPATH": without_heavy_packages}
    options = ("--cores", "1", "--configfile", "overlay.yaml")
    packed = snakemake(
        there, "tables", "figures", "claims", "report", "export", *options, **blocked
    )
    assert packed.returncode == 0, packed.stdout
    assert "9 runs packed" in packed.stdout
    assert "missing: nmnist/released/alpha/seed-0, nmnist/released/zeta/seed-0" in packed.stdout
    again = snakemake(there, "export", "-n", "--configfile", "overlay.yaml")
    assert job_counts(again.stdout) == {}, again.stdout
    archive = there / "reports/study.zip"
    shutil.move(archive, here.parent / "from a friend.zip")

    imported = import_runs(here, "../from a friend.zip")
    assert imported.returncode == 0, imported.stderr
    assert "Traceback" not in imported.stderr
    *_, printed = imported.stdout.splitlines()
    command = shlex.split(printed)
    assert command[0] == "snakemake"
    result = snakemake(here, *command[1:], **blocked)
    assert result.returncode == 0, result.stdout
    # From the runs, with nothing to train.
    rules = ("summary", "tables", "figures", "claims", "report")
    assert job_counts(result.stdout) == dict.fromkeys(rules, 1)
    expected = drawn(there / "reports")
    assert len(expected) > 50
    assert drawn(here / "reports") == expected
    checked = import_runs(here, "../from a friend.zip", "--check")
    assert (checked.returncode, checked.stdout) == (0, "all files are those of the archive\n")

    # And on to a third machine: the archive is the same.
    onward = snakemake(here, "export", *command[5:])
    assert onward.returncode == 0, onward.stdout
    assert (here / "reports/study.zip").read_bytes() == (
        here.parent / "from a friend.zip"
    ).read_bytes()


def test_a_bad_archive_and_a_changed_folder_are_one_line_each(two_projects):
    there, here = two_projects
    archive = there / "study.zip"
    run = "nmnist/released/lstm/seed-0"
    config = {"study": "A study", "paths": dict.fromkeys(("raw", "results", "reports"), "results")}
    export_study(there / "results", [run], config, archive, weights=False)
    assert import_runs(here, archive).returncode == 0
    (here / "results" / run / "predictions.csv").write_text("id")
    checked = import_runs(here, archive, "--check")
    assert checked.returncode == 1
    assert checked.stdout.splitlines() == [f"changed: results/{run}/predictions.csv"]
    damage(archive)
    refused = import_runs(here, archive, "--into", "other")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert re.match(r"error: .*study\.zip, member .*: ", line)
    assert not (here / "other").exists()


def test_weights_have_a_target_of_their_own(two_projects):
    there, _ = two_projects
    for path in (there / "results").rglob("architecture.json"):
        path.with_name("weights.safetensors").write_bytes(b"weights")
    plans = {
        target: snakemake(there, target, "-n", "--configfile", "overlay.yaml").stdout
        for target in ("export", "export_with_weights")
    }
    for target, plan in plans.items():
        assert job_counts(plan) == {"summary": 1, "archive": 1, target: 1}
        assert plan.count("weights.safetensors") == (9 if "weights" in target else 0)
        assert f"reports/{'study-with-weights' if 'weights' in target else 'study'}.zip" in plan

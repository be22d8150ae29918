"""What a study has on the disk, and that nothing goes but what was asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from liquidbench.housekeeping import Folders, files_of_stage, human_size, size_bytes, sizes
from workflow_helpers import PROJECT

SCRIPT = PROJECT / "workflow/scripts/housekeeping.py"
FILES = {
    "raw/iam/manifest.json": 10,
    "raw/iam/own/test.parquet": 1000,
    "raw/nmnist/Test.zip": 100,
    "results/iam/cache.h5": 500,
    "results/nmnist/cache.h5": 50,
    "results/nmnist/cache.h5.damaged": 1,
    "results/nmnist/examples.npz": 7,
    "results/iam/paper/cfc-timed/seed-0/metrics.json": 20,
    "results/iam/paper/cfc-timed/seed-0/stress.csv": 30,
    "results/nmnist/paper/cfc/seed-1/checkpoint-3.pt": 40,
    "results/nmnist/paper/cfc/seed-1/checkpoint.json": 4,
    "results/summary/runs.csv": 60,
    "results/logs/train/iam/paper/cfc/seed-0.log": 5,
    "results/logs/prepare/nmnist.log": 6,
    "results/notes.txt": 8,
    "reports/index.html": 70,
    "reports/tables/table_1.md": 80,
    "reports/my-own.pdf": 90,
}


@pytest.fixture
def study(tmp_path) -> Path:
    for name, size in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return tmp_path


def folders(study: Path) -> Folders:
    return Folders(study / "raw", study / "results", study / "reports")


def command(study: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = ["--raw", "raw", "--results", "results", "--reports", "reports"]
    return subprocess.run(
        [sys.executable, SCRIPT, *places, *arguments], cwd=study, capture_output=True, text=True
    )


def left(study: Path) -> set[str]:
    return {path.relative_to(study).as_posix() for path in study.rglob("*") if path.is_file()}


def test_sizes_are_those_of_the_files_by_stage(study):
    assert {stage: (count, size) for stage, count, size in sizes(folders(study))} == {
        "raw": (2, 1110),
        "caches": (3, 551),
        "checkpoints": (2, 44),
        "runs": (2, 94),
        "stress": (1, 30),
        "summaries": (1, 60),
        "logs": (2, 11),
        "reports": (2, 150),
    }
    told = command(study, "sizes").stdout
    assert "caches            551 B       3  prepared data" in told


GONE = {
    ("raw", "iam"): {"raw/iam/manifest.json", "raw/iam/own/test.parquet"},
    ("caches", ""): {
        "results/iam/cache.h5",
        "results/nmnist/cache.h5",
        "results/nmnist/cache.h5.damaged",
    },
    ("caches", "iam"): {"results/iam/cache.h5"},
    ("checkpoints", ""): {
        "results/nmnist/paper/cfc/seed-1/checkpoint-3.pt",
        "results/nmnist/paper/cfc/seed-1/checkpoint.json",
    },
    ("runs", "iam"): {
        "results/iam/paper/cfc-timed/seed-0/metrics.json",
        "results/iam/paper/cfc-timed/seed-0/stress.csv",
    },
    ("stress", ""): {"results/iam/paper/cfc-timed/seed-0/stress.csv"},
    ("summaries", ""): {"results/summary/runs.csv"},
    ("logs", "nmnist"): {"results/logs/prepare/nmnist.log"},
    ("reports", ""): {"reports/index.html", "reports/tables/table_1.md"},
}


@pytest.mark.parametrize(("stage", "dataset"), GONE, ids=["-".join(key) for key in GONE])
def test_a_stage_goes_when_told_so_and_nothing_else(study, stage, dataset):
    listed = command(study, "clean", stage, "--dataset", dataset)
    assert listed.returncode == 0 and "Nothing is deleted without --yes" in listed.stdout
    assert left(study) == set(FILES)
    assert command(study, "clean", stage, "--dataset", dataset, "--yes").returncode == 0
    assert left(study) == set(FILES) - GONE[stage, dataset]
    assert f"{stage}: nothing there" in command(study, "clean", stage, "--dataset", dataset).stdout


def test_a_link_goes_and_what_it_leads_to_stays(study):
    (study / "elsewhere").mkdir()
    (study / "elsewhere/cache.h5").write_bytes(b"x" * 12345)
    (study / "raw/quickdraw").symlink_to(study / "elsewhere")
    (study / "results/iam/cache.h5").unlink()
    (study / "results/iam/cache.h5").symlink_to(study / "elsewhere/cache.h5")
    assert size_bytes(study / "raw/quickdraw") < 1000
    for stage in ("raw", "caches"):
        assert command(study, "clean", stage, "--yes").returncode == 0
    assert not (study / "results/iam/cache.h5").is_symlink()
    assert not (study / "raw/quickdraw").is_symlink()
    assert (study / "elsewhere/cache.h5").is_file()


@pytest.mark.parametrize("dataset", ["..", "../other", "*", "/etc", "nmist", "i?m"])
@pytest.mark.parametrize("stage", ["raw", "caches", "runs"])
def test_what_is_no_data_set_is_refused_by_name(study, stage, dataset):
    refused = command(study, "clean", stage, "--dataset", dataset, "--yes")
    assert refused.returncode == 1
    assert f"error: data set {dataset}: no data set, expected one of nmnist, " in refused.stderr
    assert left(study) == set(FILES)


def test_nothing_goes_through_a_link_or_looks_like_a_run_only(study):
    (study / "archive/paper/cfc/seed-0").mkdir(parents=True)
    (study / "archive/paper/cfc/seed-0/metrics.json").write_text("kept")
    (study / "results/physionet").symlink_to(study / "archive")
    copy = study / "results/iam/paper/cfc-timed/seed-0.bak"
    copy.mkdir()
    (copy / "metrics.json").write_text("kept")
    assert command(study, "clean", "runs", "--yes").returncode == 0
    assert (study / "archive/paper/cfc/seed-0/metrics.json").is_file()
    assert (copy / "metrics.json").is_file()
    assert not (study / "results/iam/paper/cfc-timed/seed-0").exists()


@pytest.mark.parametrize(
    ("variables", "deletes"),
    [
        (("YES=1",), True),
        (("YES=0",), False),
        (("YES=no",), False),
        ((), False),
    ],
)
def test_make_deletes_on_the_word_of_the_command_line_alone(variables, deletes):
    odd = 'anna\'s "results" $(touch gone)'
    result = subprocess.run(
        ["make", "--dry-run", "clean", "STAGE=runs", f"RESULTS={odd}", *variables],
        cwd=PROJECT,
        env=os.environ | {"YES": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert ("--yes" in result.stdout) == deletes
    # It goes through the environment, not through the shell's reading.
    assert '--results "$RESULTS"' in result.stdout and "anna" not in result.stdout


def test_a_data_set_of_what_is_of_all_and_a_wrong_folder_are_refused(study, tmp_path_factory):
    refused = command(study, "clean", "reports", "--dataset", "iam", "--yes")
    assert refused.returncode == 1 and "is of all data sets at once" in refused.stderr
    assert left(study) == set(FILES)
    elsewhere = command(tmp_path_factory.mktemp("elsewhere"), "sizes")
    assert elsewhere.returncode == 1 and "none of them is a folder" in elsewhere.stderr


def test_what_a_demo_made_is_known():
    """The patterns follow what the workflow really writes."""
    demo = PROJECT / "demo"
    if not (demo / "reports/index.html").is_file():
        pytest.skip("run `make demo` first")
    here = Folders(demo / "raw", demo / "results", demo / "reports")
    counts = {stage: count for stage, count, _ in sizes(here)}
    assert counts["raw"] == counts["caches"] == 4 and counts["runs"] == 15
    assert counts["stress"] == 2 * 9 and counts["checkpoints"] == 0
    known = {
        path
        for stage in ("caches", "runs", "summaries", "logs")
        for path in files_of_stage(here, stage)
    }
    unknown = [
        path
        for path in here.results.rglob("*")
        if path.is_file() and not known & {path, *path.parents} and path.name != "examples.npz"
    ]
    # Those of reports are of no data set.
    assert [
        path for path in unknown if "report" not in path.parts and "imported" not in path.parts
    ] == []


@pytest.mark.parametrize(
    ("size", "told"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3.4e6, "3.4 MB"), (2e13, "20.0 TB")],
)
def test_sizes_in_words(size, told):
    assert human_size(int(size)) == told

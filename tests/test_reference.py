"""The reference study as it is committed: small, without data, and as its configurations say."""

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from reference_blocks import BLOCK, PAGES, block
from workflow_helpers import PROJECT

REFERENCE = PROJECT / "resources/reference"
LARGEST = 5_000_000
# Snakemake's own verdict words, and what a verdict may be: docs/claims.md.
VERDICTS = {
    "reproduced",
    "not reproduced",
    "contradicted",
    "inconsistent in the paper itself",
    "not testable here",
}

needs_git = pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="no git repository here")


def git(*arguments: str, given: str = "") -> str:
    command = ["git", "-C", str(PROJECT), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def blobs() -> dict[str, int]:
    """Every file of the repository's history, by git's name of its content, with its size in bytes."""
    names = git("rev-list", "--objects", "--all")
    objects = "".join(f"{line.split(' ')[0]}\n" for line in names.splitlines())
    told = git("cat-file", "--batch-check=%(objecttype) %(objectname) %(objectsize)", given=objects)
    rows = (line.split(" ") for line in told.splitlines())
    return {name: int(size) for kind, name, size in rows if kind == "blob"}


@needs_git
def test_no_file_of_the_history_is_larger_than_public_places_take(blobs):
    assert len(blobs) > 100
    assert max(blobs.values()) <= LARGEST


@needs_git
def test_no_file_of_a_mirror_is_in_the_history(blobs):
    mirror = os.environ.get("LIQUIDBENCH_MIRROR")
    if not mirror:
        pytest.skip("LIQUIDBENCH_MIRROR names no mirror")
    own = set()
    for path in Path(mirror).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            own.add(hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
    assert len(own) > 10
    assert not own & set(blobs)


@pytest.mark.parametrize("folder", ["runs", "runs-sepsis"])
def test_the_archives_hold_no_data(folder):
    archives = sorted((REFERENCE / folder).glob("*.zip"))
    assert archives
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert not [name for name in names if "examples" in name or "weights" in name]
            lines = [name for name in names if "/iam/" in name]
            assert not [name for name in lines if name.endswith("predictions.csv")]
            for name in lines:
                if name.endswith("line_errors.csv"):
                    text = io.StringIO(archive.read(name).decode())
                    for row in csv.DictReader(text):
                        del row["id"], row["target_digest"]
                        assert all(value.isdigit() for value in row.values())


def test_the_second_part_has_the_models_of_sepsis_yaml():
    own, other = (
        yaml.safe_load((PROJECT / f"config/{name}.yaml").read_text(encoding="utf-8"))["datasets"]
        for name in ("reference-sepsis", "sepsis")
    )
    assert own["physionet"]["models"] == other["physionet"]["models"]
    gone = ("nmnist", "quickdraw", "iam")
    assert [own[name] for name in gone] == [other[name] for name in gone] == [None] * 3


def test_every_claim_has_a_verdict_on_real_data_or_why_there_is_none():
    claims = yaml.safe_load((PROJECT / "resources/paper/claims.yaml").read_text(encoding="utf-8"))
    rows = read_csv(REFERENCE / "reports/claims.csv")
    assert {row["id"] for row in rows} == {claim["id"] for claim in claims["claims"]}
    for row in rows:
        assert row["verdict"] in VERDICTS, row["id"]
        assert row["reason"] or row["verdict"] == "reproduced", row["id"]


def told(page: str) -> str:
    """A page as one line."""
    return " ".join((PROJECT / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize("page", PAGES)
def test_numbers_in_the_text_are_those_of_the_reference_study(page):
    (alarms, *_) = [
        row["ours"]
        for row in read_csv(REFERENCE / "reports/claims.csv")
        if row["id"] == "sepsis-alarm-fatigue"
    ]
    found = dict(re.findall(r"(lstm-128|cfc-256) ([\d.]+)", alarms))
    lstm, cfc = (f"{float(found[model]):.0f}" for model in ("lstm-128", "cfc-256"))
    assert (
        f"at the LSTM's printed recall of 0.22 the CfC with 256 units raises {cfc} false alarms"
        in told(page).replace("At", "at")
    )
    assert f"false alarms and the LSTM {lstm}" in told(page)
    counts = [
        str(metrics_of(f"physionet/paper/cfc-128/seed-{seed}")["test"]["false_positives"])
        for seed in range(5)
    ]
    assert f"{', '.join(counts[:-1])} and {counts[-1]}" in told(page)


def metrics_of(run: str) -> dict:
    """The committed metrics of a run."""
    for path in (REFERENCE / "runs").glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            name = f"results/{run}/metrics.json"
            if name in archive.namelist():
                return json.loads(archive.read(name))
    raise AssertionError(f"{run} is in no archive")


@pytest.mark.parametrize("page", PAGES)
def test_tables_of_the_documentation_are_those_of_the_reference_study(page):
    text = (PROJECT / page).read_text(encoding="utf-8")
    assert BLOCK.search(text)
    for _, recipe, table in BLOCK.findall(text):
        assert table == block(recipe), f"{page}: python tests/reference_blocks.py renews it"

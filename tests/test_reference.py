"""The reference study as it is committed: small, without data, and as its configurations say."""

import csv
import hashlib
import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from reference_blocks import BLOCK, PAGES, made
from workflow_helpers import PROJECT, runs_in

REFERENCE = PROJECT / "resources/reference"
LARGEST = 5_000_000
# docs/claims.md says what each means.
VERDICTS = {
    "reproduced",
    "not reproduced",
    "contradicted",
    "inconsistent in the paper itself",
    "not testable here",
}

# What a published run may hold, docs/file-formats.md, and the columns of its answers, up to "_".
PUBLISHED = {
    *("architecture.json", "confusion.csv", "features.csv", "history.csv", "line_errors.csv"),
    *("metrics.json", "predictions.csv", "provenance.json", "stress.csv", "stress_answers.npz"),
}
ANSWERS = {"id", "hour", "target", "prediction", "probability"}

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
def test_the_archives_hold_figures_and_answers_and_no_data(folder):
    members = runs_in(REFERENCE / folder)
    assert len(members) > 50
    for name, content in members.items():
        run, _, file = name.rpartition("/")
        assert file in PUBLISHED, name
        if file in ("predictions.csv", "line_errors.csv"):
            task = json.loads(members[f"{run}/metrics.json"])["task"]
            assert (file == "line_errors.csv") == (task == "transcription"), name
            (first, *_) = csv.DictReader(io.StringIO(content.decode()))
            columns = {column.split("_")[0] for column in first}
            assert columns <= ANSWERS if task != "transcription" else "target" not in first


def test_the_second_part_has_the_models_of_sepsis_yaml():
    own, other = (
        yaml.safe_load((PROJECT / f"config/{name}.yaml").read_text(encoding="utf-8"))["datasets"]
        for name in ("reference-sepsis", "sepsis")
    )
    here = own["physionet"]
    further = [one["models"] for one in here["further_protocols"] if one["protocol"] == "paper"]
    assert sorted(sum(further, here["models"])) == sorted(other["physionet"]["models"])
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
def test_false_alarms_in_the_text_are_those_of_the_runs(page):
    runs = runs_in(REFERENCE / "runs")
    counts = [
        json.loads(runs[f"results/physionet/paper/cfc-128/seed-{seed}/metrics.json"])["test"]
        for seed in range(5)
    ]
    *others, last = (f"{one['false_positives']}" for one in counts)
    assert f"{', '.join(others)} and {last}" in told(page)


def test_false_alarms_at_one_recall_are_those_of_the_claim():
    (ours, *_) = [
        row["ours"]
        for row in read_csv(REFERENCE / "reports/claims.csv")
        if row["id"] == "sepsis-alarm-fatigue"
    ]
    found = dict(re.findall(r"(lstm-128|cfc-256) ([\d.]+)", ours))
    lstm, cfc = (f"{float(found[model]):.0f}" for model in ("lstm-128", "cfc-256"))
    assert f"raises {cfc} false alarms and the LSTM {lstm} (means of five seeds)" in told(
        "README.md"
    )


@pytest.mark.parametrize("page", PAGES)
def test_tables_of_the_documentation_are_those_of_the_reference_study(page):
    text = (PROJECT / page).read_text(encoding="utf-8")
    assert BLOCK.search(text)
    for _, kind, recipe, table in BLOCK.findall(text):
        assert table == made(kind, recipe), f"{page}: tests/reference_blocks.py renews it"

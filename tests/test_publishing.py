"""Archives for a public place: no data, no texts, small parts; and a study that is drawn from them alone."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from fake_study import run_folder, run_item, write_csv, write_run, write_study
from liquidbench.errors import InputError
from liquidbench.reporting.line_errors import LINE_COLUMNS, lines_read
from liquidbench.reporting.runs import RunKey
from liquidbench.reporting.summaries import summarise
from liquidbench.sharing.importing import import_archive
from liquidbench.sharing.publishing import publish_study
from liquidbench.sharing.unpacking import SUMS, archived_files, forget_if_changed, unpack
from workflow_helpers import (
    PROJECT,
    copy_project,
    damage,
    files_below,
    job_counts,
    runs_in,
    snakemake,
)

CONFIG = {
    "study": "A study",
    "mirror": "/secret/mirror",
    "paths": {"raw": "raw", "results": "results", "reports": "reports"},
    "datasets": {"iam": {"models": ["lstm", "cfc"]}},
}
# Written, read greedily, read by beam search.
LINES = [("a secret", "a sacret", "a secret"), ("two words", "twowords", "two word")]


@pytest.fixture
def study(tmp_path) -> tuple[Path, list[dict], list[str]]:
    """The results folder of a whole study, its runs, and their directories."""
    results = tmp_path / "there/results"
    items = write_study(results, seeds=2)
    return results, items, [run_folder(Path(), item).as_posix() for item in items]


def test_lines_are_counted_by_hand(tmp_path):
    item = run_item("iam", "released", "cfc")
    folder = write_run(tmp_path, item)
    rows = [[f"line-{number}", *line] for number, line in enumerate(LINES)]
    write_csv(folder / "predictions.csv", ["id", "target", "prediction", "prediction_beam"], rows)
    lines = lines_read(folder)
    assert lines.columns.tolist() == LINE_COLUMNS
    # Identifier, digest, characters, words; substituted, inserted, deleted characters and edited words of each reading.
    # "twowords" for "two words": one word is another, one is missing.
    assert lines.drop(columns="target_digest").to_numpy().tolist() == [
        *(["line-0", 8, 2, 1, 0, 0, 1, 0, 0, 0, 0],),
        *(["line-1", 9, 2, 0, 0, 1, 2, 0, 0, 1, 1],),
    ]
    # printf 'a secret' | sha256sum
    assert lines["target_digest"][0] == "984ca5162200734c"


def test_no_text_and_no_example_of_the_data_is_published(study, tmp_path):
    results, _, runs = study
    texts = [path.read_bytes() for path in results.glob("iam/*/*/seed-*/predictions.csv")]
    (secret,) = {text.splitlines()[1].split(b",")[1] for text in texts}
    assert len(secret) > 3
    publish_study(results, runs, CONFIG, tmp_path / "public")
    members = runs_in(tmp_path / "public")
    assert not any(name.endswith(".npz") and "examples" in name for name in members)
    assert secret not in b"".join(members.values())
    for run in runs:
        held = {Path(name).name for name in members if name.startswith(f"results/{run}/")}
        texts, counts = "predictions.csv" in held, "line_errors.csv" in held
        assert (texts, counts) == (not run.startswith("iam/"), run.startswith("iam/"))
        assert "metrics.json" in held


def test_parts_are_small_and_whole_and_the_same_each_time(study, tmp_path):
    results, _, runs = study
    limit = 30_000
    publish_study(results, runs, CONFIG, tmp_path / "a", limit)
    manifests = publish_study(
        results, [*runs[::-1], "iam/released/cfc/seed-9"], CONFIG, tmp_path / "b", limit
    )
    parts = sorted((tmp_path / "a").iterdir())
    assert len(parts) > 2
    assert max(path.stat().st_size for path in parts) <= limit
    assert runs_in(tmp_path / "a") == runs_in(tmp_path / "b")
    # What is missing is told once.
    assert [manifest.missing for manifest in manifests] == [
        ("iam/released/cfc/seed-9",),
        *[()] * (len(manifests) - 1),
    ]
    assert sum(manifest.finished for manifest in manifests) == len(runs)
    shutil.rmtree(tmp_path / "b")
    publish_study(results, runs, CONFIG, tmp_path / "b", limit)
    assert [path.read_bytes() for path in parts] == [
        path.read_bytes() for path in sorted((tmp_path / "b").iterdir())
    ]
    with pytest.raises(InputError, match="bytes packed"):
        publish_study(results, runs, CONFIG, tmp_path / "c", 2_000)


def test_what_is_published_says_the_same_as_the_runs(study, tmp_path):
    """Every summary of the unpacked runs, by the runs' own figures: lines too, of which the texts are gone."""
    results, items, runs = study
    keys = [RunKey(**item) for item in items]
    expected = summarise(results, keys)
    publish_study(results, runs, CONFIG, tmp_path / "public")
    unpack(archived_files(tmp_path / "public"), tmp_path / "here")
    assert not list((tmp_path / "here").glob("iam/**/predictions.csv"))
    found = summarise(tmp_path / "here", keys)
    assert found.keys() == expected.keys()
    assert len(expected["handwriting"]) and "cer" in set(expected["differences"]["metric"])
    for name, frame in expected.items():
        assert found[name].to_csv() == frame.to_csv(), name
    # And it can be published again, and each part imported alone.
    publish_study(tmp_path / "here", runs, CONFIG, tmp_path / "again")
    assert runs_in(tmp_path / "again") == runs_in(tmp_path / "public")
    imported = import_archive(tmp_path / "public/part-1.zip", tmp_path / "alone", PROJECT)
    assert imported.new == len(runs_in(tmp_path / "public"))


def test_archives_that_contradict_each_other_are_refused(study, tmp_path):
    results, _, runs = study
    folder = tmp_path / "public"
    with pytest.raises(InputError, match="no archive of runs"):
        archived_files(folder)
    publish_study(results, runs, CONFIG, folder)
    held = runs_in(folder)
    shutil.copy(folder / "part-1.zip", folder / "copy.zip")
    assert len(archived_files(folder)) == len(held)
    metrics = results / runs[0] / "metrics.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"source": "elsewhere"}))
    publish_study(results, runs, CONFIG, tmp_path / "other")
    shutil.copy(tmp_path / "other/part-1.zip", folder / "copy.zip")
    with pytest.raises(
        InputError, match=r"part-1\.zip: holds another .*metrics\.json than copy\.zip"
    ):
        archived_files(folder)


def test_a_damaged_archive_puts_nothing_wrong_in_place(study, tmp_path):
    results, _, runs = study
    publish_study(results, runs, CONFIG, tmp_path / "public")
    path = tmp_path / "public/part-1.zip"
    places = archived_files(tmp_path / "public")
    expected = runs_in(tmp_path / "public")
    damage(path)
    with pytest.raises(InputError, match=r"part-1\.zip, member"):
        unpack(places, tmp_path / "here")
    for file in (tmp_path / "here").rglob("*"):
        if file.is_file():
            name = file.relative_to(tmp_path / "here").as_posix()
            assert file.read_bytes() == expected[f"results/{name}"]


def test_unpacked_files_that_are_gone_or_changed_are_not_taken_for_whole(study, tmp_path):
    results, _, runs = study
    publish_study(results, runs, CONFIG, tmp_path / "public")
    places, here = archived_files(tmp_path / "public"), tmp_path / "here"
    assert forget_if_changed(places, here) is None
    unpack(places, here)
    listed = (here / SUMS).read_text().splitlines()
    assert listed == [
        f"{hashlib.sha256((here / name).read_bytes()).hexdigest()}  {name}"
        for name in sorted(places)
    ]
    assert forget_if_changed(places, here) is None
    assert (here / SUMS).is_file()
    name = f"{runs[0]}/history.csv"
    written = (here / name).read_bytes()
    for harm in (
        lambda path: path.unlink(),
        lambda path: path.write_bytes(written.replace(b"1", b"2")),
    ):
        harm(here / name)
        # Clocks of file systems are coarse: this is a second later.
        if (here / name).exists():
            later = (here / SUMS).stat().st_mtime + 1
            os.utime(here / name, (later, later))
        assert forget_if_changed(places, here) == name
        assert not (here / SUMS).exists()
        unpack(places, here)
        assert (here / name).read_bytes() == written
    # Other archives of the same names, older than what is unpacked.
    (results / name).write_bytes(written.replace(b"1", b"2"))
    publish_study(results, runs, CONFIG, tmp_path / "public")
    for path in (tmp_path / "public").iterdir():
        os.utime(path, (0, 0))
    places = archived_files(tmp_path / "public")
    assert forget_if_changed(places, here) == SUMS
    unpack(places, here)
    assert (here / name).read_bytes() == (results / name).read_bytes()


def test_a_study_drawn_from_archives_is_that_of_the_runs(tmp_path, without_heavy_packages):
    """Without torch, by the default target too; and then there is nothing to do."""
    there = copy_project(tmp_path / "there")
    here = Path(shutil.copytree(there, tmp_path / "here"))
    # Runs of their own, one of them of no archive, that must neither be drawn nor touched.
    for item in (run_item("nmnist", "released", "lstm"), run_item("nmnist", "released", "cfc", 7)):
        write_run(here / "results", item, accuracy=0.5)
    own = files_below(here / "results")
    write_study(there / "results")
    for path in there.glob("results/*/examples.npz"):
        path.unlink()
    overlay = "seeds: [0]\ndatasets: {quickdraw: null, physionet: null}\nfigures: {png: false}\n"
    (there / "overlay.yaml").write_text(overlay)
    (here / "overlay.yaml").write_text(overlay + "archives: public\n")
    drawing = ("tables", "figures", "claims", "report")
    made = snakemake(there, *drawing, "publish", "--cores", "1", "--configfile", "overlay.yaml")
    assert made.returncode == 0, made.stdout
    shutil.copytree(there / "reports/to-publish", here / "public")
    options = ("--cores", "1", "--configfile", "overlay.yaml")
    drawn = snakemake(here, *options, PYTHONPATH=without_heavy_packages)
    assert drawn.returncode == 0, drawn.stdout
    rules = ("unpack", "summary", *drawing, "all")
    assert job_counts(drawn.stdout) == dict.fromkeys(rules, 1)
    for folder in ("tables", "figures"):
        expected = {
            path.relative_to(there): path.read_bytes()
            for path in (there / "reports" / folder).glob("*.*")
            if not path.name.startswith(".")
        }
        assert len(expected) > 10
        for path, content in expected.items():
            assert (here / path).read_bytes() == content, path
    for name in ("claims.md", "claims.csv"):
        assert (here / "reports" / name).read_bytes() == (there / "reports" / name).read_bytes()
    again = snakemake(here, *drawing, "-n", *options)
    assert job_counts(again.stdout) == {}, again.stdout
    kept = files_below(here / "results")
    assert {name: kept[name] for name in own} == own
    asked = snakemake(here, "nmnist", "-n", *options)
    assert asked.returncode != 0
    assert "nmnist: nothing is trained where `archives` is set (public)" in asked.stdout
    # A file that is gone from the unpacked ones is no missing run.
    (here / "results/archived/nmnist/released/lstm/seed-0/history.csv").unlink()
    (here / "results/archived/summary/history.csv").unlink()
    again = snakemake(here, "summary", "-n", *options)
    assert "seed-0/history.csv: gone or changed" in again.stdout
    assert job_counts(again.stdout) == {"unpack": 1, "summary": 1}
    # A damaged archive, and then one that lacks a run: own runs stay, and what is not in it is not drawn.
    path = here / "public/part-1.zip"
    damage(path)
    assert snakemake(here, "summary", *options).returncode != 0
    path.unlink()
    results = here / "results/archived"
    runs = [
        run_folder(Path(), run_item("nmnist", "released", model)).as_posix()
        for model in ("lstm", "cfc")
    ]
    publish_study(there / "results", runs, CONFIG, here / "public")
    assert snakemake(here, "summary", *options).returncode == 0
    assert {path.parent.parent.name for path in results.rglob("metrics.json")} == {"lstm", "cfc"}
    kept = files_below(here / "results")
    assert {name: kept[name] for name in own} == own


def test_a_folder_without_archives_is_named(tmp_path):
    project = copy_project(tmp_path / "project")
    (project / "overlay.yaml").write_text("archives: nowhere\n")
    refused = snakemake(project, "-n", "--configfile", "overlay.yaml")
    assert refused.returncode != 0
    assert "nowhere: no archive of runs (*.zip) in this folder" in refused.stdout

"""Archives of runs: what is in them, the same bytes, and what an import refuses."""

import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from fake_study import run_folder, run_item, write_run, write_stress, write_study
from liquidbench.errors import InputError
from liquidbench.files import sha256_of_file
from liquidbench.sharing import archive as archive_module
from liquidbench.sharing.exporting import export_study
from liquidbench.sharing.importing import import_archive, problems_with
from workflow_helpers import PROJECT, files_below

CONFIG = {
    "study": "A study",
    "mirror": "/secret/mirror",
    "paths": {"raw": "/elsewhere/raw", "results": "made/results", "reports": "made/reports"},
    "datasets": {"nmnist": {"models": ["lstm", "cfc"]}},
}
ITEMS = [run_item("nmnist", "released", model) for model in ("lstm", "cfc")]
RUNS = [f"nmnist/released/{model}/seed-0" for model in ("lstm", "cfc")]


@pytest.fixture
def results(tmp_path) -> Path:
    """Two runs, one of them stressed, and everything that lies about beside them."""
    results = tmp_path / "there/results"
    for item in ITEMS:
        folder = write_run(results, item)
        (folder / "weights.safetensors").write_bytes(b"weights of " + item["model"].encode())
    write_stress(folder, ITEMS[1], {0.0: [0.9], 0.5: [0.5]})
    (folder / "checkpoint.json").write_text("{}")
    (results / "nmnist/cache.h5").write_bytes(b"cache")
    (results / "nmnist/examples.npz").write_bytes(b"examples")
    (results / "quickdraw").mkdir()
    (results / "quickdraw/examples.npz").write_bytes(b"of no configured run")
    write_run(results, run_item("nmnist", "released", "not-asked-for"))
    (results / "summary").mkdir()
    (results / "summary/runs.csv").write_text("dataset\nnmnist\n")
    (results / "logs/train").mkdir(parents=True)
    (results / "logs/train/a.log").write_text("log")
    return results


@pytest.fixture
def archive(results, tmp_path) -> Path:
    path = tmp_path / "study.zip"
    export_study(results, RUNS, CONFIG, path, weights=False)
    return path


@pytest.fixture
def take(archive, tmp_path):
    """Import the archive below `tmp_path/here`."""

    def run(path: Path = archive, overwrite: bool = False):
        return import_archive(path, tmp_path / "here", PROJECT, overwrite)

    return run


def rewrite(archive: Path, change, vouch: bool = False) -> None:
    """Change the members of an archive (name to content); with `vouch` the manifest speaks for the changes."""
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    if vouch:
        manifest = json.loads(members.pop("manifest.json"))
        for name, content in members.items():
            plain = archive.with_name("plain")
            plain.write_bytes(content)
            manifest["files"][name] = {"bytes": len(content), "sha256": sha256_of_file(plain)}
        members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


# What is packed.


def test_an_archive_holds_the_small_files_of_the_configured_runs_alone(archive, results):
    with zipfile.ZipFile(archive) as file:
        held = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(held.pop("manifest.json"))
    configuration = json.loads(held.pop("configuration.json"))
    names = set(held)
    run = {"metrics.json", "provenance.json", "history.csv", "predictions.csv", "confusion.csv"}
    run |= {"architecture.json"}
    expected = {f"results/{folder}/{name}" for folder in RUNS for name in run}
    expected |= {f"results/{RUNS[1]}/stress.csv", "results/nmnist/examples.npz"}
    assert names == expected | {"results/summary/runs.csv"}
    for name, content in held.items():
        assert (results / name.removeprefix("results/")).read_bytes() == content
    assert set(manifest["files"]) == names | {"configuration.json"}
    assert manifest["runs"] == {"finished": 2, "missing": []}
    # What holds on one machine alone stays there.
    assert configuration["mirror"] == "" and configuration["paths"]["raw"] == "resources/raw"
    assert configuration["paths"]["results"] == "made/results"
    assert b"secret" not in b"".join(held.values()) + json.dumps(configuration).encode()


def test_every_kind_of_file_that_the_reports_read_may_travel(tmp_path):
    """Against the fake study of the reporting's own tests: nothing of it is left behind."""
    results = tmp_path / "results"
    items = write_study(results)
    runs = [run_folder(results, item).relative_to(results).as_posix() for item in items]
    export_study(results, runs, CONFIG, tmp_path / "study.zip", weights=False)
    with zipfile.ZipFile(tmp_path / "study.zip") as file:
        packed = {name for name in file.namelist() if name.startswith("results/")}
    assert packed == {f"results/{name}" for name in files_below(results)}


def test_weights_travel_where_they_are_asked_for(results, tmp_path, take):
    path = tmp_path / "heavy.zip"
    export_study(results, RUNS, CONFIG, path, weights=True)
    take(path)
    there = tmp_path / "here/made/results" / RUNS[1] / "weights.safetensors"
    assert there.read_bytes() == b"weights of cfc"
    (results / RUNS[0] / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"no weights\.safetensors in nmnist/released/lstm/seed-0"):
        export_study(results, RUNS, CONFIG, path, weights=True)


def test_the_same_files_give_the_same_bytes(results, archive, tmp_path, monkeypatch):
    other = tmp_path / "moved"
    shutil.copytree(results, other)
    for path in other.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700 if path.is_dir() else 0o600)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    export_study(other, RUNS[::-1], CONFIG, tmp_path / "again.zip", weights=False)
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_missing_runs_are_named_and_none_at_all_is_refused(results, tmp_path):
    missing = "nmnist/released/gru/seed-3"
    manifest = export_study(results, [*RUNS, missing], CONFIG, tmp_path / "a.zip", weights=False)
    assert (manifest.finished, manifest.missing) == (2, (missing,))
    with pytest.raises(InputError, match="no configured run has finished"):
        export_study(results, [missing], CONFIG, tmp_path / "b.zip", weights=False)
    assert not (tmp_path / "b.zip").exists()


# Importing.


def test_an_import_gives_the_same_files_and_the_command_that_draws_them(take, results, tmp_path):
    imported = take()
    folder = tmp_path / "here/made/results"
    found = files_below(folder)
    config = json.loads(found.pop("imported/study.json"))
    assert len(found) == imported.new == 15
    assert all((results / name).read_bytes() == content for name, content in found.items())
    assert config["paths"]["results"] == str(folder)
    assert imported.told()[-1].endswith(f" --configfile {folder}/imported/study.json")
    # Computed anew: the summaries are older than all runs.
    dates = {name: (folder / name).stat().st_mtime for name in found}
    assert dates["summary/runs.csv"] < min(
        date for name, date in dates.items() if not name.startswith("summary/")
    )
    # Again: nothing to do, and nothing touched.
    assert take().new == 0
    assert {name: (folder / name).stat().st_mtime for name in found} == dates


def test_what_the_own_configuration_adds_is_told(take):
    (note,) = take().notes
    assert "config/config.yaml here adds" in note and "datasets.nmnist.prepare" in note


def test_data_sets_that_were_not_studied_stay_out(take):
    """Snakemake merges the configuration with the project's own, which has all four."""
    config = json.loads(take().configuration.read_text())
    left_out = dict.fromkeys(("quickdraw", "iam", "physionet"))
    assert config["datasets"] == CONFIG["datasets"] | left_out


def test_a_file_that_is_there_and_differs_is_kept_unless_asked_otherwise(take, tmp_path):
    take()
    folder = tmp_path / "here/made/results"
    mine = folder / RUNS[0] / "predictions.csv"
    mine.write_text("my own")
    (folder / RUNS[1] / "history.csv").unlink()
    (folder / "summary/runs.csv").write_text("made again with other runs")
    before = files_below(folder)
    with pytest.raises(InputError, match=r"other content: nmnist/released/lstm/seed-0/predictions"):
        take()
    assert files_below(folder) == before
    assert take(overwrite=True).new == 3
    assert mine.read_text() != "my own"


def test_two_archives_go_into_one_folder(take, results, tmp_path):
    """With other models: each configuration draws its own, and the user is told."""
    first = take()
    other = tmp_path / "other/study.zip"
    other.parent.mkdir()
    run = "nmnist/released/not-asked-for/seed-0"
    config = CONFIG | {"datasets": {"nmnist": {"models": ["not-asked-for"]}}}
    export_study(results, [run], config, other, weights=False)
    second = take(other)
    assert [first.configuration.name, second.configuration.name] == ["study.json", "study-2.json"]
    assert any("study.json was imported here too" in line for line in second.told())
    assert "imported here too" not in " ".join(first.told())
    # Once more: nothing new.
    again = take(other)
    assert (again.configuration, again.new) == (second.configuration, 0)
    runs = tmp_path / "here/made/results/nmnist/released"
    assert {path.name for path in runs.iterdir()} == {"lstm", "cfc", "not-asked-for"}


def test_a_run_of_another_training_is_replaced_as_a_whole(take, tmp_path):
    """Foreign metrics beside own weights or an own stress test would be neither training's."""
    take()
    first, second = (tmp_path / "here/made/results" / run for run in RUNS)
    for folder in (first, second):
        (folder / "weights.safetensors").write_bytes(b"mine")
    (first / "stress.csv").write_text("mine")
    (first / "checkpoint.json").write_text("mine")
    (first / "metrics.json").write_text("of my own training")
    # Of the same training: only this file has suffered.
    (second / "predictions.csv").write_text("")
    take(overwrite=True)
    left = {"weights.safetensors", "stress.csv", "checkpoint.json"} & {
        path.name for path in first.iterdir()
    }
    assert left == set()
    assert (second / "weights.safetensors").read_bytes() == b"mine"


def test_a_folder_is_compared_with_an_archive(take, archive, tmp_path):
    take()
    folder = tmp_path / "here/made/results"
    assert problems_with(archive, tmp_path / "here") == []
    # Not of the study: what the workflow makes beside it.
    (folder / "nmnist/cache.h5").write_bytes(b"cache")
    (folder / RUNS[0] / "weights.safetensors").write_bytes(b"weights")
    assert problems_with(archive, tmp_path / "here") == []
    changed = folder / RUNS[0] / "predictions.csv"
    content = bytearray(changed.read_bytes())
    content[7] ^= 1
    changed.write_bytes(content)
    (folder / RUNS[1] / "history.csv").unlink()
    (folder / RUNS[1] / "scaling.json").write_text("{}")
    assert problems_with(archive, tmp_path / "here") == [
        f"missing: {folder}/{RUNS[1]}/history.csv",
        f"additional: {folder}/{RUNS[1]}/scaling.json",
        f"changed: {folder}/{RUNS[0]}/predictions.csv",
    ]


# Damaged archives.


def cut(members: dict[str, bytes]) -> None:
    members[f"results/{RUNS[0]}/history.csv"] = members[f"results/{RUNS[0]}/history.csv"][:-1]


def flip(members: dict[str, bytes]) -> None:
    name = f"results/{RUNS[0]}/history.csv"
    members[name] = members[name].replace(b"epoch", b"epoxh")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (cut, "of another size: results/nmnist/released/lstm/seed-0/history.csv"),
        (flip, "history.csv': changed: its checksum is not the manifest's"),
        (lambda members: members.pop(f"results/{RUNS[0]}/history.csv"), "missing: results/nmnist"),
        (lambda members: members.update({"results/.hidden": b""}), "additional: results/.hidden"),
        (lambda members: members.pop("manifest.json"), "has no manifest.json"),
        (lambda members: members.update({"manifest.json": b"{}"}), "not a manifest"),
        (lambda members: members.update({"manifest.json": b'{"format": 2}'}), "has the format 2"),
        (lambda members: members.update({"manifest.json": b"[" * 100_000}), "not a manifest"),
    ],
)
def test_a_damaged_archive_is_refused_by_name_and_nothing_is_written(
    take, archive, tmp_path, change, told
):
    rewrite(archive, change)
    with pytest.raises(InputError) as caught:
        take()
    assert told in str(caught.value)
    assert not (tmp_path / "here").exists()
    with pytest.raises(InputError):
        problems_with(archive, tmp_path / "here")


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_an_archive_with_a_flipped_bit_or_cut_off_is_refused(take, archive, tmp_path, place):
    content = archive.read_bytes()
    at = int(len(content) * place)
    for damaged in (content[:at], content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]):
        archive.write_bytes(damaged)
        with pytest.raises(InputError, match="Get the archive again"):
            take()
        assert not (tmp_path / "here").exists()
        assert [path.name for path in tmp_path.glob(".*")] == []


# Archives that mean harm: the manifest vouches for what they hold.


@pytest.mark.parametrize(
    "name",
    [
        "../outside.csv",
        "/tmp/outside.csv",
        "results/../../outside.csv",
        "results/nmnist/released/lstm/seed-0/../../../../../outside.csv",
        "results\\outside.csv",
        "results/nmnist/released/lstm/seed-0/other.csv",
        "results/nmnist/released/lstm/seed-0/weights.safetensors",
        "results/nmnist/released/.lstm/seed-0/history.csv",
        "results/nmnist/released/lstm/seed-0/history.csv/history.csv",
        "Snakefile",
    ],
)
def test_a_name_that_no_study_has_is_refused(take, archive, tmp_path, name):
    before = files_below(tmp_path)
    rewrite(archive, lambda members: members.update({name: b"harm"}), vouch=True)
    with pytest.raises(InputError):
        take()
    after = files_below(tmp_path)
    assert {key for key in after if key not in before} <= {"plain"}


def test_a_link_is_refused(take, archive, tmp_path):
    rewrite(archive, lambda members: None)
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("results/nmnist/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="a link or special file"):
        take()
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("path", ["/etc", "../outside", "a/../../b", "", ".", 7])
def test_a_configuration_that_leads_out_of_the_folder_is_refused(take, archive, tmp_path, path):
    def lead_out(members: dict[str, bytes]) -> None:
        config = json.loads(members["configuration.json"])
        config["paths"]["results"] = path
        members["configuration.json"] = json.dumps(config).encode()

    rewrite(archive, lead_out, vouch=True)
    with pytest.raises(InputError, match=r"paths\.results is"):
        take()
    assert not (tmp_path / "here").exists()


def test_what_would_fill_the_disk_is_refused_unread(take, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "LARGEST_ARCHIVE", 10_000)
    with pytest.raises(InputError, match="at most 10,000 are taken"):
        take()
    monkeypatch.undo()
    monkeypatch.setattr(archive_module, "LARGEST_MEMBER", 500)
    with pytest.raises(InputError, match="at most 500 are expected"):
        take()
    monkeypatch.undo()
    free = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(InputError, match="100 bytes are free"):
        take()
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("broken", [1, 7, 15])
def test_what_was_moved_is_taken_back_when_the_rest_cannot_be(
    take, archive, tmp_path, monkeypatch, broken
):
    run = tmp_path / "here/made/results" / RUNS[0]
    run.mkdir(parents=True)
    for name in ("predictions.csv", "metrics.json", "weights.safetensors"):
        (run / name).write_text("my own")
    before = files_below(tmp_path / "here")
    replace, count = Path.replace, 0

    def breaking(self, target):
        nonlocal count
        # Renames of a file into its place; what is taken back is not disturbed.
        count += self.parent.name.startswith(".import-") and not self.name.startswith("kept-")
        if count == broken:
            count += 1
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", breaking)
    with pytest.raises(InputError, match="No space left on device"):
        take(overwrite=True)
    monkeypatch.undo()
    assert count > broken
    assert files_below(tmp_path / "here") == before
    assert [path.name for path in tmp_path.rglob(".import-*")] == []
    assert take(overwrite=True).new == 15

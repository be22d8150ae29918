"""Raw files found in a mirror, zipped or unpacked, and described."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from liquidbench.datasets.archives import folder_bytes_and_sha256
from liquidbench.datasets.mirror import find_files
from liquidbench.datasets.sources import SourceDataset, SourceFile, resolve
from liquidbench.errors import InputError

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "resources/sources.yaml"


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def paths(dataset: str, mirror: Path, **options) -> dict[str, str]:
    """Where each role is found, relative to the mirror."""
    files = find_files(resolve(SOURCES, dataset, options), mirror)
    return {file["role"]: Path(file["path"]).relative_to(mirror).as_posix() for file in files}


@pytest.mark.parametrize("root", ["", "nmnist/"])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Train.zip", "Test.zip"), ("Train.zip", "Test.zip")),
        (("Train/0/1.bin", "Test/9/2.bin"), ("Train", "Test")),
        (("Train/Train/0/1.bin", "Test.zip"), ("Train/Train", "Test.zip")),
        (("Train.zip", "Train/0/1.bin", "Test.zip"), ("Train.zip", "Test.zip")),
    ],
)
def test_nmnist_zipped_or_unpacked(tmp_path, root, names, expected):
    write(tmp_path, *(root + name for name in names))
    found = paths("nmnist", tmp_path)
    assert found == {"train": root + expected[0], "test": root + expected[1]}


@pytest.mark.parametrize("root", ["", "iam/", "data/", "iam/data/"])
def test_iam_with_or_without_its_data_folder(tmp_path, root):
    write(tmp_path, *(f"{root}{split}.parquet" for split in ("train", "validation", "test")))
    assert paths("iam", tmp_path)["validation"] == f"{root}validation.parquet"


def test_quickdraw_variants_lie_apart(tmp_path):
    write(tmp_path, "quickdraw/t-shirt.ndjson", "quickdraw/raw/t-shirt.ndjson")
    assert paths("quickdraw", tmp_path, categories=["t-shirt"]) == {
        "t-shirt": "quickdraw/t-shirt.ndjson"
    }
    assert paths("quickdraw", tmp_path, categories=["t-shirt"], variant="raw") == {
        "t-shirt": "quickdraw/raw/t-shirt.ndjson"
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("training_setA.zip", "training_setA.zip"),
        ("training_setA/p000001.psv", "training_setA"),
        ("training_setA/training/p000001.psv", "training_setA/training"),
        ("training/training_setA/p000001.psv", "training/training_setA"),
        ("training/p000001.psv", "training"),
    ],
)
def test_physionet_folders(tmp_path, name, expected):
    write(tmp_path, f"physionet/{name}", "physionet/training/training_setB/p100001.psv")
    assert paths("physionet", tmp_path, hospitals=["a", "b"]) == {
        "set_a": f"physionet/{expected}",
        "set_b": "physionet/training/training_setB",
    }


def test_the_other_hospital_is_not_taken_for_the_one_asked_for(tmp_path):
    write(tmp_path, "physionet/training/training_setB/p100001.psv")
    with pytest.raises(InputError, match="set_a"):
        paths("physionet", tmp_path, hospitals=["a"])


def test_what_is_missing_is_named_with_where_it_was_looked_for(tmp_path):
    write(tmp_path, "nmnist/Train.zip")
    with pytest.raises(InputError) as caught:
        paths("nmnist", tmp_path)
    error = caught.value
    assert error.where == str(tmp_path)
    assert f"{tmp_path / 'nmnist'} and {tmp_path} for test: Test.zip, test.zip" in error.problem
    assert "train:" not in error.problem
    with pytest.raises(InputError, match="not a folder"):
        paths("nmnist", tmp_path / "none")


def test_entries_say_whether_the_file_is_the_official_one(tmp_path):
    write(tmp_path, "a", "b", "c", "d/e")
    sha256 = hashlib.sha256(b"a").hexdigest()
    files = (
        SourceFile("a", "a", ("x",), ("a",), sha256=sha256),
        SourceFile("b", "b", ("x",), ("b",), sha256=sha256),
        SourceFile("c", "c", ("x",), ("c",), md5=hashlib.md5(b"c").hexdigest()),
        SourceFile("a again", "a", ("x",), ("a",)),
        SourceFile("d", "d", ("x",), ("d/*",), sha256=sha256),
    )
    found = find_files(SourceDataset("any", "https://home.example", "free", files), tmp_path)
    assert [file["official"] for file in found] == [True, False, True, None, None]
    assert found[0] == {
        "role": "a",
        "path": str(tmp_path / "a"),
        "bytes": 1,
        "sha256": sha256,
        "official": True,
    }
    assert (found[4]["bytes"], found[4]["sha256"]) == folder_bytes_and_sha256(tmp_path / "d")


def fetch(*arguments: str) -> subprocess.CompletedProcess:
    script = ROOT / "workflow/scripts/fetch.py"
    command = [sys.executable, str(script), "--sources", str(SOURCES), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_writes_the_manifest(tmp_path):
    write(tmp_path / "mirror", "training_setA/p000001.psv")
    out = tmp_path / "raw/physionet/manifest.json"
    done = fetch("--dataset=physionet", "--source=mirror", f"--mirror={tmp_path}/mirror",
                 '--options={"hospitals": ["a"]}', f"--out={out}")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads(out.read_text())
    [file] = manifest.pop("files")
    assert manifest == {"dataset": "physionet", "source": "mirror", "synthetic": False}
    assert file["path"] == str(tmp_path / "mirror/training_setA")


def test_the_program_stops_with_one_line_and_no_manifest(tmp_path):
    out = tmp_path / "raw/nmnist/manifest.json"
    done = fetch("--dataset=nmnist", "--source=mirror", f"--mirror={tmp_path}", f"--out={out}")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {tmp_path}: the mirror lacks files of nmnist")
    assert not out.exists()


@pytest.mark.parametrize("options", ["[]", "{", "3"])
def test_options_that_are_no_object_are_refused(tmp_path, options):
    done = fetch("--dataset=nmnist", "--source=mirror", f"--mirror={tmp_path}",
                 f"--options={options}", f"--out={tmp_path}/manifest.json")  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("error: --options: ")


MIRROR = os.environ.get("LIQUIDBENCH_MIRROR")


@pytest.mark.skipif(not MIRROR, reason="LIQUIDBENCH_MIRROR names no mirror")
def test_a_real_mirror():
    mirror = Path(MIRROR).absolute()
    assert paths("nmnist", mirror) == {"train": "nmnist/Train.zip", "test": "nmnist/Test.zip"}
    assert paths("iam", mirror)["train"] == "iam/data/train.parquet"
    assert paths("physionet", mirror) == {"set_a": "physionet/training_setA.zip"}
    assert paths("quickdraw", mirror, categories=["power outlet"]) == {
        "power outlet": "quickdraw/power outlet.ndjson"
    }

"""Archives and folders read alike, and hostile or broken ones refused."""

import hashlib
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from liquidbench.datasets.archives import folder_bytes_and_sha256, open_members
from liquidbench.errors import InputError

CONTENT = {"Train/0/00001.bin": b"first", "Train/1/00002.bin": b"", "Train/1/00003.bin": b"x" * 999}
BY_PRODUCTS = {"__MACOSX/Train/._00001.bin": b"m", "Train/.DS_Store": b"d", "Train/.a/b.bin": b"h"}


def write_zip(
    path: Path, content: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_folder(path: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_names_and_contents_are_the_same_zipped_and_unpacked(tmp_path, write):
    path = write(tmp_path / "raw", {**BY_PRODUCTS, **dict(reversed(CONTENT.items()))})
    with open_members(path) as members:
        assert members.names == sorted(CONTENT)
        assert {name: members.read(name) for name in members.names} == CONTENT
        assert members.path == path


def test_directories_and_a_leading_dot_folder_are_no_members(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("Train")
        archive.writestr("./Train/1.bin", b"1")
    with open_members(tmp_path / "a.zip") as members:
        assert members.names == ["Train/1.bin"]
        assert members.read("Train/1.bin") == b"1"


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up.bin", "Train/../../up.bin", "C:/x.bin", "c:x.bin", "Train\\x.bin", ".."],
)
def test_a_member_that_leaves_the_folder_is_refused_by_name(tmp_path, name):
    path = write_zip(tmp_path / "evil.zip", {"Train/1.bin": b"1", name: b"2"})
    with pytest.raises(InputError, match="leads out") as caught:
        open_members(path)
    assert str(path) in caught.value.where and repr(name) in caught.value.where


def test_a_name_hidden_behind_a_nul_is_refused(tmp_path):
    path = write_zip(tmp_path / "evil.zip", {"Train/1.bin-abc": b"1"})
    path.write_bytes(path.read_bytes().replace(b"1.bin-abc", b"1.bin\0abc"))
    with pytest.raises(InputError, match="leads out"):
        open_members(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO])
def test_links_and_special_members_are_refused(tmp_path, kind):
    info = zipfile.ZipInfo("Train/link")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match=r"Train/link.*link or special file"):
        open_members(tmp_path / "evil.zip")


def test_a_member_there_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/1.bin", b"1")
        archive.writestr("a//1.bin", b"2")
    with pytest.raises(InputError, match="twice"):
        open_members(tmp_path / "a.zip")


def test_an_encrypted_member_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"1.bin": b"1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="encrypted"):
        open_members(path)


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_a_member_of_absurd_size_is_refused(tmp_path, write):
    path = write(tmp_path / "raw", {"a.bin": b"\0" * 5001})
    with pytest.raises(InputError, match=r"a\.bin.*5,001 bytes, at most 5,000"):
        open_members(path, largest_member=5000).read("a.bin")
    with open_members(path, largest_member=5001) as members:
        assert len(members.read("a.bin")) == 5001


@pytest.mark.parametrize("declared", [0, 10, 200_000])
def test_a_member_of_another_size_than_declared_is_refused(tmp_path, declared):
    path = write_zip(tmp_path / "bomb.zip", {"a.bin": b"\0" * 100_000})
    lying = path.read_bytes().replace(struct.pack("<L", 100_000), struct.pack("<L", declared))
    path.write_bytes(lying)
    with open_members(path) as members, pytest.raises(InputError, match="damaged"):
        members.read("a.bin")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_is_reported_with_the_member(tmp_path, compression):
    path = write_zip(tmp_path / "a.zip", {"1.bin": b"q" * 50, "2.bin": b"w" * 50}, compression)
    content = bytearray(path.read_bytes())
    content[content.index(b"2.bin") + len(b"2.bin")] ^= 0x55
    path.write_bytes(content)
    with open_members(path) as members:
        assert members.read("1.bin") == b"q" * 50
        with pytest.raises(InputError, match=r"2\.bin.*damaged"):
            members.read("2.bin")


@pytest.mark.parametrize("keep", [0, 1, 30, 60, -1, -25])
def test_a_truncated_zip_is_refused(tmp_path, keep):
    path = write_zip(tmp_path / "cut.zip", {"1.bin": b"q" * 50})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cut\.zip: not a readable zip archive"):
        open_members(path)


@pytest.mark.parametrize("write", [write_zip, write_folder])
@pytest.mark.parametrize(
    "name", ["none.bin", "../secret", "Train", "/etc/passwd", "", "Train/1.bin/x"]
)
def test_a_member_that_is_not_there(tmp_path, write, name):
    (tmp_path / "secret").write_bytes(b"s")
    path = write(tmp_path / "raw", {"Train/1.bin": b"1"})
    with open_members(path) as members, pytest.raises(InputError, match="no member"):
        members.read(name)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        open_members(tmp_path / "none.zip")


def test_links_in_a_folder(tmp_path):
    folder = write_folder(tmp_path / "raw", {"Train/1.bin": b"1"})
    write_folder(tmp_path / "store", {"2.bin": b"2"})
    (folder / "Train/2.bin").symlink_to(tmp_path / "store/2.bin")
    with open_members(folder) as members:
        assert members.names == ["Train/1.bin", "Train/2.bin"]
        assert members.read("Train/2.bin") == b"2"
    (folder / "Train/0").symlink_to(tmp_path / "store")
    with pytest.raises(InputError, match="link to a folder"):
        open_members(folder).names  # noqa: B018
    (folder / "Train/0").unlink()
    (folder / "Train/3.bin").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"3\.bin.*neither a regular file"):
        open_members(folder).names  # noqa: B018


def test_the_sum_of_a_folder_is_over_names_and_sizes(tmp_path):
    folder = write_folder(tmp_path / "raw", {"b/2.bin": b"22", "a.bin": b"1", ".hidden": b"h"})
    expected = hashlib.sha256(b"a.bin\x001\nb/2.bin\x002\n").hexdigest()
    assert folder_bytes_and_sha256(folder) == (3, expected)


MIRROR = os.environ.get("LIQUIDBENCH_MIRROR")


@pytest.mark.skipif(not MIRROR, reason="LIQUIDBENCH_MIRROR names no mirror")
def test_real_archives():
    with open_members(Path(MIRROR, "nmnist/Test.zip")) as members:
        assert len(members.names) == 100
        assert all(name.startswith("Test/") and name.endswith(".bin") for name in members.names)
        assert all(len(members.read(name)) % 5 == 0 for name in members.names)
    with open_members(Path(MIRROR, "physionet/training_setA.zip")) as members:
        assert len(members.names) == 20336
        assert members.read(members.names[0]).startswith(b"HR|O2Sat|Temp")

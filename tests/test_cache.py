"""The cache: what is written comes back, whole or not at all, and other files are refused."""

import hashlib
import os
import subprocess
import zlib
from dataclasses import replace

import h5py
import numpy as np
import pytest

from liquidbench.datasets.cache import (
    CacheAttributes,
    CacheWriter,
    Sequences,
    read_attributes,
    read_split,
    read_split_names,
)
from liquidbench.datasets.checksum import USER_BLOCK, is_to_be_remade, verified_sha256
from liquidbench.datasets.manifest import read_manifest
from liquidbench.datasets.packing import Packed
from liquidbench.errors import InputError

ATTRIBUTES = CacheAttributes(
    dataset="iam",
    source="synthetic",
    synthetic=True,
    task="transcription",
    elapsed_unit="pixels",
    feature_names=("row_0", "row_1"),
    classes=(" ", "é"),
    settings={"height": 2, "limit_train": None},
    raw_sha256={"train": "ab"},
    code_sha256="cd",
    tallies={"cut": 1},
)
TEXTS = ["é", "", " é ", "日本"]


def make_block(numbers):
    """Sequences of the given numbers: number n has n + 1 steps, all of the value n."""
    lengths = [n + 1 for n in numbers]
    values = np.repeat(numbers, lengths)
    codes = [[n] * len(TEXTS[n]) for n in numbers]
    return Sequences(
        inputs=np.stack([values, values], axis=1).astype(np.uint8),
        elapsed=values.astype(np.float32) / 4,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        targets=np.array([code for text in codes for code in text], dtype=np.int64),
        ids=np.array([f"line {n}" for n in numbers]),
        target_offsets=np.concatenate([[0], np.cumsum([len(code) for code in codes])]),
        texts=np.array([TEXTS[n] for n in numbers]),
        step_targets=(values % 2).astype(np.uint8),
        time_since_observation=values.astype(np.float32),
    )


def write(path, blocks=((0, 1), (2, 3))):
    with CacheWriter(path, ATTRIBUTES) as writer:
        for numbers in blocks:
            writer.append("train", make_block(list(numbers)))
        writer.count("cut", 2)
        writer.append("test", make_block([3]))


def assert_same(found, expected):
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)


def test_what_was_appended_in_blocks_is_read_back(tmp_path):
    write(tmp_path / "cache.h5")
    found = read_split(tmp_path / "cache.h5", "train")
    assert_same(found, make_block([0, 1, 2, 3]))
    assert found.inputs.dtype == np.uint8
    assert found.elapsed.dtype == np.float32
    assert found.offsets.dtype == found.targets.dtype == np.int64
    assert len(found) == 4
    assert found.lengths.tolist() == [1, 2, 3, 4]
    assert_same(read_split(tmp_path / "cache.h5", "test"), make_block([3]))
    assert read_split_names(tmp_path / "cache.h5") == ("train", "test")


def test_attributes_are_read_back_with_the_tallies_added(tmp_path):
    write(tmp_path / "cache.h5")
    found = read_attributes(tmp_path / "cache.h5")
    assert vars(found) == vars(ATTRIBUTES) | {"tallies": {"cut": 3}}


@pytest.mark.parametrize("indices", [[3, 0], [], [2, 2, 1], [0, 1, 2, 3]])
def test_subset_equals_the_sequences_written_in_that_order(indices):
    found = make_block([0, 1, 2, 3]).subset(np.array(indices, dtype=np.int64))
    if indices:
        assert_same(found, make_block(indices))
    else:
        assert len(found) == 0
        assert found.inputs.shape == (0, 2)
        assert found.offsets.tolist() == [0]


def test_subset_without_optional_arrays():
    block = make_block([0, 1, 2])
    plain = Sequences(
        block.inputs, block.elapsed, block.offsets, np.array([7, 8, 9]), block.ids
    ).subset(np.array([2, 0]))
    assert plain.targets.tolist() == [9, 7]
    assert plain.texts is plain.step_targets is plain.target_offsets is None


def test_the_same_sequences_give_the_same_bytes(tmp_path):
    write(tmp_path / "a.h5")
    write(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def packed(block, rows):
    """The block with its inputs compressed in chunks of `rows` steps."""
    values = block.inputs
    whole = np.concatenate([values, np.zeros((-len(values) % rows, 2), dtype=np.uint8)])
    chunks = tuple(zlib.compress(whole[i : i + rows].tobytes()) for i in range(0, len(whole), rows))
    return replace(block, inputs=Packed(chunks, rows, values.shape, values.dtype))


def test_packed_inputs_are_read_back_like_others(tmp_path):
    with CacheWriter(tmp_path / "cache.h5", ATTRIBUTES) as writer:
        # 12 steps, which fill chunks of 4, then 7, which do not.
        writer.append("train", packed(make_block([3, 3, 3]), 4))
        writer.append("train", packed(make_block([2, 3]), 4))
    found = read_split(tmp_path / "cache.h5", "train")
    assert_same(found, make_block([3, 3, 3, 2, 3]))
    with h5py.File(tmp_path / "cache.h5") as file:
        assert file["train/inputs"].compression == "gzip"


@pytest.mark.parametrize(("first", "second"), [(([2], 4), ([3], 4)), (([3], 4), ([3], 2))])
def test_packed_inputs_that_do_not_continue_the_chunks_are_refused(tmp_path, first, second):
    with (
        pytest.raises(ValueError, match="do not fit"),
        CacheWriter(tmp_path / "cache.h5", ATTRIBUTES) as writer,
    ):
        for numbers, rows in (first, second):
            writer.append("train", packed(make_block(numbers), rows))


def test_nothing_remains_of_a_write_that_failed(tmp_path):
    with (
        pytest.raises(RuntimeError, match="on the way"),
        CacheWriter(tmp_path / "cache.h5", ATTRIBUTES) as writer,
    ):
        writer.append("train", make_block([1]))
        raise RuntimeError("on the way")
    with (
        pytest.raises(ValueError, match="without any"),
        CacheWriter(tmp_path / "cache.h5", ATTRIBUTES),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_does_not_fit_together_is_refused(tmp_path):
    block = make_block([1])
    block.offsets[-1] = 5
    with (
        pytest.raises(ValueError, match="offsets"),
        CacheWriter(tmp_path / "cache.h5", ATTRIBUTES) as writer,
    ):
        writer.append("train", block)


def change_version(file):
    file.attrs["schema_version"] = 2


def drop_attribute(file):
    del file.attrs["classes"]


def break_attribute(file):
    file.attrs["classes"] = "[1,"


def drop_array(file):
    del file["train/elapsed"]


def break_offsets(file):
    file["train/offsets"][2] = 1000


def unknown_task(file):
    file.attrs["task"] = "divination"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_version, "schema_version is 2, expected 1"),
        (drop_attribute, "no attribute 'classes'"),
        (break_attribute, "'classes' is not JSON"),
        (drop_array, "lacks the arrays elapsed"),
        (break_offsets, "offsets do not lead"),
        (unknown_task, "'divination'"),
    ],
)
def test_a_damaged_cache_is_refused(tmp_path, damage, message):
    write(tmp_path / "cache.h5")
    with h5py.File(tmp_path / "cache.h5", "r+") as file:
        damage(file)
    with pytest.raises(InputError, match=message) as caught:
        read_split(tmp_path / "cache.h5", "train")
    assert "cache.h5" in caught.value.where


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "cache.h5"
    with pytest.raises(InputError, match="no such file"):
        read_attributes(path)
    write(path)
    with pytest.raises(InputError, match="no group 'all', only train, test"):
        read_split(path, "all")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        read_split(path, "train")
    with h5py.File(path, "w"):
        pass
    with pytest.raises(InputError, match="schema_version is None"):
        read_attributes(path)


def test_a_manifest_finds_what_is_wrong(tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(InputError, match="no such file"):
        read_manifest(path, "iam")
    path.write_text('{"dataset": "iam"}')
    with pytest.raises(InputError, match="not a manifest"):
        read_manifest(path, "iam")
    start = '{"dataset": "iam", "source": "mirror", "synthetic": false, "files": '
    digest = hashlib.sha256(b"abc").hexdigest()
    entry = f'[{{"role": "train", "path": "x", "bytes": 3, "sha256": "{digest}"}}]}}'
    path.write_text(start + entry)
    with pytest.raises(InputError, match="is of the data set 'iam', expected 'nmnist'"):
        read_manifest(path, "nmnist")
    with pytest.raises(InputError, match="no such file or folder"):
        read_manifest(path, "iam")
    (tmp_path / "x").write_text("four")
    with pytest.raises(InputError, match="has 4 bytes, 3 when"):
        read_manifest(path, "iam")
    (tmp_path / "x").write_text("abd")
    with pytest.raises(InputError, match="has sha256"):
        read_manifest(path, "iam")
    (tmp_path / "x").write_text("abc")
    manifest = read_manifest(path, "iam")
    assert manifest.file("train").path == tmp_path / "x"
    with pytest.raises(InputError, match="no file for 'test', only: train"):
        manifest.file("test")


def test_a_cache_carries_the_checksum_of_what_was_written(tmp_path):
    path = tmp_path / "cache.h5"
    write(path)
    assert verified_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    # As the page on file formats says.
    command = f"tail -c +{USER_BLOCK + 1} {path} | sha256sum"
    told = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert told.split()[0].encode() in path.read_bytes()[:USER_BLOCK]
    # Wherever it is copied to.
    copy = path.rename(tmp_path / "other name.h5")
    verified_sha256(copy)
    assert_same(read_split(copy, "test"), make_block([3]))


def test_every_flipped_bit_of_a_cache_is_noticed(tmp_path):
    """Bytes from everywhere: the checksum itself, HDF5's tables, attributes, arrays, and unused room."""
    path = tmp_path / "cache.h5"
    write(path)
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged: ") as caught:
            verified_sha256(path)
        assert caught.value.where == str(path)
        # Other jobs have it as their input.
        assert path.read_bytes() == damaged


def test_a_damaged_cache_is_to_be_made_anew_until_a_newer_one_is_there(tmp_path):
    path, mark = tmp_path / "cache.h5", tmp_path / "cache.h5.damaged"
    write(path)
    good = path.read_bytes()
    assert not is_to_be_remade(path)
    path.write_bytes(good[:-1])
    os.utime(path, (1e9, 1e9))
    with pytest.raises(InputError, match="damaged: its content is not what was written"):
        verified_sha256(path)
    first = mark.read_text()
    assert "the checksum differs" in first
    assert is_to_be_remade(path)
    path.unlink()
    assert is_to_be_remade(path)
    os.utime(mark, (2e9, 2e9))
    write(path)
    os.utime(path, (3e9, 3e9))
    assert not is_to_be_remade(path)
    # Damaged once more: another mark.
    path.write_bytes(good[:-1])
    with pytest.raises(InputError, match="damaged: "):
        verified_sha256(path)
    assert mark.read_text() != first


def test_in_a_folder_of_others_a_damaged_cache_is_to_be_deleted_by_hand(tmp_path, monkeypatch):
    path = tmp_path / "cache.h5"
    write(path)
    path.write_bytes(path.read_bytes()[:-1])

    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    with pytest.raises(InputError, match=r"Delete it\. Start again"):
        verified_sha256(path)


def test_a_cache_that_cannot_be_read_stays_where_it_is(tmp_path, monkeypatch):
    path = tmp_path / "cache.h5"
    write(path)

    def refuse(self, *arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        verified_sha256(path)
    assert path.exists()


@pytest.mark.parametrize("length", [0, 100, 512, 513, 3000, -1])
def test_a_cache_that_was_cut_off_is_noticed(tmp_path, length):
    path = tmp_path / "cache.h5"
    write(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="damaged: "):
        verified_sha256(path)


def test_a_cache_without_a_checksum_or_none_at_all_is_named(tmp_path):
    path = tmp_path / "cache.h5"
    with pytest.raises(InputError, match="no such file"):
        verified_sha256(path)
    with h5py.File(path, "w") as file:
        file.attrs["schema_version"] = 1
    with pytest.raises(InputError, match="it begins with no checksum"):
        verified_sha256(path)

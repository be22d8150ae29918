"""N-MNIST: decoding and binning against a plain loop over events, and whole caches."""

import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from liquidbench.datasets import nmnist, workers
from liquidbench.datasets.cache import read_attributes, read_split, read_split_names
from liquidbench.datasets.examples import write_examples
from liquidbench.datasets.preparation import read_settings
from liquidbench.errors import InputError
from liquidbench.files import sha256_of_code
from liquidbench.stages import parts_of
from preparation_helpers import MIRROR, make_manifest, needs_mirror

SCRIPT = Path(__file__).parents[1] / "workflow/scripts/prepare.py"


def encode(events):
    """(x, y, polarity, time) tuples to the bytes of a `.bin` file."""
    return b"".join(
        bytes([x, y, polarity << 7 | time >> 16, time >> 8 & 0xFF, time & 0xFF])
        for x, y, polarity, time in events
    )


def loop_counts(content, bins, overflow):
    """The released formula, event by event, in double precision."""
    kept, added = [], 0
    for start in range(0, len(content), 5):
        x, y, high, middle, low = content[start : start + 5]
        if overflow and y == 240:
            added += 8192
        time = (high % 128) * 65536 + middle * 256 + low + added
        if x < 34 and y < 34:
            kept.append((x, y, high // 128, time))
    counts = np.zeros((bins, 2, 34, 34), dtype=int)
    if kept:
        first, last = kept[0][3], kept[-1][3]
        width = (last - first) / bins
        for x, y, polarity, time in kept:
            bin_ = min(math.floor((time - first) / width), bins - 1) if width else 0
            counts[bin_, polarity, y, x] += 1
    return counts


def random_recording(generator, events):
    times = np.sort(generator.integers(0, 1 << 23, events))
    x = generator.integers(0, 40, events)
    y = np.where(generator.random(events) < 0.05, 240, generator.integers(0, 40, events))
    return encode(
        zip(x.tolist(), y.tolist(), generator.integers(0, 2, events).tolist(), times.tolist())
    )


def test_a_hand_made_event():
    content = bytes([3, 33, 0b1000_0001, 0x02, 0x03, 34, 0, 0, 0, 9])
    events = nmnist.decode_events(content, "ignore", "hand")
    assert (events.x.tolist(), events.y.tolist()) == ([3], [33])
    assert events.polarity.tolist() == [1]
    assert events.time.tolist() == [65536 + 512 + 3]
    assert events.outside == 1


@pytest.mark.parametrize("overflow", ["ignore", "timestamp"])
# 600 bins need more than 32 bits.
@pytest.mark.parametrize("bins", [1, 7, 10, 600])
def test_counts_equal_a_loop_over_the_events(overflow, bins):
    generator = np.random.default_rng(bins)
    for events in (1, 2, 5, 300):
        content = random_recording(generator, events)
        decoded = nmnist.decode_events(content, overflow, "random")
        counts, width = nmnist.bin_events(decoded, bins)
        np.testing.assert_array_equal(counts, loop_counts(content, bins, overflow == "timestamp"))
        if len(decoded.time):
            assert width == pytest.approx((decoded.time[-1] - decoded.time[0]) / bins)


def random_ordinary(generator, events):
    """A recording inside the window and in order of time: what nearly all real ones are."""
    x, y = generator.integers(0, 34, (2, events))
    times = np.sort(generator.integers(5, 5 + max(1, 40 * events), events))
    return encode(
        zip(x.tolist(), y.tolist(), generator.integers(0, 2, events).tolist(), times.tolist())
    )


@pytest.mark.parametrize("bins", [1, 7, 10, 600])
def test_recordings_counted_together_equal_a_loop_over_their_events(bins):
    generator = np.random.default_rng(bins)
    ordinary = [random_ordinary(generator, events) for events in (1, 2, 300, 5, 3000, 40)]
    at_once = encode([(33, 33, 1, 50)] * 3)
    crowded = encode([(5, 6, 1, 10)] * 300 + [(5, 6, 0, 110)])
    backwards = encode([(1, 2, 0, 10), (3, 4, 1, 90), (5, 6, 0, 40), (7, 8, 1, 100)])
    outside = random_recording(generator, 300)
    groups = [[*ordinary, at_once, crowded], [b"", ordinary[2]], [ordinary[0], backwards]]
    groups += [[outside, *ordinary], [ordinary[1]]]
    for group in groups:
        settings = nmnist.Settings(bins=bins)
        frames = nmnist.count_recordings(group, settings, [""] * len(group))
        expected = np.stack([loop_counts(content, bins, False) for content in group])
        assert frames.counts.dtype == np.uint8
        np.testing.assert_array_equal(frames.counts, expected.clip(max=255))
        assert frames.clipped == (expected > 255).sum()
        decoded = [nmnist.decode_events(content, "ignore", "") for content in group]
        assert frames.outside == sum(events.outside for events in decoded)
        assert frames.widths.tolist() == [nmnist.bin_events(each, bins)[1] for each in decoded]


def test_events_on_the_edges_of_bins_fall_as_in_double_precision():
    for span in range(1, 400):
        content = encode((0, 0, 0, time) for time in range(span + 1))
        expected = loop_counts(content, 10, False)
        counts, _ = nmnist.bin_events(nmnist.decode_events(content, "ignore", "edges"), 10)
        np.testing.assert_array_equal(counts, expected)
        frames = nmnist.count_recordings([content], nmnist.Settings(), ["edges"])
        np.testing.assert_array_equal(frames.counts[0], expected)


def test_the_overflow_rule_moves_all_later_events():
    content = encode([(1, 1, 0, 100), (0, 240, 0, 101), (1, 1, 1, 5), (9, 240, 0, 6), (2, 2, 0, 7)])
    assert nmnist.decode_events(content, "ignore", "").time.tolist() == [100, 5, 7]
    moved = nmnist.decode_events(content, "timestamp", "")
    assert moved.time.tolist() == [100, 5 + 8192, 7 + 16384]
    assert moved.outside == 2


def test_recordings_without_events_or_without_duration():
    counts, width = nmnist.bin_events(nmnist.decode_events(b"", "ignore", ""), 10)
    assert counts.shape == (10, 2, 34, 34)
    assert counts.sum() == width == 0
    at_once = encode([(1, 2, 1, 50)] * 3)
    counts, width = nmnist.bin_events(nmnist.decode_events(at_once, "ignore", ""), 10)
    assert counts[0, 1, 2, 1] == counts.sum() == 3
    assert width == 0


def make_raw(folder, recordings, test=None):
    """A Train.zip and an unpacked Test folder; both hold every digit at least once."""
    with zipfile.ZipFile(folder / "Train.zip", "w") as archive:
        for name, content in recordings.items():
            archive.writestr(f"Train/{name}", content)
    for name, content in (test or recordings).items():
        path = folder / "Test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    files = {"train": folder / "Train.zip", "test": folder / "Test"}
    return make_manifest(folder, "nmnist", files)


def make_recordings(each=1):
    generator = np.random.default_rng(0)
    return {
        f"{digit}/{index:05}.bin": random_recording(generator, 20 + digit)
        for digit in range(10)
        for index in range(each)
    }


def test_a_cache_holds_each_recording_in_order(tmp_path):
    recordings = make_recordings(2)
    recordings["4/00000.bin"] = encode([(5, 6, 1, 10)] * 300 + [(5, 6, 0, 110)])
    manifest = make_raw(tmp_path, recordings, make_recordings())
    cache = tmp_path / "cache.h5"
    nmnist.prepare(manifest, nmnist.Settings(), cache, 1)

    assert read_split_names(cache) == ("train", "test")
    train = read_split(cache, "train")
    assert train.inputs.shape == (200, 2, 34, 34)
    assert train.inputs.dtype == np.uint8
    assert train.targets.tolist() == [digit for digit in range(10) for _ in range(2)]
    assert train.ids[:3].tolist() == ["train/0/00000", "train/0/00001", "train/1/00000"]
    for index, content in enumerate(recordings.values()):
        expected = loop_counts(content, 10, False).clip(max=255)
        np.testing.assert_array_equal(train.inputs[index * 10 : index * 10 + 10], expected)
    full = train.ids.tolist().index("train/4/00000")
    assert train.inputs[full * 10, 1, 6, 5] == 255
    assert train.elapsed[full * 10 : full * 10 + 10].tolist() == [0] + [10] * 9
    assert read_split(cache, "test").ids[9] == "test/9/00000"

    attributes = read_attributes(cache)
    assert (attributes.task, attributes.elapsed_unit) == ("classification", "microseconds")
    assert attributes.classes == tuple("0123456789")
    assert attributes.tallies["train.clipped_counts"] == 1
    assert attributes.tallies["train.events_outside"] > 0
    assert attributes.code_sha256 == sha256_of_code(*parts_of("prepare", "nmnist"))


def test_the_cache_does_not_depend_on_the_number_of_processes(tmp_path, monkeypatch):
    manifest = make_raw(tmp_path, make_recordings(2))
    monkeypatch.setattr(nmnist, "_CHUNK", 3)
    monkeypatch.setattr(workers, "_BLOCKS_A_PROCESS", 1)
    for threads in (1, 2):
        nmnist.prepare(manifest, nmnist.Settings(), tmp_path / f"{threads}.h5", threads)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def process_of(members, block):
    return os.getpid(), members.names, block


def test_blocks_go_to_worker_processes_and_come_back_in_order(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a").touch()
    monkeypatch.setattr(workers, "_BLOCKS_A_PROCESS", 1)
    found = list(workers.map_members(tmp_path / "raw", process_of, list(range(20)), 2))
    assert os.getpid() not in {process for process, *_ in found}
    assert [rest for _, *rest in found] == [[["a"], block] for block in range(20)]
    alone = list(workers.map_members(tmp_path / "raw", process_of, [7], 1))
    assert alone == [(os.getpid(), ["a"], 7)]


def test_an_error_in_a_worker_process_arrives_whole(tmp_path, monkeypatch):
    recordings = make_recordings() | {"7/00000.bin": b"123456"}
    manifest = make_raw(tmp_path, recordings)
    monkeypatch.setattr(nmnist, "_CHUNK", 2)
    monkeypatch.setattr(workers, "_BLOCKS_A_PROCESS", 1)
    with pytest.raises(InputError, match="6 bytes, not a multiple of 5") as caught:
        nmnist.prepare(manifest, nmnist.Settings(), tmp_path / "cache.h5", 2)
    assert "Train.zip" in caught.value.where
    assert "7/00000.bin" in caught.value.where
    assert not list(tmp_path.glob("*cache*"))


def test_a_limit_takes_the_first_of_each_digit(tmp_path):
    manifest = make_raw(tmp_path, make_recordings(3))
    settings = nmnist.Settings(limit_train=20, limit_test=10)
    nmnist.prepare(manifest, settings, tmp_path / "cache.h5", 1)
    train = read_split(tmp_path / "cache.h5", "train")
    assert train.ids.tolist() == [f"train/{d}/0000{i}" for d in range(10) for i in range(2)]
    assert len(read_split(tmp_path / "cache.h5", "test")) == 10


def test_a_missing_digit_or_another_folder_is_refused(tmp_path):
    recordings = make_recordings()
    del recordings["8/00000.bin"]
    manifest = make_raw(tmp_path, recordings)
    with pytest.raises(InputError, match="9 recordings, but none of 8"):
        nmnist.prepare(manifest, nmnist.Settings(), tmp_path / "cache.h5", 1)
    manifest = make_raw(tmp_path, make_recordings() | {"ten/1.bin": b""})
    with pytest.raises(InputError, match="lies in the folder 'ten'"):
        nmnist.prepare(manifest, nmnist.Settings(), tmp_path / "cache.h5", 1)


@pytest.mark.parametrize(
    "values",
    [{"binz": 3}, {"bins": 0}, {"bins": True}, {"limit_train": 1.5}, {"overflow_events": "drop"}],
)
def test_bad_settings_name_their_key(values):
    with pytest.raises(InputError, match=next(iter(values))):
        read_settings(nmnist.Settings, values)


def test_the_example_is_a_three(tmp_path):
    recordings = make_recordings(2)
    manifest = make_raw(tmp_path, recordings)
    write_examples(tmp_path / "examples.npz", manifest, nmnist.Settings(), "unused")
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as example:
        assert example["label"].item() == "3"
        assert example["id"].item() == "train/3/00000"
        expected = nmnist.decode_events(recordings["3/00000.bin"], "ignore", "")
        for name in ("x", "y", "polarity", "time"):
            np.testing.assert_array_equal(example[name], getattr(expected, name))
        assert example["time"].dtype == np.int64
        assert example["synthetic"].item() is False
        assert example["source"].item() == "mirror"


def run_script(folder, settings):
    arguments = ["--dataset", "nmnist", "--manifest", folder / "manifest.json"]
    arguments += ["--settings", settings, "--cache", folder / "out/cache.h5"]
    arguments += ["--examples", folder / "out/examples.npz", "--threads", "1"]
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False
    )


def test_the_program_prepares_and_reports_errors_in_one_line(tmp_path):
    make_raw(tmp_path, make_recordings())
    done = run_script(tmp_path, json.dumps({"bins": 4}))
    assert (done.returncode, done.stderr) == (0, "")
    assert read_split(tmp_path / "out/cache.h5", "train").inputs.shape[0] == 40
    assert (tmp_path / "out/examples.npz").is_file()
    refused = run_script(tmp_path, '{"bin": 4}')
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "unknown key 'bin'" in refused.stderr
    assert refused.stderr.count("\n") == 1


@needs_mirror
def test_real_recordings(tmp_path):
    files = {"train": MIRROR / "nmnist/Train.zip", "test": MIRROR / "nmnist/Test.zip"}
    manifest = make_manifest(tmp_path, "nmnist", files)
    nmnist.prepare(manifest, nmnist.Settings(), tmp_path / "cache.h5", 2)
    for split, examples in (("train", 1000), ("test", 100)):
        found = read_split(tmp_path / "cache.h5", split)
        assert len(found) == len(set(found.ids)) == examples
        assert set(found.targets) == set(range(10))
        with zipfile.ZipFile(files[split]) as archive:
            digit, stem = found.ids[-1].split("/")[1:]
            content = archive.read(f"{split.capitalize()}/{digit}/{stem}.bin")
        np.testing.assert_array_equal(found.inputs[-10:], loop_counts(content, 10, False))
        # Three saccades of about 100 ms: ten bins of about 30 ms.
        assert 25_000 < found.elapsed.max() < 40_000

"""Raw files to caches: recordings of events to frames, clinical files to numbers, and whole preparations.

    python benchmarks/preparation.py [--mirror DIR] [--out preparation.csv] [--quick]

Without a mirror, on synthetic files. First all ways must give the same numbers. Then they take turns, in one
process, and what counts is its own processor time. Times are milliseconds for one recording or one patient;
ratios are to the loop over the events, or to a call of pandas for every file. Below 1 is faster.
"""

import argparse
import io
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from pydoc import locate

import h5py
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from studies import PROJECT, add_mirror_option, open_study, source_of
from timing import compared, interleaved, save, show

from liquidbench.allocator import keep_freed_memory
from liquidbench.datasets import nmnist, physionet
from liquidbench.datasets.archives import open_members
from liquidbench.datasets.manifest import Manifest, read_manifest
from liquidbench.errors import run_command

LOOP, PANDAS = "loop over events", "pandas, a call per file"
OURS = "liquidbench"
BINS = 10
SHAPE = (BINS, 2, nmnist.SIDE, nmnist.SIDE)
# A bin's width in whole microseconds loses less than `BINS` of them at a recording's end.
TONIC, TONIC_LOSES = "tonic's ToFrame", 0.01

WHOLE, READING = "whole preparation", "reading the archive alone"
# Of the official data sets; PhysioNet with both hospitals.
EXAMPLES = {"nmnist": 70_000, "physionet": 40_336}
# Of N-MNIST's training recordings: enough to be steady.
MOST_RECORDINGS = 10_000

Counter = Callable[[bytes], np.ndarray]


def loop_over_events(content: bytes) -> np.ndarray:
    """The counts (10, 2, 34, 34) of a recording as a plain loop: take five bytes apart, find the cell, add one."""
    events = []
    for start in range(0, len(content), 5):
        x, y, high, middle, low = content[start : start + 5]
        time_ = (high & 127) << 16 | middle << 8 | low
        if x < nmnist.SIDE and y < nmnist.SIDE:
            events.append((x, y, high >> 7, time_))
    counts = np.zeros(SHAPE, dtype=np.float32)
    first = events[0][3]
    width = (events[-1][3] - first) / BINS
    for x, y, polarity, time_ in events:
        counts[min(int((time_ - first) / width), BINS - 1), polarity, y, x] += 1
    return counts


def add_at(content: bytes) -> np.ndarray:
    """The same counts by NumPy's unbuffered addition, from columns of 64-bit numbers."""
    raw = np.frombuffer(content, dtype=np.uint8).reshape(-1, 5).astype(np.int64)
    x, y, polarity = raw[:, 0], raw[:, 1], raw[:, 2] >> 7
    time_ = (raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]
    inside = (x < nmnist.SIDE) & (y < nmnist.SIDE)
    x, y, polarity, time_ = x[inside], y[inside], polarity[inside], time_[inside]
    since = time_ - time_[0]
    bin_ = np.minimum((since / (since[-1] / BINS)).astype(np.int64), BINS - 1)
    counts = np.zeros(SHAPE, dtype=np.float32)
    np.add.at(counts, (bin_, polarity, y, x), 1)
    return counts


def tonic_counter() -> Counter | None:
    """The counts by tonic, from events that liquidbench decoded; None if tonic is not installed."""
    # Looked up by name: it is no requirement of the project.
    to_frame = locate("tonic.transforms.ToFrame")
    if to_frame is None:
        return None
    transform = to_frame(sensor_size=(nmnist.SIDE, nmnist.SIDE, 2), n_time_bins=BINS)
    kind = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])

    def count(content: bytes) -> np.ndarray:
        events = nmnist.decode_events(content, "ignore", "a recording")
        table = np.empty(len(events.time), dtype=kind)
        table["x"], table["y"], table["t"] = events.x, events.y, events.time
        table["p"] = events.polarity
        return transform(table)

    return count


def ours(contents: list[bytes]) -> np.ndarray:
    """The same counts of many recordings, in the groups in which a preparation makes them."""
    out = np.empty((len(contents), *SHAPE), dtype=np.uint8)
    for start in range(0, len(contents), nmnist.GROUP):
        group = contents[start : start + nmnist.GROUP]
        where = ["a recording"] * len(group)
        out[start : start + len(group)] = nmnist.count_recordings(
            group, nmnist.Settings(bins=BINS), where
        ).counts
    return out


def counters() -> dict[str, Counter]:
    """The ways of counting one recording, by name."""
    found = {LOOP: loop_over_events, "np.add.at": add_at}
    tonic = tonic_counter()
    return found if tonic is None else found | {TONIC: tonic}


def check_counts(contents: list[bytes]) -> None:
    """Stop unless all ways count alike.

    Raises:
        SystemExit: they do not.
    """
    expected = np.stack([loop_over_events(content) for content in contents])
    for name, counter in counters().items():
        found = np.stack([counter(content) for content in contents])
        lost = np.abs(found - expected).sum() / expected.sum()
        if lost > (TONIC_LOSES if name == TONIC else 0):
            sys.exit(f"error: {name} counts {lost:.2%} of the events otherwise than the loop")
    if not np.array_equal(ours(contents), expected):
        sys.exit("error: liquidbench counts otherwise than the loop over the events")


def by_pandas(contents: list[bytes]) -> np.ndarray:
    """The values of many patients, float64 (hours, 41), by a call of pandas for each."""
    return np.concatenate(
        [pd.read_csv(io.BytesIO(content), sep="|").to_numpy(np.float64) for content in contents]
    )


def by_liquidbench(contents: list[bytes]) -> np.ndarray:
    """The same, in the one call that a preparation makes for a block of patients."""
    values, _ = physionet.parse_records([("a patient", content) for content in contents])
    return values


def check_values(contents: list[bytes]) -> None:
    """Stop unless pandas and liquidbench read the same numbers, the missing ones too.

    Raises:
        SystemExit: they do not.
    """
    expected, found = by_pandas(contents), by_liquidbench(contents)
    # Decimal fractions may be rounded to neighbouring numbers.
    if expected.shape != found.shape or not np.allclose(
        expected, found, rtol=1e-15, atol=0, equal_nan=True
    ):
        sys.exit("error: liquidbench reads other clinical values than pandas")


def read(path: Path, suffix: str, count: int) -> Iterator[bytes]:
    """Up to `count` members of an archive, spread over it."""
    with open_members(path) as members:
        names = [name for name in members.names if name.endswith(suffix)]
        count = min(count, len(names))
        for index in range(count):
            yield members.read(names[index * len(names) // count])


def measure_recordings(manifest: Manifest, case: str, count: int, rounds: int) -> pd.DataFrame:
    """Check, time and print the ways from N-MNIST's files to frames, on `count` recordings each."""
    contents = list(read(manifest.file("train").path, ".bin", count))
    check_counts(contents[:20])
    variants: dict[str, Callable[[], object]] = {
        name: partial(lambda counter: [counter(content) for content in contents], counter)
        for name, counter in counters().items()
    }
    # Many groups in a row, as in a preparation: the first would pay for the others' use of the processor's cache.
    repeated = contents * 8
    variants[OURS] = lambda: ours(repeated)
    times = interleaved(variants, rounds, warmups=1, clock=time.process_time) / len(contents)
    times[OURS] *= len(contents) / len(repeated)
    table = compared(times, LOOP, "events to frames", case)
    show(table, f"N-MNIST, events to frames: a recording, {len(contents)} {case}")
    if TONIC not in variants:
        print("\ntonic: not installed")
    show_rates(times, "recordings")
    return table


def measure_patients(manifest: Manifest, case: str, count: int, rounds: int) -> pd.DataFrame:
    """Check, time and print the ways from PhysioNet's files to numbers, on `count` patients each."""
    contents = list(read(manifest.file("set_a").path, ".psv", count))
    check_values(contents)
    repeated = contents * 8
    variants: dict[str, Callable[[], object]] = {
        PANDAS: lambda: by_pandas(contents),
        OURS: lambda: by_liquidbench(repeated),
    }
    times = interleaved(variants, rounds, warmups=1, clock=time.process_time) / len(contents)
    times[OURS] *= len(contents) / len(repeated)
    table = compared(times, PANDAS, "clinical files to numbers", case)
    show(table, f"PhysioNet, files to numbers: a patient, {len(contents)} {case}")
    show_rates(times, "patients")
    return table


def measure_whole(
    manifest: Manifest, settings: object, role: str, suffix: str, case: str, rounds: int
) -> pd.DataFrame:
    """Time and print a whole preparation of a data set, and how much of it is reading the archive.

    Args:
        manifest: the raw files.
        settings: of the data set's module.
        role: the archive that nearly everything is in.
        suffix: of its members that count.
        case: real or synthetic files.
        rounds: that count.
    """
    reader = {"nmnist": nmnist, "physionet": physionet}[manifest.dataset]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "cache.h5")
        reader.prepare(manifest, settings, cache, 1)
        with h5py.File(cache) as file:
            counts = [len(group["ids"]) for group in file.values()]
        count, size = sum(counts), cache.stat().st_size
        variants: dict[str, Callable[[], object]] = {
            WHOLE: lambda: reader.prepare(manifest, settings, cache, 1),
            READING: lambda: deque(read(manifest.file(role).path, suffix, max(counts)), maxlen=0),
        }
        times = interleaved(variants, rounds, warmups=0, clock=time.process_time) / count
        times[READING] *= count / max(counts)
    table = compared(times, WHOLE, f"{manifest.dataset}, preparation", case)
    show(table, f"{manifest.dataset}, whole preparation: one of {count:,} examples, {case}")
    rest = (times[WHOLE] - times[READING]).median()
    print(
        f"\n{EXAMPLES[manifest.dataset]:,} examples: {EXAMPLES[manifest.dataset] * times[WHOLE].median():.1f} s "
        f"of one processor, without reading the archive {EXAMPLES[manifest.dataset] * rest:.1f} s; "
        f"{size / count:,.0f} bytes each in the cache"
    )
    return table


def show_rates(times: pd.DataFrame, what: str) -> None:
    """Print how many of something a second of processor time is enough for."""
    rates = (1 / times).quantile([0.25, 0.5, 0.75])
    print(f"\n{what} per second of processor time: median [quartiles]\n")
    for name in times.columns:
        low, middle, high = rates[name]
        print(f"  {name}: {middle:,.0f} [{low:,.0f}, {high:,.0f}]")


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_mirror_option(parser)
    parser.add_argument("--out", type=Path, help="CSV of the times")
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds")
    arguments = parser.parse_args()
    keep_freed_memory()
    count, rounds = (32, 5) if arguments.quick else (96, 15)
    case = source_of(arguments.mirror)
    with tempfile.TemporaryDirectory() as scratch:
        study = open_study(PROJECT, arguments.mirror, Path(scratch))
        recordings, patients = (
            read_manifest(study.manifest(dataset), dataset) for dataset in ("nmnist", "physionet")
        )
        keeping = nmnist.Settings(bins=BINS, limit_train=MOST_RECORDINGS)
        whole_rounds = 3 if arguments.quick else 7
        tables = [
            measure_recordings(recordings, case, count, rounds),
            measure_whole(recordings, keeping, "train", ".bin", case, whole_rounds),
            measure_patients(patients, case, count, rounds),
            measure_whole(patients, physionet.Settings(), "set_a", ".psv", case, whole_rounds),
        ]
    if arguments.out:
        save(pd.concat(tables, ignore_index=True), arguments.out)


if __name__ == "__main__":
    run_command(main)

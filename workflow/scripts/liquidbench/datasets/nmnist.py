"""N-MNIST: recordings of an event camera as counts of events in time bins.

Format (Orchard et al., 2015, "Converting static image datasets to spiking neuromorphic datasets
using saccades"): 5 bytes an event: x, y, then one bit of polarity (1 = ON) and 23 bits of time
in microseconds, most significant first. One `.bin` file a recording, in a folder named after
its digit.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from isal import isal_zlib

from liquidbench.datasets.archives import Members, open_members
from liquidbench.datasets.cache import CacheWriter, Sequences
from liquidbench.datasets.manifest import Manifest
from liquidbench.datasets.packing import GZIP_LEVEL, Packed
from liquidbench.datasets.preparation import cache_attributes, check_choice, check_count
from liquidbench.datasets.splits import balanced_subset
from liquidbench.datasets.workers import blocks_of, map_members
from liquidbench.errors import InputError

SIDE = 34
"""Pixels of the camera's window in each direction."""
GROUP = 32
"""Recordings counted together: enough to outweigh the calls, few enough for the processor's cache."""

# The last four bytes of an event as one number: 8 bits of y, one of polarity, 23 of time.
_EVENT = np.dtype(
    {"names": ["x", "rest"], "formats": ["u1", ">u4"], "offsets": [0, 1], "itemsize": 5}
)
_TIME = (1 << 23) - 1
_OVERFLOW_Y = 240
_OVERFLOW_MICROSECONDS = 1 << 13
_LARGEST_COUNT = np.iinfo(np.uint8).max
# Recordings of a chunk of the cache, and chunks that a worker process makes at once.
_CHUNK, _CHUNKS = 64, 4
_DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class Settings:
    """How N-MNIST is prepared.

    Attributes:
        bins: time bins of a recording.
        overflow_events: ``ignore``: events with y == 240 are outside the window and nothing
            else; ``timestamp``: each also adds 2^13 microseconds to all later time stamps.
        limit_train: number of training recordings to keep, balanced over the digits.
        limit_test: the same for the test recordings.
    """

    bins: int = 10
    overflow_events: str = "ignore"
    limit_train: int | None = None
    limit_test: int | None = None

    def __post_init__(self) -> None:
        check_count("nmnist.bins", self.bins)
        check_choice("nmnist.overflow_events", self.overflow_events, ("ignore", "timestamp"))
        check_count("nmnist.limit_train", self.limit_train, optional=True)
        check_count("nmnist.limit_test", self.limit_test, optional=True)


@dataclass(frozen=True)
class Events:
    """The events of one recording inside the window, in the order of the file.

    Attributes:
        x, y: (events,), uint8, 0 to 33.
        polarity: (events,), uint8, 0 = OFF, 1 = ON.
        time: (events,), uint32, or int64 where overflow events count; microseconds.
        outside: number of events left out because x or y is 34 or more.
    """

    x: np.ndarray
    y: np.ndarray
    polarity: np.ndarray
    time: np.ndarray
    outside: int


def decode_events(content: bytes, overflow_events: str, where: str) -> Events:
    """Decode a `.bin` file.

    Args:
        content: the file's bytes; none at all is a recording without events.
        overflow_events: see `Settings`.
        where: how an error names the file.

    Raises:
        InputError: the length is no multiple of 5 bytes.
    """
    if len(content) % _EVENT.itemsize:
        problem = (
            f"{len(content)} bytes, not a multiple of {_EVENT.itemsize}: the file is truncated"
        )
        raise InputError(where, problem, "Fetch the data set again")
    raw = np.frombuffer(content, dtype=_EVENT)
    x, rest = raw["x"], raw["rest"].astype(np.uint32)
    y, time = (rest >> 24).astype(np.uint8), rest & _TIME
    polarity = (rest >> 23).astype(np.uint8) & 1
    if overflow_events == "timestamp":
        time = time + _OVERFLOW_MICROSECONDS * np.cumsum(y == _OVERFLOW_Y, dtype=np.int64)
    # Nearly all recordings lie inside as a whole, and need no copies.
    if max(x.max(initial=0), y.max(initial=0)) < SIDE:
        return Events(x, y, polarity, time, outside=0)
    inside = (x < SIDE) & (y < SIDE)
    outside = len(raw) - int(inside.sum())
    return Events(x[inside], y[inside], polarity[inside], time[inside], outside)


def bin_events(events: Events, bins: int) -> tuple[np.ndarray, float]:
    """Count events per bin, polarity and pixel.

    The bin of an event is min(floor((t - t_first) / ((t_last - t_first) / bins)), bins - 1),
    in integers: exact, and for 10 bins equal to the formula in double precision for every time
    span below 2^24 microseconds. Events that all have one time stamp lie in bin 0.

    Returns:
        (counts, width): int64 (bins, 2, 34, 34) over polarity, y, x; and the width of a bin in
        microseconds. All zeros for a recording without events.
    """
    shape = (bins, 2, SIDE, SIDE)
    if not len(events.time):
        return np.zeros(shape, dtype=np.int64), 0.0
    since = events.time - events.time.min()
    span = int(since.max())
    # 32 bits wherever they hold all products, which halves the time.
    since = since.astype(np.uint32 if span * bins < 1 << 32 else np.int64, copy=False)
    bin_ = np.minimum(since * bins // max(span, 1), bins - 1)
    cell = ((bin_ * 2 + events.polarity) * SIDE + events.y) * SIDE + events.x
    return np.bincount(cell, minlength=bins * 2 * SIDE * SIDE).reshape(shape), span / bins


@dataclass(frozen=True)
class Frames:
    """Recordings as counts of events.

    Attributes:
        counts: (recordings, bins, 2, 34, 34), uint8, over polarity, y, x; at most 255.
        widths: (recordings,), float64, width of a bin in microseconds.
        clipped: number of counts that were above 255.
        outside: number of events left out because x or y is 34 or more.
    """

    counts: np.ndarray
    widths: np.ndarray
    clipped: int
    outside: int

    @property
    def elapsed(self) -> np.ndarray:
        """Microseconds since the previous bin, (recordings, bins), float32; 0 at the first."""
        elapsed = np.zeros(self.counts.shape[:2], dtype=np.float32)
        elapsed[:, 1:] = self.widths[:, None]
        return elapsed


def count_recordings(contents: list[bytes], settings: Settings, where: list[str]) -> Frames:
    """Decode and bin `.bin` files, a dozen or so at once.

    Args:
        contents: the files' bytes.
        settings: bins, and what overflow events mean.
        where: how an error names each file.

    Raises:
        InputError: the length of a file is no multiple of 5 bytes.
    """
    ordinary, outside = _count_ordinary(contents, settings.bins), 0
    if ordinary is not None:
        counts, widths = ordinary
    else:
        counts = np.empty((len(contents), settings.bins, 2, SIDE, SIDE), dtype=np.int64)
        widths = np.empty(len(contents))
        for index, content in enumerate(contents):
            events = decode_events(content, settings.overflow_events, where[index])
            counts[index], widths[index] = bin_events(events, settings.bins)
            outside += events.outside
    clipped = 0
    if counts.max() > _LARGEST_COUNT:
        clipped = int((counts > _LARGEST_COUNT).sum())
        counts = np.minimum(counts, _LARGEST_COUNT)
    return Frames(counts.astype(np.uint8), widths, clipped, outside)


def _count_ordinary(contents: list[bytes], bins: int) -> tuple[np.ndarray, np.ndarray] | None:
    """`decode_events` and `bin_events` of recordings with nothing special, at a third of their time.

    Returns:
        (counts, widths): uint16 (recordings, bins, 2, 34, 34), and float64 (recordings,). None if a recording
        is empty, truncated or very long, has events outside the window, or has them out of the order of time.
    """
    sizes = np.array([len(content) for content in contents])
    # A cell of 16 bits holds all events of a shorter recording.
    if (sizes % _EVENT.itemsize).any() or not sizes.all() or sizes.max() >= _EVENT.itemsize << 16:
        return None
    ends = np.cumsum(sizes // _EVENT.itemsize)
    starts = np.append(0, ends[:-1])
    raw = np.frombuffer(b"".join(contents), dtype=_EVENT)
    rest, x = raw["rest"].astype(np.uint32), raw["x"].astype(np.uint16)
    time = rest & _TIME
    falls = time[1:] < time[:-1]
    falls[starts[1:] - 1] = False
    row = np.right_shift(rest, 23, out=rest).astype(np.uint16)  # 2 y + polarity
    if falls.any() or x.max() >= SIDE or row.max() >= 2 * SIDE:
        return None
    # In order of time, a bin is a slice. Its first event is at least this long after the first of all.
    first = time[starts].astype(np.int64)
    spans = time[ends - 1] - first
    after = -(-np.arange(1, bins) * np.maximum(spans, 1)[:, None] // bins)
    edges = (first[:, None] + after).astype(np.uint32)
    bounds = np.empty((len(contents), bins + 1), dtype=np.int64)
    bounds[:, 0], bounds[:, -1] = starts, ends
    for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist())):
        bounds[index, 1:-1] = start + time[start:end].searchsorted(edges[index])
    frame = 2 * SIDE * SIDE
    cell = np.repeat(np.arange(bounds.size - len(bounds)) * frame, np.diff(bounds).reshape(-1))
    # polarity * 34 * 34 + y * 34 + x
    polarity = row & 1
    polarity *= SIDE * SIDE - SIDE // 2
    row *= SIDE // 2
    row += polarity
    row += x
    cell += row.astype(np.int64)
    counts = np.zeros((len(contents), bins, 2, SIDE, SIDE), dtype=np.uint16)
    np.add.at(counts.reshape(-1), cell, np.uint16(1))
    return counts, spans / bins


def prepare(manifest: Manifest, settings: Settings, cache: str | Path, threads: int) -> None:
    """Prepare N-MNIST: groups `train` and `test`, uint8 counts (bins, 2, 34, 34) a recording.

    A count above 255 (a pixel that fires 255 times in a bin) is stored as 255; the tally
    ``clipped_counts`` of the cache says how many there were, ``events_outside`` how many events
    were left out.

    Raises:
        InputError: a recording is truncated or not in the folder of a digit, or a digit has no
            recording.
    """
    attributes = cache_attributes(
        manifest,
        settings,
        task="classification",
        elapsed_unit="microseconds",
        feature_names=("OFF", "ON"),
        classes=_DIGITS,
        roles=("train", "test"),
    )
    limits = {"train": settings.limit_train, "test": settings.limit_test}
    with CacheWriter(cache, attributes) as writer:
        for split, limit in limits.items():
            path = manifest.file(split).path
            blocks = blocks_of(list_recordings(path, limit), _CHUNK * _CHUNKS)
            read = partial(_read_block, split=split, settings=settings, chunk=_CHUNK)
            for block, tallies in map_members(path, read, blocks, threads):
                writer.append(split, block)
                for name, amount in tallies.items():
                    writer.count(f"{split}.{name}", amount)


def list_recordings(path: Path, limit: int | None) -> list[str]:
    """The names of an archive's recordings, sorted, balanced over the digits if limited.

    Raises:
        InputError: a recording is not in the folder of a digit, or a digit has none.
    """
    with open_members(path) as members:
        names = [name for name in members.names if name.endswith(".bin")]
    digits = []
    for name in names:
        digit, _ = _digit_and_stem(name)
        if digit not in _DIGITS:
            problem = f"lies in the folder {digit!r}, expected a digit, as in Train/0/00002.bin"
            raise InputError(f"{path}, member {name!r}", problem, "Move or remove it")
        digits.append(digit)
    missing = [digit for digit in _DIGITS if digit not in digits]
    if missing:
        problem = f"holds {len(names)} recordings, but none of {', '.join(missing)}"
        raise InputError(path, problem, "Fetch the data set again")
    return [names[index] for index in balanced_subset(np.array(digits), limit)]


def _read_block(
    members: Members, names: list[str], *, split: str, settings: Settings, chunk: int
) -> tuple[Sequences, dict[str, int]]:
    shape = (settings.bins, 2, SIDE, SIDE)
    inputs = np.empty((chunk, *shape), dtype=np.uint8)
    elapsed = np.empty((len(names), settings.bins), dtype=np.float32)
    chunks, clipped, outside = [], 0, 0
    for start in range(0, len(names), chunk):
        end = min(start + chunk, len(names))
        for begin in range(start, end, GROUP):
            group = names[begin : min(begin + GROUP, end)]
            where = [f"{members.path}, member {name!r}" for name in group]
            frames = count_recordings([members.read(name) for name in group], settings, where)
            inputs[begin - start : begin - start + len(group)] = frames.counts
            elapsed[begin : begin + len(group)] = frames.elapsed
            clipped += frames.clipped
            outside += frames.outside
        inputs[end - start :] = 0
        # zlib's own format, in a quarter of its time.
        chunks.append(isal_zlib.compress(inputs.data, GZIP_LEVEL))
    steps = len(names) * settings.bins
    labels = [_digit_and_stem(name) for name in names]
    block = Sequences(
        inputs=Packed(tuple(chunks), chunk * settings.bins, (steps, *shape[1:]), inputs.dtype),
        elapsed=elapsed.reshape(-1),
        offsets=np.arange(len(names) + 1, dtype=np.int64) * settings.bins,
        targets=np.array([int(digit) for digit, _ in labels], dtype=np.int64),
        ids=np.array([f"{split}/{digit}/{stem}" for digit, stem in labels]),
    )
    return block, {"clipped_counts": clipped, "events_outside": outside}


def _digit_and_stem(name: str) -> tuple[str, str]:
    """``Train/0/00002.bin`` to ("0", "00002"). A hundred thousand names are too many for `PurePosixPath`."""
    folder, _, file = name.rpartition("/")
    return folder.rpartition("/")[2], file.removesuffix(".bin")

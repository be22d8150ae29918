"""Synthetic N-MNIST: an event camera moved in three saccades before handwritten digits.

The digits are the 1,797 real 8 x 8 images bundled with scikit-learn; the camera is simulated.
Files are as in the original: five bytes an event inside ``Train.zip`` and ``Test.zip``.

Source of the recording's shape (34 x 34 pixels, three saccades of about 100 ms along a triangle):
Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using
Saccades", Frontiers in Neuroscience 9:437 (2015). Of the pixel: Lichtsteiner et al., "A 128x128
120 dB 15 us Latency Asynchronous Temporal Contrast Vision Sensor" (2008).
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from liquidbench.datasets.synthetic.options import SEED, Whole, checked_options
from liquidbench.datasets.synthetic.raw_files import random_stream, write_zip
from liquidbench.errors import InputError

# The rarest digit has 174 images: so many of each can be had without repeating one.
IMAGES_PER_DIGIT = 174
OPTIONS = {
    "seed": SEED,
    "train": Whole(600, 10, 10 * IMAGES_PER_DIGIT - 10),
    "test": Whole(200, 10, 10 * IMAGES_PER_DIGIT - 10),
}

FIELD = 34  # pixels of the camera's field, both ways
SAMPLES_PER_PIXEL = 2  # of the picture that moves before the camera
MARGIN = 4  # pixels of the picture around the field, more than the camera moves
SACCADE_MICROSECONDS = 105_000
STEPS_PER_SACCADE = 50
TRIANGLE = np.array([[-2.2, -1.6], [0.0, 2.4], [2.2, -1.6]])  # corners as (x, y), pixels
CONTRAST_THRESHOLD = 0.3  # of log intensity
THRESHOLD_SPREAD = 0.15  # between pixels, relative
REFRACTORY_MICROSECONDS = 2_500
NOISE_PER_PIXEL_SECOND = 0.5
BATCH = 50  # recordings simulated together: bounded memory, few passes


class Events(NamedTuple):
    """Events of one recording in order of time; arrays of shape (events,)."""

    x: np.ndarray  # uint8, 0 to 33
    y: np.ndarray  # uint8, 0 to 33
    polarity: np.ndarray  # uint8, 1 = brighter (ON)
    time: np.ndarray  # int64, microseconds


def synthesise(options: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write ``Train.zip`` and ``Test.zip`` into `folder`.

    Args:
        options: ``seed``, and ``train`` and ``test``, the numbers of recordings.
        folder: where to write.

    Returns:
        role (``train``, ``test``) to file.

    Raises:
        InputError: an option is unknown or out of range.
    """
    chosen = checked_options("nmnist", OPTIONS, options)
    seed, sizes = chosen["seed"], {split: chosen[split] for split in ("train", "test")}
    if sum(sizes.values()) > 10 * IMAGES_PER_DIGIT:
        raise InputError(
            "nmnist, synthetic options 'train' and 'test'",
            f"found {sizes['train']} + {sizes['test']}, expected at most {10 * IMAGES_PER_DIGIT}",
            "Ask for fewer: no digit image is used twice",
        )
    images, labels = _balanced_digits(random_stream(seed, "nmnist", "order"))
    files, first = {}, 0
    for split, size in sizes.items():
        files[split] = folder / f"{split.capitalize()}.zip"
        part = slice(first, first + size)
        write_zip(files[split], _members(seed, split, images[part], labels[part]))
        first += size
    return files


def encode_events(events: Events) -> bytes:
    """Events as in a ``.bin``: x, y, polarity bit and 23 bits of microseconds, five bytes each."""
    content = np.empty((len(events.x), 5), dtype=np.uint8)
    content[:, 0], content[:, 1] = events.x, events.y
    content[:, 2] = (events.polarity.astype(np.int64) << 7) | (events.time >> 16)
    content[:, 3], content[:, 4] = (events.time >> 8) & 0xFF, events.time & 0xFF
    return content.tobytes()


def simulate_pixels(
    frames: Iterable[np.ndarray],
    step: float,
    on_threshold: np.ndarray,
    off_threshold: np.ndarray,
    refractory: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Events of independent event-camera pixels that watch a changing intensity.

    A pixel remembers the log intensity of its last event and fires when the present one, taken
    as linear between frames, is a threshold above or below. It is blind for the refractory time.

    Args:
        frames: log intensity, one array of shape (pixels,) per step.
        step: microseconds between two frames; at most `refractory`, so that a pixel fires at
            most once in a step.
        on_threshold: shape (pixels,), rise of log intensity that makes an ON event.
        off_threshold: shape (pixels,), fall (positive) that makes an OFF event.
        refractory: microseconds.

    Returns:
        pixel (int64), polarity (uint8, 1 = ON) and time (float64, microseconds), each of shape
        (events,), by step and then by pixel.

    Raises:
        ValueError: `refractory` is shorter than `step`.
    """
    if refractory < step:
        raise ValueError(f"refractory time {refractory} is shorter than the step {step}")
    frames = iter(frames)
    before = next(frames)
    remembered = before.copy()
    blind_until = np.full(before.shape, -np.inf)
    pixels, polarities, times = [], [], []
    for index, now in enumerate(frames):
        change = now - remembered
        active = np.flatnonzero((change >= on_threshold) | (change <= -off_threshold))
        rising = change[active] > 0
        level = remembered[active] + np.where(rising, on_threshold[active], -off_threshold[active])
        slope = now[active] - before[active]
        # The level may have been passed in an earlier step, while the pixel was blind.
        ahead = np.where(rising, before[active] < level, before[active] > level)
        part = np.divide(level - before[active], slope, out=np.zeros_like(slope), where=ahead)
        time = np.maximum((index + part) * step, blind_until[active])
        seen = time <= (index + 1) * step
        active, rising, slope, time = active[seen], rising[seen], slope[seen], time[seen]
        remembered[active] = before[active] + slope * (time / step - index)
        blind_until[active] = time + refractory
        pixels.append(active)
        polarities.append(rising.astype(np.uint8))
        times.append(time)
        before = now
    return np.concatenate(pixels), np.concatenate(polarities), np.concatenate(times)


def _balanced_digits(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All digit images used, shuffled, so that any run of ten holds every digit once.

    Returns:
        images (1740, 8, 8), float64 from 0 to 1, and labels (1740,), int64.
    """
    images, labels = load_digits(return_X_y=True)
    of_digit = [
        random.permutation(np.flatnonzero(labels == digit))[:IMAGES_PER_DIGIT]
        for digit in range(10)
    ]
    order = np.stack(of_digit, axis=1).ravel()
    return images[order].reshape(-1, 8, 8) / 16, labels[order]


def _members(
    seed: int, split: str, images: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the archive's files."""
    for start in range(0, len(images), BATCH):
        streams = [
            random_stream(seed, "nmnist", split, index)
            for index in range(start, min(start + BATCH, len(images)))
        ]
        for offset, events in enumerate(_record(images[start : start + BATCH], streams)):
            index = start + offset
            yield f"{split.capitalize()}/{labels[index]}/{index + 1:05d}.bin", encode_events(events)


def _record(images: np.ndarray, streams: list[np.random.Generator]) -> Iterator[Events]:
    """Record each image (recordings, 8, 8) with its own random stream."""
    pictures = np.stack([_picture(image, random) for image, random in zip(images, streams)])
    shape = (len(streams), 2, FIELD, FIELD)
    spread = np.empty(shape, dtype=np.float32)
    for place, random in enumerate(streams):
        spread[place] = random.normal(1, THRESHOLD_SPREAD, shape[1:]).clip(0.5, 1.5)
    thresholds = CONTRAST_THRESHOLD * spread
    pixel, polarity, time = simulate_pixels(
        (_view(pictures, position).reshape(-1) for position in _camera_path()),
        SACCADE_MICROSECONDS / STEPS_PER_SACCADE,
        thresholds[:, 0].reshape(-1),
        thresholds[:, 1].reshape(-1),
        REFRACTORY_MICROSECONDS,
    )
    recording, pixel = np.divmod(pixel, FIELD * FIELD)
    by_recording = np.argsort(recording, kind="stable")
    ends = np.searchsorted(recording[by_recording], np.arange(len(streams) + 1))
    for place, random in enumerate(streams):
        mine = by_recording[ends[place] : ends[place + 1]]
        yield _with_noise(pixel[mine], polarity[mine], time[mine], random)


def _with_noise(
    pixel: np.ndarray, polarity: np.ndarray, time: np.ndarray, random: np.random.Generator
) -> Events:
    """Add background activity and put all in order of time."""
    duration = 3 * SACCADE_MICROSECONDS
    count = random.poisson(NOISE_PER_PIXEL_SECOND * FIELD * FIELD * duration / 1e6)
    pixel = np.concatenate([pixel, random.integers(0, FIELD * FIELD, count)])
    polarity = np.concatenate([polarity, random.integers(0, 2, count).astype(np.uint8)])
    time = np.concatenate([time, random.uniform(0, duration, count)]).astype(np.int64)
    order = np.argsort(time, kind="stable")
    y, x = np.divmod(pixel[order], FIELD)
    return Events(x.astype(np.uint8), y.astype(np.uint8), polarity[order], time[order])


def _picture(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Log intensity of a digit at its own place, size and turn.

    Returns:
        (samples, samples) float32, `SAMPLES_PER_PIXEL` a pixel, the field and `MARGIN` around it.
    """
    size = random.uniform(2.3, 3.1, 2)  # camera pixels per pixel of the digit, (y, x)
    turn, shear = random.normal(0, np.radians(9)), random.normal(0, 0.12)
    centre = random.normal(0, 1.2, 2)
    samples = SAMPLES_PER_PIXEL * (FIELD + 2 * MARGIN)
    grid = (np.arange(samples) + 0.5) / SAMPLES_PER_PIXEL - (FIELD / 2 + MARGIN)
    y, x = np.meshgrid(grid - centre[0], grid - centre[1], indexing="ij")
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    # Two empty pixels around the digit let the spline come to rest before the border.
    padded = np.pad(image, 2)
    middle = (len(padded) - 1) / 2
    at = np.stack([y / size[0] + middle, (x + shear * y) / size[1] + middle])
    ink = np.clip((map_coordinates(padded, at, order=3) - 0.2) / 0.6, 0, 1)
    return np.log(0.2 + ink).astype(np.float32)


def _camera_path() -> np.ndarray:
    """Positions of the camera along the triangle, shape (steps + 1, 2) as (x, y) in pixels."""
    phase = np.arange(STEPS_PER_SACCADE) / STEPS_PER_SACCADE
    # Each saccade starts and ends at rest.
    way = ((1 - np.cos(np.pi * phase)) / 2)[:, None]
    corners = [*TRIANGLE, TRIANGLE[0]]
    sides = [start + way * (end - start) for start, end in pairwise(corners)]
    return np.concatenate([*sides, corners[-1:]])


def _view(pictures: np.ndarray, position: np.ndarray) -> np.ndarray:
    """What the field sees from `position` (x, y): bilinear, (recordings, 34, 34) float32."""
    shift = (np.asarray(position)[::-1] + MARGIN) * SAMPLES_PER_PIXEL
    whole = np.floor(shift).astype(int)
    part = (shift - whole).astype(np.float32)
    view = np.zeros((), dtype=np.float32)
    for row, row_weight in enumerate((1 - part[0], part[0])):
        for column, column_weight in enumerate((1 - part[1], part[1])):
            top, left = whole[0] + row, whole[1] + column
            seen = pictures[
                :,
                top : top + SAMPLES_PER_PIXEL * FIELD : SAMPLES_PER_PIXEL,
                left : left + SAMPLES_PER_PIXEL * FIELD : SAMPLES_PER_PIXEL,
            ]
            view = view + row_weight * column_weight * seen
    return view

"""Synthetic PhysioNet 2019: hourly records of intensive-care stays as ``.psv``, in a zip file.

Every variable has a level of its own in each patient and wanders around it. A septic patient
deteriorates over the 12 to 24 hours before the onset of sepsis; as in the challenge, the label is
1 from 6 hours before the onset to the end of the record. Some other patients get worse for a
while too. Format: https://physionet.org/content/challenge-2019/1.0.0/.

Unlike set A, where nearly all stays of more than 60 hours are septic (625 of 631), the others may be that long here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from liquidbench.datasets.synthetic.options import SEED, Fraction, Whole, checked_options
from liquidbench.datasets.synthetic.physionet_variables import COLUMNS, VARIABLES
from liquidbench.datasets.synthetic.raw_files import random_stream, write_zip

OPTIONS = {
    "seed": SEED,
    "patients": Whole(800, 10, 99_999),
    "patients_b": Whole(0, 0, 99_999),
    "septic_fraction": Fraction(0.12, 0.01, 0.9),
}

# Quantiles of the length of stay in hours: (share, hours), linear in between.
STAY_QUANTILES = ((0, 0.05, 0.25, 0.5, 0.75, 0.97, 1), (8, 15, 25, 38, 46, 59, 336))
SEPTIC_STAY_QUANTILES = ((0, 0.25, 0.5, 0.75, 0.95, 1), (8, 18, 38, 62, 150, 336))
LABEL_LEAD = 6  # hours from the first label to the onset
LABELLED_HOURS = ((8, 9, 10), (0.07, 0.31, 0.62))
OTHER_ILLNESS = 0.2  # share of the patients without sepsis who get worse for a while
GROUP_WEIGHT = 0.8  # of the common part in variables that move together
SLIPS = 0.0008  # share of the values that are implausible
UNKNOWN_UNIT = 0.47


class Course(NamedTuple):
    """The course of one stay."""

    severity: np.ndarray  # float64 (hours,), 1 = full sepsis
    labels: np.ndarray  # int64 (hours,), 0 or 1


def synthesise(options: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write ``training_setA.zip`` (and ``training_setB.zip`` if asked for) into `folder`.

    Args:
        options: ``seed``; ``patients`` of set A and ``patients_b`` of set B (0 = no set B);
            ``septic_fraction``, the share of them with sepsis.
        folder: where to write.

    Returns:
        role (``set_a``, ``set_b``) to file.

    Raises:
        InputError: an option is unknown or out of range.
    """
    chosen = checked_options("physionet", OPTIONS, options)
    files = {}
    for letter, size in (("A", chosen["patients"]), ("B", chosen["patients_b"])):
        if size > 0:
            path = folder / f"training_set{letter}.zip"
            write_zip(path, _members(letter, size, chosen["septic_fraction"], chosen["seed"]))
            files[f"set_{letter.lower()}"] = path
    return files


def _members(letter: str, size: int, fraction: float, seed: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the archive's files."""
    order = random_stream(seed, "physionet", letter, "order").permutation(size)
    septic = order < round(fraction * size)
    first = {"A": 1, "B": 100_001}[letter]
    for index in range(size):
        random = random_stream(seed, "physionet", letter, index)
        course = _septic_course(random) if septic[index] else _other_course(random)
        name = f"training_set{letter}/p{first + index:06d}.psv"
        yield name, _record(course, letter, random).encode()


def _stay(quantiles: tuple[tuple, tuple], random: np.random.Generator) -> int:
    """A length of stay in hours."""
    return int(np.interp(random.random(), *quantiles))


def _septic_course(random: np.random.Generator) -> Course:
    """A stay that ends some hours after the onset of sepsis."""
    hours = _stay(SEPTIC_STAY_QUANTILES, random)
    first_label = max(0, hours - int(random.choice(LABELLED_HOURS[0], p=LABELLED_HOURS[1])))
    onset, ramp = first_label + LABEL_LEAD, random.uniform(12, 24)
    hour = np.arange(hours)
    rise = np.clip((hour - (onset - ramp)) / ramp, 0, 1)
    severity = random.lognormal(0, 0.4) * rise + _chronic(random)
    return Course(severity, (hour >= first_label).astype(np.int64))


def _other_course(random: np.random.Generator) -> Course:
    """A stay without sepsis, some with a passing illness that looks like it."""
    hours = _stay(STAY_QUANTILES, random)
    severity = np.full(hours, _chronic(random))
    if random.random() < OTHER_ILLNESS:
        peak, half = random.uniform(0, hours), random.uniform(8, 20)
        distance = np.abs(np.arange(hours) - peak) / half
        severity += random.uniform(0.3, 1.0) * np.clip(1 - distance, 0, None)
    return Course(severity, np.zeros(hours, dtype=np.int64))


def _chronic(random: np.random.Generator) -> float:
    """How ill a patient is all along, on the scale of the severity."""
    return abs(random.normal(0, 0.15))


def _record(course: Course, letter: str, random: np.random.Generator) -> str:
    """The text of one ``.psv``."""
    values = _values(course, random)
    values[~_measured(course, letter, random)] = np.nan
    cells = [_texts(values[:, place], v.decimals) for place, v in enumerate(VARIABLES)]
    hours = len(course.labels)
    cells += [[text] * hours for text in _demographics(random)]
    first_hour = 1 if random.random() < 0.7 else int(random.integers(2, 6))
    cells.append([str(first_hour + hour) for hour in range(hours)])
    cells.append([str(label) for label in course.labels])
    return "\n".join(["|".join(COLUMNS), *map("|".join, zip(*cells, strict=True))]) + "\n"


def _values(course: Course, random: np.random.Generator) -> np.ndarray:
    """All variables in every hour, as if measured: float64 (hours, 34)."""
    persistence = np.array([v.persistence for v in VARIABLES])
    change = _grouped(random.normal(size=(len(course.labels), 2 * len(VARIABLES))))
    change[1:] *= np.sqrt(1 - persistence**2)
    for hour in range(1, len(change)):
        change[hour] += persistence * change[hour - 1]
    level = _grouped(random.normal(size=(1, 2 * len(VARIABLES))))
    # Not everyone reacts alike: a fever here, a cold skin and a racing heart there.
    response = random.normal(1, 0.5, len(VARIABLES))
    between, within, septic = (
        np.array([getattr(v, part) for v in VARIABLES]) for part in ("between", "within", "septic")
    )
    deviation = level * between + change * within
    deviation += course.severity[:, None] * response * septic
    values = np.empty_like(deviation)
    for place, v in enumerate(VARIABLES):
        own = deviation[:, place]
        values[:, place] = v.median * np.exp(own) if v.log else v.median + own
        values[:, place] = values[:, place].clip(v.lowest, v.highest)
    slips = random.random(values.shape) < SLIPS
    values[slips] = _slipped(values)[slips]
    return values


def _grouped(normal: np.ndarray) -> np.ndarray:
    """Standard normal (rows, 68) to (rows, 34), correlated within the variables' groups.

    The first 34 columns are each variable's own; the rest serve as the groups' common parts.
    """
    count = len(VARIABLES)
    mixed = normal[:, :count].copy()
    groups = sorted({v.group for v in VARIABLES} - {""})
    for place, v in enumerate(VARIABLES):
        if v.group:
            common = normal[:, count + groups.index(v.group)]
            mixed[:, place] *= np.sqrt(1 - GROUP_WEIGHT**2)
            mixed[:, place] += GROUP_WEIGHT * common
    return mixed


def _slipped(values: np.ndarray) -> np.ndarray:
    """What a slip makes of each value: a slipped decimal point, Fahrenheit, per cent."""
    slipped = values * 10
    names = [v.name for v in VARIABLES]
    slipped[:, names.index("Temp")] = values[:, names.index("Temp")] * 1.8 + 32
    slipped[:, names.index("FiO2")] = values[:, names.index("FiO2")] * 100
    return slipped


def _measured(course: Course, letter: str, random: np.random.Generator) -> np.ndarray:
    """Which values are on record: bool (hours, 34)."""
    hours = len(course.labels)
    measured = np.zeros((hours, len(VARIABLES)), dtype=bool)
    # The worse the patient, the more often blood is drawn.
    worry = np.exp(0.3 * course.severity.mean())
    draws = {
        panel: _draws(hours, worry * _panel_rate(panel), random)
        for panel in sorted({v.panel for v in VARIABLES} - {""})
    }
    for place, v in enumerate(VARIABLES):
        never = random.random() > v.patients or (v.name == "EtCO2" and letter == "A")
        chance = np.full(hours, v.rate / v.patients)
        if v.panel:
            chance = np.where(draws[v.panel], chance / _panel_rate(v.panel), 0)
        else:
            chance[0] *= 0.4  # the monitor is seldom connected through the whole first hour
        measured[:, place] = (random.random(hours) < chance) & (not never)
    return measured


def _panel_rate(panel: str) -> float:
    """How often, per hour, blood is drawn for a panel: as often as for its commonest value."""
    return max(v.rate / v.patients for v in VARIABLES if v.panel == panel)


def _draws(hours: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """Hours in which blood is drawn, roughly evenly spaced: bool (hours,)."""
    gaps = random.gamma(3, 1 / (3 * rate), int(hours * rate * 3) + 10)
    times = np.cumsum(gaps) - gaps[0] * random.random()
    drawn = np.zeros(hours, dtype=bool)
    drawn[times[times < hours].astype(int)] = True
    return drawn


def _texts(column: np.ndarray, decimals: int) -> list[str]:
    """Numbers as the challenge writes them: no trailing zeros, ``NaN`` for what is missing."""
    return ["NaN" if np.isnan(value) else _plain(value, decimals) for value in column.tolist()]


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _demographics(random: np.random.Generator) -> list[str]:
    """Age, Gender, Unit1, Unit2 and HospAdmTime, the same in every hour."""
    age = np.clip(random.normal(63, 16), 18, 89.99)
    gender = int(random.random() < 0.58)
    medical = random.random() < 0.5
    units = (
        ["NaN", "NaN"] if random.random() < UNKNOWN_UNIT else [str(+medical), str(+(not medical))]
    )
    # Hours from the admission to the hospital to that to intensive care; a few clocks disagree.
    waited = -random.lognormal(1.5, 2.2) if random.random() < 0.98 else random.uniform(0, 20)
    return [_plain(age, 2), str(gender), *units, _plain(max(waited, -4000), 2)]

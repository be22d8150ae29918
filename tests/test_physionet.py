"""PhysioNet 2019: hand-made records against the csv module and plain loops, and broken ones."""

import csv
import io
import math
import zipfile

import numpy as np
import pytest

from liquidbench.datasets import physionet, workers
from liquidbench.datasets.cache import read_attributes, read_split, read_split_names
from liquidbench.datasets.examples import write_examples
from liquidbench.datasets.preparation import read_settings
from liquidbench.errors import InputError
from preparation_helpers import MIRROR, make_manifest, needs_mirror

COLUMNS = physionet.COLUMNS


def record(hours, labels=None, **columns):
    """A `.psv` file; `hours` are the ICULOS values, a column is a list of its texts."""
    labels = labels or [0] * len(hours)
    lines = ["|".join(COLUMNS)]
    for index, (hour, label) in enumerate(zip(hours, labels, strict=True)):
        values = {name: texts[index] for name, texts in columns.items()}
        values |= {"ICULOS": hour, "SepsisLabel": label}
        lines.append("|".join(str(values.get(name, "NaN")) for name in COLUMNS))
    return "\n".join(lines) + "\n"


def random_record(generator, septic):
    hours = int(generator.integers(8, 40))
    columns = {}
    for name in COLUMNS[:-2]:
        there = generator.random(hours) < 0.2
        columns[name] = [f"{v:.2f}" if t else "NaN" for v, t in zip(generator.random(hours), there)]
    labels = [int(septic and hour > hours - 5) for hour in range(hours)]
    start = int(generator.integers(1, 5))
    return record(range(start, start + hours), labels, **columns)


def make_records(count):
    generator = np.random.default_rng(1)
    return {f"p{i:06}.psv": random_record(generator, i % 3 == 0) for i in range(count)}


def make_raw(folder, records, inside="training/", role="set_a"):
    path = folder / f"{role}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(inside + name, content)
    return make_manifest(folder, "physionet", {role: path})


def prepare(folder, manifest, threads=1, **settings):
    settings = read_settings(physionet.Settings, settings)
    physionet.prepare(manifest, settings, folder / "cache.h5", threads)
    return read_split(folder / "cache.h5", "all")


def test_the_columns_are_the_official_ones():
    assert len(COLUMNS) == 41
    assert len(physionet.FEATURES) == 39
    assert physionet.OBSERVED == COLUMNS.index("Age") == 34
    assert "ICULOS" not in physionet.FEATURES


def test_a_hand_made_record(tmp_path):
    septic = record(
        [3, 4, 7, 8],
        [0, 0, 1, 1],
        HR=["NaN", "80.5", "NaN", "NaN"],
        Platelets=["NaN", "NaN", "NaN", "120"],
        Age=["60", "60", "60", "60"],
        HospAdmTime=["-0.03"] * 4,
    )
    found = prepare(tmp_path, make_raw(tmp_path, {"p2.psv": record([1, 2]), "p1.psv": septic}))
    assert found.ids.tolist() == ["p1", "p2"]
    assert found.targets.tolist() == [1, 0]
    assert found.offsets.tolist() == [0, 4, 6]
    assert found.inputs.dtype == np.float32
    assert found.inputs.shape == (6, 39)
    column = dict(zip(physionet.FEATURES, found.inputs[:4].T, strict=True))
    np.testing.assert_array_equal(column["HR"], [np.nan, 80.5, np.nan, np.nan])
    np.testing.assert_array_equal(column["Platelets"], [np.nan, np.nan, np.nan, 120])
    np.testing.assert_array_equal(column["Age"], [60] * 4)
    np.testing.assert_array_equal(column["HospAdmTime"], np.float32([-0.03] * 4))
    assert np.isfinite(found.inputs).sum() == 10
    assert found.elapsed.tolist() == [0, 1, 3, 1, 0, 1]
    assert found.step_targets.tolist() == [0, 0, 1, 1, 0, 0]
    # Before any observation from the start; Age and its like are no observations.
    assert found.time_since_observation.tolist() == [0, 1, 3, 4, 0, 1]
    attributes = read_attributes(tmp_path / "cache.h5")
    assert read_split_names(tmp_path / "cache.h5") == ("all",)
    assert (attributes.task, attributes.elapsed_unit) == ("binary", "hours")
    assert attributes.feature_names == COLUMNS[:39]


def loop_record(content):
    """Values, elapsed, labels and times since observation of a file, by the csv module."""
    rows = list(csv.DictReader(io.StringIO(content), delimiter="|"))
    hours = [float(row["ICULOS"]) for row in rows]
    values = [[float(row[name]) for name in COLUMNS[:39]] for row in rows]
    elapsed = [0.0] + [hours[i] - hours[i - 1] for i in range(1, len(rows))]
    since = []
    for i, hour in enumerate(hours):
        seen = [j for j in range(i) if not all(math.isnan(v) for v in values[j][:34])]
        since.append(hour - hours[seen[-1] if seen else 0])
    return np.float32(values), elapsed, [int(row["SepsisLabel"]) for row in rows], since


def assert_equal_to_loop(found, index, content):
    values, elapsed, labels, since = loop_record(content)
    steps = slice(found.offsets[index], found.offsets[index + 1])
    np.testing.assert_array_equal(found.inputs[steps], values)
    assert found.elapsed[steps].tolist() == elapsed
    assert found.step_targets[steps].tolist() == labels
    assert found.time_since_observation[steps].tolist() == since
    assert found.targets[index] == max(labels)


def test_many_records_equal_a_loop_over_their_lines(tmp_path):
    records = make_records(30)
    found = prepare(tmp_path, make_raw(tmp_path, records))
    for index, (name, content) in enumerate(records.items()):
        assert found.ids[index] == name.removesuffix(".psv")
        assert_equal_to_loop(found, index, content)


@pytest.mark.parametrize("inside", ["training_setA/", ""])
def test_any_folder_and_line_end_gives_the_same(tmp_path, inside):
    records = make_records(4)
    expected = prepare(tmp_path, make_raw(tmp_path, records))
    dirty = {name: text.replace("\n", "\r\n") for name, text in records.items()}
    dirty["p000001.psv"] = records["p000001.psv"].rstrip("\n")
    dirty["p000002.psv"] = records["p000002.psv"].replace("|NaN|", "||")
    found = prepare(tmp_path, make_raw(tmp_path, dirty, inside))
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)


def test_the_cache_does_not_depend_on_the_number_of_processes(tmp_path, monkeypatch):
    manifest = make_raw(tmp_path, make_records(20))
    monkeypatch.setattr(physionet, "_BLOCK", 6)
    monkeypatch.setattr(workers, "_BLOCKS_A_PROCESS", 1)
    for threads in (1, 2):
        physionet.prepare(manifest, physionet.Settings(), tmp_path / f"{threads}.h5", threads)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_both_hospitals_and_a_limit(tmp_path):
    records = make_records(6)
    files = {
        role: make_raw(tmp_path, records, role=role).file(role).path for role in ("set_a", "set_b")
    }
    manifest = make_manifest(tmp_path, "physionet", files)
    found = prepare(tmp_path, manifest, hospitals=["a", "b"])
    assert found.ids.tolist() == [f"{hospital}/p{i:06}" for hospital in "ab" for i in range(6)]
    assert prepare(tmp_path, manifest, hospitals=["b"]).ids[0] == "p000000"
    few = prepare(tmp_path, manifest, hospitals=["a", "b"], limit_patients=3)
    assert few.ids.tolist() == ["a/p000000", "a/p000004", "b/p000002"]


def replaced(line, column, value):
    """Set one field of a good record; `line` counts from 1, the header."""
    lines = record([1, 2, 3], [0, 0, 1]).splitlines()
    fields = lines[line - 1].split("|")
    fields[COLUMNS.index(column)] = value
    lines[line - 1] = "|".join(fields)
    return "\n".join(lines) + "\n"


GOOD = record([1, 2, 3], [0, 0, 1])


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        (GOOD.replace("Lactate|", ""), "line 1", "lacks the column.s. Lactate of the official 41"),
        (GOOD.replace("Lactate|", "Lactate|Mood|"), "line 1", "official format has not: Mood"),
        (GOOD.replace("HR|O2Sat", "O2Sat|HR"), "line 1", "not in the official order"),
        ("", "line 1", "lacks the column"),
        (replaced(3, "Temp", "36,6"), "line 3", "Temp is '36,6', expected a number"),
        (replaced(4, "pH", "1_0"), "line 4", "does not parse"),
        (replaced(2, "HR", "inf"), "line 2", "a value is infinite"),
        (replaced(3, "ICULOS", "NaN"), "line 3", "ICULOS is missing"),
        (replaced(3, "ICULOS", "1"), "line 3", "ICULOS is not above"),
        (replaced(4, "SepsisLabel", "2"), "line 4", "SepsisLabel is not 0 or 1"),
        (replaced(4, "SepsisLabel", "NaN"), "line 4", "SepsisLabel is not 0 or 1"),
        (GOOD[:-40], "line 4", "fields, expected 41"),
        (GOOD.replace("\nNaN", "\n\nNaN", 1), "line 2", "ICULOS is missing"),
        (GOOD.splitlines()[0] + "\n", "'training/bad.psv'", "has no hour"),
    ],
)
def test_a_broken_record_is_named_with_its_line(tmp_path, content, where, message):
    records = {"a.psv": GOOD, "bad.psv": content, "c.psv": record([1, 2])}
    manifest = make_raw(tmp_path, records)
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path, manifest)
    assert "'training/bad.psv'" in caught.value.where
    assert caught.value.where.endswith(where)
    assert not list(tmp_path.glob("*cache*"))


def test_sets_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no"):
        prepare(tmp_path, make_raw(tmp_path, {"readme.txt": ""}))
    with pytest.raises(InputError, match="0 of 1 patients have sepsis"):
        prepare(tmp_path, make_raw(tmp_path, {"p1.psv": record([1, 2])}))
    twice = {"p1.psv": GOOD, "more/p1.psv": GOOD}
    with pytest.raises(InputError, match="for 1 different patients"):
        prepare(tmp_path, make_raw(tmp_path, twice))
    assert not list(tmp_path.glob("*cache*"))


@pytest.mark.parametrize(
    "values", [{"hospitals": ["c"]}, {"hospitals": []}, {"limit_patients": 0}, {"hospital": "a"}]
)
def test_bad_settings_name_their_key(values):
    with pytest.raises(InputError, match=next(iter(values))):
        read_settings(physionet.Settings, values)


def test_the_example_is_septic_with_the_onset_inside_and_gaps(tmp_path):
    bedside = ("HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp")
    inside = [0] * 10 + [1] * 10

    def vitals(every):
        return {name: ["1" if i % every == 0 else "NaN" for i in range(20)] for name in bedside}

    hours = range(1, 21)
    records = {
        "complete.psv": record(hours, inside, **vitals(1)),
        "gaps.psv": record(hours, inside, **vitals(3)),
        "hardly.psv": record(hours, inside, **vitals(10)),
        "late.psv": record(hours, [0] * 18 + [1] * 2, **vitals(3)),
        "well.psv": record(hours, **vitals(3)),
    }
    manifest = make_raw(tmp_path, records)
    prepare(tmp_path, manifest)
    path = tmp_path / "examples.npz"
    write_examples(path, manifest, physionet.Settings(), tmp_path / "cache.h5")
    with np.load(path, allow_pickle=False) as example:
        assert example["id"].item() == "gaps"
        assert example["labels"].tolist() == inside
        assert example["values"].shape == (20, 39)
        assert np.isnan(example["values"]).sum() == 20 * 39 - 7 * 7
        assert example["feature_names"].tolist() == list(physionet.FEATURES)


@needs_mirror
def test_the_real_set_a(tmp_path):
    path = MIRROR / "physionet/training_setA.zip"
    found = prepare(tmp_path, make_manifest(tmp_path, "physionet", {"set_a": path}), threads=2)
    assert len(found) == len(set(found.ids)) == 20_336
    assert found.offsets[-1] == 790_215
    assert found.targets.sum() == 1_790
    assert (found.lengths.min(), found.lengths.max()) == (8, 336)
    with zipfile.ZipFile(path) as archive:
        for index in range(0, len(found), 997):
            content = archive.read(f"training_setA/{found.ids[index]}.psv").decode()
            assert_equal_to_loop(found, index, content)

"""Answers about new raw files: those of the run itself about the same examples; and what is refused or told."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import predict
from inference_helpers import (
    CPU,
    PLAIN,
    Study,
    make_study,
    own_predictions,
    raw_test_files,
    trained,
)
from liquidbench.datasets import physionet
from liquidbench.errors import InputError
from liquidbench.inference.finished_run import load_finished_run
from liquidbench.inference.predict import predictions, remarks_on
from liquidbench.inference.raw_files import read_raw_files, with_labels
from workflow_helpers import PROJECT

pytestmark = pytest.mark.usefixtures("one_thread")

LSTM, CFC = {"name": "lstm", "units": 6}, {"name": "cfc", "units": 6, "backbone_units": 5}
HOURLY = {"level": "hour", "validation_fraction": 0.2, "threshold": "best_f1"}
RUNS = {
    "nmnist-lstm": ("nmnist", LSTM, {}, {}),
    # Told the time, which differs between recordings.
    "nmnist-cfc-timed": ("nmnist", CFC, {}, {"elapsed": "core"}),
    "quickdraw-cfc": ("quickdraw", CFC, {}, {}),
    "quickdraw-padded": ("quickdraw", LSTM, {}, {"pooling": "mean_with_padding"}),
    "iam-lstm": ("iam", LSTM | {"bidirectional": True}, {"beam_width": 4}, {}),
    "iam-cfc-timed": ("iam", CFC, {}, {"elapsed": "feature"}),
    "physionet-cfc": ("physionet", CFC, {}, {}),
    "physionet-bfloat16": ("physionet", CFC, {"precision": "bfloat16"}, {}),
    "physionet-gru-d": (
        "physionet",
        {"name": "gru_d", "units": 5},
        {"imputation": "none_with_mask"},
        {"elapsed": "core"},
    ),
    "physionet-hourly": ("physionet", LSTM, HOURLY, {"pooling": "none"}),
}


@dataclass(frozen=True)
class Trained:
    study: Study
    run: Path
    files: dict[str, Path]

    def answers(self, paths: list[Path]) -> pd.DataFrame:
        """From raw files alone."""
        run = load_finished_run(self.run, CPU, 1, PLAIN)
        return predictions(run, self.read(paths), CPU)

    def read(self, paths: list[Path]):
        run = load_finished_run(self.run, CPU, 1, PLAIN)
        return read_raw_files(paths, self.study.dataset, run.settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run by its name in `RUNS`, made when it is first asked for; without its cache, which nothing may need."""
    studies, made = {}, {}

    def run(name: str) -> Trained:
        if name in made:
            return made[name]
        dataset, core, training, architecture = RUNS[name]
        if dataset not in studies:
            studies[dataset] = make_study(tmp_path_factory.mktemp(dataset), dataset)
        study, folder = studies[dataset], tmp_path_factory.mktemp(name)
        out = trained(study, folder / "run", core, training, **architecture)
        made[name] = Trained(study, out, raw_test_files(study, out, folder / "files"))
        return made[name]

    return run


def in_order_of(own: pd.DataFrame, found: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """What was found, under the run's own ids and in its order."""
    back = {new: name for name, new in names.items()}
    found = found.assign(id=[back[name] for name in found["id"]])
    keys = [name for name in ("id", "hour") if name in own]
    return own[keys].merge(found, on=keys, how="left", validate="one_to_one")


def new_ids(trained: Trained) -> dict[str, str]:
    """The run's own id to that of the same example from a file."""
    if trained.study.dataset == "quickdraw":
        return {name: name for name in trained.files}
    whole = trained.study.dataset == "iam"
    return {name: path.name if whole else path.stem for name, path in trained.files.items()}


def assert_same(own: pd.DataFrame, found: pd.DataFrame) -> None:
    own = own.drop(columns="target")
    assert found.columns.tolist() == own.columns.tolist()
    for column in own:
        if column.startswith("probability"):
            np.testing.assert_allclose(found[column], own[column], rtol=0, atol=1e-6)
        else:
            assert found[column].astype(str).tolist() == own[column].astype(str).tolist(), column


@pytest.mark.parametrize("name", RUNS)
def test_raw_test_files_give_the_run_s_own_predictions(runs, name):
    trained = runs(name)
    found = trained.answers(list(dict.fromkeys(trained.files.values())))
    own = own_predictions(trained.run)
    assert len(own) >= 5
    assert_same(own, in_order_of(own, found, new_ids(trained)))
    # In the run's own order and so in its own batches: to the last digit.
    for column in own.columns[own.columns.str.startswith("probability")]:
        assert found[column].tolist() == own[column].tolist()


@pytest.mark.parametrize("name", ["nmnist-cfc-timed", "physionet-gru-d", "physionet-hourly"])
def test_an_example_alone_is_answered_as_among_others(runs, name):
    trained = runs(name)
    own, names = own_predictions(trained.run), new_ids(trained)
    for key in list(trained.files)[:3]:
        found = trained.answers([trained.files[key]])
        part = own[own["id"] == key].reset_index(drop=True)
        assert_same(part, in_order_of(part, found, {key: names[key]}))


def test_a_wrong_unit_of_time_would_be_seen(runs, tmp_path):
    trained, run = runs("nmnist-cfc-timed"), tmp_path / "run"
    shutil.copytree(trained.run, run)
    content = json.loads((run / "metrics.json").read_text())
    assert content["elapsed"]["unit"] == "microseconds"
    content["elapsed"]["median_step"] *= 2
    (run / "metrics.json").write_text(json.dumps(content))
    paths = list(trained.files.values())
    found = Trained(trained.study, run, trained.files).answers(paths)
    assert (found["probability_0"] - trained.answers(paths)["probability_0"]).abs().max() > 1e-4


def test_a_batch_that_counts_its_padding_is_told(runs):
    trained = runs("quickdraw-padded")
    run = load_finished_run(trained.run, CPU, 1)
    examples = trained.read(list(dict.fromkeys(trained.files.values())))
    assert "averages over padding" in remarks_on(run, examples)[-1]


def test_the_order_of_files_is_the_order_of_rows(runs):
    trained = runs("physionet-hourly")
    paths = list(trained.files.values())
    found = trained.answers(paths[::-1])
    assert found["id"].drop_duplicates().tolist() == [path.stem for path in paths[::-1]]
    for _, rows in found.groupby("id"):
        assert rows["hour"].tolist() == list(range(len(rows)))


def test_the_threshold_is_the_run_s_own(runs):
    trained = runs("physionet-hourly")
    metrics = json.loads((trained.run / "metrics.json").read_text())
    found = trained.answers(list(trained.files.values()))
    expected = found["probability"] >= metrics["test"]["threshold"]
    assert (found["prediction"] == expected).all()
    assert metrics["test"]["threshold"] != 0.5


# Stays without labels.


def unlabelled(content: bytes) -> bytes:
    return b"".join(line.rpartition(b"|")[0] + b"\n" for line in content.splitlines())


@pytest.mark.parametrize("name", ["physionet-cfc", "physionet-hourly"])
def test_a_stay_without_the_label_has_the_same_answers(runs, name, tmp_path):
    trained = runs(name)
    labelled = list(trained.files.values())[:6]
    bare = [tmp_path / path.name for path in labelled]
    for path, original in zip(bare, labelled):
        path.write_bytes(unlabelled(original.read_bytes()))
        assert b"SepsisLabel" not in path.read_bytes()
    pd.testing.assert_frame_equal(trained.answers(bare), trained.answers(labelled))


def test_a_short_line_of_an_unlabelled_stay_is_counted_as_it_stands():
    content = unlabelled("\n".join(["|".join(physionet.COLUMNS), "|".join(["1"] * 41)]).encode())
    assert with_labels(content, "x").splitlines()[1] == b"|".join([b"1"] * 40 + [b"0"])
    short = content + b"|".join([b"1"] * 39) + b"\n"
    with pytest.raises(InputError, match=r"x, line 3: has 39 fields, expected 40"):
        with_labels(short, "x")


# Examples that are left out or changed.


def line(points: int, key: str | None = "7", **more) -> str:
    values = list(range(points))
    record = {"drawing": [[values, values]], "word": "something else"} | more
    return json.dumps(record | ({} if key is None else {"key_id": key})) + "\n"


def test_what_the_preparation_would_leave_out_is_named_and_the_rest_answered(runs, tmp_path):
    trained = runs("quickdraw-cfc")
    path = tmp_path / "new.ndjson"
    path.write_text(
        line(30, "1") + line(3, "2") + line(9, None) + line(9, "4", recognized=False) + line(9, "5")
    )
    examples = trained.read([path])
    assert examples.sequences.ids.tolist() == ["1", "new:3", "5"]
    assert examples.sequences.lengths.tolist() == [20, 9, 9]
    short, unknown = examples.left_out
    assert short == f"{path}, line 2 (2): has 3 points, fewer than 6"
    assert unknown.startswith(f"{path}, line 4 (4): the game did not recognise it")
    assert examples.changed == [f"{path}, line 1 (1): the first 20 of 30 points are read"]
    told = remarks_on(load_finished_run(trained.run, CPU, 1), examples)
    assert [remark.split(":")[0] for remark in told] == ["left out", "left out", "note"]
    found = trained.answers([path])
    assert found["id"].tolist() == ["1", "new:3", "5"]
    # Two drawings of the same points, whatever else they are.
    np.testing.assert_allclose(found.iloc[1, 2:].astype(float), found.iloc[2, 2:].astype(float))


def test_nothing_left_is_an_error_that_says_why(runs, tmp_path):
    path = tmp_path / "new.ndjson"
    path.write_text(line(3, "2"))
    with pytest.raises(InputError, match=r"no example is left.*line 1 \(2\): has 3 points"):
        runs("quickdraw-cfc").read([path])


def test_raw_drawings_are_read_as_such(tmp_path):
    settings = {"categories": ["a", "b"], "variant": "raw"}
    asked = {"dataset": settings, "training": {"recognized_only": False}}
    path = tmp_path / "raw.ndjson"
    strokes = [
        [[100, 300, 300], [50, 50, 70], [0, 16, 40]],
        [[200, 200, 200], [60, 61, 62], [90, 80, 95]],
    ]
    path.write_text(json.dumps({"drawing": strokes, "key_id": "9", "recognized": False}) + "\n")
    sequences = read_raw_files([path], "quickdraw", asked).sequences
    # The box is 200 wide and 20 high, so 200 pixels are 1; and the clock ran backwards once.
    np.testing.assert_allclose(sequences.inputs[:, 0], [0, 1, 1, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(sequences.inputs[:, 1], [0, 0, 0.1, 0.05, 0.055, 0.06], rtol=1e-6)
    assert sequences.elapsed.tolist() == [0, 16, 24, 50, 0, 15]
    with pytest.raises(InputError, match="the simplified set has 2"):
        read_raw_files(
            [path], "quickdraw", asked | {"dataset": settings | {"variant": "simplified"}}
        )


def test_events_outside_the_window_are_told(runs, tmp_path):
    trained = runs("nmnist-lstm")
    content = next(iter(trained.files.values())).read_bytes()
    path = tmp_path / "some.bin"
    path.write_bytes(content + bytes([40, 3, 0, 0, 9]))
    examples = trained.read([path])
    assert examples.changed == [f"{path}: 1 events outside the window do not count"]


# Refusals.


@pytest.mark.parametrize(
    ("name", "file", "content", "told"),
    [
        ("nmnist-lstm", "a.bin", b"", "a.bin: is empty"),
        ("nmnist-lstm", "a.bin", b"1234567", "7 bytes, not a multiple of 5"),
        ("nmnist-lstm", "a.bin", b"This is no recording", "no event lies in the window"),
        ("nmnist-lstm", "a.psv", b"HR", "is no raw file of nmnist: its name must end with .bin"),
        ("quickdraw-cfc", "a.ndjson", b"\n", "holds no drawing"),
        ("quickdraw-cfc", "a.ndjson", b"{", "a.ndjson, line 1: not valid JSON"),
        (
            "quickdraw-cfc",
            "a.ndjson",
            b'{"drawing": [[[1], [2], [3]]]}',
            "the simplified set has 2",
        ),
        ("iam-lstm", "a.png", b"\x89PNG no more", "the image is not readable"),
        ("iam-lstm", "a.parquet", b"PAR1", "must end with .png or .jpg or .jpeg"),
        ("physionet-cfc", "a.psv", b"HR|O2Sat\n1|2\n", "lacks the column"),
        ("physionet-cfc", "a.psv", None, "a.psv: not readable (No such file"),
    ],
)
def test_a_file_that_is_no_example_is_refused_by_name(runs, tmp_path, name, file, content, told):
    path = tmp_path / file
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        runs(name).read([path])
    assert told in str(caught.value) and file in str(caught.value)


def test_an_id_that_is_there_twice_is_refused(runs, tmp_path):
    files = runs("nmnist-lstm").files
    first, *_ = files.values()
    other = tmp_path / first.name
    shutil.copyfile(first, other)
    with pytest.raises(InputError) as caught:
        runs("nmnist-lstm").read([first, other])
    assert str(first) in str(caught.value) and str(other) in str(caught.value)
    drawings = tmp_path / "new.ndjson"
    drawings.write_text(line(9, "1") + line(3, "1"))
    with pytest.raises(InputError, match=r"line 2: has the id '1', as .*line 1 has"):
        runs("quickdraw-cfc").read([drawings])


def test_what_is_no_finished_run_is_refused(runs, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_finished_run(tmp_path / "none", CPU, 1)
    run = tmp_path / "run"
    shutil.copytree(runs("nmnist-cfc-timed").run, run)
    content = json.loads((run / "metrics.json").read_text())

    def refused(told: str) -> None:
        with pytest.raises(InputError, match=told):
            load_finished_run(run, CPU, 1)

    # As an earlier version left it: fine without the time, not with it.
    del content["elapsed"]
    (run / "metrics.json").write_text(json.dumps(content))
    refused("does not tell the training split's median step")
    content["settings"]["architecture"]["elapsed"] = "none"
    (run / "metrics.json").write_text(json.dumps(content))
    assert load_finished_run(run, CPU, 1).median_step is None
    (run / "weights.safetensors").write_bytes(b"no weights")
    refused("weights.safetensors: unreadable")
    (run / "metrics.json").unlink()
    (run / "checkpoint.json").write_text("{}")
    refused("a training has begun here and did not end")
    settings = {"baseline": {"name": "logistic"}, "training": {}}
    (run / "metrics.json").write_text(json.dumps({"settings": settings}))
    refused(r"is the run of a baseline \(logistic\)")


def test_a_stays_scaling_that_is_damaged_is_refused(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs("physionet-cfc").run, run)
    (run / "scaling.json").write_text('{"median": []}')
    with pytest.raises(InputError, match=r"scaling\.json: lacks medians, means or deviations"):
        load_finished_run(run, CPU, 1)


def test_the_run_directory_is_not_written_into(runs):
    run = load_finished_run(runs("nmnist-lstm").run, CPU, 1)
    with pytest.raises(InputError, match="whose files are the study's own"):
        run.refuse_out(run.directory / "predictions.csv")
    run.refuse_out(run.directory.parent / "new.csv")
    other = run.directory.parent / "another-run"
    other.mkdir()
    (other / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="another-run, whose files are"):
        run.refuse_out(other / "predictions.csv")
    with pytest.raises(InputError, match="is a folder"):
        run.refuse_out(other.parent)
    raw = other.parent / "p1.psv"
    with pytest.raises(InputError, match="one of the files that are read"):
        run.refuse_out(other / ".." / "p1.psv", [raw])


# The command.


def test_the_command_writes_the_table_whole_and_says_what_it_left_out(runs, tmp_path, monkeypatch):
    trained = runs("quickdraw-cfc")
    path, out = tmp_path / "new.ndjson", tmp_path / "folder/answers.csv"
    path.write_text(line(9, "1") + line(3, "2"))
    command = [sys.executable, PROJECT / "workflow/scripts/predict.py", trained.run, path]
    command += ["--out", out, "--core-implementation", PLAIN, "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stderr and "(2): has 3 points" in done.stderr
    assert done.stdout.strip().endswith(f"1 rows of 1 examples, 1 left out: {out}")
    assert pd.read_csv(out).columns.tolist()[:2] == ["id", "prediction"]
    before = out.read_bytes()
    path.write_text(line(9, "1") + line(9, "1"))
    monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, command[2:])])
    with pytest.raises(InputError, match="has the id '1'"):
        predict.main()
    assert out.read_bytes() == before and [p.name for p in out.parent.iterdir()] == [out.name]


def test_a_colour_photograph_of_a_line_is_read_grey(runs, tmp_path):
    trained = runs("iam-lstm")
    original = next(iter(trained.files.values()))
    path = tmp_path / "line.png"
    with Image.open(original) as image:
        image.convert("RGB").save(path)
    assert (
        trained.answers([path])["prediction"].tolist()
        == trained.answers([original])["prediction"].tolist()
    )

"""Summaries of hand-made run directories: known rows, missing runs, damaged ones."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fake_study import run_folder, run_item, write_run, write_stress
from liquidbench.errors import InputError
from liquidbench.reporting.runs import RunKey, parse_runs
from liquidbench.reporting.summaries import COLUMNS, flattened, summarise, write_summaries

SCRIPT = Path(__file__).parents[1] / "workflow/scripts/summarise.py"
CFC = run_item("nmnist", "released", "cfc")


def keys(*items):
    return [RunKey(**item) for item in items]


def pick(frame, **values):
    for name, value in values.items():
        frame = frame[frame[name] == value]
    return frame


def test_every_figure_of_a_run_has_its_row(tmp_path):
    write_run(tmp_path, CFC, accuracy=0.97)
    metrics = summarise(tmp_path, keys(CFC))["metrics"]
    found = {(row.split, row.metric): row.value for row in metrics.itertuples()}
    assert found[("test", "accuracy")] == 0.97
    assert found[("train", "loss")] == 0.2
    # The last epoch of the history: 0.97 + 0.01 and 0.2 * 0.8.
    assert found[("train_running", "accuracy")] == pytest.approx(0.98)
    assert found[("train_running", "loss")] == pytest.approx(0.16)
    assert set(metrics["synthetic"]) == {False}


def test_a_figure_that_does_not_exist_keeps_its_row(tmp_path):
    item = run_item("physionet", "paper", "cfc-256")
    write_run(tmp_path, item, precision=None)
    write_summaries(summarise(tmp_path, keys(item)), tmp_path / "summary")
    metrics = pd.read_csv(tmp_path / "summary/metrics.csv")
    assert pick(metrics, split="test", metric="precision")["value"].isna().tolist() == [True]


def test_no_running_character_error_rate_is_made_up(tmp_path):
    item = run_item("iam", "released", "lstm")
    write_run(tmp_path, item)
    frames = summarise(tmp_path, keys(item))
    assert pick(frames["metrics"], split="train_running")["metric"].tolist() == ["loss"]
    assert frames["confusion"].empty


def test_a_missing_run_is_said_and_the_order_is_the_configuration_s(tmp_path):
    items = [run_item("nmnist", "released", model, 3) for model in ("lstm", "cfc", "lstm-64")]
    write_run(tmp_path, items[0])
    write_run(tmp_path, items[2])
    write_summaries(summarise(tmp_path, keys(*items)), tmp_path / "summary")
    runs = pd.read_csv(tmp_path / "summary/runs.csv")
    assert runs["model"].tolist() == ["lstm", "cfc", "lstm-64"]
    assert runs["state"].tolist() == ["finished", "missing", "finished"]
    assert runs["peak_memory_bytes"].tolist()[0] == 500 * 2**20
    text = (tmp_path / "summary/runs.csv").read_text()
    assert "nmnist,released,cfc,3,missing,,,,,,,,nmnist/released/cfc/seed-3" in text
    assert ",1000,,100,12.5," in text


def test_all_summaries_have_the_described_columns_even_when_empty(tmp_path):
    write_summaries(summarise(tmp_path, keys(CFC)), tmp_path / "summary")
    for name, columns in COLUMNS.items():
        assert pd.read_csv(tmp_path / f"summary/{name}.csv").columns.tolist() == columns


def test_settings_and_environment_are_flat_with_dotted_names(tmp_path):
    write_run(tmp_path, CFC)
    frames = summarise(tmp_path, keys(CFC))
    settings = dict(zip(frames["settings"]["setting"], frames["settings"]["value"]))
    assert settings["training.batch_size"] == "64"
    assert settings["training.gradient_clip"] == "null"
    assert settings["architecture.encoder.channels"] == "[32, 64]"
    assert settings["training.schedule.name"] == "cosine"
    facts = dict(zip(frames["environment"]["fact"], frames["environment"]["value"]))
    assert facts["versions.torch"] == "2.13.0"
    assert facts["cache_sha256"] == "c" * 64
    assert dict(flattened({"a": {}, "b": {"c": True}})) == {"a": "{}", "b.c": "true"}


def test_numbers_survive_to_the_last_bit(tmp_path):
    write_run(tmp_path, CFC, loss=0.1 + 0.2)
    write_summaries(summarise(tmp_path, keys(CFC)), tmp_path / "summary")
    assert "test,loss,0.30000000000000004\n" in (tmp_path / "summary/metrics.csv").read_text()


def test_stress_rows_are_gathered(tmp_path):
    item = run_item("nmnist", "stress", "cfc")
    write_stress(write_run(tmp_path, item, synthetic=True), item, {0.0: [0.9], 0.3: [0.5, 0.6]})
    stress = summarise(tmp_path, keys(item))["stress"]
    assert stress["value"].tolist() == [0.9, 0.5, 0.6]
    assert stress["synthetic"].tolist() == [True] * 3


def remove(name):
    return lambda folder: (folder / name).unlink()


def overwrite(name, text):
    return lambda folder: (folder / name).write_text(text)


def change_metrics(**changes):
    def change(folder):
        path = folder / "metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("damage", "named", "problem"),
    [
        (remove("provenance.json"), "seed-0", "provenance.json missing"),
        (remove("confusion.csv"), "confusion.csv", "no such file"),
        (overwrite("metrics.json", '{"dataset": '), "metrics.json", "not valid JSON"),
        (overwrite("metrics.json", "[]"), "metrics.json", "expected an object"),
        (change_metrics(seed=1), "metrics.json", "another run"),
        (change_metrics(synthetic="no"), "key synthetic", "expected bool"),
        (change_metrics(test={"accuracy": "high"}), "key test.accuracy", "expected a number"),
        (change_metrics(parameters={"total": 1}), "key parameters.encoder", "missing"),
        (overwrite("history.csv", "epoch,train_loss\n1,2\n"), "history.csv", "learning_rate"),
        (
            overwrite("history.csv", "epoch,learning_rate,train_loss,test_loss\n1,1,much,1\n"),
            "history.csv, line 2, column train_loss",
            "'much'",
        ),
        (overwrite("history.csv", "epoch,learning_rate,train_loss,test_loss\n"), "", "no epoch"),
        (
            overwrite("history.csv", "epoch,learning_rate,train_loss,test_loss\n2,1,1,1\n"),
            "history.csv",
            "epochs are not 1 to 1",
        ),
        (
            overwrite("confusion.csv", "target,prediction,count\n0,0,99\n"),
            "confusion.csv",
            "counts 99 examples",
        ),
        (
            overwrite("confusion.csv", "target,prediction,count\n0,0,100\n"),
            "confusion.csv",
            "accuracy of 1.000000",
        ),
    ],
)
def test_a_damaged_run_directory_is_named(tmp_path, damage, named, problem):
    damage(write_run(tmp_path, CFC))
    with pytest.raises(InputError) as caught:
        summarise(tmp_path, keys(CFC))
    assert named in caught.value.where
    assert problem in caught.value.problem


def test_a_run_that_was_killed_before_its_end_is_missing(tmp_path):
    remove("metrics.json")(write_run(tmp_path, CFC))
    assert summarise(tmp_path, keys(CFC))["runs"]["state"].tolist() == ["missing"]


def test_stress_rows_must_be_the_run_s_and_add_up(tmp_path):
    item = run_item("nmnist", "stress", "cfc")
    folder = write_run(tmp_path, item)
    write_stress(folder, item | {"seed": 4}, {0.0: [0.9]})
    with pytest.raises(InputError, match="rows of other runs"):
        summarise(tmp_path, keys(item))
    write_stress(folder, item, {0.0: [0.9]})
    text = (folder / "stress.csv").read_text()
    for value, problem in (
        ("0.905", "whole number"),
        ("1.9", "no such value"),
        ("-0.1", "no such value"),
        ("", "no value"),
    ):
        (folder / "stress.csv").write_text(text.replace("accuracy,0.9", f"accuracy,{value}"))
        with pytest.raises(InputError, match=rf"line 2.*{problem}"):
            summarise(tmp_path, keys(item))
    (folder / "stress.csv").write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(InputError, match=r"line 3.*twice"):
        summarise(tmp_path, keys(item))


def test_an_area_that_does_not_exist_is_an_empty_value(tmp_path):
    item = run_item("physionet", "paper", "lstm-128")
    write_stress(write_run(tmp_path, item), item, {0.5: [""]}, "auroc", ("drop_hours",))
    stress = summarise(tmp_path, keys(item))["stress"]
    assert stress["value"].isna().all() and len(stress) == 1


def test_synthetic_and_real_runs_are_not_averaged(tmp_path):
    other = CFC | {"seed": 1}
    write_run(tmp_path, CFC, synthetic=True)
    write_run(tmp_path, other)
    with pytest.raises(InputError, match="synthetic"):
        summarise(tmp_path, keys(CFC, other))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "not valid JSON"),
        ("{}", "expected a list"),
        ('[{"dataset": "nmnist"}]', "found"),
        (json.dumps([CFC | {"model": "../cfc"}]), "not plain names"),
        (json.dumps([CFC | {"seed": -1}]), "seed is -1"),
        (json.dumps([CFC, CFC]), "more than once"),
    ],
)
def test_a_bad_list_of_runs_is_refused(text, problem):
    with pytest.raises(InputError) as caught:
        parse_runs(text, "--expected")
    assert problem in caught.value.problem
    assert caught.value.where.startswith("--expected")


def test_the_command_leaves_old_summaries_alone_when_it_fails(tmp_path):
    out = tmp_path / "summary"
    command = [sys.executable, SCRIPT, "--results", tmp_path, "--out", out]
    command += ["--expected", json.dumps([CFC])]
    write_run(tmp_path, CFC)
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1 runs finished, 0 missing\n")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(before) == {f"{name}.csv" for name in COLUMNS}

    (run_folder(tmp_path, CFC) / "history.csv").unlink()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "history.csv missing" in done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []

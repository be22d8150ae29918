"""Trainings that are cut off and go on: the same bytes at the end, and checkpoints that must not be gone on from."""

import json
import multiprocessing
import os
import pickle
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from liquidbench.datasets.cache import CacheWriter
from liquidbench.errors import InputError
from liquidbench.training import checkpoint as checkpoints
from liquidbench.training.checkpoint import MANIFEST, Checkpoint
from liquidbench.training.interruption import (
    OUT_OF_TIME,
    TERMINATED,
    Interrupted,
    TimeLimit,
    ending_on_sigterm,
)
from liquidbench.training.run import RunRequest, train_run
from liquidbench.training.state import TrainingState
from test_training import drawings, settings
from test_training_settings import ATTRIBUTES

CPU = torch.device("cpu")
# What has to be the same bytes. Times and memory are in provenance.json.
RESULTS = ("weights.safetensors", "history.csv", "metrics.json", "predictions.csv")
PLATEAU = {"name": "plateau_on_test", "patience_epochs": 0, "factor": 0.5}


def a_request(folder: Path, epochs: int = 6, examples: int = 64, **training) -> RunRequest:
    """A training in which everything random takes part: order, dropout in the core, dropout of steps."""
    wanted = settings(epochs=epochs, **training)
    wanted["architecture"]["core"] |= {"layers": 2, "dropout": 0.3}
    path = folder / "cache.h5"
    if not path.exists():
        with CacheWriter(path, ATTRIBUTES) as writer:
            writer.append("all", drawings([3 + i % 6 for i in range(examples)]))
    return RunRequest("quickdraw", "p", "m", 1, wanted, path)


def run(request: RunRequest, out: Path, max_minutes: float | None = None) -> None:
    """As the command does it."""
    with ending_on_sigterm():
        train_run(request, out, CPU, 1, "portable", max_minutes)


def results(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in RESULTS}


class CutError(Exception):
    """A power cut, in one process."""


def cut_after(epoch: int, monkeypatch) -> None:
    """Cut trainings off when the checkpoint of an epoch is whole."""
    original = Checkpoint.save

    def save(self, state: TrainingState) -> None:
        state.epochs[0].seconds = 3600.0
        original(self, state)
        if len(state.epochs) == epoch:
            raise CutError

    monkeypatch.setattr(Checkpoint, "save", save)


@pytest.mark.parametrize(
    "training",
    [
        {"schedule": {"name": "constant"}, "optimizer": "adam"},
        {"schedule": {"name": "cosine"}},
        {"schedule": {"name": "step", "every_epochs": 2, "factor": 0.5}},
        {"schedule": PLATEAU, "step_dropout": {"how": "zeroed", "highest_rate": 0.5}},
        {"schedule": PLATEAU, "step_dropout": {"how": "removed", "highest_rate": 0.5}},
    ],
)
def test_a_training_that_goes_on_ends_in_the_same_bytes(tmp_path, monkeypatch, training, capsys):
    request = a_request(tmp_path, **training)
    run(request, tmp_path / "whole")
    with monkeypatch.context() as patched:
        cut_after(3, patched)
        with pytest.raises(CutError):
            run(request, tmp_path / "cut")
    assert not (tmp_path / "cut/metrics.json").exists()
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [
        "checkpoint-3.pt",
        MANIFEST,
    ]
    capsys.readouterr()
    run(request, tmp_path / "cut")
    said = capsys.readouterr().out
    assert "going on after epoch 3" in said and "epoch 4/6" in said and "epoch 3/6" not in said
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    assert not list((tmp_path / "cut").glob("*checkpoint*"))
    # The time of the first part is counted: its first epoch was made to have taken an hour.
    seconds = json.loads((tmp_path / "cut/provenance.json").read_text())["seconds"]
    assert seconds["training"] > 3600 and seconds["total"] > 3600


def test_a_training_cut_off_after_its_last_epoch_only_answers(tmp_path, monkeypatch, capsys):
    request = a_request(tmp_path)
    run(request, tmp_path / "whole")
    with monkeypatch.context() as patched:
        cut_after(6, patched)
        with pytest.raises(CutError):
            run(request, tmp_path / "cut")
    capsys.readouterr()
    run(request, tmp_path / "cut")
    assert "train_loss" not in capsys.readouterr().out
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def start(request: RunRequest, out: Path):
    """A process that trains; a fork, which has all modules loaded."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(request, out))
    process.start()
    return process


def test_kills_at_twenty_random_moments_end_in_the_same_bytes(tmp_path):
    request = a_request(tmp_path, epochs=8, examples=100, schedule=PLATEAU)
    run(request, tmp_path / "warming")
    started = time.monotonic()
    process = start(request, tmp_path / "whole")
    process.join()
    whole_seconds = time.monotonic() - started
    assert process.exitcode == 0
    expected = results(tmp_path / "whole")
    moments, ends, kept = np.random.default_rng(20).uniform(0, 1, 20), [], []
    for number, moment in enumerate(moments):
        out = tmp_path / f"killed-{number}"
        process = start(request, out)
        time.sleep(moment * whole_seconds)
        (process.terminate if number % 2 else process.kill)()
        process.join()
        ends.append(process.exitcode)
        kept.append((out / MANIFEST).exists())
        process = start(request, out)
        process.join()
        assert process.exitcode == 0, number
        assert results(out) == expected, number
        assert not [path.name for path in out.iterdir() if "checkpoint" in path.name], number
    # SIGTERM itself, where it came before the training had begun.
    assert set(ends) <= {-signal.SIGKILL, -signal.SIGTERM, TERMINATED, 0}
    # Some met the training at work, and after an epoch, however busy the machine is.
    assert ends.count(0) <= 15 and sum(kept) >= 2, (ends, kept)


def test_sigterm_leaves_nothing_half_written_and_says_what_to_do(tmp_path, monkeypatch, capsys):
    request = a_request(tmp_path)
    original = Path.write_bytes

    def interrupted(self, content):
        original(self, bytes(content)[:100])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", interrupted)
        with pytest.raises(Interrupted) as raised:
            run(request, tmp_path / "run")
    assert raised.value.code == TERMINATED
    assert "the same command goes on" in capsys.readouterr().out
    assert list((tmp_path / "run").iterdir()) == []


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch, capsys):
    request = a_request(tmp_path)
    run(request, tmp_path / "whole")
    original = Path.write_bytes

    def full(self, content):
        if "checkpoint-3" in self.name:
            original(self, bytes(content)[:100])
            raise OSError(28, "No space left on device", str(self))
        return original(self, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match=r"checkpoint-3\.pt: cannot be written"):
            run(request, tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoint-2.pt", MANIFEST]
    run(request, tmp_path / "run")
    assert "going on after epoch 2" in capsys.readouterr().out
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def test_a_power_cut_at_any_moment_leaves_a_whole_state(tmp_path, monkeypatch):
    """What is on the disk, in order: the state, its name, the manifest, its name; only then the older state goes."""
    folder, steps = tmp_path / "run", []
    real = {"fsync": os.fsync, "replace": Path.replace, "unlink": Path.unlink}

    def fsync(number):
        steps.append(("on disk", Path(f"/proc/self/fd/{number}").readlink().name))
        real["fsync"](number)

    def replace(self, target):
        steps.append(("named", Path(target).name))
        return real["replace"](self, target)

    def unlink(self, missing_ok=False):
        steps.append(("deleted", self.name))
        return real["unlink"](self, missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)
    run(a_request(tmp_path), folder)
    second = steps.index(("named", "checkpoint-2.pt"))
    temporary = [f".{name}.partial-{os.getpid()}" for name in ("checkpoint-2.pt", MANIFEST)]
    assert steps[second - 1 : second + 6] == [
        ("on disk", temporary[0]),
        ("named", "checkpoint-2.pt"),
        ("on disk", folder.name),
        ("on disk", temporary[1]),
        ("named", MANIFEST),
        ("on disk", folder.name),
        ("deleted", "checkpoint-1.pt"),
    ]


def test_out_of_time_counts_as_to_be_continued(tmp_path, capsys):
    request = a_request(tmp_path)
    run(request, tmp_path / "whole")
    statuses = []
    # No time at all: every start does one epoch.
    for _ in range(5):
        with pytest.raises(Interrupted) as raised:
            run(request, tmp_path / "run", max_minutes=0.0)
        statuses.append(raised.value.code)
    assert statuses == [OUT_OF_TIME] * 5
    assert not (tmp_path / "run/metrics.json").exists()
    run(request, tmp_path / "run", max_minutes=0.0)
    assert "stopped: 0.0 of 0 minutes are spent" in capsys.readouterr().out
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def test_a_time_limit_leaves_time_for_the_next_epoch():
    limit = TimeLimit(1.0)
    limit.check(next_seconds=50)
    TimeLimit(None).check(next_seconds=1e9)
    with pytest.raises(Interrupted, match=str(OUT_OF_TIME)):
        limit.check(next_seconds=61)


# Checkpoints that must not be gone on from


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """A run directory with the checkpoint of epoch 2, and its request."""
    request = a_request(tmp_path)
    with monkeypatch.context() as patched:
        cut_after(2, patched)
        with pytest.raises(CutError):
            run(request, tmp_path / "run")
    return request, tmp_path / "run"


def said_on_going_on(request, out, capsys) -> str:
    capsys.readouterr()
    run(request, out)
    return capsys.readouterr().out


def other_rate(request: RunRequest) -> RunRequest:
    changed = request.settings | {"training": request.settings["training"] | {"learning_rate": 0.5}}
    return replace(request, settings=changed)


def test_a_checkpoint_of_another_configuration_is_named_and_not_used(cut, capsys):
    request, out = cut
    said = said_on_going_on(other_rate(request), out, capsys)
    assert "not used: it belongs to a run with other configuration (training.learning_rate)" in said
    assert "Starting at epoch 1" in said and "epoch 1/6" in said
    assert not list(out.glob("*checkpoint*"))


def other_data(request, out):
    """The same examples, and one step another."""
    some = drawings([3 + i % 6 for i in range(64)], seed=1)
    with CacheWriter(request.cache, ATTRIBUTES) as writer:
        writer.append("all", some)
    run(request, out)


def other_code(request, out):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("liquidbench.training.run.sha256_of_code", lambda *parts: "0" * 64)
        run(request, out)


def more_threads(request, out):
    train_run(request, out, CPU, 2, "portable")


def other_versions(request, out):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "__version__", "1.0")
        run(request, out)


@pytest.mark.parametrize(
    ("again", "kind"),
    [
        (other_data, "data"),
        (other_code, "code"),
        (more_threads, "computing (threads)"),
        (other_versions, "computing (torch)"),
    ],
)
def test_a_checkpoint_of_other_data_or_code_is_named_and_not_used(cut, capsys, again, kind):
    request, out = cut
    capsys.readouterr()
    again(request, out)
    said = capsys.readouterr().out
    assert f"belongs to a run with other {kind}." in said and "epoch 1/6" in said


def test_another_implementation_of_the_core_starts_anew(tmp_path, monkeypatch, capsys):
    """Whatever was wished for: what counts is which code computes."""
    request = a_request(tmp_path)
    request.settings["architecture"]["core"] = {"name": "cfc", "units": 8, "backbone_units": 8}
    with monkeypatch.context() as patched:
        cut_after(2, patched)
        with pytest.raises(CutError):
            train_run(request, tmp_path / "run", CPU, 1, "reference")
    capsys.readouterr()
    train_run(request, tmp_path / "run", CPU, 1, "portable")
    assert "other computing (core_implementation)" in capsys.readouterr().out


def test_going_on_elsewhere_is_kept_in_the_provenance(cut, monkeypatch, capsys):
    """A cluster's nodes differ: the epochs are not thrown away, and it is told whose digits they are."""
    request, out = cut
    monkeypatch.setattr("liquidbench.training.run.processor_name", lambda device: "another one")
    assert "going on after epoch 2" in said_on_going_on(request, out, capsys)
    here, there = json.loads((out / "provenance.json").read_text())["processors"]
    assert there == "another one" != here


class Malicious:
    """Runs a command when it is unpickled without care."""

    def __reduce__(self):
        return (os.system, ("touch unpickled",))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def malicious(path: Path) -> None:
    path.write_bytes(pickle.dumps(Malicious(), protocol=2))
    manifest = json.loads((path.parent / MANIFEST).read_text())
    manifest["sha256"] = checkpoints.hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / MANIFEST).write_text(json.dumps(manifest))


def elsewhere(path: Path) -> None:
    manifest = json.loads((path.parent / MANIFEST).read_text())
    manifest["file"] = "../checkpoint-2.pt"
    path.rename(path.parent.parent / path.name)
    (path.parent / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (flip, "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "damaged"),
        (lambda path: path.unlink(), "damaged"),
        (lambda path: (path.parent / MANIFEST).write_text("{"), "damaged"),
        (lambda path: (path.parent / MANIFEST).write_text("[]"), "damaged"),
        (malicious, "holds no state of a training"),
        (elsewhere, "it names the file '../checkpoint-2.pt'"),
    ],
)
def test_damaged_checkpoints_are_named_and_not_used(
    cut, capsys, tmp_path, monkeypatch, damage, word
):
    request, out = cut
    monkeypatch.chdir(tmp_path)
    damage(out / "checkpoint-2.pt")
    said = said_on_going_on(request, out, capsys)
    assert "checkpoint.json is not used: " in said and word in said and "epoch 1/6" in said
    assert not (tmp_path / "unpickled").exists()
    run(request, tmp_path / "whole")
    assert results(out) == results(tmp_path / "whole")


def test_a_whole_checkpoint_that_does_not_fit_stops_with_a_message(cut):
    """Cannot be had but by hand: the identity says that it fits."""
    request, out = cut
    state = torch.load(out / "checkpoint-2.pt", weights_only=True)
    state["model"].popitem()
    torch.save(state, out / "checkpoint-2.pt")
    manifest = json.loads((out / MANIFEST).read_text())
    content = (out / "checkpoint-2.pt").read_bytes()
    manifest["sha256"] = checkpoints.hashlib.sha256(content).hexdigest()
    (out / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"does not fit the training .* Delete it"):
        run(request, out)

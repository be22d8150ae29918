"""What a training says, writes and measures while it runs."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from liquidbench.errors import InputError
from liquidbench.training import progress
from liquidbench.training.energy import EnergyMeter
from liquidbench.training.event_files import PATTERN, EventFiles
from liquidbench.training.progress import duration, epoch_line, heard
from liquidbench.training.run import train_run
from liquidbench.training.state import Epoch
from test_checkpoint import CutError, a_request, cut_after, results

CPU = torch.device("cpu")


def epoch(number: int, seconds: float = 2.0, loss: float = 0.5) -> Epoch:
    row = {"epoch": number, "learning_rate": 0.1, "train_loss": loss, "train_accuracy": None}
    return Epoch(row | {"test_loss": 0.25, "test_accuracy": 0.9}, seconds, 1234.4, 10.0)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (26 * 3600 + 601, "26 h 10 min"),
    ],
)
def test_durations(seconds, told):
    assert duration(seconds) == told


def test_the_line_of_an_epoch_has_figures_speed_time_and_time_left():
    # By the median of the latest five: neither the slow first epoch nor the odd one counts.
    seconds = [900.0, 2.0, 2.0, 60.0, 2.0, 2.0]
    epochs = [epoch(number, taken) for number, taken in enumerate(seconds, start=1)]
    assert epoch_line(epochs, 25) == (
        "epoch  6/25  train_loss 0.5  test_loss 0.25  test_accuracy 0.9  1,234 sequences/s  2.0 s  38.0 s left"
    )
    assert epoch_line(epochs, 6).endswith("2.0 s  last epoch")


def test_a_loss_that_is_no_number_ends_the_training_by_name():
    with pytest.raises(InputError, match="diverged: the loss is nan in epoch 3"):
        epoch_line([epoch(3, loss=float("nan"))], 5)


def test_a_long_epoch_says_how_far_it_is(monkeypatch, capsys):
    clock = iter(range(0, 1000, 100))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    batches = [SimpleNamespace(indices=np.arange(10)) for _ in range(6)]
    assert list(heard(iter(batches), 2, 60, every_seconds=300)) == batches
    assert capsys.readouterr().out.splitlines() == [
        "epoch 2: 30 of 60 sequences, 5 min 00 s of training left in it",
        "epoch 2: 60 of 60 sequences, 0.0 s of training left in it",
    ]


def test_a_short_epoch_is_silent(capsys):
    batches = [SimpleNamespace(indices=np.arange(10))]
    assert list(heard(iter(batches), 1, 10)) == batches
    assert capsys.readouterr().out == ""


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value), as TensorBoard itself reads a folder."""
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_event_files_hold_the_history_and_change_no_result(tmp_path, capsys):
    request = a_request(tmp_path)
    train_run(request, tmp_path / "plain", CPU, 1, "portable")
    assert not list((tmp_path / "plain").glob(PATTERN))
    train_run(request, tmp_path / "shown", CPU, 1, "portable", tensorboard=True)
    assert results(tmp_path / "shown") == results(tmp_path / "plain")
    found = scalars(tmp_path / "shown")
    history = np.genfromtxt(tmp_path / "shown/history.csv", delimiter=",", names=True)
    assert [step for step, _ in found["loss/train"]] == history["epoch"].tolist()
    for tag, column in {
        "loss/train": "train_loss",
        "loss/test": "test_loss",
        "accuracy/test": "test_accuracy",
        "learning_rate": "learning_rate",
    }.items():
        assert np.allclose([value for _, value in found[tag]], history[column]), tag
    assert {"speed/seconds_per_epoch", "speed/sequences_per_second"} <= set(found)


def test_event_files_of_a_training_that_went_on_hold_each_epoch_once(tmp_path, monkeypatch):
    request = a_request(tmp_path)
    with monkeypatch.context() as patched:
        cut_after(3, patched)
        with pytest.raises(CutError):
            train_run(request, tmp_path / "run", CPU, 1, "portable", tensorboard=True)
    train_run(request, tmp_path / "run", CPU, 1, "portable", tensorboard=True)
    assert [step for step, _ in scalars(tmp_path / "run")["loss/test"]] == [1, 2, 3, 4, 5, 6]


def test_event_files_of_an_earlier_training_go(tmp_path):
    for _ in range(2):
        files = EventFiles(tmp_path, {"training": {}}, [])
        files.add(epoch(1))
        files.writer.close()
    assert [step for step, _ in scalars(tmp_path)["loss/test"]] == [1]


def test_a_training_goes_on_where_event_files_cannot_be_written(tmp_path, monkeypatch, capsys):
    from torch.utils.tensorboard import SummaryWriter

    request = a_request(tmp_path, epochs=3)
    train_run(request, tmp_path / "plain", CPU, 1, "portable")

    def full(self) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "flush", full)
    capsys.readouterr()
    train_run(request, tmp_path / "full", CPU, 1, "portable", tensorboard=True)
    said = capsys.readouterr().out
    assert said.count("ATTENTION: no more event files") == 1 and "No space left" in said
    assert results(tmp_path / "full") == results(tmp_path / "plain")


def zone(folder, name: str, microjoules: int, most: int = 10_000_000) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{microjoules}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{most}\n")


def test_the_energy_of_all_packages_counts_and_counters_may_start_again(tmp_path):
    zone(tmp_path, "intel-rapl:0", 9_000_000)
    zone(tmp_path, "intel-rapl:1", 1_000_000)
    # A part of the first: in its count already.
    zone(tmp_path, "intel-rapl:0:0", 5_000_000)
    meter = EnergyMeter(CPU, tmp_path)
    zone(tmp_path, "intel-rapl:0", 1_500_000)
    zone(tmp_path, "intel-rapl:1", 1_250_000)
    zone(tmp_path, "intel-rapl:0:0", 7_000_000)
    assert meter.joules() == pytest.approx(2.5 + 0.25)
    assert meter.joules() == 0.0


def test_where_nothing_is_counted_there_is_no_energy(tmp_path):
    assert EnergyMeter(CPU, tmp_path).joules() is None
    zone(tmp_path, "intel-rapl:0", 0)
    meter = EnergyMeter(CPU, tmp_path)
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    assert meter.joules() is None


def test_the_energy_of_a_run_is_that_of_its_epochs(tmp_path, monkeypatch):
    request = a_request(tmp_path, epochs=3)
    monkeypatch.setattr(EnergyMeter, "joules", lambda self: 2.5)
    train_run(request, tmp_path / "run", CPU, 1, "portable")
    provenance = json.loads((tmp_path / "run/provenance.json").read_text())
    assert provenance["energy_joules"] == 7.5

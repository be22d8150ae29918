"""What a training says, writes and measures while it runs."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from liquidbench.errors import InputError
from liquidbench.training import energy, loop, progress
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


def test_event_files_of_an_earlier_training_go_also_without_new_ones(tmp_path):
    request = a_request(tmp_path, epochs=2)
    for _ in range(2):
        train_run(request, tmp_path / "run", CPU, 1, "portable", tensorboard=True)
        assert [step for step, _ in scalars(tmp_path / "run")["loss/test"]] == [1, 2]
    train_run(request, tmp_path / "run", CPU, 1, "portable")
    assert not list((tmp_path / "run").glob(PATTERN))


def test_what_earlier_event_files_have_of_an_epoch_to_come_is_not_shown(tmp_path):
    """A process that died after it had shown an epoch, and before it had kept it."""
    first = EventFiles(tmp_path, {}, [])
    for number in (1, 2):
        first.add(epoch(number))
    first.writer.close()
    second = EventFiles(tmp_path, {}, [epoch(1)])
    for number in (2, 3):
        second.add(epoch(number, loss=0.125))
    second.writer.close()
    assert scalars(tmp_path)["loss/train"] == [(1, 0.5), (2, 0.125), (3, 0.125)]


def test_the_speed_is_that_of_the_sequences_trained_on(tmp_path, monkeypatch):
    """By a clock that gains a second at each look: the loop looks at the start, after training and after the test."""
    ticks = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    request, told = a_request(tmp_path, epochs=1, examples=64), []
    monkeypatch.setattr(EventFiles, "add", lambda self, one: told.append(one))
    train_run(request, tmp_path / "run", CPU, 1, "portable", tensorboard=True)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert told[0].sequences_per_second == metrics["examples"]["train"] / 1.0
    assert told[0].seconds == 2.0


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


def zone(folder, name: str, microjoules: int, most: int = 10_000_000, called="package-0") -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "name").write_text(f"{called}\n")
    (folder / name / "energy_uj").write_text(f"{microjoules}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{most}\n")


def test_the_energy_of_all_packages_counts_and_counters_may_start_again(tmp_path):
    zone(tmp_path, "intel-rapl:0", 9_000_000)
    zone(tmp_path, "intel-rapl:1", 1_000_000)
    # A part of the first, in its count already, and the platform, which has both in it.
    zone(tmp_path, "intel-rapl:0:0", 5_000_000, called="core")
    zone(tmp_path, "intel-rapl:2", 5_000_000, called="psys")
    meter = EnergyMeter(CPU, tmp_path)
    zone(tmp_path, "intel-rapl:0", 1_500_000)
    zone(tmp_path, "intel-rapl:1", 1_250_000)
    zone(tmp_path, "intel-rapl:0:0", 7_000_000, called="core")
    zone(tmp_path, "intel-rapl:2", 9_000_000, called="psys")
    assert meter.joules() == pytest.approx(2.5 + 0.25)
    assert meter.joules() == 0.0


def test_where_nothing_is_counted_there_is_no_energy(tmp_path):
    assert EnergyMeter(CPU, tmp_path).joules() is None
    zone(tmp_path, "intel-rapl:0", 0)
    meter = EnergyMeter(CPU, tmp_path)
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    assert meter.joules() is None


def test_a_card_alone_is_not_the_energy_of_a_training(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "_joules_of_card", lambda device: next(card))
    card = iter([100.0, 150.0, 160.0, 190.0])
    assert EnergyMeter(torch.device("cuda"), tmp_path).joules() is None
    zone(tmp_path, "intel-rapl:0", 1_000_000)
    meter = EnergyMeter(torch.device("cuda"), tmp_path)
    zone(tmp_path, "intel-rapl:0", 3_000_000)
    assert meter.joules() == 30.0 + 2.0


def test_the_energy_of_a_run_is_that_of_its_epochs(tmp_path, monkeypatch):
    request = a_request(tmp_path, epochs=3)
    monkeypatch.setattr(EnergyMeter, "joules", lambda self: 2.5)
    train_run(request, tmp_path / "run", CPU, 1, "portable")
    provenance = json.loads((tmp_path / "run/provenance.json").read_text())
    assert provenance["energy_joules"] == 7.5
    # Counters that stand still, as some virtual machines have them, count nothing.
    monkeypatch.setattr(EnergyMeter, "joules", lambda self: 0.0)
    train_run(request, tmp_path / "still", CPU, 1, "portable")
    provenance = json.loads((tmp_path / "still/provenance.json").read_text())
    assert provenance["energy_joules"] is None

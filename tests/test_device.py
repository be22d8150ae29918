"""Jobs that share cards, on machines whose cards are made up; threads that wait for work."""

import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch

from liquidbench.errors import InputError
from liquidbench.training import device
from liquidbench.training.device import chosen_device
from workflow_helpers import PROJECT


def pretend(monkeypatch, folder, cards: list[str]) -> list[int]:
    """A machine with these cards, by identifier; gives the list of cards that jobs were put on."""
    put_on: list[int] = []
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "set_device", put_on.append)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda card: SimpleNamespace(uuid=cards[card])
    )
    return put_on


class WaitedError(Exception):
    """Raised where a job would have waited."""


@pytest.fixture
def no_waiting(monkeypatch):
    def sleep(_seconds: float) -> None:
        raise WaitedError

    monkeypatch.setattr(device.time, "sleep", sleep)


@pytest.mark.parametrize(
    ("jobs_per_gpu", "cards", "expected"),
    [
        (1, ["a"], [0]),
        (1, ["a", "b"], [0, 1]),
        (3, ["a"], [0, 0, 0]),
        (2, ["a", "b", "c"], [0, 1, 2, 0, 1, 2]),
    ],
)
def test_cards_fill_evenly_and_then_a_job_waits(
    monkeypatch, tmp_path, no_waiting, jobs_per_gpu, cards, expected
):
    put_on = pretend(monkeypatch, tmp_path, cards)
    with ExitStack() as jobs:
        for card in expected:
            got = jobs.enter_context(chosen_device("auto", jobs_per_gpu))
            assert got == torch.device("cuda", card)
        with pytest.raises(WaitedError):
            jobs.enter_context(chosen_device("cuda", jobs_per_gpu))
    assert put_on == expected


def test_a_job_goes_to_the_card_with_the_fewest_whichever_ended(monkeypatch, tmp_path, no_waiting):
    pretend(monkeypatch, tmp_path, ["a", "b"])
    first, second, third = (chosen_device("cuda", 2) for _ in range(3))
    assert [job.__enter__().index for job in (first, second, third)] == [0, 1, 0]
    # Card a keeps its second place, b is empty: filling places in order would choose a.
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    with chosen_device("cuda", 2) as got:
        assert got.index == 1
    third.__exit__(None, None, None)


def test_a_job_that_fails_leaves_its_place(monkeypatch, tmp_path, no_waiting):
    pretend(monkeypatch, tmp_path, ["a"])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), chosen_device("cuda"):
            _ = 1 / 0


def test_a_waiting_job_starts_when_a_place_is_free(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, ["a"])
    entered = threading.Event()
    nap = time.sleep
    monkeypatch.setattr(device.time, "sleep", lambda _seconds: nap(0.01))

    def wait_for_the_card() -> None:
        with chosen_device("cuda", 1):
            entered.set()

    job = threading.Thread(target=wait_for_the_card)
    with chosen_device("cuda", 1):
        job.start()
        assert not entered.wait(0.3)
    job.join(timeout=30)
    assert entered.is_set()


def test_jobs_that_see_other_cards_under_the_same_number_do_not_wait(
    monkeypatch, tmp_path, no_waiting
):
    # As on a cluster, where every job sees its card as number 0.
    pretend(monkeypatch, tmp_path, ["a"])
    with chosen_device("cuda"):
        pretend(monkeypatch, tmp_path, ["b"])
        with chosen_device("cuda") as got:
            assert got.index == 0
        # Parts of a card are told apart by the names that they are given by.
        for part in ("MIG-1", "MIG-2"):
            pretend(monkeypatch, tmp_path, ["a"])
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", part)
            with chosen_device("cuda"):
                pass


def hold(folder: str, cards: list[str], held) -> None:
    """A job in a process of its own, until it is killed; says which card it has."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        pretend(monkeypatch, folder, cards)
        with chosen_device("cuda", 2) as got:
            held.send(got.index)
            time.sleep(300)


def test_processes_agree_and_a_killed_one_holds_nothing(monkeypatch, tmp_path, no_waiting):
    context = multiprocessing.get_context("spawn")
    jobs = []
    try:
        for _ in range(2):
            heard, held = context.Pipe(duplex=False)
            jobs.append(context.Process(target=hold, args=(str(tmp_path), ["a"], held)))
            jobs[-1].start()
            assert heard.poll(120) and heard.recv() == 0
        pretend(monkeypatch, tmp_path, ["a"])
        with pytest.raises(WaitedError), chosen_device("cuda", 2):
            pass
        jobs[0].kill()
        jobs[0].join(60)
        with chosen_device("cuda", 2) as held:
            assert held.index == 0
    finally:
        for job in jobs:
            job.kill()
            job.join(60)


def test_a_processor_needs_no_place_and_a_missing_card_is_said(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, [])
    for wish in ("cpu", "auto"):
        with chosen_device(wish, 2) as got:
            assert got == torch.device("cpu")
    with pytest.raises(InputError, match="no GPU"), chosen_device("cuda"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["train", "stress"])
@pytest.mark.parametrize("said", [None, "active"])
def test_waiting_threads_leave_the_cores_unless_the_user_says_otherwise(script, said):
    variables = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    variables |= {"OMP_DISPLAY_ENV": "true"} | ({"OMP_WAIT_POLICY": said} if said else {})
    result = subprocess.run(
        [sys.executable, f"workflow/scripts/{script}.py", "--help"],
        cwd=PROJECT,
        env=variables,
        capture_output=True,
        text=True,
    )
    policies = re.findall(r"OMP_WAIT_POLICY *= *'(\w+)'", result.stderr)
    assert set(policies) == {(said or "passive").upper()}

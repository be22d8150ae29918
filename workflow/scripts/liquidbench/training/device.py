"""Where to compute, reproducibly: the device, its threads, and which jobs share a card."""

import fcntl
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch

from liquidbench.errors import InputError
from liquidbench.files import private_folder


@contextmanager
def chosen_device(wish: str, jobs_per_gpu: int = 1) -> Iterator[torch.device]:
    """The device for one job; its place on a card is held by a lock file until the block ends.

    Snakemake limits how many jobs use cards but does not say which card a job has, so jobs agree through locks.

    Args:
        wish: ``cpu``, ``cuda``, or ``auto`` (a card if there is one).
        jobs_per_gpu: how many jobs may be on a card at once.

    Raises:
        InputError: ``cuda`` where there is none.
    """
    if wish == "cpu" or (wish == "auto" and not torch.cuda.is_available()):
        yield torch.device("cpu")
        return
    if not torch.cuda.is_available():
        raise InputError(
            "configuration key device", "cuda is asked for and there is no GPU", "Use auto or cpu"
        )
    cards = [_name_of_card(card) for card in range(torch.cuda.device_count())]
    with _place_on_a_card(cards, jobs_per_gpu) as card:
        torch.cuda.set_device(card)
        yield torch.device("cuda", card)


def _name_of_card(card: int) -> str:
    """The card's own identifier: its number differs between jobs that see different cards, as on a cluster."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if card < len(visible) and visible[card].startswith("MIG-"):
        # Parts of one card, which may have its identifier.
        return visible[card].replace("/", "-")
    return str(torch.cuda.get_device_properties(card).uuid)


@contextmanager
def _place_on_a_card(cards: list[str], places: int) -> Iterator[int]:
    """Wait for a place on a card, and hold it: on the card with the most places free, the first of equals.

    Args:
        cards: their names.
        places: of each card.

    Yields:
        The card's index.
    """
    folder = private_folder(Path(tempfile.gettempdir(), f"liquidbench-gpu-{os.getuid()}"))
    while True:
        # One job looks at a time: to see whether a place is free is to take it for a moment.
        with (folder / "choice.lock").open("a") as choosing:
            fcntl.flock(choosing, fcntl.LOCK_EX)
            free = [
                [
                    lock
                    for place in range(places)
                    if (lock := _locked_if_free(folder / f"{card}.{place}.lock")) is not None
                ]
                for card in cards
            ]
            chosen = max(range(len(cards)), key=lambda card: len(free[card]))
            held = free[chosen].pop(0) if free[chosen] else None
            for lock in itertools.chain(*free):
                lock.close()
        if held is not None:
            with held:
                yield chosen
            return
        time.sleep(1.0)


def _locked_if_free(path: Path) -> IO | None:
    """The file, locked until it is closed or its process ends; None if another has it."""
    lock = path.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def make_deterministic(seed: int, threads: int) -> None:
    """One seed for torch's generators, deterministic kernels, a fixed number of threads."""
    torch.set_num_threads(threads)
    # A CUDA kernel without a deterministic twin warns in the log; on a CPU there is none, so it would be an error.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Or every new tensor would be filled with NaN first, against reading what was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    # cuDNN's LSTM would compute in TF32 and the CfC's products in float32: compare like with like.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(seed)

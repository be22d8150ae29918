"""Where to compute, reproducibly: the device, its threads, and one job per card."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from liquidbench.errors import InputError


@contextmanager
def chosen_device(wish: str) -> Iterator[torch.device]:
    """The device for one job; a card is held by a lock file until the block ends.

    Snakemake limits how many jobs use a card but does not say which card a job has, so jobs agree through locks.

    Args:
        wish: ``cpu``, ``cuda``, or ``auto`` (a card if there is one).

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
    with _card_lock(torch.cuda.device_count()) as card:
        torch.cuda.set_device(card)
        yield torch.device("cuda", card)


@contextmanager
def _card_lock(cards: int) -> Iterator[int]:
    """Wait for a card that no other job of this user holds."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    folder = Path(tempfile.gettempdir(), f"liquidbench-gpu-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for card in range(cards):
            name = visible[card] if card < len(visible) and visible[card] else str(card)
            with (folder / f"{name}.lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield card
                return
        time.sleep(1.0)


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

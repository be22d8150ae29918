"""Work on the members of an archive in several processes, in a fixed order and bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from liquidbench.allocator import keep_freed_memory
from liquidbench.datasets.archives import Members, open_members
from liquidbench.errors import InputError

T = TypeVar("T")

# Below so many blocks a process, its start costs more than it saves.
_BLOCKS_A_PROCESS = 8

# The archive that this worker process has open; an open archive must not cross a fork.
_members: Members | None = None


def map_members(
    path: Path,
    function: Callable[[Members, Any], T],
    blocks: Sequence[Any],
    threads: int,
) -> Iterator[T]:
    """Yield ``function(members, block)`` for each block, in the order of the blocks.

    Args:
        path: the archive or folder; each process opens it once.
        function: a function of a module (or a `functools.partial` of one).
        blocks: what `function` gets; the result must not depend on how many processes there are.
        threads: worker processes at most; with 1, or few blocks, all happens in this process.

    Raises:
        InputError: whatever `function` raises, or a worker process was killed.
    """
    threads = min(threads, len(blocks) // _BLOCKS_A_PROCESS)
    if threads <= 1:
        with open_members(path) as members:
            for block in blocks:
                yield function(members, block)
        return
    # Spawned, not forked: safe beside threads (pyarrow, h5py) of the parent.
    with ProcessPoolExecutor(
        threads, mp_context=get_context("spawn"), initializer=_start, initargs=(path,)
    ) as pool:
        waiting: deque[Future[T]] = deque()
        run = partial(_run, function)
        try:
            for block in blocks:
                # A few blocks ahead keep the workers busy; more would only fill memory.
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(run, block))
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise InputError(
                path,
                "a worker process ended unexpectedly, perhaps for lack of memory",
                "Prepare with fewer threads or more memory",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def blocks_of(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut `items` into consecutive blocks of `size`; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _start(path: Path) -> None:
    # Niceness and such are inherited; only the numerical libraries' own threads are too many.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    keep_freed_memory()
    global _members
    _members = open_members(path)


def _run(function: Callable[[Members, Any], T], block: Any) -> T:
    assert _members is not None
    return function(_members, block)

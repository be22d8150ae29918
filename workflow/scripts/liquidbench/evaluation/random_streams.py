"""Random numbers of an example's own: they follow from its identifier, and not from the examples beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Uniform = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From how many numbers each example needs, (examples,), to all of them, one example after the other, from 0 to 1."""

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_PIECE = 2**14


class RandomStreams:
    """A stream of uniform numbers for each example.

    Counters from a key, hashed: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014). A key is a hash of the example's identifier and of what the numbers are for, the same on every
    machine. All is array arithmetic: a generator object per example would take as long as the numbers.

    Args:
        ids: (examples,) text.
        purpose: what the numbers are for; other purposes have other numbers.
    """

    def __init__(self, ids: Iterable[str], purpose: str) -> None:
        salt = blake2b(purpose.encode(), digest_size=16).digest()
        hashes = [blake2b(str(name).encode(), digest_size=8, salt=salt).digest() for name in ids]
        self.keys = np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)

    def uniform(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The first `counts`, (examples,), numbers of each stream: (sum of counts,), from 0 to below 1."""
        begins = (np.cumsum(counts) - counts).astype(np.uint64)
        states = np.repeat(self.keys - begins * _GAMMA, counts)
        numbers = np.empty(len(states))
        # In pieces that stay in the processor's cache.
        for begin in range(0, len(states), _PIECE):
            piece = slice(begin, begin + _PIECE)
            numbers[piece] = _as_uniform(split_mix(states[piece], begin))
        return numbers

    def uniform_of(self, example: int, count: int) -> NDArray[np.float64]:
        """The first numbers of one stream, (count,), from 0 to below 1: where those of all would fill the memory."""
        return _as_uniform(split_mix(np.full(count, self.keys[example]), 0))


def split_mix(seeds: NDArray[np.uint64], begin: int) -> NDArray[np.uint64]:
    """One output of each of several SplitMix64 generators: of the first number `begin`, of the second the next, ...

    Args:
        seeds: (numbers,), where the generators start.
        begin: counts from 0.

    Returns:
        (numbers,) of 64 random bits.
    """
    mixed = np.arange(begin + 1, begin + 1 + len(seeds), dtype=np.uint64)
    mixed *= _GAMMA
    mixed += seeds
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _as_uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The upper 53 bits as numbers from 0 to below 1."""
    return (bits >> np.uint64(11)) * 2.0**-53

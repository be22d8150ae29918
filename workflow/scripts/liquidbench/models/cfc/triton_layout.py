"""How the Triton kernels are compiled for a layer: its kind, and how a program divides the work on a GPU."""

import functools
from dataclasses import dataclass
from typing import Any

import torch

from liquidbench.models.cfc.recurrence import Recurrence

# Shared memory of a program that every GPU from compute capability 8.0 on has.
_LEAST_SHARED = 99 * 1024
# Columns of a product at a time, pieces of a matrix in use or on their way, and about how many bytes each has.
_CANDIDATES = (
    *((256, 4, 48 << 10), (256, 3, 48 << 10), (256, 3, 24 << 10), (128, 4, 24 << 10)),
    *((128, 3, 24 << 10), (64, 3, 24 << 10), (32, 3, 24 << 10), (32, 2, 12 << 10)),
)
# Sequences per program, by the precision of products. Tensor cores take 16 rows; products in full do not use them, and
# fewer rows spread over more processors.
ROWS = {"ieee": 8, "tf32": 16, "bf16": 16}


@dataclass(frozen=True)
class Tiling:
    """How a program divides its products; all sizes are powers of two.

    Attributes:
        rows: sequences per program.
        units_block, width_block: columns of a product at a time, when they are units and when they are the backbone's.
        units_chunk, width_chunk: terms of a product at a time, likewise.
        heads_chunk: terms at a time of the products for the gates' maps, which run side by side.
        stages: pieces of a matrix that are on their way from memory at once.
        warps: per program.
    """

    rows: int
    units_block: int
    width_block: int
    units_chunk: int
    width_chunk: int
    heads_chunk: int
    stages: int
    warps: int


def padded(size: int) -> int:
    """Units or widths as the kernels have them: a multiple of 64, or of 32 where that does."""
    return 32 if size <= 32 else (size + 63) // 64 * 64


def _power_in(size: int, most: int) -> int:
    """The largest power of two that divides `size`, up to `most`."""
    return min(size & -size, most)


def _chunk(size: int, most: int) -> int:
    """The largest power of two that divides `size`, at least 16 and at most 64 or `most`."""
    return _power_in(size, min(64, 1 << (max(16, most).bit_length() - 1)))


def shared_bytes(tiling: Tiling, maps: int, itemsize: int) -> int:
    """The shared memory that both kernels need at most: the pieces on their way in the largest of the products.

    Args:
        tiling: of a layer.
        maps: that its gates have.
        itemsize: bytes of an operand of the products.
    """
    columns = max(tiling.units_block, tiling.width_block)
    largest = max(
        _piece(tiling, chunk, wide, itemsize)
        for chunk, wide in (
            (tiling.units_chunk, columns),
            (tiling.width_chunk, columns),
            (tiling.heads_chunk, maps * tiling.units_block),
        )
    )
    # What is computed with is no longer on its way; what changes its layout between products needs some room too.
    return max(largest * (tiling.stages - 1), 4 * tiling.rows * columns) + 1024


def _piece(tiling: Tiling, chunk: int, columns: int, itemsize: int) -> int:
    return chunk * (tiling.rows * 4 + columns * itemsize)


@functools.lru_cache(maxsize=64)
def tiling_for(units: int, width: int, maps: int, precision: str, shared: int, rows: int) -> Tiling:
    """The first tiling that fits, wide blocks and many stages first; the least of all where none does.

    Args:
        units: padded.
        width: of the backbone, padded.
        maps: that the gates have.
        precision: a key of `ROWS`.
        shared: bytes of shared memory that a program may have.
        rows: sequences per program.
    """
    itemsize = 2 if precision == "bf16" else 4
    for block, stages, piece in _CANDIDATES:
        units_block, width_block = _power_in(units, block), _power_in(width, min(block, 128))
        columns = max(units_block, width_block)
        tiling = Tiling(
            rows=rows,
            units_block=units_block,
            width_block=width_block,
            units_chunk=_chunk(units, piece // (columns * itemsize)),
            width_chunk=_chunk(width, piece // (columns * itemsize)),
            heads_chunk=_chunk(width, piece // (maps * units_block * itemsize)),
            stages=stages,
            warps=4 if units_block < 128 else rows // 2 if precision == "ieee" else 8,
        )
        if shared_bytes(tiling, maps, itemsize) <= shared:
            break
    return tiling


@dataclass(frozen=True)
class Kind:
    """What the kernels are compiled for.

    Attributes:
        mode, activation: as in `Recurrence`.
        timed, ragged: whether there are elapsed times and lengths.
        units, width: of the state and of the backbone; without a backbone the width is that of the state.
        depth: backbone layers.
        precision: of the products, a key of `ROWS`.
    """

    mode: str
    activation: str
    timed: bool
    ragged: bool
    units: int
    width: int
    depth: int
    precision: str

    @property
    def maps(self) -> int:
        """Maps that the gates have."""
        return 1 if self.mode == "pure" else 4 if self.timed else 3

    @property
    def keeps_slopes(self) -> bool:
        """Whether the derivatives of the activations cannot be told from their values."""
        return self.depth > 0 and self.activation in ("silu", "gelu")

    @property
    def dtype(self) -> torch.dtype:
        """Of the products' operands."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def tiling(self, device: torch.device) -> Tiling:
        """How the kernels divide their products on a GPU."""
        sizes = padded(self.units), padded(self.width)
        shared, rows = shared_memory(device), ROWS[self.precision]
        return tiling_for(*sizes, self.maps, self.precision, shared, rows)

    def shared_bytes(self, device: torch.device) -> int:
        """Bytes of shared memory that the kernels need at most."""
        return shared_bytes(self.tiling(device), self.maps, self.dtype.itemsize)

    def options(self, tiling: Tiling) -> dict[str, Any]:
        """The compile-time arguments that both kernels have."""
        return {
            "MODE": self.mode,
            "ACTIVATION": self.activation,
            "DEPTH": self.depth,
            "MAPS": self.maps,
            "UNITS": padded(self.units),
            "WIDTH": padded(self.width),
            "REAL_UNITS": self.units,
            "TIMED": self.timed,
            "RAGGED": self.ragged,
            "SLOPES": self.keeps_slopes,
            "PRECISION": "tf32" if self.precision == "tf32" else "ieee",
            "ROWS": tiling.rows,
            "UNITS_BLOCK": tiling.units_block,
            "WIDTH_BLOCK": tiling.width_block,
            "UNITS_CHUNK": tiling.units_chunk,
            "WIDTH_CHUNK": tiling.width_chunk,
            "STAGES": tiling.stages,
            "num_warps": tiling.warps,
            # A product and a sum in one operation, as everywhere on a GPU; the default differs between versions.
            "enable_fp_fusion": True,
        }


def kind_of(r: Recurrence) -> Kind:
    """What the kernels for a layer are compiled for."""
    precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
    if r.products is torch.bfloat16:
        precision = "bf16"
    depth = len(r.weights) - 1
    return Kind(
        mode=r.mode,
        activation=r.activation,
        timed=r.elapsed is not None,
        ragged=r.lengths is not None,
        units=r.units,
        width=r.weights[0].shape[0] if depth else r.units,
        depth=depth,
        precision=precision,
    )


def shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that a program may have."""
    if device.type != "cuda":
        return _LEAST_SHARED
    properties = torch.cuda.get_device_properties(device)
    return getattr(properties, "shared_memory_per_block_optin", _LEAST_SHARED)

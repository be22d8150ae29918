"""Values that are compressed where they are made: worker processes share the work, and little crosses between them."""

from dataclasses import dataclass

import numpy as np

GZIP_LEVEL = 1
"""What HDF5 notes as the level of compression; readers do not depend on it."""


@dataclass(frozen=True)
class Packed:
    """An array in compressed chunks along its first axis, as HDF5's gzip filter stores them.

    Attributes:
        chunks: a zlib stream for every `rows` entries; the last one is filled up to `rows`.
        rows: entries of a chunk.
        shape: of the whole array.
        dtype: of its values.
    """

    chunks: tuple[bytes, ...]
    rows: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        """Entries along the first axis."""
        return self.shape[0]

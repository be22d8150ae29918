"""`examples.npz`: the examples of a data set that figures and the page show."""

import zipfile
from pathlib import Path

import numpy as np

from liquidbench.errors import InputError

Example = dict[str, np.ndarray]
SENSOR = 34  # N-MNIST: pixels per side; events outside are noise of the recording


def read_example(path: str | Path, names: list[str]) -> Example:
    """Read an `examples.npz` that holds at least `names`, `synthetic` and `source`.

    Raises:
        InputError: not a readable file of plain arrays, or one is missing.
    """
    remedy = "Delete it and prepare the data set again"
    try:
        with np.load(path, allow_pickle=False) as archive:
            example = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(path, f"cannot be read ({error})", remedy) from None
    missing = [name for name in [*names, "synthetic", "source"] if name not in example]
    if missing:
        raise InputError(path, f"arrays missing: {', '.join(missing)}", remedy)
    return example

"""The checksum that a cache carries in front: what was written is what is read, years and copies later.

HDF5 leaves room before its own first byte for whoever writes the file (the user block), and every reader passes over
it. Compressed arrays have checksums of their own, but the attributes and the tables that say where things lie have
none.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

from liquidbench.errors import InputError

USER_BLOCK = 512
"""Bytes in front of the HDF5 data: the smallest room that HDF5 offers."""

_REMEDY = "Start again: it is prepared anew. Finished runs are kept as config/README.md says, What runs again"
_TEXT = "liquidbench cache. SHA-256 of all but the first 512 bytes:\n{sum}\n"


def seal(path: Path) -> None:
    """Write the checksum of a finished HDF5 file into its user block, which must be there."""
    own, _ = _sums(path)
    with path.open("r+b") as file:
        file.write(_TEXT.format(sum=own).encode().ljust(USER_BLOCK, b"\0"))


def verified_sha256(path: str | Path) -> str:
    """The SHA-256 of a whole cache, after comparison with the checksum that it carries.

    A damaged one is put aside, so that the next start of the workflow makes it anew.

    Raises:
        InputError: there is no such file, it cannot be read, or it is not what was written.
    """
    path = Path(path)
    if not path.is_file():
        if aside(path).exists():
            raise InputError(path, f"was damaged and is now {aside(path)}", _REMEDY)
        raise InputError(path, "no such file", "Run the prepare stage of its data set")
    try:
        own, whole = _sums(path)
        with path.open("rb") as file:
            block = file.read(USER_BLOCK)
    except OSError as error:
        remedy = "Make it readable, or delete it and start again: it is prepared anew"
        raise InputError(path, f"cannot be read ({error.strerror})", remedy) from None
    if block != _TEXT.format(sum=own).encode().ljust(USER_BLOCK, b"\0"):
        front = _TEXT.partition("{")[0].encode()
        found = (
            "its content is not what was written: the checksum differs"
            if block.startswith(front)
            else "it begins with no checksum"
        )
        # Another training may have been faster, or the folder is not ours to change.
        with suppress(OSError):
            path.replace(aside(path))
        if path.exists():
            raise InputError(path, f"damaged: {found}", f"Delete it. {_REMEDY}")
        raise InputError(path, f"damaged: {found}. It is now {aside(path)}", _REMEDY)
    return whole


def aside(path: Path) -> Path:
    """Where a damaged cache is kept until another has been made."""
    return path.with_name(f"{path.name}.damaged")


def _sums(path: Path) -> tuple[str, str]:
    """SHA-256 of a file without its user block, and of all of it."""
    own, whole = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        whole.update(file.read(USER_BLOCK))
        while chunk := file.read(1 << 20):
            own.update(chunk)
            whole.update(chunk)
    return own.hexdigest(), whole.hexdigest()

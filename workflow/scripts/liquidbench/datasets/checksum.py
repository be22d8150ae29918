"""The checksum that a cache carries in front: what was written is what is read, years and copies later.

HDF5 leaves room before its own first byte for whoever writes the file (the user block), and every reader passes over
it. Compressed arrays have checksums of their own, but the attributes and the tables that say where things lie have
none.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from liquidbench.errors import InputError
from liquidbench.files import write_text

USER_BLOCK = 512
"""Bytes in front of the HDF5 data: the smallest room that HDF5 offers."""

_REMEDY = "Start again: it is made anew, and finished runs are kept"
_TEXT = "liquidbench cache. SHA-256 of all but the first 512 bytes:\n{sum}\n"


def seal(path: Path) -> None:
    """Write the checksum of a finished HDF5 file into its user block, which must be there."""
    _, own, _ = _sums(path)
    with path.open("r+b") as file:
        file.write(_block(own))


def verified_sha256(path: str | Path) -> str:
    """The SHA-256 of a whole cache, after comparison with the checksum that it carries.

    A damaged one stays where it is, since other jobs have it as their input, and is marked: then the next start of
    the workflow makes it anew.

    Raises:
        InputError: there is no such file, it cannot be read, or it is not what was written.
    """
    path = Path(path)
    try:
        return _compared(path)
    except _DamagedError as damage:
        # Where the folder is not ours to write in, no later start can make it anew.
        try:
            # The time makes it another file than that of an earlier damage.
            found = datetime.now(UTC).isoformat()
            write_text(damaged_mark(path), f"{found}: {damage}\n")
        except (InputError, OSError):
            raise InputError(path, f"damaged: {damage}", f"Delete it. {_REMEDY}") from None
        raise InputError(path, f"damaged: {damage}", _REMEDY) from None


def damaged_mark(path: Path) -> Path:
    """The file that says of a cache that it was found damaged. The prepare stage has it as an input from then on."""
    return path.with_name(f"{path.name}.damaged")


def is_to_be_remade(path: Path) -> bool:
    """Whether a cache was found damaged and no other has taken its place yet."""
    mark = damaged_mark(path)
    if not mark.exists():
        return False
    return not path.exists() or path.stat().st_mtime_ns < mark.stat().st_mtime_ns


class _DamagedError(Exception):
    """What is wrong with a cache's content."""


def _compared(path: Path) -> str:
    if not path.is_file():
        raise InputError(path, "no such file", "Run the prepare stage of its data set")
    try:
        block, own, whole = _sums(path)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "Make it readable") from None
    if block != _block(own):
        begins = block.startswith(_TEXT.partition("{")[0].encode())
        raise _DamagedError(
            "its content is not what was written: the checksum differs"
            if begins
            else "it begins with no checksum"
        )
    return whole


def _block(own: str) -> bytes:
    return _TEXT.format(sum=own).encode().ljust(USER_BLOCK, b"\0")


def _sums(path: Path) -> tuple[bytes, str, str]:
    """A file's user block, the SHA-256 of the rest, and that of all of it."""
    own, whole = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        block = file.read(USER_BLOCK)
        whole.update(block)
        while chunk := file.read(1 << 20):
            own.update(chunk)
            whole.update(chunk)
    return block, own.hexdigest(), whole.hexdigest()

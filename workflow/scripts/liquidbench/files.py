"""Files written whole or not at all, and checksums. Standard library only."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from liquidbench.errors import InputError

# A full disk, a quota that is used up, a limit on the size of files.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def told_when_full(path: str | Path) -> Iterator[None]:
    """Tell in one line that there was no room for `path`, and not by where in a library it was noticed.

    Raises:
        InputError: in place of the block's own error, if the disk is full or a quota is used up.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        problem = f"cannot be written ({os.strerror(error.errno)})"
        raise InputError(path, problem, "Make room, then start again") from None


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well.

    The content is on the disk before it gets the name, and the name when this returns: a power cut leaves the older
    file or the newer, whole. If the block raises, the temporary file (or folder) is removed and `path` is as it was.

    Raises:
        InputError: the disk is full, or a quota is used up.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with told_when_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _to_disk(temporary)
            temporary.replace(path)
            _to_disk(path.parent)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
        raise


def _to_disk(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def private_folder(path: str | Path) -> Path:
    """Make a folder, and those above it, that nobody else can write into.

    Raises:
        InputError: it cannot be made, or is there and others could have put something into it.
    """
    path = Path(path)
    remedy = "Name a folder of your own"
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.stat()
    except OSError as error:
        reason = "it is no folder" if path.exists() else error
        raise InputError(path, f"cannot be made ({reason})", remedy) from None
    if status.st_uid != os.getuid():
        raise InputError(path, "belongs to another user", remedy)
    if status.st_mode & 0o022:
        raise InputError(path, "can be written by other users", f"chmod go-w {path}")
    return path


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON with sorted keys, whole or not at all.

    Raises:
        ValueError: `content` holds NaN or infinity, which JSON cannot say. Use None.
    """
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "no such file", "Make it with the workflow") from None
    except ValueError as error:
        raise InputError(path, f"not valid JSON ({error})", "Delete it and make it again") from None


def json_object(text: str, option: str, remedy: str = "Give one JSON object") -> dict[str, Any]:
    """The JSON object that a command-line option holds.

    Args:
        text: what was given.
        option: its name, for the message.
        remedy: what to do about anything else.

    Raises:
        InputError: it is not JSON, or not an object.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(option, f"not valid JSON ({error})", remedy) from None
    if not isinstance(content, dict):
        raise InputError(option, f"expected an object, found {content!r}", remedy)
    return content


def sha256_of_file(path: str | Path) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Python, compiled code, and what a page is made of.
_SOURCE_SUFFIXES = (".py", ".cpp", ".hpp", ".j2", ".css", ".js")


def _sources(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix in _SOURCE_SUFFIXES)


def sha256_of_code(*parts: str) -> str:
    """The SHA-256 over the source of library parts.

    Snakemake does not see a change in an imported module, so rules name this sum among
    their parameters and results keep it as provenance.

    Args:
        parts: modules or packages of liquidbench as paths, such as ``datasets`` or ``errors.py``.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for part in sorted(parts):
        path = root / part
        if not path.exists():
            raise FileNotFoundError(f"liquidbench has no part {part!r}")
        for file in _sources(path) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(root)).encode() + b"\0")
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()

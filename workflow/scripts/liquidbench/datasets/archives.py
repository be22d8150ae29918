"""One interface over a zip archive and the same files unpacked in a folder.

Nothing is ever extracted to disk: readers ask for the bytes of one member at a time, so a data
set of 70,000 small files stays one file, and a hostile archive has nowhere to write to.
"""

import hashlib
import os
import posixpath
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from liquidbench.errors import InputError

DEFAULT_LARGEST_MEMBER = 64 * 2**20
"""Bytes. A thousand times the largest recording or patient file of the four data sets."""


class Members(Protocol):
    """The regular files of an archive or a folder, by name. A context manager.

    Opening costs one pass over the directory of the archive and reading costs one member, so
    worker processes each open their own: an open archive must not cross a fork, since parent
    and child would move the same file position.

    Attributes:
        path: the archive or folder.
        names: POSIX names relative to it, sorted; without directories, ``__MACOSX`` and hidden
            files. The archive's top folder (``Train/``) is part of the names if it has one.
    """

    path: Path

    @property
    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes:
        """The content of one member.

        Raises:
            InputError: there is no such member, or it is damaged or too large.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_members(
    path: str | Path, *, largest_member: int = DEFAULT_LARGEST_MEMBER
) -> "ZipMembers | FolderMembers":
    """Open a zip archive, or a folder of the same files unpacked.

    Args:
        path: the archive or the folder.
        largest_member: bytes above which a member is refused unread (a decompression bomb).

    Raises:
        InputError: there is nothing at `path`; it is neither a zip nor a folder; or the archive
            is broken or holds a member that leads out of its folder, is a link, is encrypted,
            or is too large.
    """
    path = Path(path)
    if path.is_dir():
        return FolderMembers(path, largest_member)
    if not path.is_file():
        raise InputError(path, "no such file or folder", "Fetch the raw files again")
    return ZipMembers(path, largest_member)


class ZipMembers:
    """`Members` of a zip archive."""

    def __init__(self, path: Path, largest_member: int) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        # A damaged directory surfaces as whichever of these its parsing happens to hit first.
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
            raise InputError(
                path,
                f"not a readable zip archive ({error})",
                "It may be truncated: delete it and the manifest.json of its data set, then start again",
            ) from None
        try:
            self._infos = _checked(path, self._zip.infolist(), largest_member)
        except InputError:
            self._zip.close()
            raise
        self._names = sorted(self._infos)

    @property
    def names(self) -> list[str]:
        return self._names

    def read(self, name: str) -> bytes:
        if name not in self._infos:
            raise _missing(self.path, name)
        info = self._infos[name]
        try:
            with self._zip.open(info) as file:
                # Bounded by the declared size, because what is compressed may hold more; and one
                # more, because zipfile compares no CRC where no byte is asked for.
                content = file.read(info.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise _damaged(self.path, name, str(error) or type(error).__name__) from None
        if len(content) != info.file_size:
            found = f"{len(content)} bytes, {info.file_size} declared"
            raise _damaged(self.path, name, found)
        return content

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()


class FolderMembers:
    """`Members` of a folder. Links to files are followed: the folder is the user's own."""

    def __init__(self, path: Path, largest_member: int) -> None:
        self.path = path
        self._largest_member = largest_member
        self._names: list[str] | None = None

    @property
    def names(self) -> list[str]:
        if self._names is None:
            self._names = sorted(_files_below(self.path))
        return self._names

    def read(self, name: str) -> bytes:
        # By the shape of the name and not by the listing: a worker that is told which files to
        # read need not list 70,000 of them first.
        if _is_unsafe(name):
            raise _missing(self.path, name)
        file = self.path / name
        try:
            size = file.stat().st_size
            if size > self._largest_member:
                raise _too_large(self.path, name, size, self._largest_member)
            return file.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise _missing(self.path, name) from None
        except OSError as error:
            raise InputError(
                file, f"not readable ({error.strerror})", "Check the file and its permissions"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def _checked(
    path: Path, infos: Iterable[zipfile.ZipInfo], largest_member: int
) -> dict[str, zipfile.ZipInfo]:
    """The members to offer, by name, after every member of the archive has been judged."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        # Both names: zipfile cuts at a NUL and takes over the Unicode name of an extra field.
        for name in {info.orig_filename, info.filename}:
            if _is_unsafe(name):
                raise _refused(path, name, "a path that leads out of the archive's folder")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(path, info.filename, "a link or special file")
        if info.is_dir():
            continue
        name = posixpath.normpath(info.filename)
        if _is_ignored(name):
            continue
        if info.flag_bits & 1:
            raise _refused(path, name, "encrypted")
        if info.file_size > largest_member:
            raise _too_large(path, name, info.file_size, largest_member)
        if name in members:
            raise _refused(path, name, "there twice, and it is unclear which is meant")
        members[name] = info
    return members


def _files_below(folder: Path) -> Iterable[str]:
    """POSIX names, relative to `folder`, of the regular files below it that are not ignored."""

    def stop(error: OSError) -> None:
        raise InputError(
            error.filename,
            f"the folder cannot be read ({error.strerror})",
            "Check its permissions",
        ) from None

    for parent, folders, files in os.walk(folder, onerror=stop):
        relative = Path(parent).relative_to(folder)
        folders[:] = [name for name in folders if not _is_ignored(name)]
        for name in folders:
            # os.walk passes over linked folders, and a part of the data would be missing unseen.
            if Path(parent, name).is_symlink():
                raise InputError(
                    Path(parent, name),
                    "a link to a folder, inside a folder of raw files",
                    "Put the folder itself in its place",
                )
        for name in files:
            if _is_ignored(name):
                continue
            if not Path(parent, name).is_file():
                raise InputError(
                    Path(parent, name),
                    "neither a regular file nor a link to one",
                    "Remove it or put the file in its place",
                )
            yield (relative / name).as_posix()


def _is_unsafe(name: str) -> bool:
    """Whether a member's name is empty, or could name a file outside the archive's folder."""
    return (
        not name
        or name.startswith("/")
        or "\\" in name
        or "\0" in name
        or re.match(r"[A-Za-z]:", name) is not None
        or ".." in name.split("/")
    )


def _is_ignored(name: str) -> bool:
    """Whether a file is a by-product of a desktop (hidden, or a resource fork), not data."""
    return name.startswith(".") or "/." in name or "__MACOSX" in name.split("/")


def _refused(path: Path, name: str, reason: str) -> InputError:
    return InputError(
        f"{path}, member {name!r}",
        f"the member is refused: {reason}",
        "The archive is not what the data set's authors publish: fetch it again",
    )


def _too_large(path: Path, name: str, size: int, largest: int) -> InputError:
    return InputError(
        f"{path}, member {name!r}",
        f"the member is refused: {size:,} bytes, at most {largest:,} are expected",
        "The files of this data set are far smaller: fetch them again",
    )


def _damaged(path: Path, name: str, reason: str) -> InputError:
    return InputError(
        f"{path}, member {name!r}",
        f"the member is damaged ({reason})",
        "Delete it and the manifest.json of its data set, then start again",
    )


def _missing(path: Path, name: str) -> InputError:
    return InputError(path, f"there is no member {name!r}", "Fetch the raw files again")


def folder_bytes_and_sha256(folder: str | Path) -> tuple[int, str]:
    """Size and checksum of an unpacked data set, as `docs/file-formats.md` defines them.

    Over names and sizes and not over contents: reading 70,000 files twice would take longer
    than preparing them. It shows a missing, added or cut file, not a changed one.

    Returns:
        The sum of the sizes in bytes, and the SHA-256 over the sorted relative names and sizes.

    Raises:
        InputError: the folder cannot be read.
    """
    folder = Path(folder)
    digest, total = hashlib.sha256(), 0
    for name in sorted(_files_below(folder)):
        size = (folder / name).stat().st_size
        digest.update(f"{name}\0{size}\n".encode())
        total += size
    return total, digest.hexdigest()

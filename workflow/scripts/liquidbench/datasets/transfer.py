"""One file from one address over HTTPS: resumed after a break, retried with back-off.

pooch, the usual library for this, begins again at the first byte after every break, replaces a
file that a person has placed, and leaves its temporary files behind when the job is terminated.
What it would do beyond this module is compare a checksum, so requests alone is used.
"""

import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from liquidbench.errors import InputError
from liquidbench.files import write_json

# Some hosts of public data answer 403 to clients that do not look like a browser.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 liquidbench"
CHUNK = 64 * 1024
TIMEOUTS = (20.0, 60.0)
"""Seconds to connect, and seconds without a byte."""

LOOPBACK = {"localhost", "127.0.0.1", "::1"}

Progress = Callable[[int, int | None], None]
"""Told the bytes that are there, and how many there will be (None if unknown)."""


class LocationFailedError(Exception):
    """This address does not give the file; another one may."""


class _TryAgainError(Exception):
    """A failure that may pass.

    Args:
        reason: for the person who reads the message.
        wait: seconds that the server asked for.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Retries:
    """How often and when to try again.

    Attributes:
        attempts: failures in a row, without one byte more than before, after which to give up.
        first_wait: seconds before the second attempt; doubled at each further failure.
        longest_wait: seconds, upper limit of the doubling.
        longest_requested_wait: seconds; a server that asks for more (Retry-After) is given up.
        sleep: waits for so many seconds.
        jitter: draws from [0, 1), so that jobs which failed together do not return together.
    """

    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_requested_wait: float = 300.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row: half fixed, half random."""
        longest = min(self.first_wait * 2 ** (failures - 1), self.longest_wait)
        return longest * (0.5 + 0.5 * self.jitter())


def transfer(url: str, part: Path, progress: Progress, retries: Retries) -> None:
    """Download `url` into the file `part`, going on from what is there of the same content.

    What makes "the same content" certain (address, ETag or date, length) is kept beside it in
    `<part>.json`, so that a job killed on Monday goes on on Tuesday. If the content at the address
    has changed meanwhile, the download begins again.

    Raises:
        LocationFailedError: the address does not give the file. What has come so far remains.
        InputError: `part` cannot be written.
    """
    failures, furthest = 0, _resumable(part, url).have
    with _session() as session:
        while True:
            try:
                _attempt(session, url, part, progress)
                return
            except _TryAgainError as trouble:
                have = _resumable(part, url).have
                # A long file over a bad line is not given up while it grows.
                failures = failures + 1 if have <= furthest else 1
                furthest = max(furthest, have)
                if trouble.wait > retries.longest_requested_wait:
                    raise LocationFailedError(
                        f"{trouble}, and asks to come back in {trouble.wait:.0f} s"
                    ) from None
                if failures >= retries.attempts:
                    raise LocationFailedError(f"{trouble} (tried {failures} times)") from None
                retries.sleep(max(trouble.wait, retries.wait(failures)))


def discard(part: Path) -> None:
    """Remove a partial download and what is noted about it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Resumable:
    """What is there of a file: bytes, validator of the content, and length of the whole."""

    have: int = 0
    validator: str = ""
    total: int = 0


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _resumable(part: Path, url: str) -> _Resumable:
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        there = _Resumable(part.stat().st_size, note["validator"], note["total"])
    except (FileNotFoundError, ValueError):
        return _Resumable()
    if note["url"] != url or not 0 < there.have <= there.total:
        return _Resumable()
    return there


class _HttpsOnlyAdapter(HTTPAdapter):
    """Refuses plain HTTP except to this machine. Redirects come through here as well."""

    def send(self, request, *args, **kwargs):  # type: ignore[no-untyped-def]
        parts = urlsplit(request.url)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise LocationFailedError(f"refused: {request.url} is not HTTPS")
        return super().send(request, *args, **kwargs)


def _session() -> requests.Session:
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _HttpsOnlyAdapter())
    # Ranges and lengths are those of the file itself only without compression on the way.
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    return session


def _attempt(session: requests.Session, url: str, part: Path, progress: Progress) -> None:
    """One request, and the bytes it gives."""
    there = _resumable(part, url)
    if there.have and there.have == there.total:
        return
    headers = {}
    if there.have:
        # If-Range: the server sends the rest of the very same content, or all of the new one.
        headers = {"Range": f"bytes={there.have}-", "If-Range": there.validator}
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
            _refuse_failure(response, part)
            if response.status_code == 206:
                _check_continues(response, there, part)
                total: int | None = there.total
            else:
                total = _begin(response, url, part)
            _save(response, part, total, progress)
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        raise _TryAgainError(_short(error)) from None
    except requests.RequestException as error:
        raise LocationFailedError(_short(error)) from None
    except OSError as error:
        # After the requests' own, which are OSErrors too: what remains is the disk.
        raise InputError(
            part, f"cannot be written ({error.strerror})", "Make room or correct the permissions"
        ) from None


def _refuse_failure(response: requests.Response, part: Path) -> None:
    status = response.status_code
    reason = f"HTTP {status} {response.reason or ''}".strip()
    if status in (408, 425, 429) or status >= 500:
        raise _TryAgainError(reason, _requested_wait(response))
    if status == 416:
        # What is there is longer than the file, which thus has changed.
        discard(part)
        raise _TryAgainError(reason)
    if status not in (200, 206):
        raise LocationFailedError(reason)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise LocationFailedError("a web page instead of the file")


def _requested_wait(response: requests.Response) -> float:
    value = response.headers.get("Retry-After")
    try:
        return Retry().parse_retry_after(value) if value else 0.0
    except InvalidHeader:
        return 0.0


def _check_continues(response: requests.Response, there: _Resumable, part: Path) -> None:
    """Refuse a partial answer that is not the rest of what is there."""
    expected = f"bytes {there.have}-{there.total - 1}/{there.total}"
    validator = _validator(response) or there.validator
    if response.headers.get("Content-Range") != expected or validator != there.validator:
        discard(part)
        raise _TryAgainError("the server's partial answer does not fit what is there")


def _validator(response: requests.Response) -> str | None:
    """What tells this content from a later one under the same address, if anything does."""
    validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
    # A weak ETag holds for equivalent content, not for equal bytes.
    return None if validator is None or validator.startswith("W/") else validator


def _begin(response: requests.Response, url: str, part: Path) -> int | None:
    """Note what the new content is, and clear away the old. Returns its length."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        raise LocationFailedError(f"compressed on the way ({headers['Content-Encoding']})")
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if total is None and headers.get("Transfer-Encoding") != "chunked":
        # The end of the connection would be the end of the file, and a break not to be noticed.
        raise LocationFailedError("the server states no length")
    discard(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    validator = _validator(response)
    if validator is not None and total is not None:
        write_json(_note(part), {"url": url, "validator": validator, "total": total})
    part.touch()
    return total


def _save(response: requests.Response, part: Path, total: int | None, progress: Progress) -> None:
    with part.open("ab") as file:
        have = os.fstat(file.fileno()).st_size
        progress(have, total)
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            have += len(chunk)
            progress(have, total)
    if total is not None and have != total:
        raise _TryAgainError(f"{have:,} of {total:,} bytes came")


def _short(error: Exception) -> str:
    """The innermost reason, without the object addresses that urllib3 wraps around it."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, Exception) else error)
    return text.rpartition(">: ")[2] or type(error).__name__

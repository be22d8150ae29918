"""Downloads against a scripted server on this machine: breaks, changes, refusals, sums."""

import hashlib
import io
import json
import multiprocessing
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from liquidbench.datasets import transfer as transfer_module
from liquidbench.datasets.download import RecordedChecksums, download_files, shown_progress
from liquidbench.datasets.manifest import read_manifest
from liquidbench.datasets.sources import SourceDataset, SourceFile
from liquidbench.datasets.transfer import LocationFailedError, Retries, transfer
from liquidbench.errors import InputError
from test_full_disk import FULL, with_room_for
from workflow_helpers import PROJECT

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `CONTENT` at every path, after the path's scripted answers have been used up."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag = CONTENT, '"one"'
        self.scripts: dict[str, list[Callable[[Handler], None]]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.user_agents: set[str] = set()

    def url(self, path: str = "/file.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.server.user_agents.add(self.headers["User-Agent"])
        script = self.server.scripts.get(self.path)
        (script.pop(0) if script else whole)(self)

    def answer(self, status: int, body: bytes, cut: int | None = None, **headers: str) -> None:
        """Send `body`, or only its first `cut` bytes under the header of all."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        # Said, and not only done: else a client that is redirected sends its next request into a closing connection.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = True


def whole(handler: Handler, cut: int | None = None) -> None:
    """A well-behaved server with ranges, and with a connection that may break after `cut`."""
    server, wanted = handler.server, handler.headers.get("Range")
    content = server.content
    # Without If-Range, the part of whatever is there now.
    if wanted and handler.headers.get("If-Range", server.etag) == server.etag:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.answer(206, content[start:], cut, ETag=server.etag, Content_Range=span)
    else:
        handler.answer(200, content, cut, ETag=server.etag)


def broken_after(cut: int) -> Callable[[Handler], None]:
    return lambda handler: whole(handler, cut)


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(code, b"no", **headers)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def retries(waits) -> Retries:
    return Retries(attempts=3, sleep=waits.append, jitter=lambda: 0.0)


def dataset_of(*locations: str, **pinned) -> SourceDataset:
    files = (SourceFile("train", "data/file.bin", locations, (), **pinned),)
    return SourceDataset("iam", "https://home.example", "free", files)


@pytest.fixture
def download(tmp_path, retries):
    """Download one file to `tmp_path/raw`, with `tmp_path/recorded.json`."""

    def run(*locations: str, **pinned):
        recorded = RecordedChecksums(tmp_path / "recorded.json")
        return download_files(dataset_of(*locations, **pinned), tmp_path / "raw", recorded, retries)

    return run


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_good_file_with_its_published_sum(server, download, tmp_path, waits):
    entry = {"role": "train", "path": "data/file.bin", "bytes": 300_000, "sha256": SHA256}
    assert download(server.url(), sha256=SHA256) == [{**entry, "official": True}]
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT
    assert files_below(tmp_path) == {"raw/data/file.bin"}
    assert waits == []
    assert all(agent.startswith("Mozilla/5.0") for agent in server.user_agents)
    # Again: what is there is verified, and nothing is fetched.
    assert download(server.url(), sha256=SHA256) == [{**entry, "official": True}]
    assert len(server.requests) == 1


def test_the_md5_is_compared_where_it_alone_is_published(server, download, tmp_path):
    md5 = hashlib.md5(CONTENT).hexdigest()
    [entry] = download(server.url(), md5=md5)
    assert (entry["sha256"], entry["official"]) == (SHA256, True)
    (tmp_path / "raw/data/file.bin").write_bytes(OTHER)
    with pytest.raises(InputError, match=md5):
        download(server.url(), md5=md5)


def test_a_break_is_resumed_without_fetching_anything_twice(server, download, tmp_path, waits):
    server.scripts["/file.bin"] = [broken_after(131_072), broken_after(65_536)]
    assert download(server.url(), sha256=SHA256)[0]["bytes"] == 300_000
    assert [wanted for _, wanted in server.requests] == [None, "bytes=131072-", "bytes=196608-"]
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT
    assert files_below(tmp_path) == {"raw/data/file.bin"}
    # Each break came further than before, so none counts as a second failure in a row.
    assert waits == [0.5, 0.5]


def test_a_later_job_resumes_what_an_earlier_one_left(server, tmp_path, retries):
    part = tmp_path / "file.bin.part"
    server.scripts["/file.bin"] = [broken_after(131_072), status(404)]
    with pytest.raises(LocationFailedError, match="404"):
        transfer(server.url(), part, lambda have, total: None, retries)
    assert part.read_bytes() == CONTENT[:131_072]
    seen = []
    transfer(server.url(), part, lambda have, total: seen.append((have, total)), retries)
    assert server.requests[-1] == ("/file.bin", "bytes=131072-")
    assert part.read_bytes() == CONTENT
    assert (seen[0], seen[-1]) == ((131_072, 300_000), (300_000, 300_000))
    # Complete but not yet renamed: not one more request.
    before = len(server.requests)
    transfer(server.url(), part, lambda have, total: None, retries)
    assert len(server.requests) == before


def test_a_part_of_another_address_is_not_continued(server, download, tmp_path):
    server.scripts["/a.bin"] = [broken_after(131_072), status(404)]
    download(server.url("/a.bin"), server.url("/b.bin"), sha256=SHA256)
    assert server.requests[-1] == ("/b.bin", None)
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_a_file_changed_between_the_parts_begins_again(server, download, tmp_path):
    def change(handler: Handler) -> None:
        server.content, server.etag = OTHER, '"two"'
        whole(handler)

    server.scripts["/file.bin"] = [broken_after(131_072), change]
    download(server.url())
    assert [wanted for _, wanted in server.requests] == [None, "bytes=131072-"]
    assert (tmp_path / "raw/data/file.bin").read_bytes() == OTHER


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"two"', "Content_Range": "bytes 131072-299999/300000"},
        {"ETag": '"one"', "Content_Range": "bytes 131072-299999/300001"},
        {"ETag": '"one"', "Content_Range": "bytes 131071-299998/300000"},
        {"ETag": '"one"', "Content_Range": ""},
    ],
)
def test_a_partial_answer_that_does_not_fit_is_not_glued_on(server, download, tmp_path, headers):
    def glue(handler: Handler) -> None:
        handler.answer(206, OTHER[131_072:], **headers)

    server.scripts["/file.bin"] = [broken_after(131_072), glue]
    download(server.url())
    assert [wanted for _, wanted in server.requests] == [None, "bytes=131072-", None]
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_an_answer_shorter_than_its_range_is_noticed(server, download, tmp_path):
    def short(handler: Handler) -> None:
        span = "bytes 131072-299999/300000"
        handler.answer(206, CONTENT[131_072:200_000], ETag='"one"', Content_Range=span)

    server.scripts["/file.bin"] = [broken_after(131_072), short]
    download(server.url())
    assert [wanted for _, wanted in server.requests] == [None, "bytes=131072-", "bytes=200000-"]
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_a_stalled_connection_is_left_and_resumed(server, download, tmp_path, monkeypatch):
    released = threading.Event()

    def stall(handler: Handler) -> None:
        whole(handler, 131_072)
        handler.wfile.flush()
        released.wait(20)

    monkeypatch.setattr(transfer_module, "TIMEOUTS", (1.0, 0.1))
    server.scripts["/file.bin"] = [stall]
    started = time.monotonic()
    download(server.url())
    # Long before the server hangs up.
    assert time.monotonic() - started < 10
    released.set()
    assert [wanted for _, wanted in server.requests] == [None, "bytes=131072-"]
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
def test_without_a_strong_validator_nothing_is_continued(server, download, tmp_path, etag):
    server.etag = etag
    server.scripts["/file.bin"] = [broken_after(131_072)]
    download(server.url())
    assert [wanted for _, wanted in server.requests] == [None, None]
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_a_range_beyond_the_end_begins_again(server, download, tmp_path):
    server.scripts["/file.bin"] = [broken_after(131_072), status(416)]
    download(server.url())
    assert [wanted for _, wanted in server.requests] == [None, "bytes=131072-", None]
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_retry_after_is_honoured(server, download, waits):
    server.scripts["/file.bin"] = [status(429, Retry_After="7")]
    download(server.url())
    assert waits == [7.0]


def test_a_server_that_asks_for_too_long_is_left(server, download, waits):
    server.scripts["/busy"] = [status(503, Retry_After="86400")]
    download(server.url("/busy"), server.url("/good"))
    assert [path for path, _ in server.requests] == ["/busy", "/good"]
    assert waits == []


def test_server_errors_are_retried_with_growing_waits(server, download, waits):
    server.scripts["/file.bin"] = [status(500), status(502)]
    download(server.url())
    assert waits == [0.5, 1.0]
    assert len(server.requests) == 3


def test_waits_double_up_to_a_limit_and_are_spread():
    waits = [Retries(jitter=lambda: 1.0, longest_wait=5.0).wait(n) for n in (1, 2, 3, 4, 5)]
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert Retries(jitter=lambda: 0.5).wait(3) == 3.0


@pytest.mark.parametrize("code", [401, 403, 404, 410, 204])
def test_a_refusal_goes_on_to_the_next_location_at_once(server, download, waits, code, tmp_path):
    server.scripts["/a"] = [status(code)]
    # No sum is known that would tell the refusal's own text from the file.
    download(server.url("/a"), server.url("/b"))
    assert [path for path, _ in server.requests] == ["/a", "/b"]
    assert waits == []
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_a_web_page_is_not_taken_for_the_file(server, download, tmp_path):
    server.scripts["/login"] = [status(200, Content_Type="text/html; charset=utf-8")]
    download(server.url("/login"), server.url("/good"))
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_a_file_of_unstated_length_is_refused(server, download):
    server.scripts["/file.bin"] = [lambda handler: handler.answer(200, CONTENT, Content_Length="")]
    with pytest.raises(InputError, match="states no length"):
        download(server.url())


def test_a_chunked_answer_is_accepted_whole_and_retried_when_broken(server, download, tmp_path):
    def chunked(*ends: bytes) -> Callable[[Handler], None]:
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (CONTENT[:9], CONTENT[9:]))
        return lambda handler: handler.answer(
            200, body + b"".join(ends), Content_Length="", Transfer_Encoding="chunked"
        )

    server.scripts["/file.bin"] = [chunked(), chunked(b"0\r\n\r\n")]
    download(server.url())
    assert len(server.requests) == 2
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_wrong_bytes_never_get_the_name(server, download, tmp_path):
    server.content = OTHER
    with pytest.raises(InputError) as caught:
        download(server.url("/a"), server.url("/b"), sha256=SHA256)
    assert files_below(tmp_path) == set()
    other_sum = hashlib.sha256(OTHER).hexdigest()
    assert caught.value.problem.count(f"its sha256 is {other_sum}, but {SHA256}") == 2
    server.content = CONTENT
    download(server.url("/a"), sha256=SHA256)
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_the_first_sum_is_recorded_and_enforced_from_then_on(server, download, tmp_path):
    [entry] = download(server.url())
    assert entry["official"] is None
    recorded = json.loads((tmp_path / "recorded.json").read_text())
    assert recorded == {
        "iam/data/file.bin": {"sha256": SHA256, "bytes": 300_000, "location": server.url()}
    }
    (tmp_path / "raw/data/file.bin").unlink()
    server.content = OTHER
    with pytest.raises(InputError) as caught:
        download(server.url())
    message = str(caught.value)
    assert SHA256 in message and hashlib.sha256(OTHER).hexdigest() in message
    assert f"remove 'iam/data/file.bin' from {tmp_path / 'recorded.json'}" in message
    assert files_below(tmp_path / "raw") == set()
    assert json.loads((tmp_path / "recorded.json").read_text()) == recorded


def test_a_stub_of_absurd_size_is_not_recorded(server, download, tmp_path):
    server.content = b"version https://git-lfs.github.com/spec/v1"
    with pytest.raises(InputError, match=r"42 bytes, but about 300,000 are expected"):
        download(server.url(), approximate_bytes=300_000)
    assert files_below(tmp_path) == set()
    server.content = CONTENT
    download(server.url(), approximate_bytes=290_000)


def test_when_all_fail_the_message_says_why_and_what_to_place_where(server, download, tmp_path):
    server.scripts = {"/a": [status(403)], "/b": [status(500)] * 3}
    with pytest.raises(InputError) as caught:
        download(server.url("/a"), server.url("/b"), sha256=SHA256)
    error = caught.value
    assert error.where == "iam, train"
    assert f"{server.url('/a')}: HTTP 403 Forbidden" in error.problem
    assert f"{server.url('/b')}: HTTP 500 Internal Server Error (tried 3 times)" in error.problem
    assert f"place it as {tmp_path / 'raw/data/file.bin'}" in error.remedy
    assert "https://home.example" in error.remedy and SHA256 in error.remedy
    assert len(str(error).splitlines()) == 1
    assert files_below(tmp_path) == set()


def test_a_dead_host_is_named_as_such(download, waits):
    closed = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    closed.server_close()
    with pytest.raises(InputError, match=r"Connection refused \(tried 3 times\)"):
        download(f"http://127.0.0.1:{closed.server_port}/file.bin")
    assert len(waits) == 2


def test_all_files_that_are_missing_are_named(server, tmp_path, retries):
    server.scripts["/a"] = [status(404)]
    files = tuple(
        SourceFile(name, f"{name}.zip", (server.url("/a"),), ()) for name in ("a", "b", "c")
    )
    (tmp_path / "b.zip").write_bytes(CONTENT)
    dataset = SourceDataset("nmnist", "https://home.example", "free", files)
    with pytest.raises(InputError) as caught:
        download_files(dataset, tmp_path, RecordedChecksums(tmp_path / "recorded.json"), retries)
    assert caught.value.remedy.endswith(f"Also not there yet: {tmp_path / 'c.zip'}")


def test_a_file_placed_by_hand_is_verified(server, download, tmp_path):
    target = tmp_path / "raw/data/file.bin"
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    assert download(server.url(), sha256=SHA256)[0]["official"] is True
    target.write_bytes(OTHER)
    with pytest.raises(InputError, match="Delete it") as caught:
        download(server.url(), sha256=SHA256)
    assert caught.value.where == str(target)
    assert target.read_bytes() == OTHER
    target.unlink()
    target.mkdir()
    with pytest.raises(InputError, match="a folder, where a file is expected"):
        download(server.url(), sha256=SHA256)
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://data.example/file.bin", "is not HTTPS"),
        ("http://127.0.0.1@data.example/file.bin", "is not HTTPS"),
        ("ftp://data.example/file.bin", "No connection adapters"),
        ("file:///etc/passwd", "No connection adapters"),
    ],
)
def test_plain_http_is_refused(download, url, reason, waits):
    with pytest.raises(InputError, match=reason):
        download(url)
    assert waits == []


def test_a_redirect_is_followed_but_not_to_plain_http(server, download, tmp_path):
    server.scripts["/a"] = [status(302, Location="http://127.0.0.1.data.example/file.bin")]
    server.scripts["/b"] = [status(302, Location=server.url("/c"))]
    download(server.url("/a"), server.url("/b"), sha256=SHA256)
    assert [path for path, _ in server.requests] == ["/a", "/b", "/c"]


def test_a_full_disk_is_reported(server, download, tmp_path, monkeypatch):
    def full(*args) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer_module, "_save", full)
    with pytest.raises(InputError, match="No space left on device"):
        download(server.url())
    assert not (tmp_path / "raw/data/file.bin").exists()


def test_a_damaged_record_is_reported(server, download, tmp_path):
    (tmp_path / "recorded.json").write_text('{"iam/data/file.bin": 3}')
    with pytest.raises(InputError, match="not a list of recorded checksums"):
        download(server.url())


def add_checksum(path: Path, number: int) -> None:
    RecordedChecksums(path).add(f"dataset-{number}/file", SHA256, number, "https://a.example")


def test_jobs_side_by_side_all_record_their_sums(tmp_path):
    path = tmp_path / "deep/recorded.json"
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=add_checksum, args=(path, number)) for number in range(8)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert set(json.loads(path.read_text())) == {f"dataset-{number}/file" for number in range(8)}


def test_progress_in_a_log_is_a_line_now_and_then():
    stream, times = io.StringIO(), iter([0.0, 1.0, 11.0, 11.0, 12.0, 13.0, 13.0])
    with shown_progress("a.zip", stream, lambda: next(times)) as progress:
        for have in (1_000_000, 2_000_000, 2_500_000, 3_000_000):
            progress(have, 3_000_000)
    assert stream.getvalue().splitlines() == ["a.zip: 2.0 of 3.0 MB", "a.zip: 3.0 of 3.0 MB"]


def test_progress_on_a_terminal_is_a_bar():
    stream = io.StringIO()
    stream.isatty = lambda: True
    with shown_progress("a.zip", stream) as progress:
        progress(1_000_000, 4_000_000)
        progress(4_000_000, 4_000_000)
    assert "a.zip: 100%" in stream.getvalue() and "4.00M/4.00M" in stream.getvalue()


# A server with many faults: no bad file gets its name, and a good one comes when it recovers.


def test_a_redirect_without_end_is_left(server, download, waits):
    server.scripts["/a"] = [status(302, Location=server.url("/a"))] * 100
    with pytest.raises(InputError, match="redirects"):
        download(server.url("/a"))
    assert waits == [] and len(server.requests) < 100


def test_a_redirected_download_goes_on_where_it_broke(server, download, tmp_path):
    server.scripts["/a"] = [status(302, Location=server.url("/b"))] * 2
    server.scripts["/b"] = [broken_after(131_072)]
    download(server.url("/a"), sha256=SHA256)
    assert server.requests[-1] == ("/b", "bytes=131072-")
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_a_changed_file_under_an_unchanged_tag_is_thrown_away(server, download, tmp_path):
    def change(handler: Handler) -> None:
        server.content = OTHER
        whole(handler)

    server.scripts["/file.bin"] = [broken_after(131_072), change]
    with pytest.raises(InputError, match="its sha256 is"):
        download(server.url(), sha256=SHA256)
    # Not gone on from next time: it would never come right.
    assert files_below(tmp_path) == set()
    server.content = CONTENT
    download(server.url(), sha256=SHA256)
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_a_full_disk_in_the_middle_is_told_and_the_download_goes_on_afterwards(
    server,
    tmp_path,
    retries,
):
    dataset = dataset_of(server.url(), sha256=SHA256)

    def work() -> None:
        download_files(dataset, tmp_path / "raw", RecordedChecksums(tmp_path / "r.json"), retries)

    told = with_room_for(200_000, work)
    assert FULL in told and "Make room" in told
    assert files_below(tmp_path / "raw") == {"data/file.bin.part", "data/file.bin.part.json"}
    work()
    _, wanted = server.requests[-1]
    assert wanted is not None and int(wanted.removeprefix("bytes=").removesuffix("-")) > 100_000
    assert files_below(tmp_path / "raw") == {"data/file.bin"}
    assert (tmp_path / "raw/data/file.bin").read_bytes() == CONTENT


def test_after_all_faults_in_turn_the_stage_ends_with_the_good_file(server, tmp_path):
    """As a user starts it again and again: each start gives one line, or the manifest."""
    sources = yaml.safe_load((PROJECT / "resources/sources.yaml").read_text(encoding="utf-8"))
    entry = sources["physionet"]["files"]["set_a"]
    entry |= {"locations": [server.url()], "sha256": SHA256}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(sources))
    manifest = tmp_path / "raw/manifest.json"
    command = [sys.executable, PROJECT / "workflow/scripts/fetch.py", "--dataset", "physionet"]
    command += ["--source", "download", "--sources", tmp_path / "sources.yaml"]
    command += ["--options", '{"hospitals": ["a"]}', "--checksums", tmp_path / "recorded.json"]

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, "--out", manifest], capture_output=True, text=True)

    def wrong(handler: Handler) -> None:
        handler.answer(200, OTHER, ETag='"two"')

    good = tmp_path / "raw" / entry["file_name"]
    faults = [status(403), wrong, status(200, Content_Type="text/html"), status(302, Location="/a")]
    faults += [status(429, Retry_After="86400")]
    for fault in faults:
        server.scripts["/file.bin"] = [fault]
        server.scripts["/a"] = [status(404)]
        failed = start()
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        assert failed.stderr.splitlines()[-1].startswith("error: physionet, set_a: no location")
        assert not good.exists() and not manifest.exists()
    server.scripts["/file.bin"] = [status(500), broken_after(65_536), status(503), broken_after(9)]
    recovered = start()
    assert recovered.returncode == 0, recovered.stderr
    assert good.read_bytes() == CONTENT
    assert json.loads(manifest.read_text())["files"][0]["official"] is True
    assert read_manifest(manifest, "physionet").file("set_a").sha256 == SHA256

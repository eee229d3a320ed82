"""A bucket at the end of a slow line: whatever is in it can be read back, a piece at a time, and is one object."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from weft.ops.backup import buckets
from weft.ops.backup.errors import BackupPlaceUnreachable
from weft.ops.backup.targets import Credentials, Target, open_target

MOST = 32_768
"""Bytes that the line carries within the patience of one request."""
WHOLE = os.urandom(10 * MOST + 1)


@dataclass
class Line:
    """A store that hands out so much of each answer, and no more while anybody waits."""

    address: str = ""
    content: bytes = WHOLE
    breaks: int = 0
    """How many ranges are cut off in the middle before one comes whole."""
    asked: list[str | None] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def tag(self) -> str:
        return f'"{hash(self.content)}"'

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        asked = to.headers.get("Range")
        self.asked.append(asked)
        condition = to.headers.get("If-Match")
        if condition is not None and condition != self.tag:
            to.send_error(412)
            return
        start, end = 0, len(self.content)
        if asked is not None:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) + 1 if last else end
        to.send_response(206 if asked else 200)
        to.send_header("Content-Length", str(end - start))
        to.send_header("ETag", self.tag)
        to.send_header("Last-Modified", "Wed, 25 Nov 2026 12:00:00 GMT")
        if asked:
            to.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(self.content)}")
        to.end_headers()
        if asked and self.breaks:
            self.breaks -= 1
            to.wfile.write(self.content[start : (start + end) // 2])
            to.close_connection = True
            return
        to.wfile.write(self.content[start : min(end, start + MOST)])
        to.wfile.flush()
        if end - start > MOST:
            self.ended.wait()


@pytest.fixture
def line() -> Iterator[Line]:
    store = Line()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nothing: the test asks the line."""

        def do_GET(self) -> None:
            store.answer(self)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    store.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield store
    finally:
        store.ended.set()
        server.shutdown()
        server.server_close()
        serving.join()


@pytest.fixture
def bucket(line: Line, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.setattr(buckets, "PATIENCE", "30s")
    monkeypatch.setattr(buckets, "RANGE", MOST)
    return open_target("s3://backups", Credentials(line.address, "us-east-1", "weft", "secret"))


def test_what_takes_longer_than_one_request_may_is_read_back_whole(bucket: Target, line: Line) -> None:
    chunks = list(bucket.get("b/large"))
    assert b"".join(chunks) == WHOLE
    assert max(map(len, chunks)) <= MOST, "no more of it is held in memory"


def test_a_small_one_is_one_request(bucket: Target, line: Line) -> None:
    line.content = WHOLE[:MOST]
    assert b"".join(bucket.get("b/small")) == line.content
    assert line.asked == [None]


def test_a_range_that_breaks_off_is_asked_for_again(bucket: Target, line: Line) -> None:
    line.breaks = 2
    assert b"".join(bucket.get("b/large")) == WHOLE


def test_two_objects_are_never_read_as_one(bucket: Target, line: Line) -> None:
    reading = bucket.get("b/large")
    next(reading)
    line.content = os.urandom(len(WHOLE))
    with pytest.raises(BackupPlaceUnreachable, match="was replaced while it was read"):
        list(reading)

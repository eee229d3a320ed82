"""HTTP/1.1 from senders who need not mean well: what a connection may cost before anybody knows who it is.

uvicorn gathers headers without a limit, and waits for the rest of a request for ever. This protocol counts headers,
and watches each connection on which somebody is to send: headers must be complete within a time, and a body must come
in at some speed. An answer may take as long as it likes, a stream for hours; where weft itself does not read, or has
not yet asked for a body that waits for `100 Continue`, no time counts.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

MOST_HEADER_BYTES: Final = 65_536
"""Bytes of the request line and all headers together, trailers included."""
_FRAMING: Final = 8
"""Bytes around each byte of a body: even chunks of one byte need fewer."""


class HeadTooLarge(Exception):
    """Ends the parsing of a request; the parser makes an error of its own kind of it."""


class CarefulProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which trusts nobody's patience."""

    header_seconds: ClassVar[float] = 10.0
    """How long the head of a request may take, from the opening of the connection or its own first byte."""
    body_seconds: ClassVar[float] = 20.0
    body_bytes: ClassVar[int] = 20_000
    """A body brings so many bytes, or its end, in each so many seconds: a slow line does, a trickle does not."""

    _watch: asyncio.TimerHandle | None = None
    _watches_body = False
    _in_head = False
    _in_body = False
    _received = 0  # bytes of this request, without those of the piece in which it began
    _header_bytes = 0
    _body_total = 0
    _body_lately = 0
    _body_was_held = False  # within this stretch of time we did not want it
    _refused: HTTPStatus | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        self._body_was_held = self._body_was_held or self.flow.read_paused
        if self.transport.is_closing():
            self._unwatch()
        elif self._received - _FRAMING * self._body_total > MOST_HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)  # one header or trailer that does not end
        elif self._in_head:
            self._watch_head()
        elif self._in_body:
            self._watch_body()
        elif self._is_idle():
            self._watch_head()  # empty lines between requests: bytes, and still no request
        else:
            self._unwatch()

    # -- what the parser says

    def on_message_begin(self) -> None:
        self._in_head, self._in_body = True, False
        # The piece in which it begins may hold the end of another request: it is not counted, and is small.
        self._received = self._header_bytes = self._body_total = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refused = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise HeadTooLarge

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_total += len(body)
        self._body_lately += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._received = False, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser could not go on with."""
        if self._refused is None:
            super().send_400_response(msg)
        else:
            self._refuse(self._refused)

    # -- the watch: one timer for each connection on which something is to come

    def _watch_head(self) -> None:
        if self._watch is None or self._watches_body:
            self._unwatch()
            self._watches_body = False
            self._watch = self.loop.call_later(self.header_seconds, self._head_is_late)

    def _watch_body(self) -> None:
        if self._watch is None or not self._watches_body:
            self._unwatch()
            self._watches_body, self._body_lately = True, 0
            self._body_was_held = self._waits_for_us()
            self._watch = self.loop.call_later(self.body_seconds, self._look_at_body)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _head_is_late(self) -> None:
        self._watch = None
        if not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _look_at_body(self) -> None:
        self._watch = None
        if self.transport.is_closing():
            return
        if self._body_lately >= self.body_bytes or self._body_was_held or self._waits_for_us():
            self._watch_body()  # whoever was asked a moment ago has the whole time before them
        else:
            self.transport.close()  # whoever reads the body learns that its sender is gone

    def _waits_for_us(self) -> bool:
        return bool(self.flow.read_paused or self.cycle.waiting_for_100_continue)

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why, unless another answer of this connection is under way, and close it."""
        self._unwatch()
        if self._is_idle():
            self.transport.write(
                STATUS_LINE[status] + b"content-type: text/plain; charset=utf-8\r\ncontent-length: "
                + str(len(status.phrase)).encode() + b"\r\nconnection: close\r\n\r\n" + status.phrase.encode()
            )  # fmt: skip
        self.transport.close()

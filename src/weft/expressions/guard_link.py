"""The connection to one child of the guard: one question at a time, answered within a time or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from weft.expressions.guard_child import ANSWER

_GRACE_SECONDS = 0.05
_LATE_LOOP_SECONDS = 0.05


class Link(asyncio.Protocol):
    """Calls exactly one of `answered`, `late` and `gone` for each question; `gone` also without a question."""

    def __init__(
        self,
        slot: int,
        answer_limit: int,
        *,
        answered: Callable[[Link, bytes, bool], None],
        late: Callable[[Link], None],
        gone: Callable[[Link], None],
    ) -> None:
        self.slot = slot
        self._answer_limit = answer_limit
        self._answered = answered
        self._late = late
        self._gone = gone
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_cut = False

    def send(self, question: bytes, wall_limit: float) -> None:
        assert self._transport is not None  # noqa: S101 - the guard hears of a link when it is connected
        self._transport.write(question)
        self._set_timer(wall_limit, may_wait=True)

    def cut(self) -> None:
        """Close at once; nothing is called any more."""
        self._is_cut = True
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._is_cut:
            return
        self._buffer += data
        if len(self._buffer) < ANSWER.size:
            return
        length, retire = ANSWER.unpack_from(self._buffer)
        end = ANSWER.size + length
        if length > self._answer_limit or len(self._buffer) > end:  # not what our child would say
            self._stop_timer()
            self._gone(self)
        elif len(self._buffer) == end:
            self._stop_timer()
            body = bytes(self._buffer[ANSWER.size :])
            self._buffer.clear()
            self._answered(self, body, bool(retire))

    def connection_lost(self, _exc: Exception | None) -> None:
        self._stop_timer()
        if not self._is_cut:
            self._gone(self)

    def _set_timer(self, seconds: float, *, may_wait: bool) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._expired, loop.time() + seconds, may_wait)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self, due: float, may_wait: bool) -> None:
        """A loop that was itself held up reads what has arrived meanwhile before it blames the child."""
        if may_wait and asyncio.get_running_loop().time() - due > _LATE_LOOP_SECONDS:
            self._set_timer(_GRACE_SECONDS, may_wait=False)
            return
        self._timer = None
        self._late(self)

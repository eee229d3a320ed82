"""How long statements take, by their label, and how long somebody waits for a connection of a pool.

A statement names itself (`/* weft:room.name */`); what the ORM writes is named by what it does to which table. Every
statement adds to the histogram of its name, and one above the limit is logged: name, milliseconds, tenant, correlation
id, never a value. This is on the hot path: a measurement is two readings of the clock, one look into a dictionary and
a few additions, some 700 ns (docs/decisions/0030). What is slow to find out is found out for slow statements only.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

log = structlog.get_logger("weft.database")

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
"""Upper ends in seconds; one more, without an end, comes after them."""

MOST_LABELS: Final = 400
"""Names that are told apart; what comes after them is `other`. weft has less than half as many."""

MOST_TEXTS: Final = 2_000
"""Texts whose name is remembered. Those with a list of changing length are as many as there are lengths."""

_LABEL: Final = re.compile(r"/\* weft:([A-Za-z0-9_.-]{1,80}) \*/")
_SHAPE: Final = re.compile(
    r"\A\s*(select|insert|update|delete|with)\b.*?\b(?:from|into|update)\s+weft\.(\w+)", re.IGNORECASE | re.DOTALL
)
_UPDATE: Final = re.compile(r"\A\s*update\s+weft\.(\w+)", re.IGNORECASE)
_TENANT: Final = re.compile(r"app\.tenant_id = '([0-9a-f-]{36})'")
_CORRELATION: Final = re.compile(r"app\.correlation_id = '((?:[^']|'')*)'")


class Timing:
    """Durations of one kind."""

    __slots__ = ("buckets", "count", "longest", "seconds", "text")

    def __init__(self, text: str = "") -> None:
        self.text = text
        """One statement of this name; values are parameters, so there are none in it."""
        self.count = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.buckets = [0] * (len(BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds
        if seconds > self.longest:
            self.longest = seconds
        self.buckets[bisect_left(BUCKETS, seconds)] += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "seconds": self.seconds,
            "longest": self.longest,
            "buckets": list(self.buckets),
            "text": self.text,
        }


def label_of(text: str) -> str:
    """The name of a statement, from its label or else from its shape."""
    if (found := _LABEL.search(text[:300])) is not None:
        return found[1]
    if (found := _UPDATE.match(text)) is not None:
        return f"rooms.update_{found[1].lower()}"
    if (found := _SHAPE.match(text)) is not None:
        return f"rooms.{found[1].lower()}_{found[2].lower()}"
    return "unnamed"


def told_by(opening: str) -> dict[str, str]:
    """Tenant and correlation id, as the round trip that began the transaction had them."""
    tenant, correlation = _TENANT.search(opening), _CORRELATION.search(opening)
    said = {"tenant": tenant[1]} if tenant is not None else {}
    if correlation is not None and correlation[1]:
        said["correlation_id"] = correlation[1].replace("''", "'")
    return said


class Statements:
    """The histograms of one process's statements. Without `slow_ms` none is slow."""

    def __init__(self, slow_ms: float | None = None) -> None:
        self.timings: dict[str, Timing] = {}
        self.slow = slow_ms / 1000 if slow_ms is not None else float("inf")
        self.slow_count = 0
        self._known: dict[str, Timing] = {}

    def took(self, text: str, seconds: float, opening: Callable[[], str]) -> None:
        timing = self._known.get(text)
        if timing is None:
            timing = self._find(text)
        timing.add(seconds)
        if seconds >= self.slow:
            self._say(text, seconds, opening())

    def transaction(self, text: str, seconds: float, opening: Callable[[], str]) -> None:
        """A statement without parameters: the begin, with its context, or the end of a transaction; or any other."""
        first = text[:3]
        if first == "BEG":
            text = "/* weft:transaction.begin */"
        elif first == "COM":
            text = "/* weft:transaction.commit */"
        elif first == "ROL":
            text = "/* weft:transaction.rollback */"
        elif first == "SET":
            text = "/* weft:transaction.context */"
        self.took(text, seconds, opening)

    def _find(self, text: str) -> Timing:
        label = label_of(text)
        timing = self.timings.get(label)
        if timing is None:
            if len(self.timings) >= MOST_LABELS:
                label = "other"
            timing = self.timings.setdefault(label, Timing(text if len(text) < 20_000 else ""))
        if len(self._known) >= MOST_TEXTS:
            self._known.clear()
        self._known[text] = timing
        return timing

    def _say(self, text: str, seconds: float, opening: str) -> None:
        self.slow_count += 1
        log.warning("slow statement", label=label_of(text), ms=round(seconds * 1000, 1), **told_by(opening))


class MeasuredConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A connection that measures what is asked on it. Make a class of your own with `measuring`."""

    statements: Statements
    opening = ""
    """What began the transaction that is open, or the last one."""

    def _opening(self) -> str:
        return self.opening

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        began = perf_counter()
        try:
            return str(await asyncpg.Connection.execute(self, query, *args, **options))
        finally:
            seconds = perf_counter() - began
            if args:
                self.statements.took(query, seconds, self._opening)
            else:
                if query[:5] == "BEGIN" or query[:13] == "SET LOCAL app":
                    self.opening = query
                self.statements.transaction(query, seconds, self._opening)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        began = perf_counter()
        try:
            return await asyncpg.Connection.fetch(self, query, *args, **options)
        finally:
            self.statements.took(query, perf_counter() - began, self._opening)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        began = perf_counter()
        try:
            return await asyncpg.Connection.fetchrow(self, query, *args, **options)
        finally:
            self.statements.took(query, perf_counter() - began, self._opening)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        began = perf_counter()
        try:
            return await asyncpg.Connection.fetchval(self, query, *args, **options)
        finally:
            self.statements.took(query, perf_counter() - began, self._opening)

    async def executemany(self, command: str, args: Any, **options: Any) -> None:
        began = perf_counter()
        try:
            await asyncpg.Connection.executemany(self, command, args, **options)
        finally:
            self.statements.took(command, perf_counter() - began, self._opening)


def measuring(statements: Statements) -> type[MeasuredConnection]:
    """The class of connections that report to `statements`: asyncpg makes them, and passes nothing on."""
    return type("MeasuredConnection", (MeasuredConnection,), {"statements": statements})


logging.getLogger(f"{__name__}.MeasuredQueuePool").setLevel(logging.WARNING)


class Waits:
    """Who waits for a connection of a pool now, and how long that took before."""

    __slots__ = ("timing", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.timing = Timing()


class MeasuredPool(asyncpg.Pool):  # type: ignore[misc]  # asyncpg ships no types
    """asyncpg's pool, with `waits`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = Waits()

    async def _acquire(self, timeout: float | None) -> Any:  # noqa: ASYNC109 - asyncpg's own signature
        waits = self.waits
        waits.waiting += 1
        began = perf_counter()
        try:
            return await super()._acquire(timeout)
        finally:
            waits.waiting -= 1
            waits.timing.add(perf_counter() - began)


class MeasuredQueuePool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, with `waits`. It logs under this module's name, and as much as SQLAlchemy's own would."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = Waits()

    def _do_get(self) -> ConnectionPoolEntry:
        self.waits.waiting += 1
        began = perf_counter()
        try:
            return super()._do_get()
        finally:
            self.waits.waiting -= 1
            self.waits.timing.add(perf_counter() - began)


def measure_rooms(engine: AsyncEngine, statements: Statements) -> None:
    """Measure what the rooms ask through SQLAlchemy. What they ask on the driver's connection measures itself."""

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def begins(_connection: Any, _cursor: Any, _text: str, _values: Any, context: Any, _many: bool) -> None:
        context.weft_began = perf_counter()

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def ends(connection: Any, _cursor: Any, text: str, _values: Any, context: Any, _many: bool) -> None:
        seconds = perf_counter() - context.weft_began
        statements.took(text, seconds, lambda: _opening_of(connection))

    @event.listens_for(engine.sync_engine, "handle_error")
    def fails(failure: Any) -> None:
        began = getattr(failure.execution_context, "weft_began", None)
        if began is not None and failure.statement is not None:
            statements.took(failure.statement, perf_counter() - began, lambda: _opening_of(failure.connection))


def _opening_of(connection: Any) -> str:
    try:
        return str(connection.connection.driver_connection.opening)
    except Exception:  # of a connection that is gone nothing more can be known
        return ""

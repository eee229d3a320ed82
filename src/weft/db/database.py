"""One process's way to PostgreSQL: a SQLAlchemy engine for the rooms, an asyncpg pool for the engine's hot path.

SQLAlchemy runs in driver autocommit and never begins a transaction itself: `weft.db.scope` opens one together
with its context in a single round trip. A statement outside a scope is refused here, before it is sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from weft.core.errors import Unavailable
from weft.db import away, engines
from weft.db.keyring import Keyring
from weft.db.measure import MeasuredPool, MeasuredQueuePool, Statements, measure_rooms, measuring
from weft.db.pools import DIRECT, WORKERS, Gate, HotPool, Patience, Preparing, behind_pooler

if TYPE_CHECKING:
    from weft.db.replica import Replica

Connection: TypeAlias = Any
"""An asyncpg connection, pooled or not. asyncpg ships no types, so there is nothing to check against."""

LONGEST_STATEMENT = 60.0
"""Seconds after which we give a statement up: a network that swallows packets must not hold a process for ever."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def dumps(value: Any) -> str:
    return _encoder.encode(value).decode()


def loads(value: str | bytes) -> Any:
    return _decoder.decode(value)


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"

    def __init__(self) -> None:
        super().__init__("The database does not answer. Try again in a moment; `weft doctor` says more.")


class NoScope(RuntimeError):
    """A query outside a scope: a bug, never a user's mistake."""

    def __init__(self, statement: str) -> None:
        super().__init__(
            f"no scope, no query: open one with weft.db.scope.enter() around this statement: {statement[:80]}"
        )


class Packed:
    """A JSON value in an array of such values. The driver would take a bare list for another dimension."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Encoded:
    """A JSON value that is text already: what had to be measured is not written a second time."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    @classmethod
    def of(cls, value: Any) -> Encoded:
        """Raises `ValueError` or `TypeError` for what JSON cannot hold."""
        return cls(_encoder.encode(value))

    def __len__(self) -> int:
        """In bytes."""
        return len(self.text)


def _encode_jsonb(value: Any) -> bytes:
    if type(value) is Packed:
        value = value.value
    return b"\x01" + (value.text if type(value) is Encoded else _encoder.encode(value))


async def _prepare_connection(connection: Connection) -> None:
    """Binary jsonb: one version byte before the text, encoded by msgspec."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=_encode_jsonb,
        decoder=lambda data: _decoder.decode(data[1:]),
        format="binary",
    )


def make_engine(
    dsn: str,
    *,
    application_name: str,
    size: int,
    wait: float,
    preparing: Preparing = DIRECT,
    statements: Statements | None = None,
    longest: float = LONGEST_STATEMENT,
    connect: float = 60.0,
) -> AsyncEngine:
    """SQLAlchemy's connections for scopes, opened when first needed. `wait`, `longest`, `connect`: seconds."""
    measured = statements or Statements()
    engine = engines.make(
        dsn,
        isolation_level="AUTOCOMMIT",
        poolclass=MeasuredQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=wait,
        json_serializer=dumps,
        json_deserializer=loads,
        connect_args={
            "server_settings": {"application_name": application_name},
            "command_timeout": longest,
            "timeout": connect,
            "connection_class": measuring(measured),
            **preparing.sqlalchemy(),
        },
    )
    measure_rooms(engine, measured)

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def refuse_without_scope(connection: Any, _c: Any, statement: str, *_: Any) -> None:
        if not connection.info.get("weft_scope"):
            raise NoScope(statement)

    return engine


class Database:
    """Open with `await Database.open(dsn)`, close with `await database.close()`."""

    def __init__(
        self,
        dsn: str,
        engine: AsyncEngine,
        pool: HotPool,
        keyring: Keyring | None,
        patience: Patience = WORKERS,
        statements: Statements | None = None,
    ) -> None:
        self.dsn = dsn
        self.engine = engine
        self.gate = Gate(patience.waiting)
        """The queue before the rooms' connections."""
        self.pool = pool
        self.keyring = keyring
        self.replica: Replica | None = None
        """Where reads that may be behind can go, see `weft.db.replica`."""
        self.statements = statements or Statements()

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        application_name: str = "weft",
        size: int = 8,
        hot_size: int = 8,
        master_key: bytes | None = None,
        pooled: bool = False,
        patience: Patience = WORKERS,
        slow_ms: float | None = None,
    ) -> Database:
        """`size` connections for the rooms, `hot_size` for the engine; both open when first needed.

        `pooled`: a pooler in transaction mode stands between, and is asked what it can do. Statements that take
        `slow_ms` and longer are logged.
        """
        preparing = await behind_pooler(dsn) if pooled else DIRECT
        statements = Statements(slow_ms)
        wait = patience.seconds if patience.seconds is not None else 10.0
        engine = make_engine(
            dsn,
            application_name=application_name,
            size=size,
            wait=wait,
            preparing=preparing,
            statements=statements,
        )
        away.say_briefly()
        pool = await MeasuredPool(
            dsn,
            min_size=1,
            max_size=hot_size,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            loop=None,
            connection_class=measuring(statements),
            record_class=asyncpg.Record,
            init=_prepare_connection,
            # A connection goes back only after COMMIT or ROLLBACK, and nothing in it outlives a transaction:
            # the usual reset would cost a round trip for nothing.
            reset=_no_reset,
            command_timeout=LONGEST_STATEMENT,
            server_settings={"application_name": application_name},
            **preparing.asyncpg(),
        )
        keyring = Keyring(master_key) if master_key else None
        return cls(dsn, engine, HotPool(pool, patience), keyring, patience, statements)

    async def close(self) -> None:
        await self.engine.dispose()
        try:
            await asyncio.wait_for(self.pool.close(), timeout=5)
        except TimeoutError:
            self.pool.terminate()


async def _no_reset(_connection: object) -> None:
    return None

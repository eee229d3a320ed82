"""Deleting finished executions, and journals, whose time is over, after they were archived.

A batch is one transaction: the executions are read and written to a file, the file is forced to the disk, and only then
are the rows deleted, with the row that names the file. A crash before the commit leaves rows and, perhaps, a file that
the next round writes again, under the same name if it holds the same; never neither. `weft.delete_executions` refuses
whatever has changed since it was read. Whoever comes second finds the lock taken and leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import Table

from weft.core.actor import system_actor
from weft.core.ids import new_id
from weft.db import emit
from weft.db.database import Connection, Database
from weft.db.hot import transaction
from weft.domain.retention import queries
from weft.domain.retention.models import ArchiveKind
from weft.domain.retention.queries import FINAL
from weft.domain.retention.rules import Bounds, Policy, effective
from weft.migrations.models import METADATA
from weft.ops import archives
from weft.ops.archives import ArchiveUnwritable, Writer, Written
from weft.settings import Settings

log = structlog.get_logger("weft.retention")

BATCH: Final = 500
"""Executions, their sub-workflows not counted, that go in one transaction."""
JOURNAL_ROWS: Final = 10
"""So many journal rows for each of them are looked at, when journals go."""
FETCH: Final = 100
"""Rows that are held in memory at once while a file is written."""
BUFFER: Final = 1 << 18
"""Characters that are compressed at once."""
LOCK: Final = 0x77656674_72657464
PARTS_KEPT: Final = timedelta(days=1)

_TENANTS: Final = "/* weft:retention.tenants */ select * from weft.retention_tenants()"
_LOCK: Final = "/* weft:retention.lock */ select pg_try_advisory_xact_lock($1)"
_DROP: Final = "/* weft:retention.months */ select * from weft.drop_empty_partitions($1)"
_EXECUTIONS: Final = """/* weft:retention.executions */
select e.id, to_jsonb(e)::text as row from weft.workflow_executions e
 where e.tenant_id = $1 and e.id = any($2::uuid[]) order by e.id
"""
_PATIENCE: Final = ("statement_timeout", "idle_in_transaction_session_timeout")
_PATIENCE_SINCE_17: Final = ("transaction_timeout",)
_FIRST: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


def bounds_of(settings: Settings) -> Bounds:
    """What the installation says."""
    said = settings.retention
    return Bounds(said.executions_days, said.shortest_days, said.longest_days, said.archive, said.journal_days)


@dataclass(slots=True)
class Report:
    """What a round has done. `is_done`: it came to its end, and nothing is left that is too old."""

    executions: int = 0
    archived: int = 0
    journals: int = 0
    files: list[str] = field(default_factory=list)
    months: list[str] = field(default_factory=list)
    failures: int = 0
    is_done: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            "executions": self.executions,
            "archived": self.archived,
            "journals": self.journals,
            "files": self.files,
            "months": self.months,
            "failures": self.failures,
            "is_done": self.is_done,
        }


@dataclass(frozen=True, slots=True)
class _Due:
    """One batch: ids and row versions of what goes, and the place in the order after which the next one begins."""

    ids: list[UUID]
    versions: list[int]
    since: datetime
    until: datetime
    place: tuple[datetime, UUID]


class _Goes(Protocol):
    """What is too old, and how it goes: executions, or their journals only."""

    kind: ArchiveKind

    async def due(
        self, connection: Connection, tenant_id: UUID, cutoff: datetime, place: tuple[datetime, UUID], batch: int
    ) -> _Due | None: ...

    async def delete(self, connection: Connection, tenant_id: UUID, due: _Due, /) -> Any: ...


class Sweep:
    """Rounds through all tenants, or through one. `directory` is where archives are written."""

    def __init__(self, database: Database, directory: Path, bounds: Bounds, *, batch: int = BATCH) -> None:
        self._database = database
        self._directory = directory
        self._bounds = bounds
        self._batch = batch
        self._after = UUID(int=0)  # the tenant at which the last round stopped

    async def run(self, now: datetime, *, seconds: float | None = None, only: UUID | None = None) -> Report:
        """One round. After so many seconds it stops between two batches, and the next begins where it stopped."""
        report = Report()
        until = time.monotonic() + seconds if seconds is not None else None
        await asyncio.to_thread(archives.sweep_parts, self._directory, now - PARTS_KEPT)
        for tenant_id, policy in await self._tenants(only):
            try:
                finished = await self._tenant(tenant_id, policy, now, report, until)
            except (asyncpg.SerializationError, asyncpg.ForeignKeyViolationError, ArchiveUnwritable) as error:
                log.warning("old executions stay", tenant=str(tenant_id), reason=str(error))
                report.failures += 1
                continue
            if not finished:
                self._after = UUID(int=tenant_id.int - 1)
                report.is_done = False
                return report
        self._after = UUID(int=0)
        report.months = await self._drop_months(now)
        return report

    async def _tenants(self, only: UUID | None) -> list[tuple[UUID, Policy]]:
        """Those to look through, beginning after the one at which the last round stopped."""
        async with self._database.pool.acquire() as connection:
            rows = await connection.fetch(_TENANTS)
        found = [
            (UUID(int=row["tenant_id"].int), effective(row["retention"], self._bounds))
            for row in rows
            if only is None or row["tenant_id"] == only
        ]
        return [one for one in found if one[0] > self._after] + [one for one in found if one[0] <= self._after]

    async def _tenant(
        self, tenant_id: UUID, policy: Policy, now: datetime, report: Report, until: float | None
    ) -> bool:
        """Executions first, then journals; False when the time was over, or somebody else is at it."""
        for what, cutoff in ((_Executions(), policy.cutoff(now)), (_Journals(), policy.journal_cutoff(now))):
            if cutoff is not None and not await self._all(what, tenant_id, policy, cutoff, report, until):
                return False
        return True

    async def _all(
        self, what: _Goes, tenant_id: UUID, policy: Policy, cutoff: datetime, report: Report, until: float | None
    ) -> bool:
        """Batch after batch."""
        place = _FIRST
        while True:
            if until is not None and time.monotonic() > until:
                return False
            async with transaction(self._database, system_actor(tenant_id, "retention")) as connection:
                await _be_patient(connection)
                if not await connection.fetchval(_LOCK, LOCK):
                    return False
                due = await what.due(connection, tenant_id, cutoff, place, self._batch)
                if due is None:
                    return True
                written = await self._take(what, connection, tenant_id, policy, due)
            if due.ids:
                _count(report, what, len(due.ids), written)
                log.info("what was too old is deleted", tenant=str(tenant_id), what=what.kind, executions=len(due.ids))
            place = due.place

    async def _take(
        self, what: _Goes, connection: Connection, tenant_id: UUID, policy: Policy, due: _Due
    ) -> Written | None:
        """Archive and delete, in the transaction of the connection."""
        if not due.ids:
            return None
        written = await self._write(what, connection, tenant_id, due) if policy.archive else None
        gone = await what.delete(connection, tenant_id, due)
        await connection.execute(
            queries.INSERT_ARCHIVE, tenant_id, new_id(), what.kind, due.since, due.until, gone["executions"],
            gone["belongings"],
            written.file if written else None, written.bytes if written else None, written.sha256 if written else None,
        )  # fmt: skip
        return written

    async def _write(self, what: _Goes, connection: Connection, tenant_id: UUID, due: _Due) -> Written:
        writer = await asyncio.to_thread(Writer, self._directory, tenant_id, due.since, what=what.kind.lower())
        try:
            waiting: list[str] = []
            size = 0
            async with aclosing(_lines(connection, tenant_id, due.ids)) as texts:
                async for text in texts:
                    waiting.append(text)
                    size += len(text)
                    if size > BUFFER:
                        await asyncio.to_thread(writer.write, "".join(waiting))
                        waiting, size = [], 0
            await asyncio.to_thread(writer.write, "".join(waiting))
            return await asyncio.to_thread(writer.finish)
        finally:
            await asyncio.to_thread(writer.discard)

    async def _drop_months(self, now: datetime) -> list[str]:
        async with self._database.pool.acquire() as connection:
            rows = await connection.fetch(_DROP, now.date().replace(day=1))
        months = [str(row[0]) for row in rows]
        if months:
            log.info("empty months of the journal dropped", months=months)
        return months


def _count(report: Report, what: _Goes, number: int, written: Written | None) -> None:
    if what.kind is ArchiveKind.journals:
        report.journals += number
    else:
        report.executions += number
        report.archived += number if written is not None else 0
    if written is not None:
        report.files.append(written.file)


class _Executions:
    """Families of executions, with everything that belongs to them."""

    kind = ArchiveKind.executions

    async def due(
        self, connection: Connection, tenant_id: UUID, cutoff: datetime, place: tuple[datetime, UUID], batch: int
    ) -> _Due | None:
        rows = await connection.fetch(queries.DUE, tenant_id, cutoff, list(FINAL), *place, batch)
        if not rows:
            return None
        return _due(rows, max((row["created_at"], row["id"]) for row in rows if row["is_root"]))

    async def delete(self, connection: Connection, tenant_id: UUID, due: _Due) -> Any:
        gone = await connection.fetchrow(queries.DELETE, due.ids, due.versions)
        await connection.execute(queries.DELETE_TIMERS, tenant_id, due.ids)
        return gone


class _Journals:
    """The journals of executions that stay."""

    kind = ArchiveKind.journals

    async def due(
        self, connection: Connection, tenant_id: UUID, cutoff: datetime, place: tuple[datetime, UUID], batch: int
    ) -> _Due | None:
        rows = await connection.fetch(
            queries.JOURNALS_DUE, tenant_id, cutoff, list(FINAL), *place, batch * JOURNAL_ROWS
        )
        return _due(rows, (rows[0]["place_at"], rows[0]["place_id"])) if rows else None

    async def delete(self, connection: Connection, _tenant_id: UUID, due: _Due) -> Any:
        return await connection.fetchrow(queries.DELETE_JOURNALS, due.ids, due.versions)


def _due(rows: Sequence[Any], place: tuple[datetime, UUID]) -> _Due:
    goes = [row for row in rows if row["goes"]]
    times = [row["created_at"] for row in goes or rows]
    return _Due(
        ids=[row["id"] for row in goes],
        versions=[row["row_version"] for row in goes],
        since=min(times),
        until=max(times),
        place=place,
    )


async def _be_patient(connection: Connection) -> None:
    """A batch may take longer than a request."""
    names = _PATIENCE + (_PATIENCE_SINCE_17 if connection.get_server_version().major >= 17 else ())
    await connection.execute("; ".join(f"set local {name} = '15min'" for name in names))


async def _lines(connection: Connection, tenant_id: UUID, ids: Sequence[UUID]) -> AsyncGenerator[str, None]:
    """The text of a file in pieces: no execution is held in memory whole, however long its journal is."""
    belongings = [
        (table.name, _Belonging(connection, table, column, tenant_id, ids))
        for table, column in emit.belongings(emit.tables_of(METADATA))
    ]
    for start in range(0, len(ids), FETCH):
        for row in await connection.fetch(_EXECUTIONS, tenant_id, ids[start : start + FETCH]):
            yield f'{{"execution": {row["row"]}'
            for name, belonging in belongings:
                yield f', "{name}": ['
                separator = ""
                async for text in belonging.of(row["id"]):
                    yield separator + text
                    separator = ", "
                yield "]"
            yield "}\n"


class _Belonging:
    """The rows of one table, in the order of the executions that they belong to, a few at a time."""

    def __init__(self, connection: Connection, table: Table, column: str, tenant_id: UUID, ids: Sequence[UUID]) -> None:
        order = ", ".join(f"b.{name}" for name in dict.fromkeys([column, *(key.name for key in table.primary_key)]))
        self._query = (
            f"/* weft:retention.belongings */ select b.{column} as owner, to_jsonb(b)::text as row"
            f" from weft.{table.name} b where b.tenant_id = $1 and b.{column} = any($2::uuid[]) order by {order}"
        )
        self._connection = connection
        self._values = (tenant_id, list(ids))
        self._cursor: Any = None
        self._rows: list[Any] = []

    async def of(self, owner: UUID) -> AsyncGenerator[str, None]:
        """Those of one execution. Ask in the order of ids, each once."""
        if self._cursor is None:
            self._cursor = await self._connection.cursor(self._query, *self._values)
        while True:
            if not self._rows:
                self._rows = list(reversed(await self._cursor.fetch(FETCH)))
            if not self._rows or self._rows[-1]["owner"] != owner:
                return
            yield self._rows.pop()["row"]

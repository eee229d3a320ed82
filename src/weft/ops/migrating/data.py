"""Data migrations carried out: tenant by tenant, batch by batch, each with its cursor in one transaction.

Killed at any point it goes on where it was. It gives way to traffic: a batch that has to wait for a lock is given up
soon (sooner than PostgreSQL looks for deadlocks, so that it is never the other side that loses) and tried smaller,
and after each batch there is a rest. That nothing is left is counted at the end by the owner, who sees all tenants:
under row security a wrong context changes nothing, without an error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from weft.core.actor import system_actor
from weft.core.errors import Conflict, Unavailable
from weft.db import context, migrate
from weft.db.data_definitions import DataMigration
from weft.db.hot import AWAY
from weft.db.operation_tables import DataState
from weft.db.revisions import Chain
from weft.ops.connections import connect

LOCK_TIMEOUT: Final = "250ms"
SMALLEST: Final = 20
ATTEMPTS: Final = 40
"""Times that one batch gives way to traffic before the run says that it cannot get through."""

_YIELD: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_BEGIN: Final = """
insert into weft.data_migrations (tenant_id, name, expected) values ($1, $2, $3)
on conflict (tenant_id, name) do update
   set expected = data_migrations.rows + $3, error = null, finished_at = null, state = 'running',
       cursor = case when data_migrations.state = 'done' then null else data_migrations.cursor end
returning cursor, rows"""
_SAVE: Final = """
update weft.data_migrations
   set cursor = coalesce($3::jsonb, cursor), rows = rows + $4, state = $5, updated_at = t.now,
       finished_at = case when $5 = 'done' then t.now end
  from (select clock_timestamp() as now) t
 where tenant_id = $1 and name = $2"""
_FAIL: Final = """
update weft.data_migrations set state = 'failed', error = $3, updated_at = clock_timestamp()
 where tenant_id = $1 and name = $2"""
_AGAIN: Final = """
update weft.data_migrations set state = 'running', cursor = null, finished_at = null, updated_at = clock_timestamp()
 where name = $1 and tenant_id = any($2::uuid[])"""


class DataMigrationRuns(Conflict):
    code = "data_migration_runs"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The data migration '{name}' runs already, elsewhere. `weft db data status` shows how far it is."
        )


class RevisionNeeded(Conflict):
    code = "revision_needed"

    def __init__(self, migration: DataMigration, at: str | None) -> None:
        super().__init__(
            f"The data migration '{migration.name}' needs revision {migration.after}, and the database is at "
            f"{at or 'none'}. Run `weft db migrate` first."
        )


class DataMigrationFailed(Conflict):
    code = "data_migration_failed"

    def __init__(self, name: str, tenant: UUID, said: str) -> None:
        super().__init__(
            f"The data migration '{name}' failed in tenant {tenant}: {said}. The batch was rolled back, what was done "
            f"before it stays. Mend the cause and run `weft db data run {name}` again: it goes on from there."
        )


class DataMigrationInterrupted(Unavailable):
    code = "data_migration_interrupted"

    def __init__(self, name: str, said: str) -> None:
        super().__init__(
            f"The data migration '{name}' was interrupted ({said}). Nothing is lost: `weft db data run {name}` goes on "
            "where it was."
        )


class RowsLeft(Conflict):
    """The count at the end. `changed` is what this run changed in those tenants."""

    code = "data_migration_rows_left"

    def __init__(self, name: str, left: dict[UUID, int], changed: int) -> None:
        rows, tenants = sum(left.values()), len(left)
        why = (
            "Processes of an older version may still write such rows (`weft db instances`): run it again when they are "
            "updated."
            if changed
            else "None of them was changed: the batch does not reach them. Look at its condition, and at the tenant "
            "that it names; under row security a statement for another tenant changes nothing, without an error."
        )
        super().__init__(
            f"The data migration '{name}' went through everything, and {rows} rows of {tenants} "
            f"{'tenants' if tenants != 1 else 'tenant'} are left. {why}"
        )


@dataclass(frozen=True, slots=True)
class DataProgress:
    """How far it is: rows changed and to change, tenants over and in all."""

    tenant: UUID
    rows: int
    expected: int
    tenants: int
    of: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DataReport:
    """What one run did. `is_done` is False when somebody paused it."""

    name: str
    rows: int
    tenants: int
    is_done: bool
    seconds: float
    yielded: int

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": self.rows,
            "tenants": self.tenants,
            "done": self.is_done,
            "seconds": round(self.seconds, 3),
            "yielded": self.yielded,
        }


@dataclass(slots=True)
class Pace:
    """`rows` of a batch (None: what the migration says), and the `rest` after it as a part of what it took."""

    rows: int | None = None
    rest: float = 1.0


Tell = Callable[[DataProgress], None]


async def run(
    migration: DataMigration,
    *,
    app: str,
    owner: str,
    directories: Sequence[Path] = (),
    pace: Pace | None = None,
    pause: asyncio.Event | None = None,
    tell: Tell = lambda _: None,
) -> DataReport:
    """Do what is left of it, in every tenant. Setting `pause` ends it after the batch in hand.

    Raises `DataMigrationRuns`, `RevisionNeeded`, `DataMigrationFailed`, `DataMigrationInterrupted`, `RowsLeft`.
    """
    await _require_revision(migration, owner, directories)
    keeper = await connect(owner, application="weft data")
    try:
        await keeper.execute("set app.maintenance = 'on'")
        if not await keeper.fetchval("select pg_try_advisory_lock(hashtext($1))", f"weft.data.{migration.name}"):
            raise DataMigrationRuns(migration.name)
        worker = await connect(app if migration.role == "app" else owner, application="weft data")
        try:
            walk = _Run(migration, keeper, worker, pace or Pace(), pause or asyncio.Event(), tell)
            return await walk.all()
        finally:
            await worker.close()
    except AWAY as error:
        raise DataMigrationInterrupted(migration.name, str(error) or type(error).__name__) from error
    finally:
        await keeper.close()


async def left(migration: DataMigration, connection: asyncpg.Connection) -> dict[UUID, int]:
    """What is still to do, by tenant. The connection is the owner's, under maintenance."""
    return {row[0]: row[1] for row in await connection.fetch(migration.pending) if row[1]}


async def _require_revision(migration: DataMigration, owner: str, directories: Sequence[Path]) -> None:
    if migration.after is None:
        return
    chain = Chain(directories)
    at = await migrate.current(owner)
    if at is None or (chain.knows(at) and migration.after in {r.id for r in chain.upwards(at, "head")}):
        raise RevisionNeeded(migration, at)


@dataclass(slots=True)
class _Run:
    migration: DataMigration
    keeper: asyncpg.Connection
    worker: asyncpg.Connection
    pace: Pace
    pause: asyncio.Event
    tell: Tell
    yielded: int = 0
    changed: dict[UUID, int] = field(default_factory=dict)
    progress: DataProgress | None = None

    async def all(self) -> DataReport:
        began = time.monotonic()
        ahead = await left(self.migration, self.keeper)
        total = sum(ahead.values())
        for number, (tenant, count) in enumerate(sorted(ahead.items())):
            self.progress = DataProgress(tenant, sum(self.changed.values()), total, number, len(ahead), 0.0)
            await self._tenant(tenant, count, began)
            if self.pause.is_set():
                return self._report(began, number, is_done=False)
        remaining = await left(self.migration, self.keeper)
        if remaining:
            await self.keeper.execute(_AGAIN, self.migration.name, list(remaining))
            raise RowsLeft(self.migration.name, remaining, sum(self.changed.get(tenant, 0) for tenant in remaining))
        return self._report(began, len(ahead), is_done=True)

    def _report(self, began: float, tenants: int, *, is_done: bool) -> DataReport:
        rows = sum(self.changed.values())
        return DataReport(self.migration.name, rows, tenants, is_done, time.monotonic() - began, self.yielded)

    async def _tenant(self, tenant: UUID, count: int, began: float) -> None:
        begun = await self._in_tenant(tenant, lambda: self.worker.fetchrow(_BEGIN, tenant, self.migration.name, count))
        cursor: str | None = begun["cursor"]
        over = False
        while not over and not self.pause.is_set():
            started = time.monotonic()
            cursor, over = await self._batch(tenant, cursor)
            took = time.monotonic() - started
            if self.progress is not None:
                rows = sum(self.changed.values())
                self.tell(replace(self.progress, rows=rows, seconds=time.monotonic() - began))
            if not over:
                await self._rest(took * self.pace.rest)

    async def _batch(self, tenant: UUID, cursor: str | None) -> tuple[str | None, bool]:
        """One batch; smaller and smaller while somebody else has the rows."""
        rows = self.pace.rows or self.migration.rows
        for attempt in range(ATTEMPTS):
            size = max(SMALLEST, rows >> attempt)
            try:
                row = await self._in_tenant(tenant, lambda size=size: self._once(tenant, cursor, size))  # type: ignore[misc]  # bound now
            except _YIELD:
                self.yielded += 1
                await self._rest(min(2.0, 0.05 * 2**attempt))
                continue
            except AWAY:
                raise
            except asyncpg.PostgresError as error:
                said = str(error)
                # The lambda is called before `said` can change: it is awaited here.
                await self._in_tenant(tenant, lambda: self.worker.execute(_FAIL, tenant, self.migration.name, said))  # noqa: B023
                raise DataMigrationFailed(self.migration.name, tenant, said) from error
            self.changed[tenant] = self.changed.get(tenant, 0) + row["changed"]
            # A batch that was not full is the last: whatever comes after it was written meanwhile, by newer code.
            return (row["next"] or cursor), row["seen"] < size
        raise DataMigrationInterrupted(self.migration.name, f"its rows in tenant {tenant} are locked all the time")

    async def _once(self, tenant: UUID, cursor: str | None, size: int) -> asyncpg.Record:
        row = await self.worker.fetchrow(self.migration.batch, tenant, cursor, size)
        state = DataState.running if row["seen"] >= size else DataState.done
        await self.worker.execute(_SAVE, tenant, self.migration.name, row["next"], row["changed"], state.value)
        return row

    async def _in_tenant(self, tenant: UUID, work: Callable[[], Any]) -> Any:
        actor = system_actor(tenant, f"data migration {self.migration.name}")
        more = "; SET LOCAL app.maintenance = 'on'" if self.migration.role == "owner" else ""
        await self.worker.execute(f"{context.opening(actor)}{more}; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            found = await work()
            await self.worker.execute("COMMIT")
        except BaseException:
            if not self.worker.is_closed():
                await self.worker.execute("ROLLBACK")
            raise
        return found

    async def _rest(self, seconds: float) -> None:
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self.pause.wait()
            except TimeoutError:
                return

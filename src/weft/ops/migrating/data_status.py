"""How far data migrations are, as their own records say and as the rows say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from weft.db.data_definitions import DataMigration
from weft.db.operation_tables import DataState
from weft.ops.connections import connect
from weft.ops.migrating.data import left

_RECORDS = """
select d.name, d.tenant_id, t.slug, d.state, d.rows, d.expected, d.error, d.started_at, d.updated_at, d.finished_at
  from weft.data_migrations d join weft.tenants t on t.id = d.tenant_id order by d.name, d.started_at, d.tenant_id"""


@dataclass(frozen=True, slots=True)
class DataStanding:
    """One data migration. `left` are the rows still to do, None when its column does not exist yet."""

    name: str
    title: str
    after: str | None
    state: str
    rows: int
    left: int | None
    tenants: tuple[Mapping[str, Any], ...]
    updated_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "after": self.after,
            "state": self.state,
            "rows": self.rows,
            "left": self.left,
            "updated_at": self.updated_at,
            "tenants": [dict(tenant) for tenant in self.tenants],
        }


async def standings(owner: str, known: Mapping[str, DataMigration]) -> list[DataStanding]:
    """Every data migration that this code knows. Counts what is left, which reads the tables."""
    connection = await connect(owner, application="weft db data")
    try:
        await connection.execute("set app.maintenance = 'on'")
        records = await connection.fetch(_RECORDS)
        return [await _standing(connection, migration, records) for migration in known.values()]
    finally:
        await connection.close()


async def _standing(
    connection: asyncpg.Connection, migration: DataMigration, records: list[asyncpg.Record]
) -> DataStanding:
    own = [record for record in records if record["name"] == migration.name]
    try:
        rows_left: int | None = sum((await left(migration, connection)).values())
    except (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError):
        rows_left = None
    running = await connection.fetchval(
        "select exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 1"
        " and database = (select oid from pg_database where datname = current_database())"
        " and ((classid::bigint << 32) | objid::bigint) = hashtext($1)::bigint)",
        f"weft.data.{migration.name}",
    )
    return DataStanding(
        name=migration.name,
        title=migration.title,
        after=migration.after,
        state=_state(own, rows_left, running=running),
        rows=sum(record["rows"] for record in own),
        left=rows_left,
        tenants=tuple({k: r[k] for k in ("slug", "state", "rows", "expected", "error")} for r in own),
        updated_at=max((record["updated_at"] for record in own), default=None),
    )


def _state(own: list[asyncpg.Record], rows_left: int | None, *, running: bool) -> str:
    if running:
        return "runs"
    if rows_left is None:
        return "waits for its revision"
    if not rows_left:
        return "done"
    if any(record["state"] == DataState.failed for record in own):
        return "failed"
    return "paused" if own else "not begun"

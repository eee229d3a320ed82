"""Moving a tenant's rows from the throw-away server into the database, in one transaction.

Row security binds the owner too, and COPY does not work under it: rows go to temporary tables and from there, under the
owner's policy for maintenance, to their places. Before the commit every table is counted on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import Table

from weft.core.ids import new_id
from weft.db import emit
from weft.db.database import dumps
from weft.migrations.models import METADATA
from weft.ops.backup import schedules
from weft.ops.backup.counting import SUM, TEXT_SETTINGS
from weft.ops.backup.errors import RestoreDiffers
from weft.ops.backup.telling import Tell
from weft.ops.private_folders import private_folder

if TYPE_CHECKING:
    from weft.db.database import Connection
    from weft.ops.backup.tenants import Plan, Wanted

AUDIT: Final = "audit_logs"
LEFT: Final = frozenset({"rate_limit_states"})
"""What is not moved: it is gone after a crash as well."""
MONTHLY: Final = {"execution_logs": "started_at", AUDIT: "at"}
USER_COLUMNS: Final = ("user_id", "created_by", "started_by", "answered_by")
VERSIONED: Final = ("event_interests", "dispatch_limits")
"""Counters by which processes see that what they remember is old: they must go on, never back."""

_COLUMNS: Final = """/* weft:restore.columns */
select attname::text from pg_attribute
 where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum
"""
_USERS: Final = """/* weft:restore.users */
select distinct u.id, u.email_key from weft.tenant_users m join weft.users u on u.id = m.user_id where m.tenant_id = $1
"""
_KNOWN_USERS: Final = """/* weft:restore.known_users */
select id, email_key from weft.users where id = any($1::uuid[]) or (email_key = any($2::text[]) and deleted_at is null)
"""
_MAP: Final = """/* weft:restore.map */
create temp table user_map as select * from unnest($1::uuid[], $2::uuid[]) as m (old_id, new_id)
"""
_REVOKED: Final = """/* weft:restore.revoked */
update pg_temp.stage_api_keys s set revoked_at = coalesce(s.revoked_at, k.revoked_at)
  from weft.api_keys k where k.tenant_id = s.tenant_id and k.id = s.id and k.revoked_at is not null
"""
_EVENT: Final = """/* weft:restore.event */
insert into weft.audit_logs (tenant_id, id, action, resource_type, resource_id, after, actor_kind, actor_name)
values ($1, $2, 'tenant.restore', 'tenants', ($1::uuid)::text, $3::text::jsonb, 'system', 'restore')
"""


_ARCHIVES: Final = """/* weft:restore.archives */
insert into pg_temp.stage_archives
select * from weft.archives a
 where a.tenant_id = $1 and not exists (select from pg_temp.stage_archives s where s.id = a.id)
"""


@dataclass(slots=True)
class Counts:
    """Rows by table that come and that go, and what becomes of members' sign-ins."""

    come: dict[str, int] = field(default_factory=dict)
    go: dict[str, int] = field(default_factory=dict)
    users_added: int = 0
    users_matched: int = 0


class Moving:
    """One tenant on its way."""

    def __init__(self, source: Connection, live: Connection, plan: Plan, tell: Tell) -> None:
        self._source = source
        self._live = live
        self._plan = plan
        self._tell = tell
        self._columns: dict[str, list[str]] = {}
        self._mapped: dict[UUID, UUID] = {}
        self._new_users: list[UUID] = []

    async def look(self) -> Counts:
        """Count what would come and go, and match members' sign-ins. Changes nothing in the database that is there."""
        counts = Counts()
        await self._match_users()
        counts.users_added, counts.users_matched = len(self._new_users), len(self._mapped)
        async with self._live.transaction(readonly=True):
            await self._live.execute("set local app.maintenance = 'on'")
            for table in _tables():
                counts.come[table.name] = await self._source.fetchval(
                    f"select count(*) from weft.{table.name} where {_key(table)} = $1", self._plan.tenant_id
                )
                if not self._plan.is_copy and table.name != AUDIT:
                    counts.go[table.name] = await self._live.fetchval(
                        f"select count(*) from weft.{table.name} where {_key(table)} = $1", self._plan.tenant_id
                    )
        return counts

    async def move(self, counts: Counts, wanted: Wanted) -> None:
        """All of it, or nothing."""
        with private_folder() as directory:
            async with self._live.transaction():
                await self._live.execute(f"{TEXT_SETTINGS}; set local app.maintenance = 'on'")
                await self._live.execute("set local app.restore = 'on'; set local lock_timeout = '30s'")
                await self._live.fetch("select id from weft.tenants where id = $1 for update", self._plan.new_id)
                await self._months()
                await self._stage(directory, counts)
                versions = await self._versions()
                if counts.go.get("tenants"):
                    await self._keep(counts)
                    await self._take_out()
                await self._put_in(counts)
                await self._compare(counts)
                await self._go_on(versions)
                await self._record(counts, wanted)
                if wanted.run:
                    await self._live.execute("notify weft_jobs; notify weft_schedules")

    # -- before ------------------------------------------------------------------------------------------------

    async def _match_users(self) -> None:
        users = {UUID(int=row["id"].int): row["email_key"] for row in await self._source.fetch(_USERS, self._tenant)}
        async with self._live.transaction(readonly=True):
            await self._live.execute("set local app.maintenance = 'on'")
            rows = await self._live.fetch(_KNOWN_USERS, list(users), list(users.values()))
        ids = {UUID(int=row["id"].int) for row in rows}
        by_address = {row["email_key"]: UUID(int=row["id"].int) for row in rows}
        for user, address in users.items():
            if user in ids:
                continue
            if address in by_address:
                self._mapped[user] = by_address[address]
            else:
                self._new_users.append(user)
        await self._source.execute("drop table if exists pg_temp.user_map")
        await self._source.execute(_MAP, list(self._mapped), list(self._mapped.values()))

    @property
    def _tenant(self) -> UUID:
        return self._plan.tenant_id

    async def _months(self) -> None:
        """Months that the backup has rows of and the database no partition."""
        for table, column in MONTHLY.items():
            rows = await self._source.fetch(
                f"select distinct date_trunc('month', {column} at time zone 'utc')::date as month"
                f" from weft.{table} where tenant_id = $1",
                self._tenant,
            )
            for row in rows:
                await self._live.fetchval("select weft.ensure_partition($1, $2)", table, row["month"])

    async def _stage(self, directory: Path, counts: Counts) -> None:
        await self._bring("users", "id = any($1::uuid[])", self._new_users, directory)
        names = [table.name for table in _tables() if counts.come[table.name] or table.name == "archives"]
        for done, table in enumerate(table for table in _tables() if table.name in names):
            self._tell("fetching tables", done, len(names))
            await self._bring(table.name, f"{_key(table)} = $1", self._tenant, directory)

    async def _bring(self, table: str, condition: str, value: object, directory: Path) -> None:
        columns = await self._columns_of(table)
        # Its own folder: the file is written and read by this process alone.
        file = directory / table
        await self._source.copy_from_query(
            f"select {self._selected(table, columns)} from weft.{table} r where {condition}",
            value,
            output=str(file),
            format="binary",
        )
        await self._live.execute(f"create temp table stage_{table} (like weft.{table}) on commit drop")
        await self._live.copy_to_table(
            f"stage_{table}", schema_name="pg_temp", source=str(file), columns=columns, format="binary"
        )
        file.unlink()

    async def _columns_of(self, table: str) -> list[str]:
        if table not in self._columns:
            self._columns[table] = [row[0] for row in await self._live.fetch(_COLUMNS, f"weft.{table}")]
        return self._columns[table]

    def _selected(self, table: str, columns: Sequence[str]) -> str:
        """The columns as they are to be: of the new tenant, with the users that are there."""
        parts = []
        for column in columns:
            if column == "tenant_id" or (table == "tenants" and column == "id"):
                parts.append(f"'{self._plan.new_id}'::uuid as {column}")
            elif column in USER_COLUMNS and self._mapped:
                mapped = f"(select m.new_id from pg_temp.user_map m where m.old_id = r.{column})"
                parts.append(f"coalesce({mapped}, r.{column}) as {column}")
            else:
                parts.append(f'r."{column}"')
        return ", ".join(parts)

    # -- the exchange ------------------------------------------------------------------------------------------

    async def _versions(self) -> dict[str, int]:
        found = {}
        for table in VERSIONED:
            version = await self._live.fetchval(
                f"select version from weft.{table} where tenant_id = $1", self._plan.new_id
            )
            found[table] = version or 0
        return found

    async def _keep(self, counts: Counts) -> None:
        """What must not be forgotten of the time since: that keys were revoked, which due times were had already, and
        where archives lie."""
        if counts.come["api_keys"]:
            await self._live.execute(_REVOKED)
        if counts.come["workflow_schedules"]:
            await schedules.go_on(self._live, self._plan.new_id, has_runs=bool(counts.come["schedule_runs"]))
        done = await self._live.execute(_ARCHIVES, self._plan.new_id)
        counts.come["archives"] += int(done.rpartition(" ")[2])

    async def _take_out(self) -> None:
        """What is there now. The audit log stays: it only ever grows."""
        for table in reversed(_tables(everything=True)):
            if table.name != AUDIT:
                await self._live.execute(f"delete from weft.{table.name} where {_key(table)} = $1", self._plan.new_id)

    async def _put_in(self, counts: Counts) -> None:
        names = ["users", *(table.name for table in _tables() if counts.come[table.name])]
        for done, table in enumerate(names):
            self._tell("writing tables", done, len(names))
            columns = ", ".join(f'"{column}"' for column in await self._columns_of(table))
            rest = " on conflict do nothing" if table in (AUDIT, "users") else ""
            await self._live.execute(
                f"/* weft:restore.put */ insert into weft.{table} ({columns})"
                f" select {columns} from pg_temp.stage_{table}{rest}"
            )

    async def _compare(self, counts: Counts) -> None:
        """The same rows on both sides, by number and checksum. Raises `RestoreDiffers`, which takes everything back."""
        said = []
        for table in _tables():
            if not counts.come[table.name] or (table.name == AUDIT and not self._plan.is_copy):
                continue
            columns = await self._columns_of(table.name)
            listed = ", ".join(f'"{column}"' for column in columns)
            here = await self._live.fetchrow(
                f"select count(*) as rows, {SUM} as checksum"
                f" from (select {listed} from weft.{table.name} where {_key(table)} = $1) counted",
                self._plan.new_id,
            )
            there = await self._live.fetchrow(
                f"select count(*) as rows, {SUM} as checksum"
                f" from (select {listed} from pg_temp.stage_{table.name}) counted"
            )
            if tuple(here) != tuple(there) or here["rows"] != counts.come[table.name]:
                said.append(f"{table.name} has {here['rows']} rows and should have {counts.come[table.name]}")
        if said:
            raise RestoreDiffers(self._plan.backup, said)

    async def _go_on(self, versions: dict[str, int]) -> None:
        for table, version in versions.items():
            if version:
                await self._live.execute(
                    f"update weft.{table} set version = version + $2 where tenant_id = $1", self._plan.new_id, version
                )

    async def _record(self, counts: Counts, wanted: Wanted) -> None:
        """One event in the tenant's audit log."""
        details = {
            "backup": self._plan.backup,
            "from_tenant": str(self._tenant),
            "rows": sum(counts.come.values()),
            "replaced_rows": sum(counts.go.values()),
            "jobs": "queued" if wanted.run else "held",
            "schedules_turned_off": [str(one.id) for one in self._plan.held_schedules],
        }
        await self._live.execute(_EVENT, self._plan.new_id, new_id(), dumps(details))


def _tables(*, everything: bool = False) -> list[Table]:
    """Tables that hold rows of tenants, each after those that it refers to."""
    return [
        table
        for table in emit.tables_of(METADATA)
        if (table.name == "tenants" or "tenant_id" in table.columns) and (everything or table.name not in LEFT)
    ]


def _key(table: Table) -> str:
    return "id" if table.name == "tenants" else "tenant_id"

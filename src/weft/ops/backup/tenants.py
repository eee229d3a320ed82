"""Restoring one tenant out of a backup: into itself, or as a copy under another slug.

The backup is restored into a throw-away server first. There the tenant's rows are made ready (`rewriting`), and from
there they move in one transaction (`moving`), counted on both sides before it commits. It needs the owner only.

What would act by itself is held unless somebody says otherwise: the tenant's jobs come back as dead jobs, which
`weft dead retry` queues again, and its schedules are off, which `weft workflow trigger enable` lets go on. A copy
shares no credential with the original: it has no API keys, sessions or webhook addresses, its triggers are off, and
its secrets are sealed anew under keys of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from weft.core.clock import Clock, utc_now
from weft.core.errors import Conflict, NotFound
from weft.core.ids import new_id
from weft.db import migrate
from weft.ops.backup import catalogue, proving
from weft.ops.backup.moving import Counts, Moving
from weft.ops.backup.restoring import RevisionUnknown
from weft.ops.backup.rewriting import Rewriting
from weft.ops.backup.schedules import Held
from weft.ops.backup.sealing import readers_keys
from weft.ops.backup.telling import Tell, silent
from weft.ops.connections import connect
from weft.ops.installation import Addresses
from weft.ops.keys import present_master_key
from weft.settings import Settings

if TYPE_CHECKING:
    from weft.db.database import Connection


class TenantNotInBackup(NotFound):
    code = "tenant_not_in_backup"

    def __init__(self, backup: str, slug: str) -> None:
        super().__init__(f"{backup} holds no tenant '{slug}'. Look in an older backup, or correct the name.")


class TenantThere(Conflict):
    code = "tenant_there"

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"The tenant '{slug}' is there. Say --replace to put the backup in its place (everything since then is "
            "lost, but for the audit log), or --as NEWSLUG to have a copy beside it."
        )


class SlugTaken(Conflict):
    code = "slug_taken"

    def __init__(self, slug: str) -> None:
        super().__init__(f"Another tenant is called '{slug}'. Choose another name with --as.")


class SchemaNotCurrent(Conflict):
    code = "schema_not_current"

    def __init__(self, found: str | None, head: str) -> None:
        super().__init__(
            f"The database is at revision {found}, this weft at {head}. Run `weft db migrate` first; "
            "nothing was changed."
        )


_SLUG_TAKEN: Final = """/* weft:restore.slug */
select exists (select from weft.tenants where slug = $1 and deleted_at is null)
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked for. `new_slug` makes a copy; `run` lets jobs go on at once."""

    slug: str
    new_slug: str | None = None
    replace: bool = False
    run: bool = False


@dataclass(slots=True)
class Plan:
    """What a restore of a tenant does, or has done."""

    backup: str
    tenant_id: UUID
    new_id: UUID
    slug: str
    tables: dict[str, int] = field(default_factory=dict)
    """Rows that come, by table; empty tables are left out."""
    replaced: dict[str, int] = field(default_factory=dict)
    """Rows that go."""
    users_added: int = 0
    users_matched: int = 0
    """Members whose sign-in is there under another id, found by their address."""
    held_jobs: int = 0
    held_schedules: list[Held] = field(default_factory=list)
    """Those that ran when the backup was made, and are off now."""
    conflicts: list[str] = field(default_factory=list)
    done: bool = False

    @property
    def is_copy(self) -> bool:
        return self.new_id != self.tenant_id

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"copy": self.is_copy}


def restore_tenant(
    settings: Settings,
    addresses: Addresses,
    backup: str,
    wanted: Wanted,
    *,
    dry_run: bool = False,
    place: str | None = None,
    identity: Path | None = None,
    tell: Tell = silent,
    clock: Clock = utc_now,
) -> Plan:
    """Restore one tenant; with `dry_run` only say what would happen. Blocking, and not inside an event loop.

    Raises whatever stands in the way; a dry run tells it in `conflicts` instead. Nothing half done is left.
    """
    owner = addresses.require_owner()
    keys = readers_keys(settings, identity)
    master = present_master_key(settings)
    asyncio.run(_look_first(owner, wanted, dry=dry_run))
    target = catalogue.find(settings, backup, place)
    with proving.restored(target, backup, keys, master, tell=tell) as there:
        revision = there.manifest.revision
        if revision is None or not migrate.knows(revision):
            raise RevisionUnknown(revision)
        if revision != migrate.head():
            tell("migrating the backup")
            asyncio.run(migrate.upgrade(there.owner))
        return asyncio.run(_run((there.admin, owner), backup, wanted, master, tell, clock(), dry=dry_run))


async def _look_first(owner: str, wanted: Wanted, *, dry: bool) -> None:
    """Refuse what can be known before the backup is unpacked."""
    found = await migrate.current(owner)
    if found != migrate.head():
        raise SchemaNotCurrent(found, migrate.head())
    if wanted.new_slug is None or dry:
        return
    connection = await connect(owner, application="weft db restore")
    try:
        async with connection.transaction(readonly=True):
            await connection.execute("set local app.maintenance = 'on'")
            if await connection.fetchval(_SLUG_TAKEN, wanted.new_slug):
                raise SlugTaken(wanted.new_slug)
    finally:
        await connection.close()


@asynccontextmanager
async def _both(source: str, live: str) -> AsyncIterator[tuple[Connection, Connection]]:
    one = await connect(source, application="weft db restore")
    try:
        other = await connect(live, application="weft db restore")
        try:
            yield one, other
        finally:
            await other.close()
    finally:
        await one.close()


async def _run(
    dsns: tuple[str, str], backup: str, wanted: Wanted, master: bytes | None, tell: Tell, now: datetime, *, dry: bool
) -> Plan:
    async with _both(*dsns) as (source, live):
        tell("looking")
        plan = await _plan(source, backup, wanted)
        refusal = await _refusal(live, plan, wanted)
        if refusal is not None:
            if not dry:
                raise refusal
            plan.conflicts.append(refusal.message)
        await Rewriting(source, plan, wanted, master).run(now)
        moving = Moving(source, live, plan, tell)
        counts = await moving.look()
        _fill(plan, counts)
        if not dry:
            await moving.move(counts, wanted)
            plan.done = True
        return plan


def _fill(plan: Plan, counts: Counts) -> None:
    plan.tables = {table: rows for table, rows in counts.come.items() if rows}
    plan.replaced = {table: rows for table, rows in counts.go.items() if rows}
    plan.users_added, plan.users_matched = counts.users_added, counts.users_matched


async def _plan(source: Connection, backup: str, wanted: Wanted) -> Plan:
    row = await source.fetchrow(
        "select id from weft.tenants where slug = $1 order by deleted_at nulls first limit 1", wanted.slug
    )
    if row is None:
        raise TenantNotInBackup(backup, wanted.slug)
    tenant_id = UUID(int=row["id"].int)
    return Plan(
        backup=backup,
        tenant_id=tenant_id,
        new_id=new_id() if wanted.new_slug is not None else tenant_id,
        slug=wanted.new_slug or wanted.slug,
    )


async def _refusal(live: Connection, plan: Plan, wanted: Wanted) -> Conflict | None:
    """What stands in the way in the database that is there."""
    async with live.transaction(readonly=True):
        await live.execute("set local app.maintenance = 'on'")
        rows = await live.fetch(
            "select id, slug from weft.tenants where id = $1 or (slug = $2 and deleted_at is null)",
            plan.new_id,
            plan.slug,
        )
    if any(row["id"] != plan.new_id for row in rows):
        return SlugTaken(plan.slug)
    if rows and not wanted.replace:
        return TenantThere(plan.slug)
    return None

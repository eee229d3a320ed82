"""One tenant of a seed file while it is being seeded: what is there, and how one thing more is made.

Each thing commits by itself, so a run goes on where one before it stopped. Whoever makes something holds the tenant's
lock and looks again first, so two runs at once make everything once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from weft.core.actor import Actor, system_actor
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.identity import access
from weft.domain.identity.addresses import email_key
from weft.engine.process import EngineProcess
from weft.ops.seeds.document import TenantSeed
from weft.ops.seeds.reading import Loaded, Path_
from weft.ops.seeds.report import SeedReport

_LOCK: Final = "select pg_advisory_xact_lock(hashtextextended($1, 11))"
_USER: Final = """/* weft:seed.user */
select user_id from weft.tenant_users where tenant_id = $1 and email_key = $2"""
_AUTHOR: Final = """/* weft:seed.author */
select m.user_id from weft.tenant_users m join weft.roles r on r.tenant_id = m.tenant_id and r.id = m.role_id
 where m.tenant_id = $1 and m.status = 'ACTIVE' and (m.email_key = any($2::text[]) or r.name = 'OWNER')
 order by r.name = 'OWNER' desc, array_position($2::text[], m.email_key), m.created_at limit 1"""


@dataclass(slots=True)
class Run:
    """What all tenants of one run share. `dry`: nothing is changed, only looked at."""

    database: Database
    report: SeedReport
    profile: str
    dry: bool
    closing: AsyncExitStack
    engine: EngineProcess | None = None


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that a file asks for: how people call it, its natural key, and how it is made."""

    label: str
    key: str
    make: Callable[[Scope], Awaitable[object]]


@dataclass(slots=True)
class Ground:
    run: Run
    loaded: Loaded
    tenant: TenantSeed
    path: Path_
    tenant_id: UUID | None = None
    """None only while looking: there is no such tenant yet, so nothing of it is there."""
    author_id: UUID | None = None
    founded: list[str] = field(default_factory=list)
    """Keys of the addresses that were made members together with the tenant."""

    @property
    def report(self) -> SeedReport:
        return self.run.report

    @property
    def system(self) -> Actor:
        if self.tenant_id is None:
            raise RuntimeError("there is no tenant to act in")
        return system_actor(self.tenant_id, "seed")

    async def present(self, query: str, keys: Sequence[str]) -> set[str]:
        """Those of these keys that are there; `query` takes the tenant and the keys, and gives keys."""
        if self.tenant_id is None or not keys:
            return set()
        async with enter(self.run.database, self.system, read_only=True) as scope:
            return {row[0] for row in await scope.raw.fetch(query, self.tenant_id, list(keys))}

    async def settle(self, query: str, things: Sequence[Thing], *, by_author: bool = True) -> None:
        """Make those that are not there."""
        present = await self.present(query, [thing.key for thing in things])
        for thing in things:
            made = thing.key not in present and await self.make(query, thing, by_author=by_author)
            self.report.add(self.named(thing.label), made=made)

    async def make(self, query: str, thing: Thing, *, by_author: bool = True) -> bool:
        """Make one thing; False if somebody else was faster."""
        if self.run.dry:
            return True
        async with enter(self.run.database, self.system) as scope:
            await take_turns(scope)
            if await scope.raw.fetchval(query, self.tenant_id, [thing.key]) is not None:
                return False
            if by_author:
                await self.as_author(scope)
            await thing.make(scope)
        return True

    def named(self, label: str) -> str:
        """With the tenant's name where a file has several."""
        return label if len(self.loaded.file.tenants) == 1 else f"{self.tenant.slug}: {label}"

    async def as_author(self, scope: Scope) -> None:
        """Go on as the first OWNER, or first member, that the file names: what is made then has somebody behind it."""
        if self.author_id is None:
            emails = [email_key(member.email) for member in self.tenant.members]
            self.author_id = await scope.raw.fetchval(_AUTHOR, scope.tenant_id, emails)
        await self.as_user(scope, self.author_id)

    async def as_user(self, scope: Scope, user_id: UUID | None) -> None:
        actor = None if user_id is None else await access.member_actor(scope, user_id)
        if actor is not None:
            await scope.become(actor)


async def user_of(scope: Scope, email: str) -> UUID | None:
    found: UUID | None = await scope.raw.fetchval(_USER, scope.tenant_id, email_key(email))
    return found


async def take_turns(scope: Scope) -> None:
    """Two seeds at once: the second waits here, and then finds what the first made."""
    await scope.raw.execute(_LOCK, str(scope.tenant_id))

"""As whom the studio looks: an operator in a tenant of their choice, or a member with what a member may see.

Whoever holds the owner's address may choose any tenant, and may look through a member's eyes, or as anybody who has a
role and nothing beside it. Everybody else signs in, as a member of the tenant that was named at the start. Either way
the rows come by the application role, under row security.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from weft.core.actor import SYSTEM_ID, Actor, ActorKind, system_actor
from weft.core.errors import WeftError
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.identity import access
from weft.domain.identity.addresses import email_key
from weft.domain.identity.service import sessions, tenants
from weft.studio import rules
from weft.studio.catalogue import TableFacts
from weft.studio.doors import Session, TenantFacts
from weft.studio.errors import (
    MemberMissing,
    MemberNeedsTenant,
    ReadOnly,
    RoleMissing,
    RoleNeedsOperator,
    SignInNeeded,
    StudioForbidden,
    TableClosed,
    TenantMissing,
    TenantNeeded,
    TenantUnchosen,
)
from weft.studio.statements import escaped

NOWHERE: Final = UUID(int=0)
AGENT: Final = "weft db studio"
SIGNED_IN: Final = timedelta(hours=12)
_LISTED: Final = 100

_TENANTS = """/* weft:studio.tenants */
select id, slug, name from weft.tenants
 where deleted_at is null and (id::text = $1 or slug ilike $2 or name ilike $2) order by slug, id limit $3"""
_MEMBER = """/* weft:studio.member */
select user_id from weft.tenant_users where tenant_id = $1 and email_key = $2 and status = 'ACTIVE'"""


@dataclass(frozen=True, slots=True)
class Facts:
    """Where a request comes from, for the audit log."""

    ip: str | None
    user_agent: str | None
    correlation_id: str


@dataclass(frozen=True, slots=True)
class _Credential:
    token: str
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever sends a request. Without a tenant only what belongs to no tenant can be seen."""

    actor: Actor
    tenant: TenantFacts | None
    is_operator: bool
    writes: bool

    @property
    def tenant_id(self) -> UUID | None:
        return self.tenant.id if self.tenant else None

    def may_read(self, table: TableFacts) -> bool:
        if self.tenant is None and not table.is_global:
            return False
        return self.is_operator or self.actor.may(rules.to_read(table.name))

    def require_read(self, table: TableFacts) -> None:
        if not self.may_read(table):
            if self.tenant is None:
                raise TenantUnchosen(table.title)
            raise TableClosed(table.title, rules.to_read(table.name))

    def why_not(self, table: TableFacts) -> str | None:
        """Why rows of this table cannot be changed here; None if they can."""
        if not self.writes:
            return "The studio only shows. Start it with --write to change rows."
        if not (table.may_update or table.may_delete):
            return (
                "These rows are written by weft alone: changing them by hand would break what weft promises of them. "
                "What can be changed of them is changed by weft's own commands."
            )
        permission = rules.to_write(table.room)
        if not self.is_operator and (permission is None or not self.actor.may(permission)):
            return (
                f"Changing these rows needs the permission '{permission}'."
                if permission
                else "Only operators change these rows here. Use weft's own commands, which check more."
            )
        return None

    def require_write(self, table: TableFacts) -> None:
        self.require_read(table)
        if (reason := self.why_not(table)) is not None:
            raise ReadOnly(reason)


class Viewers:
    """Tells who sends a request. Make it with `prepare`."""

    def __init__(
        self,
        database: Database,
        *,
        owner: str | None,
        tenant: TenantFacts | None,
        member: UUID | None,
        role: str | None,
        email: str | None,
        writes: bool,
        operator: str,
    ) -> None:
        self.database = database
        self.email = email
        self.tenant = tenant
        self.writes = writes
        self._owner = owner
        self._member = member
        self._role = role
        self._operator = operator

    @property
    def may_switch(self) -> bool:
        """Whether a tenant is chosen in the browser."""
        return self._owner is not None and self.tenant is None

    @property
    def signs_in(self) -> bool:
        return self._owner is None

    async def of(self, session: Session, ip: str | None) -> Viewer:
        """Raises `SignInNeeded`, `StudioForbidden`, `MemberMissing`, `RoleMissing`, and refusals of credentials."""
        facts = Facts(ip, AGENT, str(new_id()))
        if self._owner is None:
            if session.token is None:
                raise SignInNeeded
            async with access.open_scope(self.database, _Credential(session.token), facts, read_only=True) as scope:
                return self._as_member(scope.actor, f"studio: {scope.actor.name}")
        if self.tenant is None or (self._member is None and self._role is None):
            return self._as_operator(session, facts)
        return self._as_member(*await self._borrowed(self.tenant.id, facts))

    def _as_operator(self, session: Session, facts: Facts) -> Viewer:
        chosen = self.tenant or session.tenant
        actor = system_actor(chosen.id if chosen else NOWHERE, f"studio: {self._operator}", facts.correlation_id)
        return Viewer(replace(actor, ip=facts.ip, user_agent=AGENT), chosen, is_operator=True, writes=self.writes)

    async def _borrowed(self, tenant_id: UUID, facts: Facts) -> tuple[Actor, str]:
        """What a member or a role may, while the log says that it was an operator who looked through these eyes."""
        nobody = replace(system_actor(tenant_id, "", facts.correlation_id), ip=facts.ip, user_agent=AGENT)
        async with enter(self.database, nobody, read_only=True) as scope:
            if self._member is not None:
                if (actor := await access.member_actor(scope, self._member)) is None:
                    raise MemberMissing(str(self._member))
                name = actor.name
            else:
                actor = await _of_role(scope, str(self._role))
                name = f"the role {actor.name}"
        return replace(actor, id=SYSTEM_ID, kind=ActorKind.system), f"studio: {self._operator} as {name}"

    def _as_member(self, actor: Actor, name: str) -> Viewer:
        if not actor.may(rules.ENTRANCE):
            raise StudioForbidden
        return Viewer(replace(actor, name=name), self.tenant, is_operator=False, writes=self.writes)

    async def sign_in(self, session: Session, email: str, password: str, ip: str | None) -> None:
        """Raises `SignInRefused`, and `StudioForbidden` when the member may not look."""
        if self.tenant is None:
            raise TenantNeeded
        facts = Facts(ip, AGENT, str(new_id()))
        signed = await sessions.sign_in(
            self.database, email=email, password=password, tenant=self.tenant.slug, facts=facts, lifetime=SIGNED_IN
        )
        session.token = signed.token
        try:
            await self.of(session, ip)
        except WeftError:
            await self.sign_out(session, ip)
            raise

    async def sign_out(self, session: Session, ip: str | None) -> None:
        token, session.token = session.token, None
        if token is not None:
            await sessions.sign_out(self.database, token, Facts(ip, AGENT, str(new_id())))

    async def tenants(self, search: str) -> list[TenantFacts]:
        """The first of those whose name or slug contains the text, and the one that has it as its id."""
        from weft.ops.connections import connect

        if self._owner is None:
            raise TenantNeeded
        connection = await connect(self._owner, application=AGENT)
        try:
            async with connection.transaction(readonly=True):
                await connection.execute("set local app.maintenance = 'on'")
                rows: Sequence[Any] = await connection.fetch(_TENANTS, search, f"%{escaped(search)}%", _LISTED)
        finally:
            await connection.close()
        return [TenantFacts(UUID(int=row["id"].int), row["slug"], row["name"]) for row in rows]

    async def choose(self, session: Session, tenant_id: str) -> TenantFacts:
        """Look into this tenant from now on. Raises `TenantMissing`."""
        found = next((one for one in await self.tenants(tenant_id) if str(one.id) == tenant_id), None)
        if found is None:
            raise TenantMissing(tenant_id)
        session.tenant = found
        return found


async def _of_role(scope: Scope, role: str) -> Actor:
    actor = await access.role_actor(scope, role)
    if actor is None:
        raise RoleMissing(role)
    return actor


async def prepare(
    database: Database,
    *,
    owner: str | None,
    tenant: str | None,
    email: str | None,
    role: str | None = None,
    writes: bool,
    operator: str,
) -> Viewers:
    """Find the tenant, and the member or the role, that the command names. Raises `TenantNeeded` and its like."""
    if tenant is None and owner is None:
        raise TenantNeeded
    if tenant is None and (email is not None or role is not None):
        raise MemberNeedsTenant
    if role is not None and owner is None:
        raise RoleNeedsOperator
    chosen, member = None, None
    if tenant is not None:
        tenant_id = await tenants.find(database, tenant)
        if tenant_id is None:
            raise TenantMissing(tenant)
        async with enter(database, system_actor(tenant_id, AGENT), read_only=True) as scope:
            name = await scope.raw.fetchval("select name from weft.tenants where id = $1", tenant_id)
            if email is not None:
                member = await scope.raw.fetchval(_MEMBER, tenant_id, email_key(email))
                if member is None:
                    raise MemberMissing(email)
            if role is not None:
                await _of_role(scope, role)
        chosen = TenantFacts(tenant_id, tenant, name)
    return Viewers(
        database,
        owner=owner,
        tenant=chosen,
        member=UUID(int=member.int) if member is not None else None,
        role=role,
        email=email,
        writes=writes,
        operator=operator,
    )

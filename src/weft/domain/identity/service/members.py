"""Members of a tenant: who belongs to it, with which role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from weft.core.actor import ActorKind
from weft.db.scope import Scope
from weft.domain.identity import queries, rules
from weft.domain.identity.addresses import email_key, normal_email
from weft.domain.identity.errors import AccountElsewhere, MemberExists, MemberNotFound, RoleNotFound
from weft.domain.identity.models import Member, MemberStatus, Role
from weft.domain.identity.schemas import MemberCreate, MemberUpdate
from weft.domain.identity.service import accounts, guards, sessions
from weft.http.paging import Paged, PageQuery, page
from weft.http.preconditions import check


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member together with the name of the role."""

    id: UUID
    user_id: UUID
    email: str
    name: str
    role: str
    role_id: UUID
    status: str
    created_at: datetime
    updated_at: datetime
    row_version: int
    is_new_account: bool = False
    password: str | None = field(default=None, repr=False)


async def listed(
    scope: Scope,
    query: PageQuery,
    *,
    status: MemberStatus | None = None,
    role: str | None = None,
    email: str | None = None,
) -> Paged[MemberView]:
    """Members, newest first unless asked otherwise."""
    found: Paged[Any] = await page(
        scope,
        queries.members(scope.tenant_id, status=status, role=role, key=None if email is None else email_key(email)),
        (Member.id,),
        query,
        key_of=lambda row: (row[0].id,),
    )
    return Paged([_view(member, name) for member, name in found.items], found.next_cursor)


async def get(scope: Scope, member_id: UUID) -> MemberView:
    member = await scope.one(queries.member_by_id(scope.tenant_id, member_id), missing=MemberNotFound(member_id))
    return _view(member, (await _role_of(scope, member)).name)


async def create(scope: Scope, new: MemberCreate) -> MemberView:
    """Make somebody a member; an address without an account gets one, with the password given or one made up.

    Raises `GrantBeyondOwn` for a role above one's own, `MemberExists`, and `AccountElsewhere` (see there).
    """
    email = normal_email(new.email)
    role = await role_named(scope, new.role)
    guards.require_own(scope.actor, await permissions_of(scope, role))
    if await scope.maybe(queries.member_by_email(scope.tenant_id, email_key(email))) is not None:
        raise MemberExists(email)
    prepared = await accounts.prepare(email, new.name, new.password)
    account = await accounts.ensure(scope, prepared)
    if not account.is_new:
        await _require_acquaintance(scope, account.id, email)
    member = await scope.add(
        Member(user_id=account.id, role_id=role.id, email=email, email_key=email_key(email), name=new.name)
    )
    return _view(member, role.name, is_new=account.is_new, password=prepared.password if account.is_new else None)


async def update(scope: Scope, member_id: UUID, change: MemberUpdate, *, expected: int | None = None) -> MemberView:
    """Change name, role or status. Nobody changes who may do more, and the last active OWNER stays one.

    Whoever is no longer active is signed out everywhere in this tenant, at once.
    """
    member = await _locked(scope, member_id)
    check(expected, member.row_version)
    wanted = change.model_dump(exclude_unset=True)
    role = before = await _role_of(scope, member)
    if "role" in wanted:
        role = await role_named(scope, wanted["role"])
        guards.require_own(scope.actor, await permissions_of(scope, role))
    status = wanted.get("status", member.status)
    was_owner = before.name == rules.OWNER and before.is_builtin and member.status == MemberStatus.active
    if was_owner and (role.id != before.id or status != MemberStatus.active):
        await guards.require_other_owner(scope, member.id)
    if status != MemberStatus.active and member.status == MemberStatus.active:
        await sessions.end_all(scope, member.user_id)
    member.name = wanted.get("name", member.name)
    member.role_id, member.status = role.id, status
    await scope.flush()
    return _view(member, role.name)


async def remove(scope: Scope, member_id: UUID, *, expected: int | None = None) -> None:
    """End a membership: with it go its sessions, API keys and direct permissions. The account itself stays."""
    member = await _locked(scope, member_id)
    check(expected, member.row_version)
    role = await _role_of(scope, member)
    if role.name == rules.OWNER and role.is_builtin and member.status == MemberStatus.active:
        await guards.require_other_owner(scope, member.id)
    await scope.session.delete(member)
    await scope.flush()


async def role_named(scope: Scope, name: str) -> Role:
    """The role of that name; built-in ones in any letter case."""
    wanted = rules.builtin(name) or name.strip()
    return await scope.one(queries.role_by_name(scope.tenant_id, wanted), missing=RoleNotFound(f"'{name[:80]}'"))


async def permissions_of(scope: Scope, role: Role) -> Sequence[str]:
    rows = await scope.all(queries.permissions_of_roles(scope.tenant_id, [role.id]))
    return sorted(rules.word((row.resource, row.action)) for row in rows)


async def _locked(scope: Scope, member_id: UUID) -> Member:
    """The member, locked for change, if the actor may change it at all."""
    member = await scope.one(
        queries.member_by_id(scope.tenant_id, member_id).with_for_update(), missing=MemberNotFound(member_id)
    )
    await guards.require_not_above(scope, member)
    return member


async def _role_of(scope: Scope, member: Member) -> Role:
    return await scope.one(queries.role_by_id(scope.tenant_id, member.role_id), missing=RoleNotFound(member.role_id))


async def _require_acquaintance(scope: Scope, account: UUID, email: str) -> None:
    """Who made an account chose its password. Adding a stranger's account would let that person in here."""
    actor = scope.actor
    if actor.kind is ActorKind.system:
        return
    if actor.user_id is None or not await accounts.share_a_tenant(scope, actor.user_id, account):
        raise AccountElsewhere(email)


def _view(member: Member, role: str, *, is_new: bool = False, password: str | None = None) -> MemberView:
    return MemberView(
        id=member.id,
        user_id=member.user_id,
        email=member.email,
        name=member.name,
        role=role,
        role_id=member.role_id,
        status=member.status,
        created_at=member.created_at,
        updated_at=member.updated_at,
        row_version=member.row_version,
        is_new_account=is_new,
        password=password,
    )

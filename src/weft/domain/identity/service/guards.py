"""Nobody gives, takes or overrules what he does not hold himself. One place, because every door must ask the same."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from weft.core.actor import Actor
from weft.db.scope import Scope
from weft.domain.identity import queries, rules
from weft.domain.identity.errors import GrantBeyondOwn, LastOwner, MemberAbove, PermissionUnknown, RoleNotFound
from weft.domain.identity.models import Member, MemberStatus


def require_known(permissions: Iterable[str], field: str) -> None:
    unknown = rules.unknown(permissions)
    if unknown:
        raise PermissionUnknown(unknown, (field,))


def require_own(actor: Actor, permissions: Iterable[str]) -> None:
    """Raise `GrantBeyondOwn` if the actor lacks one of these."""
    missing = frozenset[str]() if actor.everything else rules.beyond(actor.permissions, permissions)
    if missing:
        raise GrantBeyondOwn(missing)


async def require_not_above(scope: Scope, member: Member) -> None:
    """Raise `MemberAbove` if the member may do something that the actor may not."""
    if scope.actor.everything:
        return
    row = await scope.raw.fetchrow(queries.MEMBER, scope.tenant_id, member.user_id)
    powers = rules.effective(row["role_permissions"], row["allowed"], row["denied"])
    missing = rules.beyond(scope.actor.permissions, powers)
    if missing:
        raise MemberAbove(member.name, missing)


async def require_other_owner(scope: Scope, leaving: UUID) -> None:
    """Raise `LastOwner` unless another active OWNER stays. Two who leave at once wait here for each other."""
    owner = await scope.one(
        queries.role_by_name(scope.tenant_id, rules.OWNER).with_for_update(key_share=True),
        missing=RoleNotFound(rules.OWNER),
    )
    others = await scope.raw.fetchval(
        "select count(*) from weft.tenant_users where tenant_id = $1 and role_id = $2 and status = $3 and id <> $4",
        scope.tenant_id,
        owner.id,
        MemberStatus.active.value,
        leaving,
    )
    if not others:
        raise LastOwner

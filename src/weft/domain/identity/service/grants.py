"""Direct permissions of a member, beside the role: unique by member, resource and action; a denial wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.identity import queries, rules
from weft.domain.identity.errors import GrantNotFound, MemberNotFound, OwnerNotDeniable
from weft.domain.identity.models import GrantEffect, Member, UserPermission
from weft.domain.identity.service import guards


@dataclass(frozen=True, slots=True)
class GrantView:
    permission: str
    resource: str
    action: str
    effect: str
    created_at: datetime
    updated_at: datetime


async def listed(scope: Scope, member_id: UUID) -> Sequence[GrantView]:
    """Every direct grant and denial of a member, by permission: never more than the catalogue has."""
    member = await scope.one(queries.member_by_id(scope.tenant_id, member_id), missing=MemberNotFound(member_id))
    return [_view(grant) for grant in await scope.all(queries.grants_of(scope.tenant_id, member.user_id))]


async def put(scope: Scope, member_id: UUID, permission: str, effect: GrantEffect) -> GrantView:
    """Grant or deny; said again it changes the effect. Both need the permission oneself, see `guards`."""
    guards.require_known([permission], "permission")
    guards.require_own(scope.actor, [permission])
    member = await _changeable(scope, member_id)
    if effect is GrantEffect.deny and await _is_owner(scope, member):
        raise OwnerNotDeniable
    grant = await scope.maybe(queries.grant(scope.tenant_id, member.user_id, *rules.pair(permission)))
    if grant is None:
        resource, action = rules.pair(permission)
        grant = await scope.add(
            UserPermission(user_id=member.user_id, resource=resource, action=action, effect=effect.value)
        )
    else:
        grant.effect = effect.value
        await scope.flush()
    return _view(grant)


async def delete(scope: Scope, member_id: UUID, permission: str) -> None:
    """Take a direct grant or denial back. To lift a denial is to give the permission: one needs it oneself."""
    member = await _changeable(scope, member_id)
    grant = await scope.one(
        queries.grant(scope.tenant_id, member.user_id, *rules.pair(permission)), missing=GrantNotFound(permission)
    )
    guards.require_own(scope.actor, [permission])
    await scope.session.delete(grant)
    await scope.flush()


async def _changeable(scope: Scope, member_id: UUID) -> Member:
    """The member, locked so that two changes of one permission take turns."""
    member = await scope.one(
        queries.member_by_id(scope.tenant_id, member_id).with_for_update(key_share=True),
        missing=MemberNotFound(member_id),
    )
    await guards.require_not_above(scope, member)
    return member


async def _is_owner(scope: Scope, member: Member) -> bool:
    role = await scope.maybe(queries.role_by_id(scope.tenant_id, member.role_id))
    return role is not None and role.is_builtin and role.name == rules.OWNER


def _view(grant: UserPermission) -> GrantView:
    return GrantView(
        permission=rules.word((grant.resource, grant.action)),
        resource=grant.resource,
        action=grant.action,
        effect=grant.effect,
        created_at=grant.created_at,
        updated_at=grant.updated_at,
    )

"""Statements of identity as values. Raw text where one statement must answer everything at once."""

from __future__ import annotations

from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import Select, and_, select

from weft.domain.identity.models import (
    ApiKey,
    ApiKeyUse,
    Member,
    MemberStatus,
    Role,
    RolePermission,
    Session,
    Tenant,
    UserPermission,
)

_POWERS: Final = """
       m.id as member_id, m.user_id, m.email, m.name, m.status, m.tenant_id, t.slug, t.name as tenant_name,
       r.id as role_id, r.name as role,
       array(select p.resource || ':' || p.action from weft.role_permissions p
              where p.tenant_id = m.tenant_id and p.role_id = m.role_id) as role_permissions,
       array(select p.resource || ':' || p.action from weft.user_permissions p
              where p.tenant_id = m.tenant_id and p.user_id = m.user_id and p.effect = 'ALLOW') as allowed,
       array(select p.resource || ':' || p.action from weft.user_permissions p
              where p.tenant_id = m.tenant_id and p.user_id = m.user_id and p.effect = 'DENY') as denied
  from weft.tenant_users m
  join weft.tenants t on t.id = m.tenant_id and t.deleted_at is null
  join weft.roles r on r.tenant_id = m.tenant_id and r.id = m.role_id"""

SESSION: Final = f"""
select c.secret_hash, c.expires_at, c.revoked_at, null::text[] as scopes, null::text as key_name,
       null::timestamptz as last_used_at,{_POWERS}
  join weft.sessions c on c.tenant_id = m.tenant_id and c.user_id = m.user_id
 where c.tenant_id = $1 and c.id = $2"""
"""A session, its member and all that decides what the member may do. $1 tenant, $2 session."""

API_KEY: Final = f"""
select c.secret_hash, c.expires_at, c.revoked_at, c.scopes, c.name as key_name,
       (select u.last_used_at from weft.api_key_uses u where u.tenant_id = c.tenant_id and u.key_id = c.id)
         as last_used_at,{_POWERS}
  join weft.api_keys c on c.tenant_id = m.tenant_id and c.user_id = m.user_id
 where c.tenant_id = $1 and c.id = $2"""
"""The same for an API key. $1 tenant, $2 key."""

MEMBER: Final = f"""
select {_POWERS}
 where m.tenant_id = $1 and m.user_id = $2"""
"""A member by user, and what the member may do. $1 tenant, $2 user."""

MEMBERSHIPS: Final = "select tenant_id, slug, tenant_name, role, status from weft.memberships_of($1)"
"""Every tenant of a user, oldest membership first. Goes across tenants, by a definer function."""

NOTE_USE: Final = """
insert into weft.api_key_uses as u (tenant_id, key_id, last_used_at) values ($1, $2, $3)
on conflict (tenant_id, key_id) do update set last_used_at = excluded.last_used_at
 where u.last_used_at < excluded.last_used_at"""


def tenant(tenant_id: UUID) -> Select[Tenant]:
    return select(Tenant).where(Tenant.id == tenant_id)


def member_by_id(tenant_id: UUID, member_id: UUID) -> Select[Member]:
    return select(Member).where(Member.tenant_id == tenant_id, Member.id == member_id)


def member_by_user(tenant_id: UUID, user_id: UUID) -> Select[Member]:
    return select(Member).where(Member.tenant_id == tenant_id, Member.user_id == user_id)


def member_by_email(tenant_id: UUID, key: str) -> Select[Member]:
    return select(Member).where(Member.tenant_id == tenant_id, Member.email_key == key)


def members(
    tenant_id: UUID, *, status: MemberStatus | None = None, role: str | None = None, key: str | None = None
) -> Select[Any]:
    """Members with the names of their roles."""
    query = (
        select(Member, Role.name)
        .join(Role, and_(Role.tenant_id == Member.tenant_id, Role.id == Member.role_id))
        .where(Member.tenant_id == tenant_id)
    )
    if status is not None:
        query = query.where(Member.status == status.value)
    if role is not None:
        query = query.where(Role.name == role)
    if key is not None:
        query = query.where(Member.email_key == key)
    return cast("Select[Any]", query)


def roles(tenant_id: UUID, *, name: str | None = None) -> Select[Role]:
    query = select(Role).where(Role.tenant_id == tenant_id)
    return query if name is None else query.where(Role.name == name)


def role_names(tenant_id: UUID) -> Select[str]:
    return select(Role.name).where(Role.tenant_id == tenant_id)


def role_by_id(tenant_id: UUID, role_id: UUID) -> Select[Role]:
    return select(Role).where(Role.tenant_id == tenant_id, Role.id == role_id)


def role_by_name(tenant_id: UUID, name: str) -> Select[Role]:
    return select(Role).where(Role.tenant_id == tenant_id, Role.name == name)


def permissions_of_roles(tenant_id: UUID, role_ids: list[UUID]) -> Select[RolePermission]:
    return select(RolePermission).where(RolePermission.tenant_id == tenant_id, RolePermission.role_id.in_(role_ids))


def grants_of(tenant_id: UUID, user_id: UUID) -> Select[UserPermission]:
    return (
        select(UserPermission)
        .where(UserPermission.tenant_id == tenant_id, UserPermission.user_id == user_id)
        .order_by(UserPermission.resource, UserPermission.action)
    )


def grant(tenant_id: UUID, user_id: UUID, resource: str, action: str) -> Select[UserPermission]:
    return grants_of(tenant_id, user_id).where(UserPermission.resource == resource, UserPermission.action == action)


def session_by_id(tenant_id: UUID, session_id: UUID) -> Select[Session]:
    return select(Session).where(Session.tenant_id == tenant_id, Session.id == session_id)


def key_by_id(tenant_id: UUID, key_id: UUID) -> Select[ApiKey]:
    return select(ApiKey).where(ApiKey.tenant_id == tenant_id, ApiKey.id == key_id)


def keys(tenant_id: UUID, *, include_revoked: bool) -> Select[Any]:
    """Keys with the time of their last use (or null) and the name of their member."""
    query = (
        select(ApiKey, ApiKeyUse.last_used_at, Member.name)
        .join(Member, and_(Member.tenant_id == ApiKey.tenant_id, Member.user_id == ApiKey.user_id))
        .outerjoin(ApiKeyUse, and_(ApiKeyUse.tenant_id == ApiKey.tenant_id, ApiKeyUse.key_id == ApiKey.id))
        .where(ApiKey.tenant_id == tenant_id)
    )
    if not include_revoked:
        query = query.where(ApiKey.revoked_at.is_(None))
    return cast("Select[Any]", query)

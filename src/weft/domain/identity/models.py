"""Tables of identity. `tenants`, `users` and `permissions` are global; everything else is a tenant's."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from weft.db.base import (
    READ,
    SECRET,
    Base,
    Identified,
    SoftDelete,
    Tenanted,
    Timestamps,
    Versioned,
    marks,
    of_tenant,
    one_of,
    within_tenant,
)


class Tier(StrEnum):
    free = "FREE"
    pro = "PRO"
    enterprise = "ENTERPRISE"


class MemberStatus(StrEnum):
    active = "ACTIVE"
    inactive = "INACTIVE"
    invited = "INVITED"
    suspended = "SUSPENDED"


class GrantEffect(StrEnum):
    allow = "ALLOW"
    deny = "DENY"


class Tenant(Identified, Timestamps, Versioned, SoftDelete, Base):
    """An organisation. The application sees its own row only; tenants are made by a definer function."""

    __tablename__ = "tenants"
    __table_args__ = (
        one_of("tier", Tier),
        CheckConstraint("slug ~ '^[a-z0-9](-?[a-z0-9])*$' and length(slug) <= 63", name="slug"),
        Index("tenants_slug_key", "slug", unique=True, postgresql_where=text("deleted_at is null")),
        marks(scope="own", own="id", grants="select, update"),
    )

    slug: Mapped[str]
    name: Mapped[str]
    tier: Mapped[str] = mapped_column(default=Tier.free.value, server_default=Tier.free.value)
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default_factory=dict, server_default=text("'{}'::jsonb"))
    feature_flags: Mapped[dict[str, Any]] = mapped_column(
        JSONB, default_factory=dict, server_default=text("'{}'::jsonb")
    )
    limits: Mapped[dict[str, Any]] = mapped_column(JSONB, default_factory=dict, server_default=text("'{}'::jsonb"))
    retention: Mapped[dict[str, Any]] = mapped_column(JSONB, default_factory=dict, server_default=text("'{}'::jsonb"))


class User(Identified, Timestamps, Versioned, SoftDelete, Base):
    """One person across all tenants. Members of a tenant are read from `tenant_users`, never from here."""

    __tablename__ = "users"
    __table_args__ = (
        Index("users_email_key", "email_key", unique=True, postgresql_where=text("deleted_at is null")),
        marks(scope="own", own="user", grants=READ),
    )

    email: Mapped[str]
    email_key: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None] = mapped_column(default=None, info=SECRET)
    last_sign_in_at: Mapped[datetime | None] = mapped_column(default=None)


class Permission(Base):
    """The system-wide catalogue of what can be allowed, as `resource:action`."""

    __tablename__ = "permissions"
    __table_args__ = (marks(scope="catalogue", grants=READ, audit=False, touch=False),)

    resource: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str]


class Role(Identified, Tenanted, Timestamps, Versioned, Base):
    __tablename__ = "roles"
    __table_args__ = (of_tenant(), UniqueConstraint("tenant_id", "name"), marks())

    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="", server_default="")
    is_builtin: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class RolePermission(Identified, Tenanted, Timestamps, Base):
    __tablename__ = "role_permissions"
    __table_args__ = (
        within_tenant("role_id", "roles", on_delete="CASCADE"),
        ForeignKeyConstraint(
            ["resource", "action"],
            ["weft.permissions.resource", "weft.permissions.action"],
            name="role_permissions_permission_fkey",
        ),
        UniqueConstraint("tenant_id", "role_id", "resource", "action"),
        marks(grants="select, insert, delete"),
    )

    role_id: Mapped[UUID]
    resource: Mapped[str]
    action: Mapped[str]


class Member(Identified, Tenanted, Timestamps, Versioned, Base):
    """A user's membership of a tenant. Carries the address and name that the tenant sees."""

    __tablename__ = "tenant_users"
    __table_args__ = (
        of_tenant(),
        ForeignKeyConstraint(["user_id"], ["weft.users.id"], name="tenant_users_user_id_fkey"),
        within_tenant("role_id", "roles"),
        one_of("status", MemberStatus),
        UniqueConstraint("tenant_id", "user_id"),
        UniqueConstraint("tenant_id", "email_key"),
        Index("tenant_users_user_id_idx", "user_id"),
        Index("tenant_users_role_id_idx", "tenant_id", "role_id"),
        marks(),
    )

    user_id: Mapped[UUID]
    role_id: Mapped[UUID]
    email: Mapped[str]
    email_key: Mapped[str]
    name: Mapped[str]
    status: Mapped[str] = mapped_column(default=MemberStatus.active.value, server_default=MemberStatus.active.value)


class UserPermission(Identified, Tenanted, Timestamps, Base):
    """A direct grant or denial for one user, beside the role. A denial wins over every grant."""

    __tablename__ = "user_permissions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["weft.tenant_users.tenant_id", "weft.tenant_users.user_id"],
            name="user_permissions_user_id_fkey",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["resource", "action"],
            ["weft.permissions.resource", "weft.permissions.action"],
            name="user_permissions_permission_fkey",
        ),
        one_of("effect", GrantEffect),
        UniqueConstraint("tenant_id", "user_id", "resource", "action"),
        marks(),
    )

    user_id: Mapped[UUID]
    resource: Mapped[str]
    action: Mapped[str]
    effect: Mapped[str] = mapped_column(default=GrantEffect.allow.value, server_default=GrantEffect.allow.value)


class Session(Identified, Tenanted, Timestamps, Base):
    """A signed-in browser or CLI. The token carries tenant and id; only the secret's SHA-256 is here."""

    __tablename__ = "sessions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["weft.tenant_users.tenant_id", "weft.tenant_users.user_id"],
            name="sessions_user_id_fkey",
            ondelete="CASCADE",
        ),
        Index("sessions_user_id_idx", "tenant_id", "user_id"),
        marks(),
    )

    user_id: Mapped[UUID]
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary, info=SECRET)
    expires_at: Mapped[datetime]
    ip: Mapped[str | None] = mapped_column(default=None)
    user_agent: Mapped[str | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class ApiKey(Identified, Tenanted, Timestamps, Versioned, Base):
    """A program's credential. Acts for the member who made it, never beyond `scopes`."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["weft.tenant_users.tenant_id", "weft.tenant_users.user_id"],
            name="api_keys_user_id_fkey",
            ondelete="CASCADE",
        ),
        Index("api_keys_user_id_idx", "tenant_id", "user_id"),
        marks(),
    )

    user_id: Mapped[UUID]
    name: Mapped[str]
    prefix: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary, info=SECRET)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class ApiKeyUse(Tenanted, Base):
    """When a key was last used, to the minute: apart from `api_keys`, where it would be a change of the key."""

    __tablename__ = "api_key_uses"
    __table_args__ = (
        within_tenant("key_id", "api_keys", on_delete="CASCADE"),
        marks(grants="select, insert, update", audit=False, touch=False, storage="fillfactor = 50"),
    )

    key_id: Mapped[UUID] = mapped_column(primary_key=True)
    last_used_at: Mapped[datetime]

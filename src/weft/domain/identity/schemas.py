"""What may come in and go out. `...Create` and `...Update` come from outside, `...Read` goes there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, JsonValue, StrictBool, StringConstraints

from weft.core.forms import NOT_BLANK
from weft.domain.identity import rules
from weft.domain.identity.models import GrantEffect, MemberStatus, Tier
from weft.http.bodies import Input, Output

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NOT_BLANK)]
Email = Annotated[
    str, Field(min_length=3, max_length=320, examples=["ada@example.com"], json_schema_extra={"format": "email"})
]
Password = Annotated[str, Field(max_length=1000, json_schema_extra={"format": "password"})]
RoleName = Annotated[str, Field(min_length=1, max_length=200, examples=["MEMBER"])]
FlagName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,99}$")]
FeatureFlags = Annotated[dict[FlagName, StrictBool], Field(max_length=200)]
PERMISSION_WORDS: dict[str, JsonValue] = {"enum": [rules.word(permission) for permission in rules.PERMISSIONS]}
"""For the documentation; the service itself refuses others, and says where the list is."""
PermissionWord = Annotated[str, Field(max_length=100, examples=["workflows:read"], json_schema_extra=PERMISSION_WORDS)]
Permissions = Annotated[list[PermissionWord], Field(max_length=200)]


class SignIn(Input):
    email: Email
    password: Password
    tenant: Annotated[str | None, Field(max_length=80, description="Slug or id; else the oldest membership.")] = None


class TenantSwitch(Input):
    tenant: Annotated[str, Field(min_length=1, max_length=80, description="Slug or id of a tenant of yours.")]


class SessionRead(Output):
    token: str = Field(description="Shown once. Send it as `Authorization: Bearer`; browsers get it as a cookie.")
    expires_at: datetime
    tenant_id: UUID
    tenant_slug: str


class PasswordChange(Input):
    current_password: Password
    new_password: Password


class UserRead(Output):
    id: UUID
    email: str
    name: str


class TenantBrief(Output):
    id: UUID
    slug: str
    name: str


class MembershipRead(Output):
    tenant: TenantBrief
    role: str
    status: MemberStatus


class MeRead(Output):
    user: UserRead
    tenant: TenantBrief
    role: str
    permissions: list[str] = Field(description="What this very credential may do in this tenant.")
    credential: Literal["session", "api_key"]
    memberships: list[MembershipRead] = Field(description="An API key sees its own tenant only.")


class TenantRead(TenantBrief):
    tier: Tier
    settings: dict[str, Any]
    feature_flags: dict[str, Any]
    limits: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    row_version: int


class TenantUpdate(Input):
    """Only what is sent changes; `settings` and `feature_flags` are replaced whole."""

    name: Name = Field(default_factory=str)
    settings: dict[str, Any] = Field(default_factory=dict)
    feature_flags: FeatureFlags = Field(
        default_factory=dict, description="Flags of your own programs, by name: true or false. weft itself has none."
    )


class MemberCreate(Input):
    email: Email
    name: Name
    role: RoleName = "MEMBER"
    password: Password | None = Field(
        default=None, description="For a new account; without it weft makes one up and shows it once."
    )


class MemberUpdate(Input):
    """Only what is sent changes."""

    name: Name = Field(default_factory=str)
    role: RoleName = Field(default_factory=str)
    status: Literal["ACTIVE", "INACTIVE", "SUSPENDED"] = Field(default_factory=lambda: "ACTIVE")


class MemberRead(Output):
    id: UUID
    user_id: UUID
    email: str
    name: str
    role: str
    role_id: UUID
    status: MemberStatus
    created_at: datetime
    updated_at: datetime
    row_version: int


class MemberCreated(MemberRead):
    is_new_account: bool = Field(description="False: the address had an account already, which keeps its password.")
    password: str | None = Field(description="The password that weft made up, shown this once.")


class PermissionRead(Output):
    permission: str
    resource: str
    action: str
    description: str


class RoleCreate(Input):
    name: Name
    description: Annotated[str, Field(max_length=1000)] = ""
    permissions: Permissions


class RoleUpdate(Input):
    """Only what is sent changes; `permissions` is the whole new list."""

    name: Name = Field(default_factory=str)
    description: Annotated[str, Field(max_length=1000)] = Field(default_factory=str)
    permissions: Permissions = Field(default_factory=list)


class RoleRead(Output):
    id: UUID
    name: str
    description: str
    is_builtin: bool
    permissions: list[str]
    created_at: datetime
    updated_at: datetime
    row_version: int


class GrantWrite(Input):
    effect: GrantEffect = GrantEffect.allow


class GrantRead(Output):
    permission: str
    resource: str
    action: str
    effect: GrantEffect
    created_at: datetime
    updated_at: datetime


class KeyCreate(Input):
    name: Name
    scopes: Permissions = Field(description="What the key may do; at most what you may do yourself.")
    expires_at: AwareDatetime | None = Field(default=None, description="With a time zone. Null: until it is revoked.")


class KeyRead(Output):
    id: UUID
    name: str
    prefix: str = Field(description="The beginning of the key, to recognise it by; not secret.")
    scopes: list[str]
    user_id: UUID
    user_name: str
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
    created_at: datetime
    updated_at: datetime
    row_version: int


class KeyCreated(KeyRead):
    token: str = Field(description="The key itself, shown this once.")

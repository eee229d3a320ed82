"""The person behind memberships: one account for all tenants, found by address through definer functions."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from weft.core.ids import new_id
from weft.db.scope import Scope
from weft.domain.identity import passwords, queries
from weft.domain.identity.addresses import email_key
from weft.domain.identity.models import MemberStatus


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is made of, the password hashed already."""

    email: str
    name: str
    password_hash: str
    password: str | None
    """The password in clear if weft made it up: shown once, by whoever asked."""


@dataclass(frozen=True, slots=True)
class Account:
    id: UUID
    is_new: bool


async def prepare(email: str, name: str, password: str | None, *, check: bool = True) -> NewAccount:
    """Hash the password, or make one up. `email` is a `normal_email`. Raises `PasswordUnfit`."""
    if password is None:
        made_up = passwords.generated()
        return NewAccount(email, name, await passwords.hashed(made_up), made_up)
    if check:
        passwords.check(password, email)
    return NewAccount(email, name, await passwords.hashed(password), None)


async def ensure(scope: Scope, new: NewAccount) -> Account:
    """The account of that address; made now if there is none. An existing one keeps its name and password."""
    wanted = new_id()
    found = await scope.raw.fetchval(
        "select weft.ensure_user($1, $2, $3, $4, $5)",
        wanted,
        new.email,
        email_key(new.email),
        new.name,
        new.password_hash,
    )
    return Account(UUID(int=found.int), found.int == wanted.int)


async def share_a_tenant(scope: Scope, one: UUID, other: UUID) -> bool:
    """Whether both are active members of some tenant: then the first can know who the second is."""
    tenants = [
        {row["tenant_id"] for row in await scope.raw.fetch(queries.MEMBERSHIPS, user) if _is_active(row["status"])}
        for user in (one, other)
    ]
    return not tenants[0].isdisjoint(tenants[1])


def _is_active(status: str) -> bool:
    return status == MemberStatus.active

"""Who is acting, for which tenant, from where. It travels with every transaction into the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

from weft.core.errors import Forbidden
from weft.core.ids import new_id


class ActorKind(StrEnum):
    user = "user"
    api_key = "api_key"
    system = "system"  # the worker, the seed, an operator's command


class PermissionMissing(Forbidden):
    code = "permission_missing"

    def __init__(self, permission: str) -> None:
        super().__init__(
            f"This needs the permission '{permission}', which you do not have here. "
            "Ask an administrator of the tenant to add it to your role."
        )
        self.permission = permission


@dataclass(frozen=True, slots=True)
class Actor:
    """One person or program in one tenant.

    `permissions` holds `resource:action` words; `everything` stands for all of them (system actors).
    """

    tenant_id: UUID
    id: UUID
    kind: ActorKind
    name: str = ""
    user_id: UUID | None = None
    permissions: frozenset[str] = frozenset()
    everything: bool = False
    ip: str | None = None
    user_agent: str | None = None
    correlation_id: str = field(default_factory=lambda: str(new_id()))

    def may(self, permission: str) -> bool:
        return self.everything or permission in self.permissions

    def require(self, permission: str) -> None:
        if not self.may(permission):
            raise PermissionMissing(permission)

    def correlated(self, correlation_id: str) -> Actor:
        return replace(self, correlation_id=correlation_id)


SYSTEM_ID = UUID(int=0)


def system_actor(tenant_id: UUID, name: str = "weft", correlation_id: str | None = None) -> Actor:
    """weft itself, in a tenant: may do everything, and the audit log says that it was weft."""
    return Actor(
        tenant_id=tenant_id,
        id=SYSTEM_ID,
        kind=ActorKind.system,
        name=name,
        everything=True,
        correlation_id=correlation_id or str(new_id()),
    )

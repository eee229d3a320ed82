"""Who may look at which table, and change it. Pure.

An operator, who holds the database anyway, may look at everything. A member needs the right to read the audit log to
come in at all, and then sees what the API would show: a table is shown by the permission of its room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ENTRANCE: Final = "audit:read"

READING: Final[Mapping[str, str]] = {
    "workflows": "workflows:read",
    "executions": "executions:read",
    "dead_jobs": "executions:read",
    "clients": "clients:read",
    "events": "events:read",
    "secrets": "secrets:read",
    "templates": "templates:read",
    "limits": "limits:read",
    "audit": "audit:read",
}
"""By room. Others, the engine's own tables among them, need no more than the entrance."""

READING_TABLE: Final[Mapping[str, str]] = {
    "tenants": "tenants:read",
    "users": "members:read",
    "tenant_users": "members:read",
    "roles": "roles:read",
    "role_permissions": "roles:read",
    "user_permissions": "roles:read",
    "api_keys": "keys:read",
    "api_key_uses": "keys:read",
    "sessions": "keys:read",
}
"""The room of identity holds several things, each with a permission of its own."""

WRITING: Final[Mapping[str, str]] = {
    "workflows": "workflows:write",
    "clients": "clients:write",
}
"""What members may change, by room. Who may do what, keys and secrets are not among it: weft's own commands check
more than the database does (nobody gives away what he does not have), so here only operators may touch them."""


KEPT_TABLES: Final = frozenset({"message_templates", "rate_limits", "workflow_limits", "workflow_triggers"})
"""Audited tables whose rows belong together with counters or other rows, which a change by hand would leave behind."""

KEPT_ROWS: Final = frozenset({"tenant_users"})
"""Tables whose rows are not deleted here: `weft member remove` sees to it that a tenant keeps an owner."""

KEPT_COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "tenants": frozenset({"slug"}),
    "roles": frozenset({"is_builtin"}),
    "secrets": frozenset({"name", "version", "rotated_at", "created_by"}),
    "workflows": frozenset({"status", "version", "current_version_id", "created_by"}),
    "api_keys": frozenset({"prefix"}),
}
"""The same for single columns."""


def to_read(table: str, room: str) -> str:
    """The permission that a member needs to look at a table."""
    return READING_TABLE.get(table) or READING.get(room, ENTRANCE)


def to_write(room: str) -> str | None:
    """The permission that a member needs to change rows; None where members may not at all."""
    return WRITING.get(room)


def size_words(count: int) -> str:
    """A number of bytes for people."""
    if count < 1000:
        return f"{count} bytes"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000 or unit == "GB":
            return f"{size:.1f} {unit}"
    raise AssertionError


def about(count: int) -> str:
    """An estimate, rounded to what can be known of it: 10,034,221 is said as 10,000,000."""
    if count < 100:
        return str(count)
    scale = 10 ** (len(str(count)) - 2)
    return f"{round(count / scale) * scale:,}"

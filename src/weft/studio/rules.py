"""Who may look at which table, and change it. Pure.

An operator, who holds the database anyway, may look at everything. A member needs the right to read the audit log to
come in at all, and then sees what the API would show him: each table has the permission of the addresses that show
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ENTRANCE: Final = "audit:read"
OPERATING: Final = "system:read"

READING: Final[Mapping[str, str]] = {
    "api_key_uses": "keys:read",
    "api_keys": "keys:read",
    "app_instances": "system:read",
    "archives": "tenants:read",
    "audit_logs": "audit:read",
    "backups": "system:read",
    "clients": "clients:read",
    "data_migrations": "system:read",
    "dispatch_dead": "executions:read",
    "dispatch_jobs": "executions:read",
    "dispatch_limits": "limits:read",
    "event_interests": "events:read",
    "event_waits": "events:read",
    "events": "events:read",
    "execution_logs": "executions:read",
    "execution_places": "limits:read",
    "installation": "system:read",
    "item_chunks": "executions:read",
    "item_results": "executions:read",
    "last_runs": "system:read",
    "message_templates": "templates:read",
    "migration_history": "system:read",
    "payload_usage": "tenants:read",
    "payloads": "executions:read",
    "permissions": ENTRANCE,
    "questions": "executions:read",
    "rate_limit_states": "limits:read",
    "rate_limits": "limits:read",
    "recovery_archives": "system:read",
    "recovery_drills": "system:read",
    "recovery_markers": "system:read",
    "role_permissions": "roles:read",
    "roles": "roles:read",
    "schedule_runs": "workflows:read",
    "secrets": "secrets:read",
    "sessions": "keys:read",
    "tenant_keys": "secrets:read",
    "tenant_limits": "limits:read",
    "tenant_users": "members:read",
    "tenants": "tenants:read",
    "user_permissions": "roles:read",
    "users": "members:read",
    "workflow_counters": "workflows:read",
    "workflow_executions": "executions:read",
    "workflow_limits": "limits:read",
    "workflow_publications": "workflows:read",
    "workflow_schedules": "workflows:read",
    "workflow_steps": "workflows:read",
    "workflow_transitions": "workflows:read",
    "workflow_triggers": "workflows:read",
    "workflow_versions": "workflows:read",
    "workflows": "workflows:read",
}
"""Every table by name: the permission for which the API shows what stands in it. What belongs to the installation
and to no tenant needs the one of its operators, and so does a table that is not named here."""

WRITING: Final[Mapping[str, str]] = {"clients": "clients:write"}
"""What members may change, by room. Workflows, who may do what, keys and secrets are not among it: weft's own commands
check more than the database does (who publishes; nobody gives away what he does not have), so only operators may."""


KEPT_TABLES: Final = frozenset(
    {"message_templates", "rate_limits", "workflow_limits", "workflow_triggers", "workflows"}
)
"""Audited tables whose rows belong together with counters or other rows, which a change by hand would leave behind: a
workflow's name, description and tags stand in its draft too, and its schedules follow its status."""

KEPT_ROWS: Final = frozenset({"role_permissions", "tenant_users"})
"""Tables whose rows are not deleted here: `weft member remove` sees to it that a tenant keeps an owner, and
`weft role` that built-in roles stay as they are."""

KEPT_IF: Final[Mapping[str, tuple[str, str]]] = {
    "roles": ("is_builtin", "Built-in roles stay as they are. Make one of your own: `weft role create`.")
}
"""Rows that stay as they are when the column says so, and the sentence that refuses."""

KEPT_COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    # Whose a credential is, what it opens and that it is over: none of it is changed once it is made.
    "api_keys": frozenset({"prefix", "user_id", "scopes", "revoked_at"}),
    "sessions": frozenset({"user_id", "expires_at", "ip", "user_agent", "revoked_at"}),
    # Names differ in more than letter case, and a built-in one is found by its name.
    "roles": frozenset({"is_builtin", "name"}),
    "secrets": frozenset({"name", "version", "rotated_at", "created_by"}),
    # A tenant keeps an active owner, and whoever is no longer active is signed out. The address is the account's.
    "tenant_users": frozenset({"user_id", "role_id", "email", "status"}),
    # The services of limits and of retention check what stands in them.
    "tenants": frozenset({"slug", "limits", "retention"}),
    # Another permission is another grant, and an owner is denied nothing.
    "user_permissions": frozenset({"user_id", "resource", "action", "effect"}),
}
"""The same for single columns: the services ask more of them than the database does. That a row was put away
(`deleted_at`) is kept in every table."""


def to_read(table: str) -> str:
    """The permission that a member needs to look at a table."""
    return READING.get(table, OPERATING)


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

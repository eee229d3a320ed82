"""What can be allowed, which built-in role allows it, and how a grant is decided. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

OWNER: Final = "OWNER"
"""The built-in role that every tenant keeps at least one active member in."""

SESSION_LIFETIME: Final = timedelta(days=14)

PERMISSIONS: Final[Mapping[tuple[str, str], str]] = {
    ("tenants", "read"): "See the tenant and its settings",
    ("tenants", "write"): "Change the tenant and its settings",
    ("members", "read"): "See members and their roles",
    ("members", "write"): "Add members, change their role or status, remove them",
    ("roles", "read"): "See roles and what they allow",
    ("roles", "write"): "Create and change roles, grant and deny permissions",
    ("keys", "read"): "See API keys of the tenant",
    ("keys", "write"): "Create and revoke API keys",
    ("clients", "read"): "See clients",
    ("clients", "write"): "Create, change and delete clients",
    ("workflows", "read"): "See workflows, versions and triggers",
    ("workflows", "write"): "Create workflows, edit drafts, save versions of what is not active",
    (
        "workflows",
        "publish",
    ): "Activate, archive and roll back workflows, save versions of active ones; manage triggers",
    ("workflows", "simulate"): "Simulate workflows, and compare versions on past executions",
    ("executions", "read"): "See executions and their journal",
    ("executions", "start"): "Start executions",
    ("executions", "manage"): "Cancel, retry, pause, replay and move executions",
    ("secrets", "read"): "See which secrets there are, never their values",
    ("secrets", "write"): "Set and delete secrets",
    ("templates", "read"): "See message templates",
    ("templates", "write"): "Change and delete message templates",
    ("executions", "answer"): "Answer questions that executions ask",
    ("events", "read"): "See events",
    ("events", "write"): "Send events, which wake and start executions",
    ("limits", "read"): "See concurrency limits, rate limits and how much of them is used",
    ("limits", "write"): "Set limits and priorities of workflows, and rate limits",
    ("audit", "read"): "Search the audit log",
    ("system", "read"): "See the health of the installation",
}

_READ: Final = frozenset(p for p in PERMISSIONS if p[1] == "read") - {("system", "read")}
_ADMIN_READ: Final = frozenset({("keys", "read"), ("audit", "read")})

ROLES: Final[Mapping[str, tuple[str, frozenset[tuple[str, str]]]]] = {
    "OWNER": ("Everything, including the tenant itself", frozenset(PERMISSIONS)),
    "ADMIN": ("Everything but changing the tenant itself", frozenset(PERMISSIONS) - {("tenants", "write")}),
    "MANAGER": (
        "Draws, publishes and runs workflows, manages clients",
        (_READ - {("keys", "read")})
        | {
            ("clients", "write"),
            ("workflows", "write"),
            ("workflows", "publish"),
            ("workflows", "simulate"),
            ("templates", "write"),
            ("executions", "start"),
            ("executions", "manage"),
            ("executions", "answer"),
            ("events", "write"),
            ("limits", "write"),
        },
    ),
    "PROJECT_MANAGER": (
        "Draws and runs workflows, manages clients",
        (_READ - _ADMIN_READ)
        | {
            ("clients", "write"),
            ("workflows", "write"),
            ("workflows", "simulate"),
            ("executions", "start"),
            ("executions", "manage"),
            ("executions", "answer"),
            ("events", "write"),
        },
    ),
    "MEMBER": (
        "Draws and starts workflows",
        (_READ - _ADMIN_READ)
        | {
            ("workflows", "write"),
            ("workflows", "simulate"),
            ("executions", "start"),
            ("executions", "answer"),
            ("events", "write"),
        },
    ),
    "STAKEHOLDER": (
        "Follows workflows and executions",
        frozenset({("tenants", "read"), ("clients", "read"), ("workflows", "read"), ("executions", "read")}),
    ),
    "VIEWER": (
        "Looks, changes nothing",
        frozenset({("tenants", "read"), ("clients", "read"), ("workflows", "read"), ("executions", "read")}),
    ),
}


def word(permission: tuple[str, str]) -> str:
    """`("workflows", "write")` as it is written everywhere else: `workflows:write`."""
    return f"{permission[0]}:{permission[1]}"


def known(permission: str) -> bool:
    resource, _, action = permission.partition(":")
    return (resource, action) in PERMISSIONS


def pair(permission: str) -> tuple[str, str]:
    """The inverse of `word`."""
    resource, _, action = permission.partition(":")
    return resource, action


def unknown(permissions: Iterable[str]) -> frozenset[str]:
    """Those that are not in the catalogue."""
    return frozenset(permission for permission in permissions if not known(permission))


def effective(
    role: Iterable[str], allowed: Iterable[str], denied: Iterable[str], scopes: Iterable[str] | None = None
) -> frozenset[str]:
    """What somebody may do: the role and direct grants, less denials, and never beyond a key's scopes."""
    granted = (frozenset(role) | frozenset(allowed)) - frozenset(denied)
    return granted if scopes is None else granted & frozenset(scopes)


def beyond(own: Iterable[str], wanted: Iterable[str]) -> frozenset[str]:
    """What somebody would give, or take from somebody, without having it himself."""
    return frozenset(wanted) - frozenset(own)


def builtin(name: str) -> str | None:
    """The built-in role that this name means, whatever its letter case."""
    upper = name.strip().upper()
    return upper if upper in ROLES else None


LONGEST_SLUG: Final = 63
_SLUG: Final = re.compile(r"[a-z0-9](-?[a-z0-9])*")


def is_slug(text: str) -> bool:
    """Whether this can name a tenant in addresses and headers: as a DNS label, without doubled hyphens."""
    return len(text) <= LONGEST_SLUG and _SLUG.fullmatch(text) is not None


def slug_of(name: str) -> str:
    """The slug that a name suggests: `Café Müller & Söhne` becomes `cafe-muller-sohne`. May be empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].rstrip("-")

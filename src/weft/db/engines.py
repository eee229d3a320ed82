"""SQLAlchemy's engines, with connections that asyncpg makes from the address as it stands.

SQLAlchemy would take the address apart and hand on what stands behind its `?` as arguments, of which asyncpg knows only
some: with `sslmode=require`, as hosting companies print it, no connection came about. asyncpg itself reads what libpq
does: `sslmode`, certificates, several hosts. So every connection of a process means the same by one address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncEngine


def make(dsn: str, *, connect_args: Mapping[str, Any] | None = None, **options: Any) -> AsyncEngine:
    """An engine for any `postgresql://` or `postgres://` address, with `create_async_engine`'s own options."""
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(
        "postgresql+asyncpg://", connect_args={**(connect_args or {}), "dsn": address(dsn)}, **options
    )


def address(dsn: str) -> str:
    """The address as asyncpg reads it, also one that names the driver (`postgresql+asyncpg://`)."""
    scheme, _, rest = dsn.partition("://")
    word = scheme.partition("+")[0]
    if word not in ("postgresql", "postgres"):
        raise ValueError("a database address begins with postgresql://")
    return f"{word}://{rest}"

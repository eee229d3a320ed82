"""A server without anything of weft's, which tests share: making one takes longer than what most of them ask of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from weft.ops.postgres import ConnectionFacts, ephemeral_cluster

_DATABASES = "select quote_ident(datname) from pg_database where not datistemplate and datname <> 'postgres'"
_ROLES = "select quote_ident(rolname) from pg_roles where rolname <> current_user and not starts_with(rolname, 'pg_')"


@pytest.fixture(scope="session")
def shared_bare_server() -> Iterator[ConnectionFacts]:
    with tempfile.TemporaryDirectory(prefix="weft-bare-") as place, ephemeral_cluster(Path(place)) as facts:
        yield facts


@pytest.fixture
def bare_server(shared_bare_server: ConnectionFacts) -> ConnectionFacts:
    """As it was made, whatever tests before have left."""
    asyncio.run(_wipe(shared_bare_server.superuser_dsn))
    return shared_bare_server


async def _wipe(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for row in await connection.fetch(_DATABASES):
            await connection.execute(f"drop database {row[0]} with (force)")
        for row in await connection.fetch(_ROLES):
            await connection.execute(f"drop owned by {row[0]} cascade; drop role {row[0]}")
    finally:
        await connection.close()

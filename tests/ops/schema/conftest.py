"""Databases for drafts: one as the revisions make it, and as many as changed models need."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.conftest import Cluster, TestDatabase, lasting_database

from weft.db import fingerprint
from weft.db.fingerprint import Fingerprint
from weft.ops import roles
from weft.ops.postgres_files import Programs
from weft.ops.schema import source


@pytest.fixture
async def owner(test_database: TestDatabase) -> AsyncIterator[Any]:
    """The owner's connection to a database as the revisions make it."""
    connection = await asyncpg.connect(test_database.owner)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def nursery(cluster: Cluster, template: str) -> Iterator[TestDatabase]:
    """An empty database in which models are tried, and rolled back."""
    yield from lasting_database(cluster)


Made = Callable[[str], Awaitable[Fingerprint]]


@pytest.fixture
async def made_by(nursery: TestDatabase) -> Made:
    """What a script of the models makes of an empty database."""

    async def made(sql: str) -> Fingerprint:
        connection = await asyncpg.connect(nursery.owner)
        try:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("drop schema if exists weft cascade")
            await source.create_models(connection, sql)
            found = await fingerprint.take(connection)
            await transaction.rollback()
            return found
        finally:
            await connection.close()

    return made


async def kept(nursery: TestDatabase, sql: str) -> TestDatabase:
    """The nursery with the models in it for good, until somebody makes others."""
    connection = await asyncpg.connect(nursery.owner)
    try:
        await connection.execute("drop schema if exists weft cascade")
        await source.create_models(connection, sql)
    finally:
        await connection.close()
    return nursery


def dumped(database: TestDatabase) -> list[str]:
    """What pg_dump says of a schema, as lines in an order of their own: a second opinion.

    Indexes of single partitions are left out: PostgreSQL names them itself, when it makes them.
    """
    done = subprocess.run(
        [str(Programs.embedded().directory / "pg_dump"), "--schema-only", "--schema=weft", database.admin],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = (line.strip().rstrip(",") for line in done.stdout.splitlines())
    return sorted(
        line for line in lines
        if line and not line.startswith(("--", "\\")) and not re.search(r"INDEX .*_\d{6}_", line)
    )  # fmt: skip


@asynccontextmanager
async def alone_with_roles(cluster: Cluster) -> AsyncIterator[None]:
    """Roles belong to the whole server: nobody else makes sure of them meanwhile."""
    connection = await asyncpg.connect(cluster.dsn("postgres"))
    try:
        await connection.execute(f"select pg_advisory_lock({roles._LOCK})")
        yield
    finally:
        await connection.close()


@pytest.fixture
async def admin(migrated: TestDatabase) -> AsyncIterator[Any]:
    """An administrator in a transaction that comes to nothing."""
    connection = await asyncpg.connect(migrated.admin)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()

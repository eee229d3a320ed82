"""Two servers that were set up properly agree, whoever set them up, and whatever else is on them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import Cluster, TestDatabase
from tests.ops.schema import drifts
from tests.ops.schema.conftest import alone_with_roles

from weft.db import fingerprint, migrate, server_catalogue
from weft.db.fingerprint import Fingerprint
from weft.ops import roles
from weft.ops.backup import counting
from weft.ops.postgres import ConnectionFacts, ephemeral_cluster
from weft.ops.postgres_files import Programs
from weft.ops.schema.source import Throwaway, read
from weft.ops.schema.words import report

DEBIAN = Path("/usr/lib/postgresql/15/bin")


def test_weft_knows_its_roles_in_one_order() -> None:
    assert server_catalogue.ROLES == roles.ROLES


async def _by_a_superuser(server: ConnectionFacts) -> Fingerprint:
    return await read(await Throwaway(server).migrations("head", "elsewhere"))


async def _by_an_administrator(server: ConnectionFacts) -> Fingerprint:
    """Who may create roles and databases, and no more: PostgreSQL makes them a member of what they create."""
    connection = await asyncpg.connect(server.superuser_dsn)
    await connection.execute("create role chief login createrole createdb")
    await connection.close()
    await roles.bootstrap(server.dsn("chief", None, "postgres"), "weft")
    await migrate.upgrade(server.dsn(roles.OWNER, None, "weft"))
    return await read(server.dsn(roles.APP, None, "weft"))


@pytest.mark.parametrize(
    ("programs", "made"),
    [
        pytest.param(None, _by_an_administrator, id="an administrator"),
        pytest.param(Programs(DEBIAN), _by_a_superuser, id="PostgreSQL 15", marks=pytest.mark.debian),
    ],
)
def test_another_server_is_the_same(
    programs: Programs | None,
    made: Callable[[ConnectionFacts], Coroutine[Any, Any, Fingerprint]],
    migrated: TestDatabase,
) -> None:
    if programs is not None and not programs.postgres.exists():
        pytest.skip("the distribution's PostgreSQL 15 is not installed")
    with (
        tempfile.TemporaryDirectory(prefix="weft-test-") as place,
        ephemeral_cluster(Path(place), programs=programs) as server,
    ):
        there = asyncio.run(made(server))
    assert report(fingerprint.compare(asyncio.run(read(migrated.admin)), there)) == []


async def test_what_others_do_on_a_server_is_theirs(admin: Any, cluster: Cluster) -> None:
    """Somebody who reads the log, a superuser who is a member of everything, and time limits for the application."""
    async with alone_with_roles(cluster):
        clean = await fingerprint.take(admin)
        await admin.execute(
            "create role weft_wal login replication; create role boss superuser; grant weft_owner to boss;"
            "alter role weft_app set statement_timeout = '20s'; alter role weft_app in database postgres"
            " set search_path = public; alter role boss set app.tenant_id = 'x'"
        )
        assert report(fingerprint.compare(clean, await fingerprint.take(admin))) == []


async def test_who_made_a_right_takes_it_back(admin: Any, cluster: Cluster) -> None:
    """A grant is revoked as whoever gave it, or PostgreSQL revokes nothing."""
    async with alone_with_roles(cluster):
        clean = await fingerprint.take(admin)
        await admin.execute(
            "create role chief createrole; grant weft_owner to chief with admin option; create role eve;"
            "grant weft_owner to eve granted by chief"
        )
        found = await drifts.compared(admin, clean)
        assert "granted by chief" in " ".join(found.sentences())
        await drifts.repaired(admin, found)
        assert report(fingerprint.compare(clean, await fingerprint.take(admin))) == []


async def test_a_backup_answers_for_the_database_only(admin: Any, cluster: Cluster) -> None:
    async with alone_with_roles(cluster):
        word = counting.hash_of(await fingerprint.take(admin))
        await admin.execute(
            "create role eve; grant weft_owner to eve; create table public.shadow () inherits (weft.clients)"
        )
        assert counting.hash_of(await fingerprint.take(admin)) == word
        await admin.execute("alter table weft.clients no force row level security")
        assert counting.hash_of(await fingerprint.take(admin)) != word

"""Preparing a database that is not ours: with an administrator, with the owner, with neither."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from weft.ops import preflight
from weft.ops.children import child_environment
from weft.ops.installation import Addresses
from weft.ops.postgres import ConnectionFacts
from weft.ops.preflight import PreflightFailed, newest_revision
from weft.ops.prepare import AddressesDiffer, MigrationAsks, MigrationNeeded, prepare
from weft.ops.roles import bootstrap
from weft.settings import Settings, load_settings


@pytest.fixture
def server(bare_server: ConnectionFacts) -> ConnectionFacts:
    return bare_server


@pytest.fixture
def settings(place: Path) -> Settings:
    return load_settings({"WEFT_HOME": str(place / "home")}, directory=place)


def addresses(
    server: ConnectionFacts, *, owner: bool = False, admin: bool = False, database: str = "weft"
) -> Addresses:
    return Addresses(
        app=server.dsn("weft_app", None, "weft"),
        owner=server.dsn("weft_owner", None, database) if owner else None,
        admin=server.superuser_dsn if admin else None,
        embedded=False,
    )


async def test_an_administrator_is_enough_for_everything(server: ConnectionFacts, settings: Settings) -> None:
    done = await prepare(settings, addresses(server, admin=True))
    assert "database weft" in done.created
    assert done.migrated_to == newest_revision()
    again = await prepare(settings, addresses(server, admin=True))
    assert (again.created, again.migrated_to) == ([], None)


async def test_the_owner_migrates(server: ConnectionFacts, settings: Settings) -> None:
    await bootstrap(server.superuser_dsn)
    done = await prepare(settings, addresses(server, owner=True))
    assert done.migrated_to == newest_revision()
    assert (await prepare(settings, addresses(server))).migrated_to is None, "nothing left to migrate"


async def test_without_the_owner_it_says_what_is_missing(server: ConnectionFacts, settings: Settings) -> None:
    await bootstrap(server.superuser_dsn)
    with pytest.raises(MigrationNeeded, match="WEFT_DATABASE_OWNER_URL"):
        await prepare(settings, addresses(server))


async def test_the_owner_of_another_database_is_refused(server: ConnectionFacts, settings: Settings) -> None:
    await bootstrap(server.superuser_dsn)
    await bootstrap(server.superuser_dsn, "other")
    with pytest.raises(AddressesDiffer, match="'other'"):
        await prepare(settings, addresses(server, owner=True, database="other"))


async def test_in_production_a_start_does_not_migrate(
    server: ConnectionFacts, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty database is migrated; later somebody does it on purpose, after a backup."""
    production = load_settings({"WEFT_HOME": str(place / "home"), "WEFT_PROFILE": "production"}, directory=place)
    assert (await prepare(production, addresses(server, admin=True))).migrated_to == newest_revision()
    older = preflight.Finding("schema_older", "The schema is older. Run `weft db migrate`.")

    async def finding(_dsn: str) -> preflight.Finding:
        return older

    monkeypatch.setattr(preflight, "present_finding", finding)
    with pytest.raises(MigrationAsks, match=r"^The schema is older\. In the production profile a start does not"):
        await prepare(production, addresses(server, admin=True))


async def test_a_newer_schema_is_not_touched(server: ConnectionFacts, settings: Settings) -> None:
    await prepare(settings, addresses(server, admin=True))
    connection = await asyncpg.connect(server.dsn("postgres", None, "weft"))
    await connection.execute("update weft.alembic_version set version_num = '9999'")
    await connection.close()
    with pytest.raises(PreflightFailed, match="newer than this weft"):
        await prepare(settings, addresses(server, owner=True))


def test_children_do_not_inherit_what_changes_the_schema(
    server: ConnectionFacts, settings: Settings, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    asyncio.run(bootstrap(server.superuser_dsn))
    for name in ("WEFT_DATABASE_OWNER_URL", "WEFT_DATABASE_ADMIN_URL", "WEFT_DATABASE_OWNER_URL_FILE"):
        monkeypatch.setenv(name, "postgresql://h/hush")
    monkeypatch.setenv("WEFT_DATABASE_URL_FILE", "/somewhere")
    told = child_environment(settings, addresses(server))
    assert "hush" not in "".join(told.values())
    assert "WEFT_DATABASE_URL_FILE" not in told
    assert load_settings(told, directory=place).database.url == server.dsn("weft_app", None, "weft")

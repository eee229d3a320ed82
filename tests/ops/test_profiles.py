"""A database remembers what it is for, and a shell without WEFT_PROFILE does not make it a place for trying."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.migrating.conftest import SettingsFor, addresses, settings_for
from tests.ops.migrating.revisions import REVISIONS

from weft.db.database import Database
from weft.domain.identity.service import tenants
from weft.ops import profiles, seed
from weft.ops.environments import EnvironmentRefuses, ProfileUnknown
from weft.ops.installation import Addresses
from weft.ops.migrating import lowering, plan, reset, rollback, run
from weft.ops.migrating.instances import InstallationRuns, alive
from weft.ops.migrating.run import BackupMissing
from weft.ops.prepare import MigrationAsks, prepare
from weft.ops.seed import ProfileRefused

__all__ = ["addresses", "settings_for"]  # fixtures of the tests of migrations

EXTRA = {"WEFT_MIGRATE_DIRECTORIES": str(REVISIONS)}


@pytest.fixture
async def owner(test_database: TestDatabase) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(test_database.owner)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def production(test_database: TestDatabase) -> None:
    """The database was served as production; whoever comes next has no WEFT_PROFILE."""
    await profiles.keep(test_database.app, "production")


async def kept(database: TestDatabase) -> str | None:
    found = await profiles.kept(database.app)
    assert found == await profiles.kept(database.owner), "the same for every login"
    return None if found is None else found.profile


class TestKept:
    async def test_it_becomes_stricter_and_never_milder(self, test_database: TestDatabase) -> None:
        assert await kept(test_database) is None
        for said, expected in (
            ("development", "development"), ("staging", "staging"), ("development", "staging"),
            ("production", "production"), ("staging", "production"), ("production", "production"),
        ):  # fmt: skip
            assert await profiles.keep(test_database.app, said) == expected
            assert await kept(test_database) == expected
        assert await profiles.keep(test_database.owner, "development") == "production"
        assert await profiles.in_force(test_database.app, "development") == "production"

    async def test_the_application_cannot_make_it_milder(self, test_database: TestDatabase, production: None) -> None:
        app = await asyncpg.connect(test_database.app)
        try:
            await app.execute("set app.maintenance = 'on'")
            for statement in ("update weft.installation set profile = 'staging'", "delete from weft.installation"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await app.execute(statement)
            with pytest.raises(asyncpg.CheckViolationError):
                await app.execute("select weft.serve_as('nonsense')")
        finally:
            await app.close()

    async def test_processes_say_it(self, database: Database, test_database: TestDatabase) -> None:
        async with alive(database, "api", profile="staging", forbidden=lambda _: None):
            assert await kept(test_database) == "staging"
        assert await kept(test_database) == "staging"

    async def test_migrations_say_it(
        self, test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor
    ) -> None:
        found = await plan.make(test_database.owner, "9001", [REVISIONS])
        await run.run(settings_for("staging", **EXTRA), addresses, found)
        assert await kept(test_database) == "staging"

    async def test_a_start_says_it_and_hears_what_counts(
        self, test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor
    ) -> None:
        assert (await prepare(settings_for("staging"), addresses)).profile == "staging"
        assert (await prepare(settings_for("development"), addresses)).profile == "staging"

    async def test_a_database_without_a_schema_is_nothing_yet(self, test_database: TestDatabase, owner: Any) -> None:
        await owner.execute("drop schema weft cascade")
        assert await profiles.kept(test_database.owner) is None
        assert await profiles.in_force(test_database.owner, "staging") == "staging"


class TestWhatItRefuses:
    """Each with settings that say development, as they do when nobody says anything."""

    async def test_nothing_is_emptied(
        self, test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor, production: None
    ) -> None:
        with pytest.raises(EnvironmentRefuses, match="profile is production, which refuses to reset"):
            await reset.reset(settings_for(), addresses)
        assert await kept(test_database) == "production"

    async def test_no_sign_in_that_everybody_knows(
        self, test_database: TestDatabase, database: Database, production: None
    ) -> None:
        with pytest.raises(ProfileRefused, match="production"):
            await seed.run(test_database.app, "development")
        assert await tenants.find(database, "default") is None
        assert (await seed.run(test_database.app, "production")).profile == "production"

    async def test_no_migration_without_a_backup(
        self, test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor, production: None
    ) -> None:
        found = await plan.make(test_database.owner, "9001", [REVISIONS])
        with pytest.raises(BackupMissing):
            await run.run(settings_for(**EXTRA), addresses, found)

    async def test_no_table_goes(
        self, test_database: TestDatabase, settings_for: SettingsFor, production: None
    ) -> None:
        way = await rollback.way(settings_for(), test_database.owner, "base")
        with pytest.raises(EnvironmentRefuses, match="drops tables"):
            rollback.allow(way, lambda: None)

    async def test_no_start_migrates(
        self, addresses: Addresses, settings_for: SettingsFor, production: None, owner: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr("weft.ops.preflight.newest_revision", lambda: "9999")
        with pytest.raises(MigrationAsks):
            await prepare(settings_for(), addresses)


class TestLowering:
    async def test_it_is_the_only_way_back(
        self, test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor, production: None
    ) -> None:
        await lowering.lower(test_database.owner, "development", "development")
        assert await kept(test_database) == "development"
        await reset.reset(settings_for(), addresses)
        assert await kept(test_database) == "development", "the new schema remembers, too"

    async def test_it_says_what_it_allows(self) -> None:
        said = "\n".join(lowering.gains("production", "staging"))
        assert "migrate (asks, then allowed): Apply revisions." in said
        assert "reset" not in said
        assert "reset (refused, then asks)" in "\n".join(lowering.gains("staging", "development"))

    async def test_what_is_no_milder_profile_is_refused(self, test_database: TestDatabase) -> None:
        with pytest.raises(lowering.ProfileNotMilder, match="nothing yet"):
            await lowering.lower(test_database.owner, "development", "development")
        await profiles.keep(test_database.app, "staging")
        for profile in ("staging", "production"):
            with pytest.raises(lowering.ProfileNotMilder, match=f"kept as staging, and {profile} is not milder"):
                await lowering.lower(test_database.owner, "development", profile)
        with pytest.raises(ProfileUnknown, match="development, staging, production"):
            await lowering.lower(test_database.owner, "development", "test")

    async def test_what_would_come_back_is_refused(
        self, test_database: TestDatabase, database: Database, production: None
    ) -> None:
        with pytest.raises(lowering.ProfileComesBack, match="WEFT_PROFILE is production here"):
            await lowering.lower(test_database.owner, "production", "staging")
        async with alive(database, "worker", profile="production", forbidden=lambda _: None):
            with pytest.raises(InstallationRuns, match="worker on"):
                await lowering.lower(test_database.owner, "development", "development")
        assert await kept(test_database) == "production"

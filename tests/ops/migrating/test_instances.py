"""Processes say that they live, and hear when the schema no longer allows them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import httpx2
import pytest
from tests.conftest import TestDatabase
from tests.ops.migrating.waiting import until

from weft.api.app import create_app
from weft.api.health import Readiness
from weft.db.database import Database
from weft.domain.identity.access import open_scope
from weft.http.state import Services
from weft.ops import preflight
from weft.ops.migrating.instances import alive, listed
from weft.ops.preflight import Finding, check, newest_revision


async def newer(admin: Any, *, needs: str | None = None, direction: str = "up") -> None:
    """The database as a later version of weft leaves it."""
    await admin.execute("update weft.alembic_version set version_num = '9999'")
    await record(admin, "9999", needs=needs, direction=direction)


async def record(admin: Any, revision: str, *, needs: str | None = None, direction: str = "up") -> None:
    kind = "contract" if needs else "expand"
    await admin.execute(
        "insert into weft.migration_history (id, revision, kind, direction, version, needs)"
        " values (gen_random_uuid(), $1, $2, $3, '0.9.0', $4)",
        revision, kind, direction, needs,
    )  # fmt: skip


class TestHeartbeat:
    async def test_a_process_is_there_while_it_lives(
        self, database: Database, test_database: TestDatabase, admin: Any
    ) -> None:
        found: list[Finding] = []
        owner = await asyncpg.connect(test_database.owner)
        try:
            async with alive(database, "worker", profile="production", forbidden=found.append) as identity:
                [one] = await listed(owner)
                assert (one.id, one.kind, one.revision, one.is_live) == (identity, "worker", newest_revision(), True)
                async with database.pool.acquire() as app:
                    assert await listed(app) == [one], "the application may read it"
            assert await listed(owner) == []
        finally:
            await owner.close()
        assert found == []

    async def test_it_beats_again_and_the_dead_are_forgotten(self, database: Database, admin: Any) -> None:
        await admin.execute(
            "insert into weft.app_instances (id, kind, host, version, revision, seen_at)"
            " values (gen_random_uuid(), 'api', 'dead', '0.1.0', '0001', clock_timestamp() - interval '11 minutes')"
        )
        async with alive(database, "api", profile="production", forbidden=lambda _: None, every=0.01) as identity:
            first = await admin.fetchval("select seen_at from weft.app_instances where id = $1", identity)
            assert await admin.fetchval("select count(*) from weft.app_instances") == 1
            await until(admin, f"select seen_at > '{first.isoformat()}' from weft.app_instances")

    async def test_it_hears_when_the_schema_no_longer_allows_it(self, database: Database, admin: Any) -> None:
        heard = asyncio.Event()
        found: list[Finding] = []

        def forbidden(finding: Finding) -> None:
            found.append(finding)
            heard.set()

        async with alive(database, "worker", profile="production", forbidden=forbidden, every=0.01):
            await newer(admin)
            await record(admin, "9998", needs="0.0.1")
            assert not heard.is_set()
            await newer(admin, needs="7.0")
            async with asyncio.timeout(60):
                await heard.wait()
        assert found[0].code == "schema_too_new"

    async def test_a_database_that_is_away_does_not_end_it(self, test_database: TestDatabase, admin: Any) -> None:
        database = await Database.open(test_database.app, size=1, hot_size=1)
        async with alive(database, "worker", profile="production", forbidden=lambda _: None, every=0.01):
            await database.pool.close()
            await asyncio.sleep(0)
        await database.engine.dispose()

    async def test_nobody_writes_it_but_by_the_functions(self, database: Database) -> None:
        async with database.pool.acquire() as app:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute("update weft.app_instances set version = '9.9'")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute("delete from weft.migration_history")


class TestTwoVersions:
    """The version before works on the schema after, until a contract revision says that it does not."""

    async def test_a_newer_schema_that_only_grew_is_a_warning(self, test_database: TestDatabase, admin: Any) -> None:
        await newer(admin)
        await record(admin, "9998", needs="0.1.0")
        [finding] = await check(test_database.app)
        assert (finding.code, finding.warning) == ("schema_ahead", True)
        assert preflight.require([finding]) == [finding]

    async def test_a_contract_revision_forbids_older_versions(self, test_database: TestDatabase, admin: Any) -> None:
        await newer(admin)
        await record(admin, "9998", needs="0.4")
        [finding] = await check(test_database.app)
        assert (finding.code, finding.warning) == ("schema_too_new", False)
        assert "it needs weft 0.4 or later" in finding.sentence

    async def test_one_that_was_taken_back_forbids_nothing(self, test_database: TestDatabase, admin: Any) -> None:
        await newer(admin)
        await record(admin, "9998", needs="0.4")
        await record(admin, "9998", needs="0.4", direction="down")
        assert [finding.code for finding in await check(test_database.app)] == ["schema_ahead"]

    async def test_a_revision_without_a_record_is_not_believed(self, test_database: TestDatabase, admin: Any) -> None:
        await admin.execute("update weft.alembic_version set version_num = '9999'")
        assert [finding.code for finding in await check(test_database.app)] == ["schema_newer"]

    async def test_the_owner_is_told_the_same(self, test_database: TestDatabase, admin: Any) -> None:
        await newer(admin)
        finding = await preflight.present_finding(test_database.owner)
        assert finding is not None
        assert finding.code == "schema_ahead"

    @pytest.mark.parametrize(
        ("version", "needs", "allowed"),
        [("0.3.0", "0.3", True), ("0.2.9", "0.3", False), ("0.10.0", "0.9", True), ("1.0.0rc1", "1.0", True)],
    )
    async def test_versions_compare_as_numbers(
        self,
        version: str,
        needs: str,
        allowed: bool,
        test_database: TestDatabase,
        admin: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("weft.__version__", version)
        await newer(admin, needs=needs)
        assert (await check(test_database.app))[0].warning is allowed


class TestReadiness:
    async def ask(self, database: Database) -> tuple[int, Any]:
        app = create_app(Services(database, open_scope, bytes(32)), [], readiness=Readiness(newest_revision()))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://weft.test") as client:
            answer = await client.get("/readyz")
        return answer.status_code, answer.json()

    async def test_a_newer_schema_is_served(self, database: Database, admin: Any) -> None:
        await newer(admin)
        status, said = await self.ask(database)
        assert (status, said["status"], said["checks"]["schema"]) == (200, "ready", "ahead")
        assert "still works with it" in said["detail"]

    async def test_a_forbidden_one_is_not_and_says_why(self, database: Database, admin: Any) -> None:
        await newer(admin, needs="0.4")
        status, said = await self.ask(database)
        assert (status, said["status"], said["checks"]["schema"]) == (503, "unready", "differs")
        assert said["detail"].startswith("The schema no longer works with this weft")

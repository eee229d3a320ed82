"""Plans, production's rules, going back, and beginning again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.migrating.conftest import SettingsFor
from tests.ops.migrating.revisions import REVISIONS, write

from weft.db import migrate
from weft.ops import connections, environments
from weft.ops.environments import EnvironmentRefuses
from weft.ops.installation import Addresses
from weft.ops.migrating import instances, reset, rollback, run, status
from weft.ops.migrating import plan as planning
from weft.ops.migrating.locks import Lock
from weft.ops.migrating.run import BackupMissing, BackupUnverified, MigrationHindered
from weft.ops.preflight import newest_revision

EXTRA = {"WEFT_MIGRATE_DIRECTORIES": str(REVISIONS)}


@dataclass
class Report:
    path: str = "/backups/one"
    verified: bool = True


@dataclass
class Maker:
    report: Report = field(default_factory=Report)
    reasons: list[str] = field(default_factory=list)

    async def make(self, reason: str) -> Report:
        self.reasons.append(reason)
        return self.report


async def planned(database: TestDatabase, target: str = "head", folder: Path = REVISIONS) -> planning.Plan:
    return await planning.make(database.owner, target, [folder])


class TestPlan:
    async def test_it_shows_statements_locks_sizes_and_what_is_in_the_way(
        self, test_database: TestDatabase, admin: Any
    ) -> None:
        await admin.execute(
            "insert into weft.app_instances (id, kind, host, version, revision)"
            " values (gen_random_uuid(), 'api', 'elm', '0.0.1', '0001')"
        )
        plan = await planned(test_database)
        assert (plan.at, [p.revision.id for p in plan.revisions]) == (newest_revision(), ["9001", "9002", "9003"])
        first, second, third = plan.revisions
        [step] = first.steps
        assert step.sql == "alter table weft.clients add column region text"
        assert [(t.table, t.lock) for t in step.locks] == [("clients", Lock.access_exclusive)]
        assert [t.lock for s in second.steps for t in s.locks] == [Lock.share_update_exclusive]
        assert second.limit == 0
        assert third.limit == 60
        assert plan.sizes["clients"].bytes > 0
        assert plan.obstacles == ("9003 needs weft 0.1, and the api on elm is 0.0.1",)
        document = plan.as_json()
        assert document["revisions"][0]["statements"][0]["locks"] == [
            {"table": "clients", "lock": "access exclusive", "new": False}
        ]

    async def test_a_risk_is_found_before_it_runs(self, test_database: TestDatabase, tmp_path: Path) -> None:
        risky = "create index clients_x on weft.clients (company); alter table weft.clients rename company to firm;"
        plan = await planned(test_database, folder=write(tmp_path, "9101", risky))
        rules = {finding.rule for finding in plan.revisions[0].findings}
        assert {"require-concurrent-index-creation", "renaming-column"} <= rules

    async def test_what_is_new_in_the_same_revision_is_no_risk(
        self, test_database: TestDatabase, tmp_path: Path
    ) -> None:
        new = "create table weft.boats (id uuid primary key); create index boats_id_idx on weft.boats (id);"
        plan = await planned(test_database, folder=write(tmp_path, "9101", new))
        rules = {finding.rule for finding in plan.revisions[0].findings}
        assert "require-concurrent-index-creation" not in rules

    async def test_a_table_that_somebody_holds_does_not_keep_it_waiting(
        self, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "_LOCK_SECONDS", 0.1)
        holder = await asyncpg.connect(test_database.owner)
        await holder.execute("begin; lock table weft.clients")
        try:
            async with asyncio.timeout(20):
                plan = await planned(test_database)
        finally:
            await holder.close()
        assert plan.sizes["clients"].bytes > 0

    async def test_a_revision_that_looks_at_the_database_is_named(
        self, test_database: TestDatabase, tmp_path: Path
    ) -> None:
        write(tmp_path, "9101", "python: print(op.get_bind().exec_driver_sql('select 1').scalar() + 1)")
        [only] = (await planned(test_database, folder=tmp_path)).revisions
        assert only.problem is not None
        assert only.steps == ()

    async def test_an_unfinished_backfill_is_in_the_way(self, test_database: TestDatabase, admin: Any) -> None:
        await migrate.upgrade(test_database.owner, "9001", directories=[REVISIONS])
        await admin.execute("set session_replication_role = replica")
        await admin.execute(
            "insert into weft.clients (tenant_id, id, name, name_key)"
            " values (gen_random_uuid(), gen_random_uuid(), 'a', 'a')"
        )
        plan = await planned(test_database)
        assert plan.obstacles == ("9003 needs the data migration 'fill_region', which has 1 rows left",)

    async def test_a_large_first_revision_is_a_plan_too(self, test_database: TestDatabase) -> None:
        await migrate.downgrade(test_database.owner, "base")
        plan = await planned(test_database, "head")
        assert plan.at is None
        assert len(plan.revisions[0].steps) > 300
        assert {t.table for step in plan.revisions[0].steps for t in step.locks if not t.new} == set()


class TestProduction:
    async def test_it_wants_a_verified_backup(
        self, test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor
    ) -> None:
        production = settings_for("production", **EXTRA)
        plan = await planned(test_database, "9001")
        with pytest.raises(BackupMissing, match="--no-backup"):
            await run.run(production, addresses, plan)
        with pytest.raises(BackupUnverified, match="/backups/one"):
            await run.run(production, addresses, plan, maker=Maker(Report(verified=False)))
        assert await migrate.current(test_database.app) == newest_revision()
        maker = Maker()
        outcome = await run.run(production, addresses, plan, maker=maker)
        assert maker.reasons == [f"before migrating from {newest_revision()} to 9001"]
        assert (outcome.after, outcome.backup) == ("9001", "/backups/one")
        [standing] = [s for s in await status.standings(test_database.app, [REVISIONS]) if s.revision == "9001"]
        assert standing.backup == "/backups/one"

    async def test_a_reason_goes_without_and_is_kept(
        self, test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor
    ) -> None:
        maker = Maker()
        plan = await planned(test_database, "9001")
        await run.run(settings_for("production", **EXTRA), addresses, plan, maker=maker, no_backup="a provider's")
        assert maker.reasons == []
        [standing] = [s for s in await status.standings(test_database.app, [REVISIONS]) if s.revision == "9001"]
        assert (standing.reason, standing.backup) == ("a provider's", None)

    async def test_what_would_stop_half_way_does_not_begin(
        self, test_database: TestDatabase, addresses: Addresses, admin: Any, settings_for: SettingsFor
    ) -> None:
        await admin.execute(
            "insert into weft.app_instances (id, kind, host, version, revision)"
            " values (gen_random_uuid(), 'api', 'elm', '0.0.1', '0001')"
        )
        with pytest.raises(MigrationHindered, match=r"(?s)stop half way.*weft db migrate --to 9002"):
            await run.run(settings_for(**EXTRA), addresses, await planned(test_database))
        assert await migrate.current(test_database.app) == newest_revision()


class TestRestorePoint:
    async def test_whoever_may_makes_one(
        self,
        test_database: TestDatabase,
        addresses: Addresses,
        settings_for: SettingsFor,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The owner may not, the administrator may. The tests' own server keeps too little for a real one."""
        asked: list[tuple[str, str]] = []

        class Connection:
            def __init__(self, dsn: str) -> None:
                self.dsn = dsn

            async def fetchval(self, _query: str, name: str) -> str:
                asked.append((self.dsn, name))
                if self.dsn == addresses.owner:
                    raise asyncpg.InsufficientPrivilegeError("permission denied")
                return "0/1234"

            async def close(self) -> None:
                return None

        async def connect(dsn: str, **_: str) -> Connection:
            return Connection(dsn)

        monkeypatch.setattr(run, "connect", connect)
        said: list[str] = []
        admin = test_database.cluster.dsn("postgres")
        with_admin = Addresses(addresses.app, addresses.owner, admin, embedded=False)
        outcome = await run.run(
            settings_for(**EXTRA), with_admin, await planned(test_database, "9001"), say=said.append
        )
        assert outcome.restore_point == "weft_before_9001"
        assert said == ["restore point weft_before_9001 at 0/1234"]
        assert asked[-1] == (test_database.admin, "weft_before_9001")

    async def test_without_the_right_it_is_said_and_goes_on(
        self, test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor
    ) -> None:
        said: list[str] = []
        outcome = await run.run(settings_for(**EXTRA), addresses, await planned(test_database, "9001"), say=said.append)
        assert (outcome.after, outcome.restore_point) == ("9001", None)
        assert "permission denied" in said[0]


class TestRollback:
    async def go(self, settings: Any, database: TestDatabase, to: str, asked: list[str]) -> str | None:
        way = await rollback.way(settings, database.owner, to)
        rollback.allow(way, lambda: asked.append(to))
        _, after = await rollback.take_back(settings, database.owner, way)
        return after

    @pytest.mark.parametrize("profile", environments.PROFILES)
    async def test_what_only_adds_goes_back_after_asking(
        self, profile: str, test_database: TestDatabase, settings_for: SettingsFor
    ) -> None:
        await migrate.upgrade(test_database.owner, "9002", directories=[REVISIONS])
        asked: list[str] = []
        assert await self.go(settings_for(profile, **EXTRA), test_database, "-1", asked) == "9001"
        assert asked == ["-1"]

    async def test_what_goes_with_it_is_named(self, test_database: TestDatabase, settings_for: SettingsFor) -> None:
        await migrate.upgrade(test_database.owner, "9002", directories=[REVISIONS])
        way = await rollback.way(settings_for(**EXTRA), test_database.owner, newest_revision())
        assert [(r.revision.id, r.drops) for r in way.returns] == [
            ("9002", ()),
            ("9001", ("alter table weft.clients drop column region",)),
        ]

    async def test_production_keeps_its_tables(self, test_database: TestDatabase, settings_for: SettingsFor) -> None:
        with pytest.raises(EnvironmentRefuses, match="weft db restore"):
            await self.go(settings_for("production"), test_database, "base", [])
        assert await migrate.current(test_database.app) == newest_revision()

    @pytest.mark.parametrize(
        "down",
        ["DROP TABLE weft.boats;", "/* a */ drop\n schema boats cascade;", "do 'begin drop table weft.boats; end';"],
    )
    async def test_production_keeps_them_however_it_is_written(
        self, down: str, test_database: TestDatabase, settings_for: SettingsFor, tmp_path: Path
    ) -> None:
        write(tmp_path, "9101", "create schema boats; create table weft.boats (id int);", down)
        await migrate.upgrade(test_database.owner, directories=[tmp_path])
        production = settings_for("production", WEFT_MIGRATE_DIRECTORIES=str(tmp_path))
        with pytest.raises(EnvironmentRefuses, match="roll back what drops tables"):
            await self.go(production, test_database, "-1", [])
        assert await migrate.current(test_database.app) == "9101"

    @pytest.mark.parametrize("profile", ["staging", "production"])
    async def test_a_contract_revision_offers_the_restore(
        self,
        profile: str,
        test_database: TestDatabase,
        addresses: Addresses,
        settings_for: SettingsFor,
    ) -> None:
        production = settings_for("production", **EXTRA)
        await run.run(production, addresses, await planned(test_database), maker=Maker())
        with pytest.raises(rollback.ContractStays, match=r"9003 .*`weft db restore /backups/one`"):
            await self.go(settings_for(profile, **EXTRA), test_database, "9001", [])
        assert await migrate.current(test_database.app) == "9003"

    async def test_development_may_go_back_over_it(
        self, test_database: TestDatabase, settings_for: SettingsFor
    ) -> None:
        await migrate.upgrade(test_database.owner, directories=[REVISIONS])
        asked: list[str] = []
        assert await self.go(settings_for(**EXTRA), test_database, "9002", asked) == "9002"
        assert asked == ["9002"]


class TestReset:
    async def test_it_begins_again_with_the_seed(
        self, test_database: TestDatabase, addresses: Addresses, admin: Any, settings_for: SettingsFor
    ) -> None:
        await admin.execute("insert into weft.tenants (id, slug, name) values (gen_random_uuid(), 'gone', 'Gone')")
        report = await reset.reset(settings_for(), addresses)
        assert report.revision == newest_revision()
        assert report.seeded.made
        slugs = {row[0] for row in await admin.fetch("select slug from weft.tenants")}
        assert slugs
        assert "gone" not in slugs

    async def test_not_while_something_works_on_it(
        self, test_database: TestDatabase, addresses: Addresses, admin: Any, settings_for: SettingsFor
    ) -> None:
        await admin.execute("insert into weft.tenants (id, slug, name) values (gen_random_uuid(), 'kept', 'Kept')")
        await admin.execute(
            "insert into weft.app_instances (id, kind, host, version, revision)"
            " values (gen_random_uuid(), 'worker', 'elm', '0.1.0', '0001')"
        )
        with pytest.raises(instances.InstallationRuns, match="worker on elm"):
            await reset.reset(settings_for(), addresses)
        assert await admin.fetchval("select count(*) from weft.tenants") == 1


class TestStatus:
    async def test_it_says_when_how_long_and_by_whom(self, test_database: TestDatabase) -> None:
        await migrate.upgrade(test_database.owner, "9001", directories=[REVISIONS])
        found = {s.revision: s for s in await status.standings(test_database.app, [REVISIONS])}
        assert found["9001"].is_applied
        assert found["9001"].version is not None
        assert found["9001"].applied_at is not None
        assert found["9001"].seconds is not None
        assert [s.revision for s in status.pending(list(found.values()))] == ["9002", "9003"]

    async def test_taken_back_is_not_applied(self, test_database: TestDatabase) -> None:
        await migrate.upgrade(test_database.owner, "9002", directories=[REVISIONS])
        await migrate.downgrade(test_database.owner, "9001", directories=[REVISIONS])
        found = {s.revision: s for s in await status.standings(test_database.app, [REVISIONS])}
        assert (found["9002"].is_applied, found["9002"].applied_at) == (False, None)

    async def test_revisions_of_a_newer_version_are_listed_too(self, test_database: TestDatabase) -> None:
        await migrate.upgrade(test_database.owner, "9001", directories=[REVISIONS])
        found = await status.standings(test_database.app)
        assert [(s.revision, s.is_applied, s.is_known) for s in found] == [
            (newest_revision(), True, True),
            ("9001", True, False),
        ]

    async def test_nothing_was_ever_applied(self, test_database: TestDatabase) -> None:
        owner = await asyncpg.connect(test_database.admin)
        await owner.execute("drop schema weft cascade")
        await owner.close()
        assert [s.is_applied for s in await status.standings(test_database.owner)] == [False]


async def test_two_runs_of_one_plan_are_one_migration(
    test_database: TestDatabase, addresses: Addresses, settings_for: SettingsFor
) -> None:
    plan = await planned(test_database, "9002")
    settings = settings_for(**EXTRA)
    outcomes = await asyncio.gather(*(run.run(settings, addresses, plan) for _ in range(3)))
    assert sorted(len(outcome.applied) for outcome in outcomes) == [0, 0, 2]
    assert {outcome.after for outcome in outcomes} == {"9002"}

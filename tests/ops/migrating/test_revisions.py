"""The chain of revisions, and applying them: one at a time, recorded, beside others and beside traffic."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.migrating.revisions import REVISIONS, write
from tests.ops.migrating.waiting import until

import weft
from weft.db import concurrent, fingerprint, migrate
from weft.db.checks import BackfillUnfinished, OlderVersionRuns
from weft.db.migrate import MigrationFailed, MigrationRuns, Options, Progress, SchemaLocked
from weft.db.revisions import Chain, ChainBroken, RevisionUnknown
from weft.ops.migrating.validate import validate
from weft.ops.preflight import newest_revision

EXTRA = [REVISIONS]
QUICK = Options(lock=0.05, attempts=2, pause=0.01)


class TestChain:
    def test_it_goes_up_and_down_by_name_and_by_number(self) -> None:
        chain = Chain(EXTRA)
        first = newest_revision()
        assert chain.head == "9003"
        assert [r.id for r in chain.upwards(None, "head")][-3:] == ["9001", "9002", "9003"]
        assert [r.id for r in chain.upwards(first, "+1")] == ["9001"]
        assert [r.id for r in chain.upwards("9001", "9002")] == ["9002"]
        assert chain.upwards("9003", "head") == []
        assert [r.id for r in chain.downwards("9003", "-2")] == ["9003", "9002"]
        assert [r.id for r in chain.downwards("9003", "9001")] == ["9003", "9002"]
        assert [r.id for r in chain.downwards("9001", "base")][-1] == "0001"

    def test_a_revision_says_what_it_is(self) -> None:
        chain = Chain(EXTRA)
        assert chain["9002"].concurrently
        assert (chain["9003"].kind, chain["9003"].needs) == ("contract", "0.1")
        assert chain["9003"].requires_data == ("fill_region",)
        assert chain["9001"].title == "Clients have a region."

    def test_what_it_does_not_have_is_refused(self) -> None:
        with pytest.raises(RevisionUnknown, match="weft db status"):
            Chain(EXTRA).upwards("8888", "head")
        with pytest.raises(RevisionUnknown, match="'9'"):
            Chain(EXTRA).upwards(None, "9")

    def test_two_heads_are_refused(self, tmp_path: Path) -> None:
        write(tmp_path, "9101", "select 1;")
        write(tmp_path, "9102", "select 1;")
        with pytest.raises(ChainBroken, match="2 heads"):
            Chain([tmp_path]).upwards(None, "head")

    def test_what_is_printed_is_what_is_run(self, tmp_path: Path) -> None:
        write(tmp_path, "9101", """python: op.execute("comment on table weft.clients is '100% ours'")""")
        chain = Chain([tmp_path])
        assert "is '100% ours';" in chain.sql(chain["9101"])


async def history(admin: Any) -> list[tuple[str, str, str]]:
    rows = await admin.fetch("select revision, direction, version from weft.migration_history order by applied_at")
    return [tuple(row) for row in rows]


async def test_every_step_is_recorded_in_its_own_transaction(test_database: TestDatabase, admin: Any) -> None:
    first = newest_revision()
    await migrate.upgrade(test_database.owner, "9002", directories=EXTRA, options=Options(reason="a test"))
    await migrate.downgrade(test_database.owner, "9001", directories=EXTRA)
    assert await history(admin) == [
        (first, "up", weft.__version__),
        ("9001", "up", weft.__version__),
        ("9002", "up", weft.__version__),
        ("9002", "down", weft.__version__),
    ]
    row = await admin.fetchrow("select * from weft.migration_history where revision = '9001'")
    assert (row["kind"], row["reason"], row["needs"]) == ("expand", "a test", None)
    assert 0 <= row["seconds"] < 60


async def test_a_failure_in_the_middle_is_clear_and_the_next_run_goes_on(
    test_database: TestDatabase, admin: Any, tmp_path: Path
) -> None:
    write(tmp_path, "9101", "alter table weft.clients add column one text;", "select 1;")
    broken = "alter table weft.clients add column two text; alter table weft.missing add column x text;"
    write(tmp_path, "9102", broken, before="9101")
    write(tmp_path, "9103", "alter table weft.clients add column three text;", before="9102")
    with pytest.raises(MigrationFailed, match=r"9102 .*missing.*Nothing of it is left.*9101 before it is applied"):
        await migrate.upgrade(test_database.owner, directories=[tmp_path])
    assert await migrate.current(test_database.app) == "9101"
    assert await columns(admin) >= {"one"}
    assert not {"two", "three"} & await columns(admin), "all of a revision or nothing"
    write(tmp_path, "9102", "alter table weft.clients add column two text;", before="9101")
    applied = await migrate.upgrade(test_database.owner, directories=[tmp_path])
    assert [r.id for r in applied] == ["9102", "9103"]
    assert await columns(admin) >= {"one", "two", "three"}
    assert [revision for revision, _, _ in await history(admin)][1:] == ["9101", "9102", "9103"]


async def columns(admin: Any) -> set[str]:
    rows = await admin.fetch(
        "select attname from pg_attribute where attrelid = 'weft.clients'::regclass and attnum > 0 and not attisdropped"
    )
    return {row[0] for row in rows}


async def test_a_lock_that_is_given_later_is_waited_for(test_database: TestDatabase, admin: Any) -> None:
    """The traffic in the way goes on, and the migration comes after it."""
    await admin.execute("begin; select count(*) from weft.clients")
    told: list[Progress] = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        if progress.what == "locked" and progress.attempt == 2:
            over.set()

    over = asyncio.Event()
    patient = Options(lock=0.05, attempts=20, pause=0.01)
    running = asyncio.create_task(
        migrate.upgrade(test_database.owner, "9001", directories=EXTRA, options=patient, tell=tell)
    )
    await over.wait()
    await admin.execute("commit")
    await running
    assert [p.what for p in told][:3] == ["begun", "locked", "locked"]
    assert told[-1].what == "done"
    assert await migrate.current(test_database.app) == "9001"


async def test_a_lock_that_is_never_given_names_the_revision(test_database: TestDatabase, admin: Any) -> None:
    await admin.execute("begin; select count(*) from weft.clients")
    with pytest.raises(SchemaLocked, match=r"Revision 9001 .*Nothing was changed by it"):
        await migrate.upgrade(test_database.owner, directories=EXTRA, options=QUICK)
    await admin.execute("rollback")
    assert await migrate.current(test_database.app) == newest_revision()


async def test_a_statement_that_takes_too_long_says_which_limit(test_database: TestDatabase, tmp_path: Path) -> None:
    write(tmp_path, "9101", "select pg_sleep(30);", more="statement_seconds = 0.05")
    with pytest.raises(MigrationFailed, match="statement_seconds"):
        await migrate.upgrade(test_database.owner, directories=[tmp_path])


async def test_whoever_comes_second_waits_for_its_turn(test_database: TestDatabase, admin: Any) -> None:
    await admin.execute("select pg_advisory_lock(hashtext('weft.migrate'))")
    told: list[str] = []
    with pytest.raises(MigrationRuns, match="Another migration"):
        await migrate.upgrade(
            test_database.owner, options=Options(turn=0.0), tell=lambda progress: told.append(progress.what)
        )
    waiting = asyncio.Event()
    second = asyncio.create_task(
        migrate.upgrade(test_database.owner, "9001", directories=EXTRA, tell=lambda _: waiting.set())
    )
    await waiting.wait()
    await admin.execute("select pg_advisory_unlock(hashtext('weft.migrate'))")
    assert [r.id for r in await second] == ["9001"]


async def test_a_migration_that_is_killed_leaves_whole_revisions(test_database: TestDatabase, admin: Any) -> None:
    """Killed while it waits for a lock: nothing of that revision is there, its turn is over, the next run goes on."""
    await admin.execute("begin; select count(*) from weft.clients")
    program = (
        "import asyncio, sys; from pathlib import Path; from weft.db import migrate;"
        "asyncio.run(migrate.upgrade(sys.argv[1], directories=[Path(sys.argv[2])], options=migrate.Options(lock=30)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, test_database.owner, str(REVISIONS))
    watcher = await asyncpg.connect(test_database.admin)
    waits = "datname = current_database() and application_name = 'weft migrate' and wait_event_type = 'Lock'"
    await until(watcher, f"select count(*) from pg_stat_activity where {waits}")
    process.kill()
    await process.wait()
    await watcher.close()
    await admin.execute("rollback")
    assert await migrate.current(test_database.app) == newest_revision()
    assert [r.id for r in await migrate.upgrade(test_database.owner, "9002", directories=EXTRA)] == ["9001", "9002"]


def index(name: str, table: str, columns: str, kind: str = "index") -> str:
    return f"python: run_concurrently('create {kind} concurrently if not exists {name} on weft.{table} {columns}')"


def gone(name: str, how: str = "concurrently ") -> str:
    return f"python: run_concurrently('drop index {how}if exists weft.{name}')"


FORMS = [
    "create unique index concurrently zz_key on weft.zz (a)",
    "create unique index concurrently zz_key\n    on weft.zz (a)",
    "/* one */ CREATE UNIQUE INDEX CONCURRENTLY Zz_Key -- folded\nON WEFT.ZZ(a)",
    'create unique index concurrently "Zz ""key"" 50%" on only weft . "zz" using btree (a)',
    'create unique index concurrently zz_key on weft."Z z" (a)',
]


class TestConcurrentIndexes:
    async def test_up_down_up(self, test_database: TestDatabase, admin: Any) -> None:
        await migrate.upgrade(test_database.owner, "9001", directories=EXTRA)
        before = await fingerprint.take(admin)
        await migrate.upgrade(test_database.owner, "9002", directories=EXTRA)
        after = await fingerprint.take(admin)
        assert after["index", "clients_region_idx"]["valid"] is True
        await migrate.downgrade(test_database.owner, "9001", directories=EXTRA)
        assert fingerprint.compare(before, await fingerprint.take(admin)) == []
        await migrate.upgrade(test_database.owner, "9002", directories=EXTRA)
        assert fingerprint.compare(after, await fingerprint.take(admin)) == []

    async def test_what_a_failure_left_is_removed_first(
        self, test_database: TestDatabase, admin: Any, tmp_path: Path
    ) -> None:
        """A unique index over rows that are not unique fails half way and leaves an index that is not valid."""
        await plant(admin, 2)
        up = index("clients_twice_idx", "clients", "(tenant_id, is_active)", "unique index")
        write(tmp_path, "9101", up, gone("clients_twice_idx"), more="concurrently = True")
        with pytest.raises(MigrationFailed, match=r"could not create unique index.*next run removes it"):
            await migrate.upgrade(test_database.owner, directories=[tmp_path])
        valid = "select indisvalid from pg_index where indexrelid = to_regclass('weft.clients_twice_idx')"
        assert await admin.fetchval(valid) is False
        await admin.execute("set session_replication_role = replica; delete from weft.clients")
        await migrate.upgrade(test_database.owner, directories=[tmp_path])
        assert await admin.fetchval(valid) is True
        assert await migrate.current(test_database.app) == "9101"

    @pytest.mark.parametrize("written", FORMS)
    async def test_it_is_removed_however_it_is_written(
        self, written: str, test_database: TestDatabase, admin: Any
    ) -> None:
        """The second run is the first that may count: the first left an index that is not valid."""
        owner = await asyncpg.connect(test_database.owner)
        try:
            await owner.execute('create table weft.zz (a int); create table weft."Z z" (a int)')
            await owner.execute('insert into weft.zz values (1), (1); insert into weft."Z z" values (1), (1)')
            with pytest.raises(asyncpg.UniqueViolationError):
                await concurrent.execute(owner, written)
            await owner.execute('delete from weft.zz; delete from weft."Z z"')
            await concurrent.execute(owner, written)
            valid = "select indisvalid from pg_index where indrelid in ('weft.zz'::regclass, 'weft.\"Z z\"'::regclass)"
            assert [row[0] for row in await owner.fetch(valid)] == [True]
            again = re.sub("concurrently", "concurrently IF NOT\n EXISTS", written, flags=re.IGNORECASE)
            await concurrent.execute(owner, again)
        finally:
            await owner.close()

    @pytest.mark.parametrize("form", ["on weft.clients (name)", "x on weft.clients", "a.x on weft.clients (name)"])
    async def test_what_is_not_understood_is_refused_before_anything_runs(
        self, form: str, test_database: TestDatabase, admin: Any, tmp_path: Path
    ) -> None:
        build = f"create index concurrently y on weft.clients (name); create /* a */ index concurrently {form}"
        write(tmp_path, "9101", f"python: run_concurrently('{build}')", gone("y"), more="concurrently = True")
        with pytest.raises(concurrent.IndexNotUnderstood, match=r"create index concurrently .*Nothing was run"):
            await migrate.upgrade(test_database.owner, directories=[tmp_path])
        assert ("index", "y") not in await fingerprint.take(admin)
        [check] = [check for check in validate([tmp_path]) if check.problems]
        assert "IndexNotUnderstood" in check.problems[0]

    async def test_a_name_that_another_index_has_is_no_index(self, test_database: TestDatabase, tmp_path: Path) -> None:
        build = index("clients_pkey", "workflows", "(tenant_id, id)")
        write(tmp_path, "9101", build, gone("clients_pkey"), more="concurrently = True")
        with pytest.raises(concurrent.IndexNotValid, match=r"clients_pkey .* not a valid index of weft\.workflows"):
            await migrate.upgrade(test_database.owner, directories=[tmp_path])
        assert await migrate.current(test_database.app) == newest_revision()

    async def test_a_partitioned_table_may_be_written_in_any_form(
        self, test_database: TestDatabase, admin: Any
    ) -> None:
        owner = await asyncpg.connect(test_database.owner)
        try:
            await concurrent.execute(
                owner, 'CREATE INDEX CONCURRENTLY "By  Note"\n ON ONLY weft . AUDIT_LOGS(tenant_id)\n'
                " where resource_id <> 'a  b' -- none"
            )  # fmt: skip
        finally:
            await owner.close()
        found = (await fingerprint.take(admin))["index", "By  Note"]
        assert found["valid"] is True
        assert "'a  b'" in found["definition"]

    async def test_writes_go_on_while_it_is_built(
        self, test_database: TestDatabase, admin: Any, tmp_path: Path
    ) -> None:
        """It waits for an older transaction that has written; other writes do not wait for it."""
        await plant(admin, 2)
        build = index("clients_active_idx", "clients", "(tenant_id, is_active)")
        write(tmp_path, "9101", build, gone("clients_active_idx"), more="concurrently = True")
        await admin.execute("begin; update weft.clients set company = 'open'")
        running = asyncio.create_task(migrate.upgrade(test_database.owner, directories=[tmp_path]))
        other = await asyncpg.connect(test_database.admin)
        try:
            await until(
                other,
                "select count(*) from pg_stat_progress_create_index where datname = current_database()",
                while_=running,
            )
            await other.execute("set session_replication_role = replica; set lock_timeout = '2s'")
            await plant(other, 1)
            assert not running.done()
            await admin.execute("commit")
            await running
        finally:
            await other.close()

    async def test_a_partitioned_table_gets_it_partition_by_partition(
        self, test_database: TestDatabase, admin: Any, tmp_path: Path
    ) -> None:
        build = index("execution_logs_visit_idx", "execution_logs", "(tenant_id, visit)")
        write(tmp_path, "9101", build, gone("execution_logs_visit_idx", ""), more="concurrently = True")
        before = await fingerprint.take(admin)
        await migrate.upgrade(test_database.owner, directories=[tmp_path])
        whole = await fingerprint.take(admin)
        assert whole["index", "execution_logs_visit_idx"]["valid"] is True
        await migrate.downgrade(test_database.owner, "-1", directories=[tmp_path])
        assert fingerprint.compare(before, await fingerprint.take(admin)) == []
        left = "select count(*) from pg_class where relname like '%execution_logs_visit_idx'"
        assert await admin.fetchval(left) == 0
        await migrate.upgrade(test_database.owner, directories=[tmp_path])
        assert await admin.fetchval("select weft.ensure_partitions(5)") == 4
        count = "select count(*) from pg_inherits where inhparent = 'weft.execution_logs_visit_idx'::regclass"
        partitions = "select count(*) from pg_inherits where inhparent = 'weft.execution_logs'::regclass"
        assert await admin.fetchval(count) == await admin.fetchval(partitions), "new partitions get it by themselves"


async def plant(connection: Any, clients: int) -> None:
    """Clients of one tenant, without the tenant."""
    await connection.execute("set session_replication_role = replica")
    await connection.execute(
        "insert into weft.clients (tenant_id, id, name, name_key) select '00000000-0000-0000-0000-000000000001',"
        f" gen_random_uuid(), n::text, n::text || gen_random_uuid() from generate_series(1, {clients}) n"
    )


class TestContract:
    async def beat(self, admin: Any, version: str, *, seconds_ago: int = 0) -> None:
        await admin.execute(
            "insert into weft.app_instances (id, kind, host, version, revision, seen_at)"
            " values (gen_random_uuid(), 'worker', 'oak', $1, '0001', clock_timestamp() - $2 * interval '1 second')",
            version,
            seconds_ago,
        )

    async def test_it_waits_for_its_backfill(self, test_database: TestDatabase, admin: Any) -> None:
        await plant(admin, 3)
        with pytest.raises(BackfillUnfinished, match=r"3 rows of 1 tenant are left.*weft db data run fill_region"):
            await migrate.upgrade(test_database.owner, directories=EXTRA)
        assert await migrate.current(test_database.app) == "9002"
        await admin.execute("update weft.clients set region = 'here'")
        await migrate.upgrade(test_database.owner, directories=EXTRA)
        assert await migrate.current(test_database.app) == "9003"
        assert await admin.fetchval("select needs from weft.migration_history where revision = '9003'") == "0.1"

    async def test_it_is_asked_of_what_works_without_a_lock_too(
        self, test_database: TestDatabase, admin: Any, tmp_path: Path
    ) -> None:
        """The questions begin a transaction, in which no index could be built without a lock."""
        more = 'concurrently = True\nneeds = "0.1"\nrequires_data = ("fill_region",)'
        up = index("clients_region_key", "clients", "(tenant_id, region)", "unique index")
        write(tmp_path, "9101", up, gone("clients_region_key"), before="9003", kind="contract", more=more)
        folders = [*EXTRA, tmp_path]
        await self.beat(admin, "0.0.9")
        with pytest.raises(OlderVersionRuns):
            await migrate.upgrade(test_database.owner, directories=folders)
        await admin.execute("delete from weft.app_instances")
        await migrate.upgrade(test_database.owner, directories=folders)
        assert (await fingerprint.take(admin))["index", "clients_region_key"]["valid"] is True
        assert [r.id for r in await migrate.downgrade(test_database.owner, "9003", directories=folders)] == ["9101"]
        assert ("index", "clients_region_key") not in await fingerprint.take(admin)

    async def test_it_refuses_while_an_older_version_lives(self, test_database: TestDatabase, admin: Any) -> None:
        await self.beat(admin, "0.0.9")
        await self.beat(admin, "0.1.0")
        with pytest.raises(OlderVersionRuns, match=r"worker 0\.0\.9 on oak\. Nothing"):
            await migrate.upgrade(test_database.owner, directories=EXTRA)
        assert await migrate.current(test_database.app) == "9002"

    async def test_one_that_was_not_heard_of_for_a_minute_is_gone(
        self, test_database: TestDatabase, admin: Any
    ) -> None:
        await self.beat(admin, "0.0.9", seconds_ago=61)
        await migrate.upgrade(test_database.owner, directories=EXTRA)
        assert await migrate.current(test_database.app) == "9003"

    async def test_one_that_does_not_say_what_it_needs_is_refused(
        self, test_database: TestDatabase, tmp_path: Path
    ) -> None:
        write(tmp_path, "9101", "select 1;", kind="contract")
        with pytest.raises(ChainBroken, match=r'needs = "x\.y"'):
            await migrate.upgrade(test_database.owner, directories=[tmp_path])


async def test_references_are_looked_at_although_row_security_binds_the_owner(
    test_database: TestDatabase, admin: Any, tmp_path: Path
) -> None:
    """Without maintenance the owner sees no row, and an orphan would pass the validation of a reference."""
    await plant(admin, 1)
    write(
        tmp_path, "9101",
        "alter table weft.clients add constraint probe foreign key (tenant_id) references weft.tenants (id) not valid;"
        " alter table weft.clients validate constraint probe;",
        "alter table weft.clients drop constraint probe;",
    )  # fmt: skip
    with pytest.raises(MigrationFailed, match="violates foreign key constraint"):
        await migrate.upgrade(test_database.owner, directories=[tmp_path])

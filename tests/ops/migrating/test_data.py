"""Data migrations: every tenant, under row security, batch by batch, gone on with after a kill, counted at the end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.migrating.revisions import REVISIONS
from tests.ops.migrating.waiting import until

from weft.core.ids import new_id
from weft.db import data_definitions, migrate
from weft.db.data_definitions import DataMigration, DataMigrationInvalid, batched_update
from weft.ops.installation import Addresses
from weft.ops.migrating import data
from weft.ops.migrating.data import (
    DataMigrationFailed,
    DataMigrationInterrupted,
    DataMigrationRuns,
    DataProgress,
    DataReport,
    Pace,
    RevisionNeeded,
    RowsLeft,
)
from weft.ops.migrating.data_status import standings

FILL = data_definitions.load([REVISIONS])["fill_region"]
AT_ONCE = Pace(rest=0.0)
OURS = "datname = current_database() and application_name = 'weft data'"
IMPORT = "from weft.db.data_definitions import DataMigration\n"


@pytest.fixture
async def tenants(test_database: TestDatabase, admin: Any) -> list[UUID]:
    """Two tenants with 250 and 30 clients, and one without; the column is there."""
    await migrate.upgrade(test_database.owner, "9001", directories=[REVISIONS])
    made = [new_id(), new_id(), new_id()]
    await admin.execute("set session_replication_role = replica")
    for tenant, count in zip(made, (250, 30, 0), strict=True):
        await admin.execute("insert into weft.tenants (id, slug, name) values ($1, $2, 'T')", tenant, tenant.hex)
        await admin.execute(
            "insert into weft.clients (tenant_id, id, name, name_key)"
            " select $1, gen_random_uuid(), n::text, n::text from generate_series(1, $2) n",
            tenant,
            count,
        )
    await admin.execute("set session_replication_role = origin")
    return made


async def run(addresses: Addresses, migration: DataMigration = FILL, **more: Any) -> DataReport:
    return await data.run(
        migration, app=addresses.app, owner=addresses.require_owner(), directories=[REVISIONS],
        **{"pace": AT_ONCE, **more},
    )  # fmt: skip


async def empty(admin: Any) -> int:
    count: int = await admin.fetchval("select count(*) from weft.clients where region is null")
    return count


async def records(admin: Any) -> Mapping[UUID, Any]:
    return {row["tenant_id"]: row for row in await admin.fetch("select * from weft.data_migrations")}


async def test_every_row_of_every_tenant_is_changed_once(addresses: Addresses, admin: Any, tenants: list[UUID]) -> None:
    told: list[DataProgress] = []
    report = await run(addresses, tell=told.append)
    assert (report.rows, report.tenants, report.is_done) == (280, 2, True)
    assert await empty(admin) == 0
    assert {t: (r["state"], r["rows"], r["expected"]) for t, r in (await records(admin)).items()} == {
        tenants[0]: ("done", 250, 250),
        tenants[1]: ("done", 30, 30),
    }
    assert [p.rows for p in told] == [100, 200, 250, 280]
    assert {p.expected for p in told} == {280}
    assert (await run(addresses)).rows == 0, "nothing is left to do"


async def test_it_works_as_the_application_and_the_audit_log_names_it(
    addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    await run(addresses)
    rows = await admin.fetch("select actor_name, tenant_id, count(*) from weft.audit_logs group by 1, 2")
    assert {tuple(row) for row in rows} == {
        ("data migration fill_region", tenants[0], 250),
        ("data migration fill_region", tenants[1], 30),
    }


async def test_a_pause_ends_it_after_the_batch_and_it_goes_on_there(
    addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    pause = asyncio.Event()
    report = await run(addresses, pause=pause, tell=lambda _: pause.set())
    assert (report.rows, report.is_done) == (100, False)
    assert await empty(admin) == 180
    report = await run(addresses)
    assert (report.rows, report.is_done) == (180, True)
    assert (await records(admin))[tenants[0]]["rows"] == 250


async def test_killed_between_batches_it_repeats_none(
    test_database: TestDatabase, addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    """The process is killed in the middle, with a batch in hand: its rows and its cursor go together."""
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from weft.db import data_definitions; from weft.ops.migrating import data\n"
        "d = [Path(sys.argv[3])]\n"
        "m = data_definitions.load(d)['fill_region']\n"
        "asyncio.run(data.run(m, app=sys.argv[1], owner=sys.argv[2], directories=d, pace=data.Pace(10, 1000)))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, test_database.app, test_database.owner, str(REVISIONS)
    )
    await until(admin, "select count(*) > 0 from weft.clients where region is not null")
    process.kill()
    await process.wait()
    await until(admin, f"select count(*) = 0 from pg_stat_activity where {OURS}")
    done = 280 - await empty(admin)
    assert done < 280, "it was killed too late to tell"
    assert sum(r["rows"] for r in (await records(admin)).values()) == done
    assert (await run(addresses)).rows == 280 - done
    assert await admin.fetchval("select count(*) from weft.audit_logs") == 280, "each row once"


async def test_only_one_runs_at_a_time(test_database: TestDatabase, addresses: Addresses, tenants: list[UUID]) -> None:
    other = await asyncpg.connect(test_database.owner)
    try:
        await other.execute("select pg_advisory_lock(hashtext('weft.data.fill_region'))")
        with pytest.raises(DataMigrationRuns):
            await run(addresses)
        [standing] = await standings(addresses.require_owner(), {"fill_region": FILL})
        assert standing.state == "runs"
    finally:
        await other.close()


async def test_it_gives_way_to_whoever_has_the_rows(
    test_database: TestDatabase, addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    other = await asyncpg.connect(test_database.admin)
    try:
        await other.execute("begin; update weft.clients set company = 'busy'")
        running = asyncio.create_task(run(addresses))
        waits = f"{OURS} and wait_event_type = 'Lock'"
        await until(admin, f"select count(*) from pg_stat_activity where {waits}", while_=running)
        await until(admin, f"select count(*) = 0 from pg_stat_activity where {waits}")  # it gave the batch up
        await other.execute("commit")
        report = await running
    finally:
        await other.close()
    assert report.yielded >= 1
    assert (report.rows, await empty(admin)) == (280, 0)


async def test_a_condition_that_reaches_nothing_is_not_taken_for_success(
    addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    """The silent zero: the statement runs for the wrong rows, changes nothing, and nobody complains."""
    blind = replace(FILL, batch=FILL.batch.replace("t.region is null", "t.region = 'nowhere'"))
    with pytest.raises(RowsLeft, match=r"280 rows of 2 tenants are left\. None of them was changed"):
        await run(addresses, blind)
    assert {r["state"] for r in (await records(admin)).values()} == {"running"}
    assert (await run(addresses)).rows == 280, "mended, it begins anew"


async def test_rows_that_an_older_version_writes_meanwhile_are_found(
    addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    await run(addresses, pause=(pause := asyncio.Event()), tell=lambda _: pause.set())
    await admin.execute("update weft.clients set region = null where region is not null")  # behind the cursor
    with pytest.raises(RowsLeft, match=r"100 rows of 1 tenant are left\. Processes of an older version"):
        await run(addresses)
    assert (await run(addresses)).rows == 100
    assert await empty(admin) == 0


async def test_a_failing_batch_is_said_kept_and_gone_on_from(
    addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    await admin.execute(
        f"alter table weft.clients add constraint probe check (region is null or tenant_id <> '{tenants[1]}')"
    )
    with pytest.raises(DataMigrationFailed, match=rf"in tenant {tenants[1]}: .*probe.*goes on from there"):
        await run(addresses)
    [standing] = await standings(addresses.require_owner(), {"fill_region": FILL})
    assert (standing.state, standing.rows, standing.left) == ("failed", 250, 30)
    assert [t["error"] is None for t in standing.tenants] == [True, False]
    await admin.execute("alter table weft.clients drop constraint probe")
    assert (await run(addresses)).rows == 30
    [standing] = await standings(addresses.require_owner(), {"fill_region": FILL})
    assert (standing.state, standing.left) == ("done", 0)


async def test_a_lost_connection_is_said(addresses: Addresses, admin: Any, tenants: list[UUID]) -> None:
    cut = f"select count(pg_terminate_backend(pid)) from pg_stat_activity where {OURS}"
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Any]] = []
    with pytest.raises(DataMigrationInterrupted, match="goes on where it was"):
        await run(addresses, pace=Pace(10, 1.0), tell=lambda _: tasks.append(loop.create_task(admin.execute(cut))))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await run(addresses)).is_done


async def test_it_needs_its_revision(addresses: Addresses, test_database: TestDatabase) -> None:
    with pytest.raises(RevisionNeeded, match="needs revision 9001"):
        await run(addresses)
    [standing] = await standings(addresses.require_owner(), {"fill_region": FILL})
    assert (standing.state, standing.left) == ("waits for its revision", None)


async def test_the_owner_may_change_what_the_application_may_not(
    addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    await admin.execute("revoke update on weft.clients from weft_app")
    with pytest.raises(DataMigrationFailed, match="permission denied"):
        await run(addresses)
    assert (await run(addresses, replace(FILL, role="owner"))).rows == 280


async def test_the_least_key_is_reached_and_no_row_twice(addresses: Addresses, admin: Any, tenants: list[UUID]) -> None:
    """The nil UUID, and the empty text, are keys as any other."""
    await admin.execute("set session_replication_role = replica")
    await admin.execute(
        "insert into weft.clients (tenant_id, id, name, name_key) values ($1, $2, 'nil', ''), ($3, $2, 'nil', '')",
        tenants[1], UUID(int=0), tenants[2],
    )  # fmt: skip
    for key in ({"id": "uuid"}, {"name_key": "text"}, {"name_key": "text", "id": "uuid"}):
        await admin.execute("update weft.clients set region = null; delete from weft.data_migrations")
        sql = batched_update("clients", key, "region = coalesce(t.region, '') || 'x'", "true")
        pending = "select tenant_id, count(*) from weft.clients where region is null group by 1"
        report = await run(addresses, DataMigration("least", "", pending, sql["batch"], rows=50))
        assert report.rows == 282
        assert await admin.fetchval("select count(*) from weft.clients where region is distinct from 'x'") == 0


async def test_an_index_serves_the_walk(test_database: TestDatabase) -> None:
    """With a plan for any cursor, as a driver that keeps statements comes to it."""
    sql = batched_update("clients", {"id": "uuid"}, "region = 'x'", "t.name = ''")["batch"].replace("region", "company")
    connection = await asyncpg.connect(test_database.owner)
    try:
        await connection.execute("set plan_cache_mode = force_generic_plan; set enable_seqscan = off")
        await connection.execute(f"prepare walk (uuid, jsonb, integer) as {sql}")
        plan = await connection.fetch("explain execute walk (gen_random_uuid(), null, 10)")
    finally:
        await connection.close()
    lines = [row[0].strip() for row in plan]
    assert any("Index Cond" in line and "(id >= " in line for line in lines), "\n".join(lines)


@pytest.mark.parametrize("role", ["app", "owner"])
async def test_a_condition_with_or_stays_within_the_batch_and_the_tenant(
    role: Literal["app", "owner"], addresses: Addresses, admin: Any, tenants: list[UUID]
) -> None:
    """The owner's eyes see every tenant: nothing but the statement keeps them apart."""
    sql = batched_update("clients", {"id": "uuid"}, "region = 'europe'", "t.region = '' or t.region is null")
    told: list[DataProgress] = []
    report = await run(addresses, replace(FILL, role=role, **sql), tell=told.append)
    assert report.rows == 280
    assert [progress.rows for progress in told] == [100, 200, 250, 280], "a batch changes its own rows only"
    assert {t: r["rows"] for t, r in (await records(admin)).items()} == {tenants[0]: 250, tenants[1]: 30}


class TestDefinitions:
    def test_a_key_of_several_columns(self) -> None:
        sql = batched_update("execution_logs", {"started_at": "timestamptz", "id": "uuid"}, "message = ''", "true")
        assert "(t.started_at, t.id, 1) > " in sql["batch"]
        assert "then '-infinity' else" in sql["batch"]
        with pytest.raises(DataMigrationInvalid, match="jsonb"):
            batched_update("clients", {"id": "jsonb"}, "x = 1", "true")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("X = 1", "no MIGRATION"),
            (
                f"{IMPORT}MIGRATION = DataMigration(name='a', title='', pending='', batch='update weft.clients')",
                "tenant_id = ",
            ),
            (
                f"{IMPORT}MIGRATION = DataMigration(name='A b', title='', pending='', batch='tenant_id = $1')",
                "lower case",
            ),
        ],
    )
    def test_a_module_that_is_none_is_refused(self, text: str, said: str, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "one.py").write_text(text)
        with pytest.raises(DataMigrationInvalid, match=said):
            data_definitions.load([tmp_path])

    def test_two_of_a_name_are_refused(self) -> None:
        with pytest.raises(DataMigrationInvalid, match="Two data migrations"):
            data_definitions.load([REVISIONS, REVISIONS])

"""What is too old goes: archived first, whole families only, one batch at a time; and nothing else does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.factories import executions

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.hot import transaction
from weft.domain.retention import queries
from weft.domain.retention.rules import Bounds
from weft.ops import archives, retention
from weft.ops.retention import Report, Sweep

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=40), NOW - timedelta(days=5)
KEEP_30 = Bounds(default_days=30)


class Shelf:
    """Executions as they may stand in a database, made without the engine."""

    def __init__(self, database: Database, actor: Actor, workflow_id: UUID, version_id: UUID) -> None:
        self.database = database
        self.actor = actor
        self.workflow_id = workflow_id
        self.version_id = version_id
        self.number = 0

    async def put(
        self, at: datetime, *, status: str = "COMPLETED", parent: UUID | None = None, logs: int = 2, ended: bool = True
    ) -> UUID:
        execution_id = new_id()
        self.number += 1
        async with transaction(self.database, self.actor) as connection:
            await connection.execute(
                "insert into weft.workflow_executions (tenant_id, id, workflow_id, version_id, number, status, input,"
                " parent_id, created_at, updated_at, started_at, completed_at)"
                " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $9, $10)",
                self.actor.tenant_id, execution_id, self.workflow_id, self.version_id, self.number, status,
                {"amount": self.number}, parent, at, at + timedelta(minutes=1) if ended else None,
            )  # fmt: skip
            for visit in range(1, logs + 1):
                await connection.execute(
                    "insert into weft.execution_logs (tenant_id, execution_id, id, step_key, visit, attempt, status,"
                    " started_at, completed_at, data, saved_in)"
                    " values ($1, $2, $3, 'answer', $4, 1, 'COMPLETED', $5, $5, $6, 1)",
                    self.actor.tenant_id, execution_id, new_id(), visit, at, {"said": "é" * visit},
                )  # fmt: skip
        return execution_id

    async def left(self) -> set[UUID]:
        return {UUID(int=row["id"].int) for row in await self.fetch("select id from weft.workflow_executions")}

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with transaction(self.database, self.actor, read_only=True) as connection:
            rows: list[Any] = await connection.fetch(query, *values)
        return rows


async def months(test_database: TestDatabase) -> list[str]:
    """The journal's months; those of the past that these tests need are made first."""
    admin = await asyncpg.connect(test_database.admin)
    try:
        rows = await admin.fetch(
            "select relname from pg_class where relname like 'execution_logs_2%' and relkind = 'r' order by 1"
        )
    finally:
        await admin.close()
    return [row[0] for row in rows]


async def make_months(test_database: TestDatabase, *firsts: datetime) -> None:
    admin = await asyncpg.connect(test_database.owner)
    try:
        for first in firsts:
            until = (first + timedelta(days=32)).replace(day=1)
            name = f"weft.execution_logs_{first:%Y%m}"
            if await admin.fetchval("select to_regclass($1) is null", name):
                await admin.execute(
                    f"create table {name} partition of weft.execution_logs"
                    f" for values from ('{first:%Y-%m-%d} 00:00:00+00') to ('{until:%Y-%m-%d} 00:00:00+00')"
                )
                await admin.execute(f"alter table {name} enable row level security")
                await admin.execute(f"alter table {name} force row level security")
    finally:
        await admin.close()


@pytest.fixture
async def past(test_database: TestDatabase) -> None:
    await make_months(test_database, *(datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5, 6)))


async def shelf_of(database: Database, actor: Actor) -> Shelf:
    workflow_id = await executions.workflow(database, actor)
    async with transaction(database, actor, read_only=True) as connection:
        version_id = await connection.fetchval(
            "select current_version_id from weft.workflows where id = $1", workflow_id
        )
    return Shelf(database, actor, workflow_id, version_id)


@pytest.fixture
async def shelf(database: Database, ada: Actor, past: None) -> Shelf:
    return await shelf_of(database, ada)


@pytest.fixture
async def other(database: Database, bob: Actor, past: None) -> Shelf:
    return await shelf_of(database, bob)


@pytest.fixture
def rounds(database: Database, tmp_path: Path) -> Sweep:
    return Sweep(database, tmp_path, KEEP_30)


def files(directory: Path) -> list[Path]:
    return list(directory.rglob("*.jsonl.gz"))


def archived(directory: Path, report: Report) -> dict[str, Any]:
    """Execution id -> line, of every file of a report; each file is whole."""
    found: dict[str, Any] = {}
    for file in report.files:
        path = archives.find_file(file, directory)
        archives.verify(path)
        found |= {line["execution"]["id"]: line for line in archives.lines(path)}
    return found


async def test_what_is_too_old_is_archived_and_gone(shelf: Shelf, rounds: Sweep, tmp_path: Path) -> None:
    old = [await shelf.put(OLD, status=status) for status in ("COMPLETED", "FAILED", "CANCELLED")]
    stays = {
        await shelf.put(YOUNG),
        await shelf.put(OLD, status="WAITING", ended=False),
        await shelf.put(OLD, status="PENDING", ended=False, logs=0),
    }
    report = await rounds.run(NOW)
    assert (report.executions, report.archived, report.is_done) == (3, 3, True)
    assert await shelf.left() == stays
    lines = archived(tmp_path, report)
    assert set(lines) == {str(one) for one in old}
    line = lines[str(old[0])]
    assert line["execution"]["input"] == {"amount": 1}
    assert [(log["visit"], log["data"]) for log in line["execution_logs"]] == [(1, {"said": "é"}), (2, {"said": "éé"})]
    assert {row["execution_id"] for row in await shelf.fetch("select execution_id from weft.execution_logs")} <= stays
    (row,) = await shelf.fetch("select * from weft.archives")
    assert (row["executions"], row["rows"], row["file"]) == (3, 6, report.files[0])
    assert (row["period_from"], row["period_to"]) == (OLD, OLD)
    (audit,) = await shelf.fetch("select * from weft.audit_logs where resource_type = 'archives'")
    assert (audit["action"], audit["actor_name"]) == ("insert", "retention")


async def test_nothing_goes_unless_somebody_said_so(shelf: Shelf, database: Database, tmp_path: Path) -> None:
    await shelf.put(OLD)
    assert (await Sweep(database, tmp_path, Bounds()).run(NOW)).executions == 0
    assert len(await shelf.left()) == 1
    assert files(tmp_path) == []


async def test_each_tenant_has_its_own_say(
    shelf: Shelf, other: Shelf, rounds: Sweep, database: Database, tmp_path: Path
) -> None:
    mine, theirs = await shelf.put(OLD), await other.put(OLD)
    async with transaction(database, shelf.actor) as connection:
        await connection.execute(
            "update weft.tenants set retention = $2 where id = $1", shelf.actor.tenant_id, {"executions_days": 365}
        )
    report = await rounds.run(NOW)
    assert await shelf.left() == {mine}
    assert await other.left() == set()
    assert set(archived(tmp_path, report)) == {str(theirs)}
    assert report.files[0].startswith(f"{other.actor.tenant_id}/2026/05/")
    assert (await rounds.run(NOW, only=shelf.actor.tenant_id)).executions == 0


async def test_without_an_archive_only_when_it_was_said(
    shelf: Shelf, rounds: Sweep, database: Database, tmp_path: Path
) -> None:
    await shelf.put(OLD)
    async with transaction(database, shelf.actor) as connection:
        await connection.execute(
            "update weft.tenants set retention = $2 where id = $1", shelf.actor.tenant_id, {"archive": False}
        )
    report = await rounds.run(NOW)
    assert (report.executions, report.archived, report.files) == (1, 0, [])
    (row,) = await shelf.fetch("select * from weft.archives")
    assert (row["executions"], row["file"], row["sha256"]) == (1, None, None)


async def test_families_go_whole_or_stay_whole(shelf: Shelf, rounds: Sweep, tmp_path: Path) -> None:
    gone = await shelf.put(OLD)
    child = await shelf.put(OLD, parent=gone)
    grandchild = await shelf.put(OLD, parent=child, status="FAILED")
    busy = await shelf.put(OLD)
    at_work = await shelf.put(OLD, parent=busy, status="RUNNING", ended=False)
    late = await shelf.put(OLD)
    late_child = await shelf.put(YOUNG, parent=late)
    report = await rounds.run(NOW)
    assert set(archived(tmp_path, report)) == {str(one) for one in (gone, child, grandchild)}
    assert await shelf.left() == {busy, at_work, late, late_child}


async def test_batches_follow_each_other_past_those_that_stay(shelf: Shelf, database: Database, tmp_path: Path) -> None:
    """Families that stay, at the old end and as many as a batch, hold nothing up."""
    for n in range(3):
        parent = await shelf.put(OLD - timedelta(hours=10 - n), logs=0)
        await shelf.put(OLD, parent=parent, status="RUNNING", ended=False, logs=0)
    for n in range(5):
        await shelf.put(OLD + timedelta(minutes=n), status=("COMPLETED", "FAILED")[n % 2], logs=1)
    report = await Sweep(database, tmp_path, KEEP_30, batch=2).run(NOW)
    assert (report.executions, report.is_done) == (5, True)
    assert len(report.files) == 3
    assert len(archived(tmp_path, report)) == 5
    assert len(await shelf.left()) == 6


async def test_a_round_stops_in_time_and_the_next_goes_on(
    shelf: Shelf, other: Shelf, database: Database, tmp_path: Path
) -> None:
    await shelf.put(OLD)
    await other.put(OLD)
    rounds = Sweep(database, tmp_path, KEEP_30)
    report = await rounds.run(NOW, seconds=-1)
    assert (report.executions, report.is_done) == (0, False)
    report = await rounds.run(NOW, seconds=60)
    assert (report.executions, report.is_done) == (2, True)


async def test_one_works_at_a_time(shelf: Shelf, rounds: Sweep, database: Database) -> None:
    await shelf.put(OLD)
    async with transaction(database, shelf.actor) as connection:
        assert await connection.fetchval("select pg_try_advisory_xact_lock($1)", retention.LOCK)
        report = await rounds.run(NOW)
        assert (report.executions, report.is_done) == (0, False)
    assert (await rounds.run(NOW)).executions == 1


async def test_two_at_once_take_everything_once(shelf: Shelf, database: Database, tmp_path: Path) -> None:
    for n in range(6):
        await shelf.put(OLD + timedelta(minutes=n), logs=1)
    pair = [Sweep(database, tmp_path, KEEP_30, batch=1) for _ in range(2)]
    reports = await asyncio.gather(*(one.run(NOW) for one in pair))
    reports.append(await pair[0].run(NOW))
    assert sum(report.executions for report in reports) == 6
    lines = [line for report in reports for line in archived(tmp_path, report)]
    assert len(lines) == len(set(lines)) == 6


async def test_a_crash_before_the_commit_loses_nothing(
    shelf: Shelf, rounds: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there and the rows are, too; the next round writes the same file again."""
    await shelf.put(OLD)
    broken = queries.INSERT_ARCHIVE.replace("$6, $7", "$6 / 0, $7")
    monkeypatch.setattr(queries, "INSERT_ARCHIVE", broken)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await rounds.run(NOW)
    assert len(await shelf.left()) == 1
    (left,) = files(tmp_path)
    before = left.read_bytes()
    monkeypatch.undo()
    report = await rounds.run(NOW)
    assert [tmp_path / file for file in report.files] == [left] == files(tmp_path)
    assert left.read_bytes() == before
    assert await shelf.left() == set()


async def test_a_disk_that_takes_nothing_deletes_nothing(
    shelf: Shelf, other: Shelf, database: Database, tmp_path: Path
) -> None:
    await shelf.put(OLD)
    await other.put(OLD)
    (tmp_path / "taken").write_text("")
    async with transaction(database, other.actor) as connection:
        await connection.execute(
            "update weft.tenants set retention = $2 where id = $1", other.actor.tenant_id, {"archive": False}
        )
    report = await Sweep(database, tmp_path / "taken", KEEP_30).run(NOW)
    assert (report.executions, report.failures) == (1, 1)
    assert len(await shelf.left()) == 1
    assert await other.left() == set(), "the others go on"


async def test_what_is_retried_meanwhile_stays(
    shelf: Shelf, rounds: Sweep, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await shelf.put(OLD, status="FAILED")
    write = Sweep._write

    async def retried(self: Sweep, *given: Any) -> Any:
        written = await write(self, *given)
        async with transaction(database, shelf.actor) as connection:
            await connection.execute(
                "update weft.workflow_executions set status = 'RUNNING', row_version = row_version + 1 where id = $1",
                execution_id,
            )
        return written

    monkeypatch.setattr(Sweep, "_write", retried)
    report = await rounds.run(NOW)
    assert (report.executions, report.failures) == (0, 1)
    assert await shelf.left() == {execution_id}
    assert len(await shelf.fetch("select from weft.execution_logs")) == 2
    assert await shelf.fetch("select from weft.archives") == []


async def test_late_timers_go_with_their_execution(shelf: Shelf, rounds: Sweep, database: Database) -> None:
    execution_id, kept = await shelf.put(OLD), await shelf.put(YOUNG)
    async with transaction(database, shelf.actor) as connection:
        for one in (execution_id, kept):
            await connection.execute(
                "insert into weft.dispatch_jobs (tenant_id, id, kind, execution_id, state, run_at)"
                " values ($1, $2, 'timer', $3, 'scheduled', now() + interval '60 days')",
                shelf.actor.tenant_id, new_id(), one,
            )  # fmt: skip
    await rounds.run(NOW)
    assert [row["execution_id"] for row in await shelf.fetch("select execution_id from weft.dispatch_jobs")] == [kept]


# -- the functions -----------------------------------------------------------------------------------------


async def delete(database: Database, actor: Actor, ids: list[UUID], versions: list[int] | None = None) -> Any:
    async with transaction(database, actor) as connection:
        return await connection.fetchrow(queries.DELETE, ids, versions or [1] * len(ids))


async def test_the_function_deletes_only_what_has_ended_in_this_tenant(
    shelf: Shelf, other: Shelf, database: Database
) -> None:
    done, running = await shelf.put(OLD), await shelf.put(OLD, status="RUNNING", ended=False)
    theirs = await other.put(OLD)
    parent = await shelf.put(OLD)
    child = await shelf.put(OLD, parent=parent)
    for ids, versions in (([done, running], None), ([done, theirs], None), ([done], [2]), ([done, new_id()], None)):
        with pytest.raises(asyncpg.SerializationError):
            await delete(database, shelf.actor, ids, versions)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await delete(database, shelf.actor, [parent])
    assert await shelf.left() == {done, running, parent, child}
    assert await other.left() == {theirs}
    assert tuple(await delete(database, shelf.actor, [done, parent, child])) == (3, 6)
    assert await shelf.left() == {running}


async def test_without_a_tenant_it_deletes_nothing(shelf: Shelf, database: Database) -> None:
    done = await shelf.put(OLD)
    async with database.pool.acquire() as connection:
        with pytest.raises(asyncpg.RaiseError, match=r"app\.tenant_id"):
            await connection.fetchrow(queries.DELETE, [done], [1])
        for table in ("workflow_executions", "execution_logs"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"delete from weft.{table}")


async def test_a_month_goes_when_its_last_row_has_gone(
    shelf: Shelf, rounds: Sweep, test_database: TestDatabase, database: Database
) -> None:
    later = datetime.now(UTC)
    await shelf.put(datetime(2026, 3, 10, tzinfo=UTC))
    await shelf.put(datetime(2026, 4, 10, tzinfo=UTC), status="RUNNING", ended=False)
    before = await months(test_database)
    report = await rounds.run(later)
    assert report.executions == 1
    assert "execution_logs_202603" in report.months
    assert "execution_logs_202604" not in report.months
    assert set(await months(test_database)) == set(before) - set(report.months)
    assert f"execution_logs_{later:%Y%m}" in await months(test_database)
    assert len(await shelf.fetch("select from weft.execution_logs")) == 2
    async with database.pool.acquire() as connection:
        assert await connection.fetch("select * from weft.drop_empty_partitions('2100-01-01')") == [], (
            "this month and the last stay, though they are empty"
        )


async def test_a_month_that_is_being_read_stays_for_now(
    shelf: Shelf, rounds: Sweep, test_database: TestDatabase, database: Database
) -> None:
    async with transaction(database, shelf.actor, read_only=True) as connection:
        await connection.fetch("select from weft.execution_logs")
        owner = await asyncpg.connect(test_database.owner)
        try:
            await owner.execute("alter function weft.drop_empty_partitions set lock_timeout = '50ms'")
            assert await owner.fetch("select * from weft.drop_empty_partitions('2100-01-01')") == []
        finally:
            await owner.close()
    assert "execution_logs_202603" in await months(test_database)
    assert "execution_logs_202603" in (await rounds.run(NOW)).months

"""Journals may go before their executions: archived first, and whoever needs one afterwards hears that it is gone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.test_retention import NOW, OLD, YOUNG, Shelf, archived, make_months, shelf_of

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.executions import service as executions
from weft.domain.executions.errors import JournalGone
from weft.domain.retention import queries
from weft.domain.retention.rules import Bounds
from weft.engine.news import News, Retried
from weft.engine.process import EngineProcess
from weft.engine.replays import ReplayRequest, replay
from weft.engine.simulation.history import Which, finished
from weft.ops.retention import Sweep

JOURNALS_30 = Bounds(default_journal_days=30)


@pytest.fixture
async def shelf(database: Database, ada: Actor, test_database: TestDatabase) -> Shelf:
    await make_months(test_database, *(moment.replace(day=1) for moment in (OLD, YOUNG)))
    return await shelf_of(database, ada)


async def journal_rows(shelf: Shelf) -> dict[UUID, int]:
    rows = await shelf.fetch("select execution_id, count(*) as n from weft.execution_logs group by 1")
    return {UUID(int=row["execution_id"].int): row["n"] for row in rows}


async def test_journals_are_archived_and_go_and_their_executions_stay(
    shelf: Shelf, database: Database, tmp_path: Path
) -> None:
    old, failed = await shelf.put(OLD), await shelf.put(OLD, status="FAILED")
    young, busy = await shelf.put(YOUNG), await shelf.put(OLD, status="WAITING", ended=False)
    sweep = Sweep(database, tmp_path, JOURNALS_30)
    counted = (shelf.actor.tenant_id, NOW - timedelta(days=30), list(queries.FINAL))
    (due,), (some,) = [await shelf.fetch(queries.COUNT_JOURNALS, *counted, most) for most in (100, 3)]
    assert (due["executions"], due["rows"], some["rows"]) == (2, 6, 3)
    report = await sweep.run(NOW)
    assert (report.executions, report.journals, report.is_done) == (0, 2, True)
    assert await journal_rows(shelf) == {young: 2, busy: 2}
    rows = await shelf.fetch("select id, journal_gone, row_version from weft.workflow_executions")
    assert {UUID(int=row["id"].int) for row in rows if row["journal_gone"]} == {old, failed}
    assert {row["row_version"] for row in rows if row["journal_gone"]} == {2}, (
        "whoever has read it before must look again"
    )
    lines = archived(tmp_path, report)
    assert set(lines) == {str(old), str(failed)}
    assert [log["visit"] for log in lines[str(old)]["execution_logs"]] == [1, 2]
    assert report.files[0].rpartition("/")[2].startswith("journals-")
    (row,) = await shelf.fetch("select * from weft.archives")
    assert (row["kind"], row["executions"], row["rows"], row["file"]) == ("JOURNALS", 2, 4, report.files[0])
    again = await sweep.run(NOW)
    assert (again.journals, again.files) == (0, [])


async def test_those_that_stay_at_the_old_end_hold_nothing_up(shelf: Shelf, database: Database, tmp_path: Path) -> None:
    for _ in range(3):
        await shelf.put(OLD, status="RUNNING", ended=False, logs=5)
    old = [await shelf.put(OLD, logs=7) for _ in range(4)]
    report = await Sweep(database, tmp_path, JOURNALS_30, batch=1).run(NOW)
    assert report.journals == 4
    assert not set(old) & set(await journal_rows(shelf))
    assert set(archived(tmp_path, report)) == {str(one) for one in old}


async def test_what_an_execution_itself_names_stays(shelf: Shelf, database: Database, tmp_path: Path) -> None:
    """Large values of the journal go with it; the execution's own input and output do not."""
    execution_id = await shelf.put(OLD)
    its_input, its_output, a_step = new_id(), new_id(), new_id()
    async with transaction(database, shelf.actor) as connection:
        for payload in (its_input, its_output, a_step):
            await connection.execute(
                "insert into weft.payloads (tenant_id, execution_id, id, size, stored_size, encoding, data)"
                " values ($1, $2, $3, 300000, 3, 'zlib', 'abc')", shelf.actor.tenant_id, execution_id, payload,
            )  # fmt: skip
        await connection.execute(
            "update weft.workflow_executions set input = $2, output = $3 where id = $1",
            execution_id, {"$payload": str(its_input), "size": 300000}, {"$payload": str(its_output), "size": 300000},
        )  # fmt: skip
    await Sweep(database, tmp_path, JOURNALS_30).run(NOW)
    left = await shelf.fetch("select id from weft.payloads")
    assert {UUID(int=row["id"].int) for row in left} == {its_input, its_output}


async def test_what_somebody_wants_retried_keeps_its_journal(shelf: Shelf, database: Database, tmp_path: Path) -> None:
    execution_id = await shelf.put(OLD, status="FAILED")
    async with transaction(database, shelf.actor) as connection:
        await connection.execute(
            "insert into weft.dispatch_jobs (tenant_id, id, kind, execution_id, state, run_at)"
            " values ($1, $2, 'retry', $3, 'parked', now())", shelf.actor.tenant_id, new_id(), execution_id,
        )  # fmt: skip
    assert (await Sweep(database, tmp_path, JOURNALS_30).run(NOW)).journals == 0
    assert await journal_rows(shelf) == {execution_id: 2}


async def test_executions_go_whole_when_their_own_time_is_over(
    shelf: Shelf, database: Database, tmp_path: Path
) -> None:
    bounds = Bounds(default_days=30, default_journal_days=3)
    await shelf.put(OLD)
    young = await shelf.put(YOUNG)
    report = await Sweep(database, tmp_path, bounds).run(NOW)
    assert (report.executions, report.journals) == (1, 1)
    assert await shelf.left() == {young}
    assert await journal_rows(shelf) == {}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("another tenant", asyncpg.SerializationError),
        ("no tenant", asyncpg.RaiseError),
        ("another version", asyncpg.SerializationError),
        ("twice in one call", asyncpg.SerializationError),
        ("not ended", asyncpg.SerializationError),
    ],
)
async def test_nobody_elses_and_no_living_journal_is_deleted(
    change: str, error: type[Exception], shelf: Shelf, database: Database, bob: Actor
) -> None:
    """All or nothing: one that may go, and one that may not, in the same call."""
    good, execution_id = await shelf.put(OLD), await shelf.put(OLD)
    if change == "not ended":
        execution_id = await shelf.put(OLD, status="RUNNING", ended=False)
    ids = [good, good] if change == "twice in one call" else [good, execution_id]
    versions = [1, 2 if change == "another version" else 1]
    actor = bob if change == "another tenant" else shelf.actor
    with pytest.raises(error):  # noqa: PT012 - the transaction is part of what is tried
        async with transaction(database, actor) as connection:
            if change == "no tenant":
                await connection.execute("set local app.tenant_id = ''")
            await connection.fetchrow(queries.DELETE_JOURNALS, ids, versions)
    rows = await shelf.fetch("select journal_gone from weft.workflow_executions")
    assert not any(row["journal_gone"] for row in rows)
    assert set((await journal_rows(shelf)).values()) == {2}


async def test_a_crash_before_the_commit_leaves_the_journal(
    shelf: Shelf, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await shelf.put(OLD)
    sweep = Sweep(database, tmp_path, JOURNALS_30)
    with monkeypatch.context() as broken:
        broken.setattr(queries, "INSERT_ARCHIVE", queries.INSERT_ARCHIVE.replace("$6, $7", "$6 / 0, $7"))
        with pytest.raises(asyncpg.DivisionByZeroError):
            await sweep.run(NOW)
    assert await journal_rows(shelf) == {execution_id: 2}
    report = await sweep.run(NOW)
    assert (report.journals, len(archived(tmp_path, report))) == (1, 1)


async def test_without_its_journal_an_execution_is_not_repeated_from_within(
    shelf: Shelf, database: Database, tmp_path: Path
) -> None:
    execution_id = await shelf.put(OLD, status="FAILED")
    await Sweep(database, tmp_path, JOURNALS_30).run(NOW)
    async with enter(database, shelf.actor, read_only=True) as scope:
        shown = await executions.get(scope, execution_id)
        assert shown.journal_gone
        assert shown.retry_resumes == []
        with pytest.raises(JournalGone, match="Start a new execution"):
            await executions.require_retriable(scope, execution_id)
    async with EngineProcess(database, answers=False) as engine:
        driver = engine.driver
        with pytest.raises(JournalGone):
            await driver.deliver(shelf.actor.tenant_id, [News(execution_id, Retried("Ada"))])
        with pytest.raises(JournalGone):
            await replay(driver, shelf.actor, ReplayRequest(execution_id, "answer"))
        found: list[Any] = await finished(driver, shelf.actor, shelf.workflow_id, Which(last=10))
        assert found == [], "a backtest has nothing to compare with"

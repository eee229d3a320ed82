"""An address that turns red when nobody could recover, and the numbers beside it. Being ready is another matter."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from tests.api.test_health import process
from tests.conftest import TestDatabase

from weft.api.health import Readiness
from weft.api.recovery import RecoveryMetrics
from weft.core.clock import utc_now
from weft.core.ids import new_id
from weft.db.database import Database
from weft.ops import preflight
from weft.ops.recovery.health import Promise, Seen, is_well, verdicts
from weft.settings import load_settings

DAY = timedelta(days=1)
PROMISE = Promise(alarm=2 * DAY, slot=None, lag_bytes=2**30)
NOTHING = Seen(**dict.fromkeys(Seen.__slots__))


async def write(database: TestDatabase, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(database.owner)
    try:
        await connection.execute("set app.maintenance = 'on'")
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def drilled(database: TestDatabase, at: datetime, *, ok: bool = True, lost: float = 4.5) -> None:
    await write(
        database,
        "insert into weft.recovery_drills (id, kind, at, ok, rpo_seconds, rto_seconds, detail)"
        " values ($1, 'POINT_IN_TIME', $2, $3, $4, 12, '{}')",
        new_id(), at, ok, lost,
    )  # fmt: skip


async def test_it_is_red_until_something_was_proved_and_ready_all_the_while(
    database: Database, test_database: TestDatabase
) -> None:
    async with process(database, Readiness(preflight.newest_revision(), promise=PROMISE)) as client:
        answer = await client.get("/healthz/recovery")
        assert (answer.status_code, answer.json()) == (503, {"status": "alarm", "checks": {"proof": "never"}})
        assert (await client.get("/readyz")).status_code == 200, "an old backup takes nobody out of the balancer"
        await drilled(test_database, utc_now() - 3 * DAY)
        assert (await client.get("/healthz/recovery")).json()["checks"] == {"proof": "late"}
        await drilled(test_database, utc_now(), lost=3 * 86_400)
        assert (await client.get("/healthz/recovery")).json()["checks"] == {"proof": "late"}, "the data, not the proof"
        await drilled(test_database, utc_now())
        answer = await client.get("/healthz/recovery")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "checks": {"proof": "ok"}})
        await drilled(test_database, utc_now(), ok=False)
        answer = await client.get("/healthz/recovery")
        assert (answer.status_code, answer.json()["checks"]) == (503, {"proof": "ok", "drill": "failed"})


async def test_a_proved_backup_counts_as_well(database: Database, test_database: TestDatabase) -> None:
    at = utc_now()
    await write(
        test_database,
        "insert into weft.backups (id, kind, reason, started_at, finished_at, bytes, places, verified_at)"
        " values ('one', 'logical', 'manual', $1, $1, 1, '{}', $1)",
        at,
    )
    async with process(database, Readiness(promise=PROMISE)) as client:
        assert (await client.get("/healthz/recovery")).status_code == 200


async def test_a_slot_that_is_not_there_is_an_alarm(database: Database) -> None:
    promise = Promise(alarm=None, slot="no_such_slot", lag_bytes=1)
    async with process(database, Readiness(promise=promise)) as client:
        answer = await client.get("/healthz/recovery")
    assert (answer.status_code, answer.json()["checks"]) == (503, {"wal": "missing"})


async def test_without_a_promise_nothing_is_red_and_the_database_is_not_asked(test_database: TestDatabase) -> None:
    gone = await Database.open(test_database.app, size=1, hot_size=1)
    await gone.close()
    async with process(gone, Readiness()) as client:
        answer = await client.get("/healthz/recovery")
        assert (answer.status_code, answer.json()["status"]) == (200, "unconfigured")
    async with process(gone, Readiness(promise=PROMISE)) as client:
        answer = await client.get("/healthz/recovery")
        assert (answer.status_code, answer.json()["status"]) == (503, "unknown")


async def test_the_numbers_say_what_the_last_drill_measured(database: Database, test_database: TestDatabase) -> None:
    registry = CollectorRegistry()
    metrics = RecoveryMetrics(registry, PROMISE)
    now = utc_now()
    await metrics.read(database, now)
    assert registry.get_sample_value("weft_recovery_well") == 0
    await drilled(test_database, now - timedelta(minutes=1))
    await metrics.read(database, now)
    values = {
        name: registry.get_sample_value(f"weft_recovery_{name}")
        for name in ("well", "rpo_seconds", "rto_seconds", "drill_passed", "proof_limit_seconds")
    }
    assert values == {
        "well": 1,
        "rpo_seconds": 4.5,
        "rto_seconds": 12,
        "drill_passed": 1,
        "proof_limit_seconds": 172800,
    }
    assert registry.get_sample_value("weft_recovery_proof_age_seconds") == pytest.approx(64.5, abs=1)
    assert registry.get_sample_value("weft_wal_slot_lag_bytes") is None, "no WAL was promised"


def test_slots_have_words() -> None:
    promise = Promise(alarm=None, slot="weft_wal", lag_bytes=100)
    now = utc_now()

    def word(**facts: object) -> str:
        fields = {name: getattr(NOTHING, name) for name in NOTHING.__slots__} | facts
        return verdicts(Seen(**fields), promise, now)["wal"]

    assert word() == "missing"
    assert word(slot_active=True, slot_lag=100) == "ok"
    assert word(slot_active=True, slot_lag=101) == "behind"
    assert word(slot_active=False, slot_lag=0) == "idle"
    assert word(slot_active=False, slot_lost=True) == "lost"
    assert word(slot_active=True, slot_lag=60, spool_bytes=41) == "behind", "it waits with whoever took it in"
    assert word(slot_active=True, slot_lag=0, archive_at=now, archived_to=now - timedelta(minutes=59)) == "ok"
    assert word(slot_active=True, slot_lag=0, archive_at=now, archived_to=now - timedelta(minutes=61)) == "late"
    assert word(slot_active=True, slot_lag=0, archive_at=now) == "late", "nothing ever reached a target"
    assert is_well({"wal": "ok"})
    assert not is_well({"wal": "idle"})


def test_what_is_promised_stands_in_the_settings() -> None:
    assert Promise.of(load_settings({"HOME": "/tmp"})) == Promise(None, None, 2**30, timedelta(minutes=6))  # noqa: S108 - nothing is written - only a name
    kept = Promise.of(load_settings({"HOME": "/tmp", "WEFT_WAL_ARCHIVE": "true", "WEFT_BACKUP_ALARM_HOURS": "6"}))  # noqa: S108 - nothing is written
    assert kept == Promise(timedelta(hours=6), "weft_wal", 2**30, timedelta(minutes=6))

"""Who only asks: readiness and the doctor know how old the newest backup is that a restore proved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import httpx2
import pytest
from tests.conftest import TestDatabase

from weft.api.app import create_app
from weft.api.health import Readiness
from weft.db.database import Database
from weft.domain.identity.access import open_scope
from weft.http.state import Services
from weft.ops.backup import health
from weft.ops.doctor.answers import Verdict
from weft.ops.doctor.backups import answer

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ALARM = timedelta(hours=48)
ROW = """
insert into weft.backups (id, kind, reason, started_at, finished_at, bytes, places, verified_at)
values ($1, $2, 'test', now() - $3::interval, now() - $3::interval, 1, '{here}', $4)
"""


async def test_readiness_says_how_old_the_proved_one_is_and_answers_all_the_same(
    database: Database, test_database: TestDatabase
) -> None:
    app = create_app(Services(database, open_scope, bytes(32)), [], readiness=Readiness(backup_alarm=ALARM))
    transport = httpx2.ASGITransport(app=app)
    owner = await asyncpg.connect(test_database.owner)
    await owner.execute("set app.maintenance = 'on'")
    async with httpx2.AsyncClient(transport=transport, base_url="http://weft.test") as client:
        for row, word in (
            (None, "none"),
            (("unproved", "logical", timedelta(0), None), "none"),
            (("of another kind", "base", timedelta(0), NOW), "none"),
            (("of a wrong clock", "logical", -timedelta(days=1500), datetime.now(UTC)), "none"),
            (("old, proved today", "logical", timedelta(days=9), datetime.now(UTC)), "late"),
            (("proved", "logical", timedelta(hours=3), datetime.now(UTC)), "ok"),
        ):
            if row is not None:
                await owner.execute(ROW, *row)
            found = await client.get("/readyz")
            assert (found.status_code, found.json()["checks"]["backup"]) == (200, word)
    await owner.close()


def test_a_backup_of_the_future_is_not_well() -> None:
    assert health.verdict(NOW + timedelta(days=1500), NOW, ALARM) == "late"
    assert health.verdict(NOW + timedelta(minutes=2), NOW, ALARM) == "ok"


@pytest.mark.parametrize(
    ("made", "proved", "scheduled", "verdict", "says"),
    [
        (None, None, False, Verdict.warning, "None was ever made"),
        (None, None, True, Verdict.fail, "None was ever made"),
        (1, None, True, Verdict.fail, "no restore ever proved one"),
        (1, 1, True, Verdict.ok, "is 1 h old; the newest that a restore proved is 1 h old"),
        (1, 49, True, Verdict.fail, "proved is 2 days old"),
        (1, 49, False, Verdict.warning, "proved is 2 days old"),
        (0, 0, True, Verdict.ok, "less than an hour"),
        (-9000, 1, True, Verdict.warning, "a clock was wrong; the newest that a restore proved is 1 h old"),
        (-9000, None, True, Verdict.fail, "a clock was wrong; no restore ever proved one"),
    ],
)
def test_the_doctor_has_a_word_for_each(
    made: int | None, proved: int | None, scheduled: bool, verdict: Verdict, says: str
) -> None:
    ages = [NOW - timedelta(hours=hours) if hours is not None else None for hours in (made, proved)]
    given = answer(ages[0], ages[1], NOW, ALARM, scheduled=scheduled)
    assert given.verdict is verdict
    assert says in given.sentence
    assert bool(given.next_step) is (verdict is not Verdict.ok)

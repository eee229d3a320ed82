"""Health over HTTP: for those who may know, and true."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.api.conftest import Whole
from tests.conftest import TestDatabase
from tests.factories import identity

from weft.api.system import Health
from weft.db.database import Database
from weft.ops.monitoring import checks
from weft.ops.monitoring.checks import State

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


async def test_who_may_know_is_told(whole: Whole) -> None:
    async with whole.client(whole.headers) as client:
        answer = await client.get("/v1/system/health")
    assert answer.status_code == 200
    told = answer.json()
    assert told["state"] == "red", "no worker is connected"
    by_name = {one["name"]: one for one in told["checks"]}
    assert by_name["worker"]["next"]
    assert by_name["database"] == {**by_name["database"], "state": "ok", "next": None}


async def test_others_are_not(whole: Whole) -> None:
    async with whole.client() as client:
        assert (await client.get("/v1/system/health")).status_code == 401
    member = await identity.member(whole.database, whole.owner, role="MANAGER")
    async with whole.client(await identity.bearer(whole.database, member)) as client:
        assert (await client.get("/v1/system/health")).status_code == 403


async def test_a_database_that_is_away_is_red(test_database: TestDatabase) -> None:
    gone = await Database.open(test_database.app, size=1, hot_size=1)
    await gone.close()
    [only] = await Health.of(gone).results(NOW)
    assert (only.name, only.state) == ("database", State.red)
    assert checks.worst([only]) is State.red
    assert checks.worst([]) is State.ok

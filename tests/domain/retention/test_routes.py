"""A tenant's retention and archives over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from tests.factories import api as serving
from tests.factories import executions, identity
from tests.factories.identity import Person

from weft.db.database import Database
from weft.db.hot import transaction
from weft.domain.identity import access
from weft.domain.retention.routes import BOUNDS, router
from weft.domain.retention.rules import Bounds
from weft.ops.retention import Sweep

Headers = dict[str, str]
LIMITS = Bounds(default_days=None, shortest_days=7, longest_days=400)


@pytest.fixture
async def acme(database: Database) -> Person:
    return await identity.tenant(database, "acme")


@pytest.fixture
async def signed(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


@pytest.fixture
async def http(database: Database, signed: Headers) -> AsyncIterator[httpx2.AsyncClient]:
    app = serving.app_of(database, (router,))
    BOUNDS.attach(app, LIMITS)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://weft.example", headers=signed) as opened:
        yield opened
    await access.settle(database)


async def test_a_policy_is_set_shown_and_audited(http: httpx2.AsyncClient, database: Database, acme: Person) -> None:
    before = await http.get("/v1/retention")
    assert before.json() == {
        "executions_days": None,
        "journal_days": None,
        "archive": None,
        "effective": {"executions_days": 400, "journal_days": None, "archive": True},
        "installation": {
            "default_days": None,
            "default_journal_days": None,
            "shortest_days": 7,
            "longest_days": 400,
            "archive": True,
        },
    }
    wanted = {"executions_days": 30, "journal_days": 10, "archive": False}
    changed = await http.put("/v1/retention", json=wanted, headers={"If-Match": before.headers["etag"]})
    assert (changed.status_code, changed.json()["effective"]) == (200, wanted)
    assert (await http.get("/v1/retention")).json() == changed.json()
    stale = await http.put("/v1/retention", json={}, headers={"If-Match": before.headers["etag"]})
    assert stale.status_code == 412
    assert (await http.put("/v1/retention", json={})).json() == before.json()
    async with transaction(database, await identity.actor(database, acme), read_only=True) as connection:
        rows = await connection.fetch(
            "select after -> 'retention' as after from weft.audit_logs where resource_type = 'tenants' and"
            " action = 'update' order by at"
        )
    assert [row["after"] for row in rows] == [wanted, {}]


@pytest.mark.parametrize(
    "body", [{"executions_days": 6}, {"executions_days": 401}, {"executions_days": "forever"}, {"journal_days": 6}]
)
async def test_what_the_installation_does_not_allow_is_refused(
    http: httpx2.AsyncClient, body: dict[str, object]
) -> None:
    answer = await http.put("/v1/retention", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/errors/retention_out_of_bounds")


@pytest.mark.parametrize("body", [{"executions_days": 0}, {"executions_days": "1"}, {"days": 3}, {"archive": "no"}])
async def test_what_is_no_policy_is_refused(http: httpx2.AsyncClient, body: dict[str, object]) -> None:
    assert (await http.put("/v1/retention", json=body)).status_code == 422


async def test_what_would_go_is_counted_and_archives_are_listed(
    http: httpx2.AsyncClient, database: Database, acme: Person, tmp_path: Path
) -> None:
    actor = await identity.actor(database, acme)
    now = datetime.now(UTC)
    workflow = await executions.workflow(database, actor)
    await executions.fill(database, actor, workflow, 3, since=now - timedelta(days=40))
    await executions.fill(database, actor, workflow, 2, since=now - timedelta(days=1))
    assert (await http.get("/v1/retention/due")).json()["executions"] == 0
    await http.put("/v1/retention", json={"executions_days": 30, "journal_days": 10})
    due = (await http.get("/v1/retention/due")).json()
    assert (due["executions"], due["is_more"]) == (3, False)
    assert (due["journals"], due["journals_is_more"]) == (0, False), "they never had any"
    assert datetime.fromisoformat(due["oldest"]) < now - timedelta(days=39)

    report = await Sweep(database, tmp_path, LIMITS).run(now)
    (archive,) = (await http.get("/v1/archives")).json()["items"]
    assert (archive["executions"], archive["file"]) == (3, report.files[0])
    assert (await http.get(f"/v1/archives/{archive['id']}")).json() == archive
    other = await identity.bearer(database, await identity.tenant(database, "other"))
    assert (await http.get(f"/v1/archives/{archive['id']}", headers=other)).status_code == 404
    assert (await http.get("/v1/archives", headers=other)).json()["items"] == []


async def test_whoever_may_only_look_changes_nothing(
    http: httpx2.AsyncClient, database: Database, acme: Person
) -> None:
    looker = await identity.bearer(database, await identity.somebody(database, acme, "tenants:read"))
    assert (await http.get("/v1/retention", headers=looker)).status_code == 200
    assert (await http.put("/v1/retention", json={"executions_days": 30}, headers=looker)).status_code == 403

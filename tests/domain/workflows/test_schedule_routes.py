"""Schedules over HTTP: made, shown, changed, previewed, and what became of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.factories import identity
from tests.factories import workflows as make
from tests.factories.identity import Person

from weft.core.actor import Actor, system_actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter

CRON = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
LATER = CRON | {"starts_at": "2099-01-01T00:00:00"}
"""Its next time is the same whenever it is asked for."""


async def workflow(database: Database, acme: Person) -> str:
    async with enter(database, system_actor(acme.tenant_id)) as scope:
        return f"/v1/workflows/{(await make.active(scope)).id}/triggers"


async def made(api: httpx2.AsyncClient, path: str, headers: dict[str, str], **config: Any) -> dict[str, Any]:
    body = {"kind": "SCHEDULE", "name": "nightly", "config": config or CRON}
    answer = await api.post(path, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_schedule_is_made_shown_paused_and_changed(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: dict[str, str]
) -> None:
    path = await workflow(database, acme)
    new = await made(api, path, owner, **LATER)
    assert (new["kind"], new["token"], new["signing_secret"]) == ("SCHEDULE", None, None)
    assert new["next_run_at"] == "2099-01-01T01:30:00Z"
    assert new["config"] == LATER | {"overlap": "skip", "catch_up": "last", "catch_up_limit": 100}
    address = f"{path}/{new['id']}"
    shown = (await api.get(address, headers=owner)).json()
    assert shown["next_run_at"] == new["next_run_at"]
    assert (await api.get(path, headers=owner)).json()["items"][0]["next_run_at"] == new["next_run_at"]
    paused = await api.patch(address, json={"enabled": False}, headers=owner)
    assert (paused.status_code, paused.json()["next_run_at"]) == (200, None)
    assert (await api.patch(address, json={"enabled": True}, headers=owner)).json()["next_run_at"] == new["next_run_at"]
    changed = (await api.patch(address, json={"config": {"every": "5m"}}, headers=owner)).json()
    assert changed["config"]["every"] == "5m"
    assert changed["config"]["anchor"]
    assert changed["next_run_at"] != new["next_run_at"]
    assert (await api.delete(address, headers=owner)).status_code == 204
    assert (await api.get(f"{address}/runs", headers=owner)).status_code == 404


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"cron": "* * * * * *"}, "cron"),
        ({"cron": "0 9 * * *", "timezone": "Berlin"}, "timezone"),
        ({"cron": "0 9 * * *", "ends_at": "2020-01-01"}, "cron"),
        ({"rrule": "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30"}, "rrule"),
        ({"rrule": "FREQ=SECONDLY"}, "rrule"),
        ({"every": "5m", "catch_up_window": "soon"}, "catch_up_window"),
        ({"every": "5m", "input": {"a": "{{ body.x }}"}}, "input"),
        ({}, "cron"),
    ],
)
async def test_a_schedule_that_cannot_work_is_not_stored(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: dict[str, str], config: dict[str, Any], field: str
) -> None:
    path = await workflow(database, acme)
    answer = await api.post(path, json={"kind": "SCHEDULE", "config": config}, headers=owner)
    assert (answer.status_code, answer.json()["type"]) == (422, "/errors/trigger_config_invalid")
    assert answer.json()["errors"][0]["path"][:2] == ["config", field]
    assert (await api.get(path, headers=owner)).json()["items"] == []


async def test_a_config_of_another_kind_is_refused(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: dict[str, str]
) -> None:
    path = await workflow(database, acme)
    wrong = await api.post(path, json={"kind": "SCHEDULE", "config": {"verify": "none"}}, headers=owner)
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, ["config", "verify"])
    new = await made(api, path, owner)
    answer = await api.patch(f"{path}/{new['id']}", json={"config": {"verify": "none"}}, headers=owner)
    assert (answer.status_code, answer.json()["type"]) == (422, "/errors/trigger_config_mismatched")
    hook = (await api.post(path, json={}, headers=owner)).json()
    answer = await api.patch(f"{path}/{hook['id']}", json={"config": CRON}, headers=owner)
    assert answer.json()["type"] == "/errors/trigger_config_mismatched"
    for word in ("preview", "runs"):
        answer = await api.get(f"{path}/{hook['id']}/{word}", headers=owner)
        assert (answer.status_code, answer.json()["type"]) == (409, "/errors/trigger_not_schedule")


async def test_a_preview_says_it_in_words_in_local_time_and_in_utc(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: dict[str, str]
) -> None:
    path = await workflow(database, acme)
    asked = {"config": CRON, "count": 3, "from": "2026-03-28T00:00:00Z"}
    seen = (await api.post(f"{path}/preview", json=asked, headers=owner)).json()
    assert (seen["sentence"], seen["timezone"]) == ("At 02:30 every day (Europe/Berlin).", "Europe/Berlin")
    assert [one["local"] for one in seen["due"]] == [
        "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00",
    ]  # fmt: skip
    assert seen["due"][1]["utc"] == "2026-03-29T01:00:00Z"
    assert (await api.get(path, headers=owner)).json()["items"] == []
    new = await made(api, path, owner)
    again = await api.get(f"{path}/{new['id']}/preview?count=3&from=2026-03-28T00:00:00Z", headers=owner)
    assert again.json() == seen
    for count in (0, 101):
        assert (await api.get(f"{path}/{new['id']}/preview?count={count}", headers=owner)).status_code == 422
    for far in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        for answer in (
            await api.post(f"{path}/preview", json=asked | {"from": far}, headers=owner),
            await api.get(f"{path}/{new['id']}/preview?from={far}", headers=owner),
        ):
            assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, ["from"])


@pytest.mark.parametrize("rule", ["FREQ=YEARLY;BYEASTER=366", "FREQ=MONTHLY;BYDAY=54MO", "FREQ=DAILY;UNTIL=99991231"])
async def test_a_rule_that_cannot_be_is_refused_with_its_field(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: dict[str, str], rule: str
) -> None:
    path = await workflow(database, acme)
    config = {"rrule": rule, "timezone": "America/New_York"}
    for address, body in ((path, {"kind": "SCHEDULE", "config": config}), (f"{path}/preview", {"config": config})):
        answer = await api.post(address, json=body, headers=owner)
        assert answer.status_code == 422
        assert "rrule" in str(answer.json()["errors"][0]["path"])


RUNS = """
insert into weft.schedule_runs (tenant_id, id, trigger_id, due_at, status, decided_at, reason)
select $1, gen_random_uuid(), $2, timestamptz '2026-01-01' + n * interval '1 hour',
       case when n % 2 = 0 then 'STARTED' else 'SKIPPED' end, now(), 'n ' || n
  from generate_series(1, 5) n
"""


async def test_runs_are_paged_newest_first(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: dict[str, str]
) -> None:
    path = await workflow(database, acme)
    new = await made(api, path, owner)
    actor: Actor = system_actor(acme.tenant_id)
    async with transaction(database, actor) as connection:
        await connection.execute(RUNS, acme.tenant_id, UUID(new["id"]))
    address = f"{path}/{new['id']}/runs"
    first = (await api.get(f"{address}?limit=3", headers=owner)).json()
    rest = (await api.get(f"{address}?limit=3&cursor={first['next_cursor']}", headers=owner)).json()
    assert [row["reason"] for row in first["items"] + rest["items"]] == ["n 5", "n 4", "n 3", "n 2", "n 1"]
    assert rest["next_cursor"] is None
    skipped = (await api.get(f"{address}?status=SKIPPED", headers=owner)).json()["items"]
    assert [row["reason"] for row in skipped] == ["n 5", "n 3", "n 1"]


async def test_another_tenant_sees_nothing_of_it(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: dict[str, str]
) -> None:
    path = await workflow(database, acme)
    new = await made(api, path, owner)
    stranger = await identity.bearer(database, await identity.tenant(database, "other"))
    for word in ("", "/preview", "/runs"):
        assert (await api.get(f"{path}/{new['id']}{word}", headers=owner)).status_code == 200
        assert (await api.get(f"{path}/{new['id']}{word}", headers=stranger)).status_code == 404
    preview = {"config": CRON}
    assert (await api.post(f"{path}/preview", json=preview, headers=owner)).status_code == 200
    assert (await api.post(f"{path}/preview", json=preview, headers=stranger)).status_code == 404
    body = {"kind": "SCHEDULE", "config": CRON}
    assert (await api.post(path, json=body, headers=stranger)).status_code == 404


async def test_rotating_with_grace(
    api: httpx2.AsyncClient, database: Database, acme: Person, owner: dict[str, str]
) -> None:
    path = await workflow(database, acme)
    hook = (await api.post(path, json={}, headers=owner)).json()
    for word, until in (("rotate-token", "token_grace_until"), ("rotate-secret", "signing_grace_until")):
        address = f"{path}/{hook['id']}/{word}"
        assert (await api.post(address, headers=owner)).json()[until] is None
        assert (await api.post(address, json={"grace": "1h"}, headers=owner)).json()[until] is not None
        for grace in ("31d", "soon", -1):
            assert (await api.post(address, json={"grace": grace}, headers=owner)).status_code == 422

"""Large values over HTTP and in the terminal: shown, hinted at, fetched, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.factories import executions, identity
from tests.factories.identity import Person

from weft.cli import execution_text
from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.engine.process import EngineProcess
from weft.engine.start_requests import StartResult

Headers = dict[str, str]

LARGE = {"lines": ["a line of an invoice"] * 20_000}
"""Above 256 KB, below a megabyte."""
HUGE = {"lines": ["a line of an invoice"] * 60_000}
COPY = {"key": "copy", "type": "transform", "config": {"output": "{{ input }}"}}


@pytest.fixture
async def acme(database: Database) -> Person:
    return await identity.tenant(database, "acme")


@pytest.fixture
async def actor(database: Database, acme: Person) -> Actor:
    return await identity.actor(database, acme)


@pytest.fixture
async def signed(database: Database, acme: Person) -> Headers:
    somebody = await identity.somebody(database, acme, "executions:read", "executions:start", "tenants:read")
    return await identity.bearer(database, somebody)


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[EngineProcess]:
    async with executions.engine(database, answers=False) as opened:
        yield opened


@pytest.fixture
async def http(database: Database, engine: EngineProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with executions.client(database, engine) as opened:
        yield opened


async def begin(database: Database, engine: EngineProcess, actor: Actor, value: Any) -> StartResult:
    workflow = await executions.workflow(database, actor, steps=[COPY], output="{{ steps.copy.output }}")
    return await executions.start(engine, actor, workflow, inline=True, input=value)


async def get(http: httpx2.AsyncClient, headers: Headers, path: str, **query: Any) -> Any:
    answer = await http.get(f"/v1{path}", headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_value_below_a_megabyte_is_shown_whole(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    begun = await begin(database, engine, actor, LARGE)
    found = await get(http, signed, f"/executions/{begun.id}")
    assert (found["input"], found["output"], found["payloads"]) == (LARGE, LARGE, {})
    (row,) = (await get(http, signed, f"/executions/{begun.id}/logs"))["items"]
    assert (row["data"], row["payload"]) == (LARGE, None)


async def test_a_larger_one_is_named_and_fetched_by_itself(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    begun = await begin(database, engine, actor, HUGE)
    assert begun.output == HUGE, "who waits for it gets it"
    found = await get(http, signed, f"/executions/{begun.id}")
    assert (found["input"], found["output"], found["payloads"].keys()) == (None, None, {"input", "output"})
    for hidden in found["payloads"].values():
        assert hidden["size"] == len(json.dumps(HUGE, separators=(",", ":")))
        answer = await http.get(hidden["href"], headers=signed)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json() == HUGE
    (row,) = (await get(http, signed, f"/executions/{begun.id}/logs"))["items"]
    assert (row["data"], row["payload"]["size"]) == (None, hidden["size"])
    shown = execution_text.detail(found)
    assert f"weft execution payload {begun.id} {found['payloads']['output']['id']}" in shown
    assert row["payload"]["id"] in execution_text.log(row)["message"]
    assert "bytes: weft execution payload" in execution_text.outcome(found, "w")


async def test_a_page_of_the_journal_shows_only_so_much(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    steps = [{**COPY, "key": f"copy_{number}"} for number in range(12)]
    workflow = await executions.workflow(database, actor, steps=steps)
    begun = await executions.start(engine, actor, workflow, inline=True, input=LARGE)
    rows = (await get(http, signed, f"/executions/{begun.id}/logs", order="asc"))["items"]
    shown = [row for row in rows if row["data"] == LARGE]
    assert 0 < len(shown) < 12
    assert all((row["data"] is None) == (row["payload"] is not None) for row in rows)


async def test_a_tenants_own_words_are_shown_as_they_were_written(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    written = {"$payload": str(uuid4()), "size": 5_000_000}
    begun = await begin(database, engine, actor, written)
    found = await get(http, signed, f"/executions/{begun.id}")
    assert (found["input"], found["output"], found["payloads"]) == (written, written, {})
    (row,) = (await get(http, signed, f"/executions/{begun.id}/logs"))["items"]
    assert (row["data"], row["payload"]) == (written, None)


async def test_a_payload_belongs_to_one_execution_of_one_tenant(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    begun = await begin(database, engine, actor, HUGE)
    second = await executions.start(engine, actor, begun.workflow_id, inline=True, input={"small": 1})
    found = await get(http, signed, f"/executions/{begun.id}")
    payload = found["payloads"]["input"]["id"]
    other = await identity.tenant(database, "other")
    theirs = await identity.bearer(database, await identity.somebody(database, other, "executions:read"))
    for headers, execution in ((theirs, begun.id), (signed, second.id), (signed, uuid4())):
        answer = await http.get(f"/v1/executions/{execution}/payloads/{payload}", headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (404, "/errors/payload_not_found")
    nobody = await identity.bearer(database, await identity.somebody(database, other, "executions:start"))
    assert (await http.get(found["payloads"]["input"]["href"], headers=nobody)).status_code == 403
    assert (await http.get(found["payloads"]["input"]["href"])).status_code == 401


async def test_a_start_that_is_repeated_is_compared_with_what_is_stored(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    workflow = await executions.workflow(database, actor, steps=[COPY], output="{{ steps.copy.output }}")
    path, headers = f"/v1/workflows/{workflow}/executions?wait=30s", {**signed, "Idempotency-Key": "k"}
    first, again = [await http.post(path, headers=headers, json={"input": LARGE}) for _ in range(2)]
    assert (first.status_code, again.status_code, again.headers["idempotency-replayed"]) == (200, 200, "true")
    assert first.json() == again.json()
    assert again.json()["output"] == LARGE
    other = await http.post(path, headers=headers, json={"input": {**LARGE, "more": 1}})
    assert (other.status_code, other.json()["type"]) == (409, "/errors/idempotency_key_reused")


async def test_the_room_that_a_tenant_uses_is_told(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    nothing = {"payloads": 0, "size": 0, "stored_size": 0, "quota": engine.driver.limits.payloads}
    assert await get(http, signed, "/usage/storage") == nothing
    await begin(database, engine, actor, LARGE)
    used = await get(http, signed, "/usage/storage")
    assert (used["payloads"], used["size"]) == (1, len(json.dumps(LARGE, separators=(",", ":"))))
    assert 0 < used["stored_size"] < used["size"]
    other = await identity.tenant(database, "other")
    theirs = await identity.bearer(database, await identity.somebody(database, other, "tenants:read"))
    assert await get(http, theirs, "/usage/storage") == nothing, "another tenant's room is another's"
    stranger = await identity.bearer(database, await identity.somebody(database, other, "executions:read"))
    assert (await http.get("/v1/usage/storage", headers=stranger)).status_code == 403


async def test_a_start_for_which_there_is_no_room_is_refused(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, actor: Actor, signed: Headers
) -> None:
    workflow = await executions.workflow(database, actor, steps=[COPY])
    async with transaction(database, actor) as connection:
        await connection.execute("update weft.tenants set limits = $1", {"payload_bytes": 10})
    answer = await http.post(f"/v1/workflows/{workflow}/executions", headers=signed, json={"input": LARGE})
    assert (answer.status_code, answer.json()["type"]) == (409, "/errors/payload_quota")
    assert "ask the operator for more" in answer.json()["detail"]
    assert (await get(http, signed, "/executions"))["items"] == [], "nothing was started"

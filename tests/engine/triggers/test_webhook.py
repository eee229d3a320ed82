"""`POST /hooks/{token}`: what another system sends starts a workflow, once, and may be answered with its output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest
from tests.engine.triggers.hooks import hook, rows, told
from tests.factories import executions
from tests.factories.executions import CALL, FAIL

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.workflows.schemas import TriggerCreate, WebhookConfig
from weft.domain.workflows.service import triggers
from weft.engine.outcomes import Done, Failed
from weft.engine.process import EngineProcess

# -- starting ------------------------------------------------------------------------------------------------


async def test_a_call_starts_an_execution_with_its_body(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada)
    answer = await http.post(orders.path, json={"order": 7}, headers={"X-Correlation-Id": "their-id"})
    (row,) = await rows(database, ada)
    assert answer.status_code == 202
    assert answer.json() == {"execution_id": str(row["id"]), "number": 1, "status": "PENDING"}
    assert (row["input"], row["trigger"], row["trigger_id"]) == ({"order": 7}, "WEBHOOK", orders.id)
    assert (row["correlation_id"], row["started_by"]) == ("their-id", None)
    assert [job["kind"] for job in await executions.jobs(database, ada)] == ["start"]


async def test_a_list_is_an_input_too_and_no_body_is_none(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada)
    await http.post(orders.path, content=b"[1, 2]")
    await http.post(orders.path)
    assert [row["input"] for row in await rows(database, ada)] == [[1, 2], None]


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b'"text"', b"7", b"NaN", b'{"a": 1e999}', b'{"a": "\\ud800"}', b'{"a": "\\u0000"}',
     b"[" * 5_000 + b"]" * 5_000, b"payload=%7B%7D", b'{"a": 1} trailing', b"\x00"],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
async def test_what_is_no_json_document_is_refused(
    database: Database, http: httpx2.AsyncClient, ada: Actor, body: bytes
) -> None:
    orders = await hook(database, ada)
    assert told(await http.post(orders.path, content=body)) == (400, "/errors/body_malformed")
    assert await rows(database, ada) == []


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_body_is_refused_before_it_is_read_whole(
    database: Database, http: httpx2.AsyncClient, ada: Actor, announced: bool
) -> None:
    orders = await hook(database, ada)
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 65_536
            yield b"[" * 65_536

    headers = {"Content-Length": str(64 * 65_536)} if announced else {}
    answer = await http.post(orders.path, content=body(), headers=headers)
    assert told(answer) == (413, "/errors/body_oversized")
    assert sent <= 17 * 65_536
    assert await rows(database, ada) == []


async def test_an_input_that_does_not_fit_the_workflow_is_refused(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, workflow={"input": {"type": "object", "required": ["order"]}})
    assert told(await http.post(orders.path, json={"id": 7})) == (422, "/errors/input_invalid")


async def test_only_post_is_answered(database: Database, http: httpx2.AsyncClient, ada: Actor) -> None:
    orders = await hook(database, ada)
    assert told(await http.get(orders.path)) == (405, "/errors/method_refused")


# -- once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["webhook-id", "X-GitHub-Delivery", "Idempotency-Key"])
async def test_a_delivery_that_comes_again_starts_nothing_again(
    database: Database, http: httpx2.AsyncClient, ada: Actor, header: str
) -> None:
    orders = await hook(database, ada)
    answers = await asyncio.gather(
        *(http.post(orders.path, json={"order": 7}, headers={header: "d-1"}) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["execution_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 9
    assert len(await rows(database, ada)) == 1


async def test_a_second_attempt_may_differ_from_the_first(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, input="request")
    headers = {"webhook-id": "d-1"}
    first = await http.post(orders.path, json={}, headers=headers | {"X-Attempt": "1"})
    again = await http.post(orders.path, json={}, headers=headers | {"X-Attempt": "2"})
    assert first.json()["execution_id"] == again.json()["execution_id"]
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")


async def test_keys_of_different_triggers_and_of_the_api_do_not_meet(
    database: Database, http: httpx2.AsyncClient, running: EngineProcess, ada: Actor
) -> None:
    orders = await hook(database, ada)
    async with enter(database, ada) as scope:
        config = WebhookConfig(verify="none")
        other = await triggers.create(scope, orders.workflow_id, TriggerCreate(config=config))
    await executions.start(running, ada, orders.workflow_id, idempotency_key="d-1")
    for path in (orders.path, f"/hooks/{other.token}"):
        await http.post(path, json={}, headers={"webhook-id": "d-1"})
    assert len(await rows(database, ada)) == 3


@pytest.mark.parametrize("key", ["x" * 201, "two words", "schlüssel".encode("latin-1")])
async def test_a_delivery_id_that_is_no_key_is_refused(
    database: Database, http: httpx2.AsyncClient, ada: Actor, key: str | bytes
) -> None:
    orders = await hook(database, ada)
    answer = await http.post(
        orders.path, json={}, headers=[(b"webhook-id", key if isinstance(key, bytes) else key.encode())]
    )
    assert told(answer) == (422, "/errors/delivery_unclear")


# -- what the input is made of -------------------------------------------------------------------------------


async def test_the_whole_request_keeps_its_body_verbatim(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, input="request")
    body = b'{"amount":  1.00, "b": 2}\n'
    await http.post(
        f"{orders.path}?a=1&b=2&b=3",
        content=body,
        headers=[("X-Shop", "eu"), ("X-Many", "1"), ("X-Many", "2"), ("Authorization", "Basic c2VjcmV0"),
                 ("Cookie", "a=b"), ("Content-Type", "application/json")],
    )  # fmt: skip
    (row,) = await rows(database, ada)
    assert row["input"]["body"] == body.decode()
    assert row["input"]["query"] == {"a": "1", "b": ["2", "3"]}
    headers = row["input"]["headers"]
    assert (headers["x-shop"], headers["x-many"]) == ("eu", "1, 2")
    assert not {"authorization", "cookie"} & headers.keys()


async def test_a_form_is_text_of_the_whole_request(database: Database, http: httpx2.AsyncClient, ada: Actor) -> None:
    orders = await hook(database, ada, input="request")
    await http.post(orders.path, data={"text": "hé"})
    (row,) = await rows(database, ada)
    assert row["input"]["body"] == "text=h%C3%A9"
    assert told(await http.post(orders.path, content=b"\xff")) == (400, "/errors/body_malformed")


async def test_a_mapping_makes_the_input(database: Database, http: httpx2.AsyncClient, ada: Actor) -> None:
    mapping = {
        "order": "{{ body.order.id }}",
        "kind": "{{ headers['x-kind'] | default('none') }}",
        "lines": "{{ body.lines | map(attribute='sku') | list }}",
        "shop": "{{ query.shop }}",
        "fixed": True,
    }
    orders = await hook(database, ada, input=mapping)
    body = {"order": {"id": 7}, "lines": [{"sku": "a"}, {"sku": "b"}]}
    await http.post(f"{orders.path}?shop=eu", json=body, headers={"X-Kind": "new"})
    (row,) = await rows(database, ada)
    assert row["input"] == {"order": 7, "kind": "new", "lines": ["a", "b"], "shop": "eu", "fixed": True}


async def test_a_mapping_that_fails_starts_nothing(database: Database, http: httpx2.AsyncClient, ada: Actor) -> None:
    orders = await hook(database, ada, input={"n": "{{ body.n / 0 }}"})
    answer = await http.post(orders.path, json={"n": 1})
    assert (answer.status_code, await rows(database, ada)) == (422, [])


# -- synchronous answers -------------------------------------------------------------------------------------


async def test_a_synchronous_webhook_answers_with_the_output(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    echo = await hook(database, ada, respond="sync")
    answer = await http.post(echo.path, json={"order": 7})
    assert (answer.status_code, answer.json()) == (200, {"order": 7})
    (row,) = await rows(database, ada)
    assert answer.headers["weft-execution-id"] == str(row["id"])
    assert row["status"] == "COMPLETED"
    assert await executions.jobs(database, ada) == []


async def test_a_synchronous_webhook_waits_for_a_worker(
    database: Database, http: httpx2.AsyncClient, running: EngineProcess, ada: Actor
) -> None:
    pay = await hook(database, ada, workflow={"steps": [CALL]}, respond="sync", wait_seconds=30)
    calling = asyncio.create_task(http.post(pay.path, json={}))
    async with asyncio.timeout(60):
        row = await executions.stored(running, ada)
        await executions.settle(running, ada, row["id"], Done({"paid": True}))
        answer = await calling
    assert (answer.status_code, answer.json()) == (200, {"paid": True})
    assert len(running.waiters) == 0


async def test_a_synchronous_webhook_that_takes_too_long_says_what_goes_on(
    database: Database, http: httpx2.AsyncClient, running: EngineProcess, ada: Actor
) -> None:
    pay = await hook(database, ada, workflow={"steps": [CALL]}, respond="sync", wait_seconds=0.05)
    answer = await http.post(pay.path, json={})
    (row,) = await rows(database, ada)
    assert answer.status_code == 202
    assert answer.json() == {"execution_id": str(row["id"]), "number": 1, "status": "RUNNING"}
    assert len(running.waiters) == 0


async def test_a_refusal_of_the_workflow_is_said_in_its_own_words(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    refusing = await hook(database, ada, workflow={"steps": [FAIL]}, respond="sync")
    answer = await http.post(refusing.path, json={})
    assert told(answer) == (422, "/errors/execution_failed")
    assert answer.json()["detail"].startswith("The amount is not ours to pay.")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_failure_behind_the_workflow_is_a_bad_gateway_and_shows_nothing_of_it(
    database: Database, http: httpx2.AsyncClient, running: EngineProcess, ada: Actor
) -> None:
    pay = await hook(database, ada, workflow={"steps": [CALL]}, respond="sync", wait_seconds=30)
    calling = asyncio.create_task(http.post(pay.path, json={}))
    async with asyncio.timeout(60):
        row = await executions.stored(running, ada)
        failure = Failed("connection", "10.1.2.3 refused the connection", retryable=False)
        await executions.settle(running, ada, row["id"], failure)
        answer = await calling
    assert told(answer) == (502, "/errors/execution_failed")
    assert "10.1.2.3" not in answer.text
    assert str(row["id"]) in answer.json()["detail"]


async def test_a_repeated_synchronous_call_gets_the_first_ones_output(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    echo = await hook(database, ada, respond="sync")
    headers = {"Idempotency-Key": str(new_id())}
    first = await http.post(echo.path, json={"n": 1}, headers=headers)
    again = await http.post(echo.path, json={"n": 2}, headers=headers)
    assert (first.json(), again.json()) == ({"n": 1}, {"n": 1})
    assert again.headers["idempotency-replayed"] == "true"
    assert len(await rows(database, ada)) == 1


async def test_a_database_that_is_gone_for_a_moment_is_no_bug(
    database: Database, http: httpx2.AsyncClient, ada: Actor, running: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = await hook(database, ada)

    async def gone(*_: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(running.triggers, "read", gone)
    answer = await http.post(orders.path, json={})
    assert told(answer) == (503, "/errors/database_unavailable")
    assert "Retry-After" in answer.headers
    assert orders.path not in answer.text

"""Events and questions over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.factories import executions, identity
from tests.factories.identity import Person

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.engine.news import Cancelled, News
from weft.worker.run import prune_events

Headers = dict[str, str]
ID = "0198f3a0-0000-7000-8000-00000000c0de"
GUARDED: list[tuple[str, str, object, str]] = [
    ("GET", "/v1/events", None, "events:read"),
    ("POST", "/v1/events", {"type": "a.b"}, "events:write"),
    ("GET", f"/v1/events/{ID}", None, "events:read"),
    ("GET", "/v1/questions", None, "executions:read"),
    ("GET", f"/v1/questions/{ID}", None, "executions:read"),
    ("POST", f"/v1/questions/{ID}/answer", {"answer": "yes"}, "executions:answer"),
]


@pytest.fixture
async def owner(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


@pytest.fixture
async def actor(database: Database, acme: Person) -> Actor:
    return await identity.actor(database, acme)


async def fetch(database: Database, actor: Actor, query: str) -> list[Any]:
    async with transaction(database, actor, read_only=True) as connection:
        rows: list[Any] = await connection.fetch(query)
    return rows


async def test_anonymous_is_refused(api: httpx2.AsyncClient) -> None:
    for method, path, body, _ in GUARDED:
        assert (await api.request(method, path, json=body)).status_code == 401, (method, path)


async def test_each_needs_its_permission(database: Database, api: httpx2.AsyncClient, acme: Person) -> None:
    everything = dict.fromkeys(permission for *_, permission in GUARDED)
    for method, path, body, permission in GUARDED:
        others = [other for other in everything if other != permission]
        headers = await identity.bearer(database, await identity.somebody(database, acme, *others))
        answer = await api.request(method, path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (403, "/errors/permission_missing"), path


async def test_an_event_is_accepted_with_a_job_and_shown(
    database: Database, api: httpx2.AsyncClient, owner: Headers, actor: Actor
) -> None:
    body = {"type": "order.paid", "correlation": "A-1", "payload": {"sum": 3}}
    sent = await api.post("/v1/events", json=body, headers=owner)
    assert sent.status_code == 202
    assert sent.json() | {"id": "", "received_at": ""} == {
        "id": "", "type": "order.paid", "correlation": "A-1", "received_at": "", "repeated": False
    }  # fmt: skip
    (job,) = await executions.jobs(database, actor)
    assert (job["kind"], job["detail"], job["execution_id"]) == ("event", {"event": sent.json()["id"]}, None)
    shown = (await api.get(f"/v1/events/{sent.json()['id']}", headers=owner)).json()
    assert (shown["payload"], shown["source"], shown["delivered_at"], shown["effects"]) == (
        {"sum": 3},
        "API",
        None,
        None,
    )
    listed = await api.get("/v1/events", params={"type": "order.paid", "correlation": "A-1"}, headers=owner)
    assert [row["id"] for row in listed.json()["items"]] == [sent.json()["id"]]
    assert (await api.get("/v1/events", params={"type": "other"}, headers=owner)).json()["items"] == []


async def test_a_list_is_accepted_as_a_whole_or_not_at_all(api: httpx2.AsyncClient, owner: Headers) -> None:
    several = [{"type": "a.b", "payload": number} for number in range(100)]
    sent = await api.post("/v1/events", json=several, headers=owner)
    assert (sent.status_code, len(sent.json())) == (202, 100)
    refused = await api.post("/v1/events", json=[*several, {"type": "a.b"}], headers=owner)
    assert refused.status_code == 422
    refused = await api.post("/v1/events", json=[{"type": "c.d"}, {"type": "workflow.completed"}], headers=owner)
    assert (refused.status_code, refused.json()["type"]) == (422, "/errors/event_type_reserved")
    assert (await api.get("/v1/events", params={"type": "c.d"}, headers=owner)).json()["items"] == []


async def test_a_repeated_event_is_the_same_event(
    database: Database, api: httpx2.AsyncClient, owner: Headers, actor: Actor
) -> None:
    body = {"type": "order.paid", "id": "mine-1", "payload": 1}
    first = (await api.post("/v1/events", json=body, headers=owner)).json()
    again = await api.post("/v1/events", json=[body, {"type": "other"}], headers=owner)
    assert [(one["id"] == first["id"], one["repeated"]) for one in again.json()] == [(True, True), (False, False)]
    other = await api.post("/v1/events", json={**body, "payload": 2}, headers=owner)
    assert (other.status_code, other.json()["type"]) == (409, "/errors/event_id_reused")
    assert len(await executions.jobs(database, actor)) == 2


@pytest.mark.parametrize("payload", ["1e23", "[1e300, -0.0, 0.1]", '{"a": 1.0}', "null", '"1"', "false"])
async def test_a_repeated_payload_is_the_same_whatever_the_database_makes_of_it(
    api: httpx2.AsyncClient, owner: Headers, payload: str
) -> None:
    headers = {**owner, "Content-Type": "application/json"}
    for repeated in (False, True):
        body = f'{{"type": "order.paid", "id": "mine-2", "payload": {payload}}}'
        answer = await api.post("/v1/events", content=body, headers=headers)
        assert (answer.status_code, answer.json().get("repeated")) == (202, repeated), answer.text
    other = await api.post("/v1/events", json={"type": "order.paid", "id": "mine-2", "payload": 1}, headers=owner)
    assert other.status_code == 409


async def test_of_two_events_with_one_id_in_a_request_the_second_is_the_first(
    api: httpx2.AsyncClient, owner: Headers
) -> None:
    one = {"type": "order.paid", "id": "twice"}
    both = (await api.post("/v1/events", json=[one, one], headers=owner)).json()
    assert [event["repeated"] for event in both] == [False, True]
    assert (await api.post("/v1/events", json=[one, {**one, "payload": 1}], headers=owner)).status_code == 409


async def test_a_request_that_is_repeated_under_its_key_does_nothing_again(
    database: Database, api: httpx2.AsyncClient, owner: Headers, actor: Actor
) -> None:
    headers = {**owner, "Idempotency-Key": "k1"}
    body = [{"type": "a.b"}, {"type": "c.d"}]
    first = await api.post("/v1/events", json=body, headers=headers)
    again = await api.post("/v1/events", json=body, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [one["id"] for one in again.json()] == [one["id"] for one in first.json()]
    assert len(await executions.jobs(database, actor)) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"type": "no type"}, {"type": ""}, {}, {"type": "a", "correlation": ""}, {"type": "a", "id": "a b"}, [],
        {"type": "a", "other": 1}, {"type": "a", "correlation": "x" * 201}, "a",
    ],
)  # fmt: skip
async def test_what_is_no_event_is_refused(api: httpx2.AsyncClient, owner: Headers, body: object) -> None:
    assert (await api.post("/v1/events", json=body, headers=owner)).status_code == 422


async def test_another_tenant_s_events_do_not_exist_and_its_ids_are_its_own(
    database: Database, api: httpx2.AsyncClient, owner: Headers, globex: Person
) -> None:
    stranger = await identity.bearer(database, globex)
    sent = (await api.post("/v1/events", json={"type": "a.b", "id": "1"}, headers=owner)).json()
    answer = await api.get(f"/v1/events/{sent['id']}", headers=stranger)
    assert (answer.status_code, answer.json()["type"]) == (404, "/errors/event_not_found")
    theirs = (await api.post("/v1/events", json={"type": "x.y", "id": "1"}, headers=stranger)).json()
    assert theirs["repeated"] is False


async def test_old_events_are_deleted_a_few_at_a_time(
    database: Database, api: httpx2.AsyncClient, owner: Headers, actor: Actor
) -> None:
    await api.post("/v1/events", json=[{"type": "old"}] * 5 + [{"type": "new"}], headers=owner)
    async with transaction(database, actor) as connection:
        await connection.execute("update weft.events set received_at = now() - interval '40 days' where type = 'old'")
        before = await connection.fetchval("select now() - interval '30 days'")
    assert await prune_events(database, before, 2) == 5
    assert [row["type"] for row in await fetch(database, actor, "select type from weft.events")] == ["new"]


# -- questions -----------------------------------------------------------------------------------------------


async def ask(database: Database, actor: Actor, **config: Any) -> tuple[UUID, str]:
    """An execution that asks, and the question's id."""
    question = {"key": "ask", "type": "question", "config": {"question": "Pay {{ input }}?", **config}}
    workflow = await executions.workflow(database, actor, steps=[question], input={})
    async with executions.engine(database, answers=False) as engine:
        result = await executions.start(engine, actor, workflow, input=12, inline=True)
    (row,) = await fetch(database, actor, "select id from weft.questions")
    return result.id, str(row["id"])


async def test_an_open_question_is_listed_and_answered_once(
    database: Database, api: httpx2.AsyncClient, owner: Headers, actor: Actor, acme: Person
) -> None:
    execution, question = await ask(database, actor, choices=["yes", "no"], to="cfo")
    (listed,) = (await api.get("/v1/questions", headers=owner)).json()["items"]
    assert (listed["question"], listed["choices"], listed["to"], listed["status"]) == (
        "Pay 12?", ["yes", "no"], "cfo", "OPEN"
    )  # fmt: skip
    assert (listed["id"], listed["execution_id"]) == (question, str(execution))
    wrong = await api.post(f"/v1/questions/{question}/answer", json={"answer": "perhaps"}, headers=owner)
    assert (wrong.status_code, wrong.json()["type"]) == (422, "/errors/answer_not_among_choices")
    said = {"answer": "yes", "comment": "It is due."}
    answered = await api.post(f"/v1/questions/{question}/answer", json=said, headers=owner)
    assert (answered.status_code, answered.json()["status"]) == (200, "ANSWERED")
    again = await api.post(f"/v1/questions/{question}/answer", json=said, headers=owner)
    assert (again.status_code, again.json()["type"]) == (409, "/errors/question_closed")
    assert (await api.get("/v1/questions", headers=owner)).json()["items"] == []
    (event,) = await fetch(database, actor, "select type, correlation, payload from weft.events")
    assert (event["type"], event["correlation"]) == ("question.answered", question)
    assert (event["payload"]["answer"], event["payload"]["comment"]) == ("yes", "It is due.")


async def test_another_tenant_s_question_does_not_exist(
    database: Database, api: httpx2.AsyncClient, actor: Actor, globex: Person
) -> None:
    _, question = await ask(database, actor)
    stranger = await identity.bearer(database, globex)
    for answer in (
        await api.get(f"/v1/questions/{question}", headers=stranger),
        await api.post(f"/v1/questions/{question}/answer", json={"answer": 1}, headers=stranger),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/errors/question_not_found")


async def test_a_question_whose_execution_is_cancelled_is_closed(
    database: Database, api: httpx2.AsyncClient, owner: Headers, actor: Actor
) -> None:
    execution, question = await ask(database, actor)
    async with executions.engine(database, answers=False) as engine:
        await engine.driver.deliver(actor.tenant_id, [News(execution, Cancelled("no", "ada"))])
    late = await api.post(f"/v1/questions/{question}/answer", json={"answer": 1}, headers=owner)
    assert (late.status_code, "not waited for" in late.json()["detail"]) == (409, True)
    assert (await api.get(f"/v1/questions/{question}", headers=owner)).json()["status"] == "CLOSED"

"""`POST /hooks/{token}`: what another system sends starts a workflow, once, and strangers learn nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from tests.factories import executions
from tests.factories.executions import CALL, FAIL

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.domain.workflows import tokens
from weft.domain.workflows.schemas import TriggerCreate, TriggerUpdate, WebhookConfig
from weft.domain.workflows.service import triggers
from weft.engine.outcomes import Done, Failed
from weft.engine.process import EngineProcess
from weft.engine.triggers import signatures

ECHO: dict[str, Any] = {"output": "{{ input }}"}
UNKNOWN = (404, "/errors/webhook_unknown")


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[EngineProcess]:
    async with executions.engine(database) as opened:
        yield opened


@pytest.fixture
async def http(database: Database, engine: EngineProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with executions.client(database, engine) as opened:
        yield opened


@dataclass
class Hook:
    """A trigger and what its owner was shown."""

    database: Database
    actor: Actor
    workflow_id: UUID
    id: UUID
    token: str
    secret: bytes

    @property
    def path(self) -> str:
        return f"/hooks/{self.token}"

    async def change(self, **change: Any) -> None:
        async with enter(self.database, self.actor) as scope:
            await triggers.update(scope, self.workflow_id, self.id, TriggerUpdate(**change))

    async def rotate_token(self) -> str:
        async with enter(self.database, self.actor) as scope:
            made = await triggers.rotate_token(scope, self.workflow_id, self.id)
        assert made.token is not None
        return f"/hooks/{made.token}"

    async def rotate_secret(self) -> bytes:
        async with enter(self.database, self.actor) as scope:
            made = await triggers.rotate_secret(scope, self.workflow_id, self.id)
        assert made.signing_secret is not None
        return tokens.read_signing_secret(made.signing_secret)

    async def move(self, verb: str) -> None:
        async with enter(self.database, self.actor) as scope:
            await workflows.change_status(scope, self.workflow_id, verb)


async def hook(
    database: Database,
    actor: Actor,
    *,
    workflow: dict[str, Any] | None = None,
    enabled: bool = True,
    name: str = "orders",
    **config: Any,
) -> Hook:
    """A webhook that believes whoever knows its address, unless told otherwise."""
    workflow_id = await executions.workflow(database, actor, **(workflow or ECHO))
    new = TriggerCreate(name=name, enabled=enabled, config=WebhookConfig(**({"verify": "none"} | config)))
    async with enter(database, actor) as scope:
        made = await triggers.create(scope, workflow_id, new)
    assert made.token is not None
    assert made.signing_secret is not None
    secret = tokens.read_signing_secret(made.signing_secret)
    return Hook(database, actor, workflow_id, made.trigger.id, made.token, secret)


def told(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


async def rows(database: Database, actor: Actor) -> list[Any]:
    async with transaction(database, actor, read_only=True) as connection:
        found: list[Any] = await connection.fetch("select * from weft.workflow_executions order by number")
    return found


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


# -- strangers -----------------------------------------------------------------------------------------------


async def test_all_tokens_that_start_nothing_get_the_same_answer(
    database: Database, http: httpx2.AsyncClient, ada: Actor, bob: Actor
) -> None:
    orders, disabled = await hook(database, ada), await hook(database, ada, workflow={}, enabled=False)
    foreign_place = tokens.mint(bob.tenant_id, orders.id).text
    made_up = [tokens.mint(ada.tenant_id, uuid4()).text, tokens.mint(uuid4(), uuid4()).text]
    guessed = tokens.mint(ada.tenant_id, orders.id).text
    cut, mistyped = orders.token[:-1], orders.token[:-8] + "00000000"
    wrong = [disabled.token, foreign_place, *made_up, guessed, cut, mistyped, "x", "weft_sk_" + orders.token[8:]]
    answers = [await http.post(f"/hooks/{token}", json={}) for token in wrong]
    assert {told(answer) for answer in answers} == {UNKNOWN}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert await rows(database, ada) == []


async def test_answers_and_logs_never_repeat_the_token(
    database: Database, http: httpx2.AsyncClient, ada: Actor, capfd: pytest.CaptureFixture[str]
) -> None:
    orders = await hook(database, ada)
    answers = [
        await http.post(orders.path, content=b"{"),
        await http.post(orders.path, json={}),
        await http.post(f"{orders.path}x", json={}),
    ]
    said = "".join(answer.text + str(answer.headers) for answer in answers)
    written = capfd.readouterr()
    assert orders.token not in said + written.out + written.err
    assert orders.token[-49:] not in said + written.out + written.err


async def test_a_webhook_of_a_deleted_workflow_is_unknown(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada)
    assert (await http.post(orders.path, json={})).status_code == 202
    async with enter(database, ada) as scope:
        await workflows.delete(scope, orders.workflow_id)
    assert told(await http.post(orders.path, json={})) == UNKNOWN


async def test_a_workflow_at_rest_says_so_without_its_name(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, workflow={"name": "Echo"})
    await orders.move("deactivate")
    answer = await http.post(orders.path, json={})
    assert told(answer) == (409, "/errors/workflow_at_rest")
    assert "Echo" not in answer.text
    await orders.move("activate")
    assert (await http.post(orders.path, json={})).status_code == 202


# -- what this process knew of a trigger and what it is now ---------------------------------------------------


async def test_a_disabled_trigger_starts_nothing_although_it_was_known(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada)
    assert (await http.post(orders.path, json={})).status_code == 202
    await orders.change(enabled=False)
    assert told(await http.post(orders.path, json={})) == UNKNOWN
    assert len(await rows(database, ada)) == 1
    await orders.change(enabled=True)
    assert (await http.post(orders.path, json={})).status_code == 202


async def test_a_rotated_token_replaces_the_old_one_at_once(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada)
    assert (await http.post(orders.path, json={})).status_code == 202
    path = await orders.rotate_token()
    assert told(await http.post(orders.path, json={})) == UNKNOWN
    assert (await http.post(path, json={})).status_code == 202
    assert told(await http.post(orders.path, json={})) == UNKNOWN
    assert len(await rows(database, ada)) == 2


async def test_a_new_token_is_known_at_once(database: Database, http: httpx2.AsyncClient, ada: Actor) -> None:
    orders = await hook(database, ada)
    assert (await http.post(orders.path, json={})).status_code == 202
    assert (await http.post(await orders.rotate_token(), json={})).status_code == 202


async def test_a_changed_configuration_holds_for_the_next_call(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada)
    await http.post(orders.path, json={"a": 1})
    await orders.change(config=WebhookConfig(verify="none", input={"only": "{{ body.a }}"}))
    await http.post(orders.path, json={"a": 2})
    assert [row["input"] for row in await rows(database, ada)] == [{"a": 1}, {"only": 2}]


# -- signatures ----------------------------------------------------------------------------------------------

BODY = b'{"order":  7}'


def signed_at(secret: bytes, *, ago: timedelta = timedelta(), message: str = "msg-1") -> dict[str, str]:
    return signatures.sign_standard(secret, message, datetime.now(UTC) - ago, BODY)


async def test_a_signed_message_starts_an_execution(database: Database, http: httpx2.AsyncClient, ada: Actor) -> None:
    orders = await hook(database, ada, verify="standard")
    answer = await http.post(orders.path, content=BODY, headers=signed_at(orders.secret))
    assert answer.status_code == 202
    (row,) = await rows(database, ada)
    assert row["input"] == {"order": 7}
    assert row["idempotency_key"] == f"hook:{orders.id}:msg-1"


@pytest.mark.parametrize(
    ("amiss", "code"),
    [
        ("unsigned", "signature_missing"),
        ("another secret", "signature_wrong"),
        ("another body", "signature_wrong"),
        ("another id", "signature_wrong"),
        ("too old", "signature_outdated"),
        ("from the future", "signature_outdated"),
        ("nonsense", "signature_malformed"),
        ("github instead", "signature_missing"),
    ],
)
async def test_a_message_that_proves_nothing_is_refused(
    database: Database, http: httpx2.AsyncClient, ada: Actor, amiss: str, code: str
) -> None:
    orders = await hook(database, ada, verify="standard")
    good, body = signed_at(orders.secret), BODY
    headers: dict[str, str] = {
        "unsigned": {},
        "another secret": signed_at(bytes(32)),
        "another body": good,
        "another id": good | {"webhook-id": "msg-2"},
        "too old": signed_at(orders.secret, ago=timedelta(minutes=6)),
        "from the future": signed_at(orders.secret, ago=timedelta(minutes=-6)),
        "nonsense": good | {"webhook-signature": "v1,"},
        "github instead": signatures.sign_github(orders.secret, BODY),
    }[amiss]
    if amiss == "another body":
        body = b'{"order": 7}'  # the same document, but other bytes
    assert told(await http.post(orders.path, content=body, headers=headers)) == (401, f"/errors/{code}")
    assert await rows(database, ada) == []


async def test_github_signs_the_body_alone(database: Database, http: httpx2.AsyncClient, ada: Actor) -> None:
    pushes = await hook(database, ada, verify="github")
    headers = signatures.sign_github(pushes.secret, BODY) | {"X-GitHub-Delivery": "72d3162e"}
    first = await http.post(pushes.path, content=BODY, headers=headers)
    again = await http.post(pushes.path, content=BODY, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["execution_id"] == again.json()["execution_id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert told(await http.post(pushes.path, content=BODY + b" ", headers=headers)) == (401, "/errors/signature_wrong")


async def test_a_rotated_signing_secret_replaces_the_old_one_at_once(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, verify="standard")
    old = signed_at(orders.secret, message="a")
    assert (await http.post(orders.path, content=BODY, headers=old)).status_code == 202
    secret = await orders.rotate_secret()
    new = signed_at(secret, message="b")
    assert (await http.post(orders.path, content=BODY, headers=new)).status_code == 202
    stale = signed_at(orders.secret, message="c")
    assert told(await http.post(orders.path, content=BODY, headers=stale)) == (401, "/errors/signature_wrong")
    assert len(await rows(database, ada)) == 2


async def test_the_old_secret_is_refused_by_a_process_that_still_knows_it(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, verify="standard")
    await http.post(orders.path, content=BODY, headers=signed_at(orders.secret, message="a"))
    await orders.rotate_secret()
    stale = signed_at(orders.secret, message="b")
    assert told(await http.post(orders.path, content=BODY, headers=stale)) == (401, "/errors/signature_wrong")
    assert len(await rows(database, ada)) == 1


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
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, ada: Actor
) -> None:
    orders = await hook(database, ada)
    async with enter(database, ada) as scope:
        config = WebhookConfig(verify="none")
        other = await triggers.create(scope, orders.workflow_id, TriggerCreate(config=config))
    await executions.start(engine, ada, orders.workflow_id, idempotency_key="d-1")
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
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, ada: Actor
) -> None:
    pay = await hook(database, ada, workflow={"steps": [CALL]}, respond="sync", wait_seconds=20)
    calling = asyncio.create_task(http.post(pay.path, json={}))
    async with asyncio.timeout(10):
        row = await executions.stored(engine, ada)
        await executions.settle(engine, ada, row["id"], Done({"paid": True}))
        answer = await calling
    assert (answer.status_code, answer.json()) == (200, {"paid": True})
    assert len(engine.waiters) == 0


async def test_a_synchronous_webhook_that_takes_too_long_says_what_goes_on(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, ada: Actor
) -> None:
    pay = await hook(database, ada, workflow={"steps": [CALL]}, respond="sync", wait_seconds=0.05)
    answer = await http.post(pay.path, json={})
    (row,) = await rows(database, ada)
    assert answer.status_code == 202
    assert answer.json() == {"execution_id": str(row["id"]), "number": 1, "status": "RUNNING"}
    assert len(engine.waiters) == 0


async def test_a_refusal_of_the_workflow_is_said_in_its_own_words(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    refusing = await hook(database, ada, workflow={"steps": [FAIL]}, respond="sync")
    answer = await http.post(refusing.path, json={})
    assert told(answer) == (422, "/errors/execution_failed")
    assert answer.json()["detail"].startswith("The amount is not ours to pay.")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_failure_behind_the_workflow_is_a_bad_gateway_and_shows_nothing_of_it(
    database: Database, http: httpx2.AsyncClient, engine: EngineProcess, ada: Actor
) -> None:
    pay = await hook(database, ada, workflow={"steps": [CALL]}, respond="sync", wait_seconds=20)
    calling = asyncio.create_task(http.post(pay.path, json={}))
    async with asyncio.timeout(10):
        row = await executions.stored(engine, ada)
        failure = Failed("connection", "10.1.2.3 refused the connection", retryable=False)
        await executions.settle(engine, ada, row["id"], failure)
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

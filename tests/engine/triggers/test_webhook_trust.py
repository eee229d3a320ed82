"""Who is believed: strangers learn nothing, signatures are checked, and what changes counts from the next call on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.engine.triggers.hooks import hook, rows, told

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.domain.workflows import tokens
from weft.domain.workflows.schemas import WebhookConfig
from weft.engine.triggers import signatures

UNKNOWN = (404, "/errors/webhook_unknown")


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


@pytest.mark.parametrize("body", [{"secret": "salary 9000"}, {}], ids=["same", "other"])
@pytest.mark.parametrize("how", ["disabled", "rotated", "deleted"])
async def test_a_repeated_delivery_is_shown_nothing_by_an_address_that_was_taken_away(
    database: Database, http: httpx2.AsyncClient, ada: Actor, how: str, body: dict[str, Any]
) -> None:
    """Its first answer was an output; the process still knows the trigger as it was then."""
    orders = await hook(database, ada, respond="sync")
    key = {"idempotency-key": "k1"}
    first = await http.post(orders.path, json={"secret": "salary 9000"}, headers=key)
    assert (first.status_code, first.json()) == (200, {"secret": "salary 9000"})
    match how:
        case "disabled":
            await orders.change(enabled=False)
        case "rotated":
            await orders.rotate_token()
        case _:
            async with enter(database, ada) as scope:
                await workflows.delete(scope, orders.workflow_id)
    assert told(await http.post(orders.path, json=body, headers=key)) == UNKNOWN
    assert len(await rows(database, ada)) == 1


async def test_a_repeated_delivery_to_a_workflow_at_rest_is_told_so(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, respond="sync")
    key = {"idempotency-key": "k1"}
    await http.post(orders.path, json={}, headers=key)
    await orders.move("deactivate")
    for body in ({}, {"another": "body"}):
        assert told(await http.post(orders.path, json=body, headers=key)) == (409, "/errors/workflow_at_rest")


async def test_a_repeated_delivery_after_a_harmless_change_gets_the_first_ones_answer(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, respond="sync")
    key = {"idempotency-key": "k1"}
    await http.post(orders.path, json={"a": 1}, headers=key)
    await orders.change(name="renamed")
    for body in ({"a": 1}, {"a": 2}):
        again = await http.post(orders.path, json=body, headers=key)
        assert (again.status_code, again.json()) == (200, {"a": 1})
        assert again.headers["idempotency-replayed"] == "true"


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


async def test_a_repeated_message_with_a_revoked_secret_is_refused(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    """It was signed well when the secret was good, and its answer is known."""
    orders = await hook(database, ada, verify="standard", respond="sync")
    signed = signed_at(orders.secret, message="a")
    assert (await http.post(orders.path, content=BODY, headers=signed)).status_code == 200
    await orders.rotate_secret()
    assert told(await http.post(orders.path, content=BODY, headers=signed)) == (401, "/errors/signature_wrong")

"""What webhooks accept besides JSON, what is kept of it, and what works for a while after it was replaced."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from tests.engine.triggers.hooks import Hook, hook, rows, told

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.workflows import tokens
from weft.domain.workflows.service import triggers
from weft.engine.process import EngineProcess
from weft.engine.triggers import signatures

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (FORM, b"a=1&b=h%C3%A9&b=2&c=", {"a": "1", "b": ["hé", "2"], "c": ""}),
        (FORM, b'{"a": 1}', {"a": 1}),
        ("text/plain", b"hello", "hello"),
        ("text/plain; charset=iso-8859-1", b"h\xe9", "hé"),
        ("text/plain; charset=UTF-8", b'{"type": "Notification"}', {"type": "Notification"}),
        ("application/xml", "<a>hé</a>".encode(), "<a>hé</a>"),
        ("application/soap+xml", b"<a/>", "<a/>"),
        ("application/cloudevents+json; charset=utf-8", b'{"id": "1"}', {"id": "1"}),
        ("application/pdf", b"%PDF\x00\xff", {"content_type": "application/pdf", "base64": "JVBERgD/"}),
        ("text/plain", b"", None),
    ],
)  # fmt: skip
async def test_what_a_body_is_says_its_content_type(
    database: Database, http: httpx2.AsyncClient, ada: Actor, content_type: str, body: bytes, expected: Any
) -> None:
    orders = await hook(database, ada)
    answer = await http.post(orders.path, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 202, answer.text
    (row,) = await rows(database, ada)
    assert row["input"] == expected


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"hello"), ("text/plain", b"\xff"), ("text/plain; charset=rot13", b"uryyb"),
        ("text/plain", b"a\x00b"), (FORM, b"a=%ff"), (FORM, b"&".join(b"a=1" for _ in range(1_001))),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_refused(
    database: Database, http: httpx2.AsyncClient, ada: Actor, content_type: str, body: bytes
) -> None:
    orders = await hook(database, ada)
    answer = await http.post(orders.path, content=body, headers={"Content-Type": content_type})
    assert told(answer) == (400, "/errors/body_malformed")
    assert await rows(database, ada) == []


async def test_github_may_send_its_json_in_a_form(database: Database, http: httpx2.AsyncClient, ada: Actor) -> None:
    orders = await hook(database, ada, verify="github")
    body = b"payload=%7B%22action%22%3A%22opened%22%7D"
    headers = signatures.sign_github(orders.secret, body) | {"Content-Type": FORM, "X-GitHub-Delivery": "d-1"}
    assert (await http.post(orders.path, content=body, headers=headers)).status_code == 202
    (row,) = await rows(database, ada)
    assert row["input"] == {"action": "opened"}


@pytest.mark.parametrize("body", [b'{"amount":  1.00}\n', b"a\x00\xff"], ids=["text", "binary"])
async def test_the_body_is_kept_verbatim_and_checked_over_its_bytes(
    database: Database, http: httpx2.AsyncClient, ada: Actor, body: bytes
) -> None:
    mapping = {"raw": "{{ trigger.body_raw }}", "how": "{{ trigger.body_encoding }}", "by": "{{ trigger.name }}"}
    orders = await hook(database, ada, verify="standard", keep_body=True, input=mapping)
    kind = "application/json" if body.startswith(b"{") else "application/octet-stream"
    headers = signatures.sign_standard(orders.secret, "m-1", datetime.now(UTC), body) | {"Content-Type": kind}
    assert (await http.post(orders.path, content=body, headers=headers)).status_code == 202
    (row,) = await rows(database, ada)
    kept = row["metadata"]["webhook"]
    decode = b64decode if kept["encoding"] == "base64" else str.encode
    assert decode(kept["body"]) == body
    assert kept["content_type"] == kind
    assert row["input"] == {"raw": kept["body"], "how": kept["encoding"], "by": "orders"}
    again = await http.post(orders.path, content=body, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    changed = await http.post(orders.path, content=body + b" ", headers=headers)
    assert told(changed) == (401, "/errors/signature_wrong")


async def test_nothing_is_kept_unless_it_is_wanted_nor_too_much(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    plain, keeping = await hook(database, ada), await hook(database, ada, keep_body=True)
    large = {"text": "x" * 256_001}
    assert (await http.post(plain.path, json=large)).status_code == 202
    assert told(await http.post(keeping.path, json=large)) == (422, "/errors/body_too_large_to_keep")
    (row,) = await rows(database, ada)
    assert row["metadata"] == {}


async def test_a_whole_request_tells_how_its_body_is_written(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada, input="request")
    await http.post(orders.path, content=b"\x00\xff", headers={"Content-Type": "image/png"})
    (row,) = await rows(database, ada)
    assert (row["input"]["body"], row["input"]["body_encoding"]) == (b64encode(b"\x00\xff").decode(), "base64")


@pytest.mark.parametrize(("tolerance", "age", "status"), [("10s", 15, 401), ("10s", 5, 202), ("30m", 1_700, 202)])
async def test_how_old_a_message_may_be_is_the_webhooks_choice(
    database: Database, http: httpx2.AsyncClient, running: EngineProcess, ada: Actor, monkeypatch: pytest.MonkeyPatch,
    tolerance: str, age: int, status: int,
) -> None:  # fmt: skip
    orders = await hook(database, ada, verify="standard", tolerance=tolerance)
    now = datetime.now(UTC)
    monkeypatch.setattr(running.driver, "clock", lambda: now)  # a request on a slow machine makes no message older
    headers = signatures.sign_standard(orders.secret, "m-1", now - timedelta(seconds=age), b"{}")
    answer = await http.post(orders.path, content=b"{}", headers=headers)
    assert answer.status_code == status, answer.text


# -- grace ---------------------------------------------------------------------------------------------------


async def rotate(orders: Hook, what: str, grace: timedelta) -> str:
    async with enter(orders.database, orders.actor) as scope:
        if what == "token":
            made = await triggers.rotate_token(scope, orders.workflow_id, orders.id, grace=grace)
            assert made.token is not None
            return made.token
        made = await triggers.rotate_secret(scope, orders.workflow_id, orders.id, grace=grace)
        assert made.signing_secret is not None
        return made.signing_secret


def later(running: EngineProcess, monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    monkeypatch.setattr(running.driver, "clock", lambda: datetime.now(UTC) + by)


async def test_an_address_works_on_until_its_grace_is_over(
    database: Database, http: httpx2.AsyncClient, running: EngineProcess, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = await hook(database, ada)
    assert (await http.post(orders.path, json={})).status_code == 202
    new = await rotate(orders, "token", timedelta(hours=1))
    for path in (orders.path, f"/hooks/{new}"):
        assert (await http.post(path, json={})).status_code == 202
    later(running, monkeypatch, timedelta(minutes=61))
    assert told(await http.post(orders.path, json={})) == (404, "/errors/webhook_unknown")
    assert (await http.post(f"/hooks/{new}", json={})).status_code == 202


async def test_only_the_address_before_is_kept_and_without_grace_none(
    database: Database, http: httpx2.AsyncClient, ada: Actor
) -> None:
    orders = await hook(database, ada)
    second = await rotate(orders, "token", timedelta(hours=1))
    third = await rotate(orders, "token", timedelta(hours=1))
    assert (await http.post(orders.path, json={})).status_code == 404
    assert (await http.post(f"/hooks/{second}", json={})).status_code == 202
    fourth = await rotate(orders, "token", timedelta())
    answers = [(await http.post(f"/hooks/{token}", json={})).status_code for token in (second, third, fourth)]
    assert answers == [404, 404, 202]


@pytest.mark.parametrize("scheme", ["standard", "github"])
async def test_a_secret_works_on_until_its_grace_is_over(
    database: Database, http: httpx2.AsyncClient, running: EngineProcess, ada: Actor, monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:  # fmt: skip
    orders = await hook(database, ada, verify=scheme, tolerance="1h")

    async def call(secret: bytes, message: str) -> int:
        at = running.driver.clock()
        signed = signatures.sign_standard(secret, message, at, b"{}")
        headers = signed if scheme == "standard" else signatures.sign_github(secret, b"{}")
        return (await http.post(orders.path, content=b"{}", headers=headers)).status_code

    assert await call(orders.secret, "m-1") == 202
    new = tokens.read_signing_secret(await rotate(orders, "secret", timedelta(hours=1)))
    assert [await call(new, "m-2"), await call(orders.secret, "m-3"), await call(b"x" * 32, "m-4")] == [202, 202, 401]
    later(running, monkeypatch, timedelta(minutes=61))
    assert [await call(new, "m-5"), await call(orders.secret, "m-6")] == [202, 401]


async def test_what_was_replaced_never_reaches_the_audit_log(database: Database, ada: Actor) -> None:
    orders = await hook(database, ada)
    await rotate(orders, "token", timedelta(hours=1))
    await rotate(orders, "secret", timedelta(hours=1))
    async with enter(database, ada) as scope:
        stored = await scope.raw.fetchrow("select previous_token_hash, previous_secret from weft.workflow_triggers")
        lines = "".join(row["line"] for row in await scope.raw.fetch("select a::text as line from weft.audit_logs a"))
    assert stored["previous_token_hash"].hex() not in lines
    assert stored["previous_secret"].hex() not in lines

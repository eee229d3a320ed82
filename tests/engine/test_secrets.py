"""Secrets in steps: put in at the moment of the call, and nowhere to be found afterwards."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from tests.adapters.loopback import Loopback, addresses, loopback, redirect, reply
from tests.engine.conftest import Engine

from weft.adapters.addresses import Allow
from weft.adapters.http_client import SafeHttpClient
from weft.core.actor import Actor
from weft.core.ports import HttpError
from weft.db.scope import enter
from weft.domain.secrets import service as secrets
from weft.domain.secrets.schemas import SecretPut
from weft.engine.kinds import Ports
from weft.engine.vault import KEPT, Vault

TOKEN = "tok_live_4242/+==&ünïcode"
ASCII = "tok_live_0123456789abcdef"


async def put(engine: Engine, name: str, value: str, actor: Actor | None = None) -> None:
    async with enter(engine.database, actor or engine.actor) as scope:
        await secrets.put(scope, name, SecretPut(value=value))


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as opened:
        yield opened


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
async def wired(engine: Engine, server: Loopback, ticks: Ticks) -> AsyncIterator[Engine]:
    """An engine whose steps reach the server and the secrets. No name is asked for outside of this process."""
    async with SafeHttpClient(Allow.parse([f"127.0.0.1:{server.port}"]), resolve=addresses({})) as client:
        engine.ports = Ports(http=client, secrets=Vault(engine.database, monotonic=ticks))
        yield engine


def one_step(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"steps": [{"key": "call", "type": "http", "config": config, **more}]}


async def run(engine: Engine, document: dict[str, Any], value: Any = None) -> Any:
    started = await engine.start(await engine.workflow(document), value)
    await engine.settle()
    return await engine.execution(started.id)


async def everything_stored(engine: Engine) -> str:
    """Every row of every table that a step's answer could reach, as text."""
    tables = ("workflow_executions", "execution_logs", "dispatch_jobs", "audit_logs", "workflow_steps")
    rows = [await engine.fetch(f"select t::text from weft.{table} t") for table in tables]
    return "\n".join(row["t"] for group in rows for row in group)


async def audited(engine: Engine) -> list[Any]:
    return await engine.fetch(
        "select * from weft.audit_logs where resource_type = 'secrets' and action = 'read' order by at"
    )


async def test_both_ways_to_write_it_reach_the_other_side(wired: Engine, server: Loopback) -> None:
    await put(wired, "token", ASCII)
    await put(wired, "user", "ledger-user")
    server.answers["/pay/ledger-user"] = reply(200, b"{}", {"content-type": "application/json"})
    row = await run(
        wired,
        one_step(
            {
                "method": "POST",
                "url": server.url("/pay/{{ secrets.user }}", host="127.0.0.1"),
                "headers": {"Authorization": "Bearer {{ secrets.token }}", "X-Api-Key": "secret://token"},
                "body": {"deep": [{"key": "secret://token"}, "{{ input.text }} {{ secrets.user }}"]},
            }
        ),
        {"text": "for"},
    )
    assert row["status"] == "COMPLETED", row["error"]
    (request,) = server.received
    assert request.headers["authorization"] == f"Bearer {ASCII}"
    assert request.headers["x-api-key"] == ASCII
    assert json.loads(request.body) == {"deep": [{"key": ASCII}, "for ledger-user"]}
    assert ASCII not in await everything_stored(wired)


@pytest.mark.parametrize("status", [200, 500, 404])
async def test_a_server_that_repeats_it_everywhere_reveals_nothing(
    wired: Engine, server: Loopback, status: int
) -> None:
    await put(wired, "token", ASCII)
    basic = base64.b64encode(f"user:{ASCII}".encode()).decode()
    body = json.dumps({"seen": f"Bearer {ASCII}", ASCII: [basic, {"x": ASCII[::1]}]}).encode()
    server.answers["/echo"] = (
        f"HTTP/1.1 {status} Bearer {ASCII}\r\nContent-Type: application/json\r\nX-Seen: Bearer {ASCII}\r\n"
        f"X-Basic: {basic}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    config = {"url": server.url("/echo", host="127.0.0.1"), "headers": {"Authorization": "Bearer {{ secrets.token }}"}}
    row = await run(wired, one_step(config))
    assert server.received[0].headers["authorization"] == f"Bearer {ASCII}"
    assert row["status"] == ("COMPLETED" if status == 200 else "FAILED")
    stored = await everything_stored(wired)
    assert "***" in stored
    for form in (ASCII, basic[12:-4], ASCII[:16]):
        assert form not in stored


async def test_an_answer_cut_off_within_it_reveals_nothing(wired: Engine, server: Loopback) -> None:
    await put(wired, "token", ASCII)
    for kept in range(10, len(ASCII)):
        server.answers["/long"] = reply(400, b"x" * (2048 - kept) + ASCII.encode() + b"tail", length=True)
        config = {"url": server.url("/long", host="127.0.0.1"), "headers": {"X-Key": "secret://token"}}
        row = await run(wired, one_step(config))
        assert row["error"]["data"]["body"].endswith("***"), kept
        assert ASCII[:10] not in row["error"]["data"]["body"]


async def test_redirects_and_refused_redirects_reveal_nothing(wired: Engine, server: Loopback) -> None:
    await put(wired, "token", ASCII)
    server.answers["/a"] = redirect(302, f"/b?token={ASCII}")
    server.answers["/b"] = reply(200, b"ok", {"location": f"http://{ASCII}.test/"})
    config = {"url": server.url("/a", host="127.0.0.1"), "query": {"token": "secret://token"}}
    assert (await run(wired, one_step(config)))["status"] == "COMPLETED"
    assert server.received[0].target == f"/a?token={ASCII}"
    server.answers["/a"] = redirect(302, f"ftp://{ASCII}@127.0.0.1/")
    assert (await run(wired, one_step(config)))["error"]["kind"] == "redirect"
    server.answers["/a"] = redirect(302, f"http://{ASCII}.invalid/")
    assert (await run(wired, one_step(config)))["status"] == "FAILED"
    assert ASCII not in await everything_stored(wired)


async def test_the_word_for_a_value_that_does_not_fit_reveals_nothing(wired: Engine, server: Loopback) -> None:
    long = "k" * 5 + "0123456789" * 12
    await put(wired, "token", long)
    await put(wired, "lines", "first line\nsecond line of it")
    for config in (
        {"url": "secret://token"},
        {"url": server.url("/", host="127.0.0.1"), "expect": "secret://token"},
        {"url": server.url("/", host="127.0.0.1"), "timeout": "secret://token"},
        {"url": server.url("/", host="127.0.0.1"), "headers": {"X": "secret://lines"}},
        {"url": "https://u:{{ secrets.token }}@127.0.0.1/"},
        {"url": "http://{{ secrets.token }}/"},
    ):
        row = await run(wired, one_step(config))
        assert row["status"] == "FAILED"
    stored = await everything_stored(wired)
    assert long[:16] not in stored
    assert "second line" not in stored


async def test_every_attempt_gets_it_and_none_keeps_it(wired: Engine, server: Loopback) -> None:
    await put(wired, "token", TOKEN)
    sorry = reply(503, TOKEN.encode())
    server.answers["/"] = [sorry, sorry, reply(200, TOKEN.encode(), {"content-type": "text/plain; charset=utf-8"})]
    config = {"method": "POST", "url": server.url("/", host="127.0.0.1"), "body": "secret://token"}
    document = one_step(config, retry={"attempts": 3, "initial": "1s", "jitter": False})
    started = await wired.start(await wired.workflow(document))
    for _ in range(3):
        await wired.settle()
        wired.clock.advance(60)
    row = await wired.execution(started.id)
    assert row["status"] == "COMPLETED"
    assert [request.body for request in server.received] == [TOKEN.encode()] * 3
    assert row["output"]["body"] == "***"
    assert TOKEN not in await everything_stored(wired)
    assert len(await audited(wired)) == 1


async def test_an_unknown_name_fails_the_step_with_a_sentence(wired: Engine, server: Loopback) -> None:
    config = {"url": server.url("/", host="127.0.0.1"), "headers": {"X": "secret://nobody"}}
    row = await run(wired, one_step(config, retry={"attempts": 3}))
    assert row["error"]["kind"] == "secret_missing"
    assert "weft secret set nobody" in row["error"]["message"]
    assert server.received == []


async def test_another_tenants_secret_is_unknown(wired: Engine, server: Loopback, bob: Actor) -> None:
    await put(wired, "token", ASCII, bob)
    row = await run(wired, one_step({"url": server.url("/", host="127.0.0.1"), "headers": {"X": "secret://token"}}))
    assert row["error"]["kind"] == "secret_missing"


async def test_what_comes_in_as_input_refers_to_nothing(wired: Engine, server: Loopback) -> None:
    """Else whoever may start a workflow could read every secret of the tenant."""
    await put(wired, "token", ASCII)
    await put(wired, "other", "another-value-entirely")
    server.answers["/"] = reply(200)
    config = {
        "method": "POST",
        "url": server.url("/", host="127.0.0.1"),
        "headers": {"X-Key": "secret://token", "X-Whole": "{{ input.whole }}"},
        "body": ["{{ input.whole }}", "{{ input.braces }}", "a {{ input.whole }}"],
    }
    await run(wired, one_step(config), {"whole": "secret://other", "braces": "{{ secrets.other }}"})
    (request,) = server.received
    assert request.headers["x-whole"] == "secret://other"
    assert json.loads(request.body) == ["secret://other", "{{ secrets.other }}", "a secret://other"]


async def test_a_read_is_recorded_once_for_an_execution(wired: Engine, server: Loopback) -> None:
    await put(wired, "token", ASCII)
    server.answers["/"] = reply(200)
    call = {"type": "http", "config": {"url": server.url("/", host="127.0.0.1"), "headers": {"X": "secret://token"}}}
    document = {
        "steps": [{"key": f"s{n}", **call} for n in range(5)],
        "transitions": [{"from": f"s{n}", "to": f"s{n + 1}"} for n in range(4)],
    }
    workflow = await wired.workflow(document)
    first, second = await wired.start(workflow), await wired.start(workflow)
    await wired.settle()
    assert len(server.received) == 10
    entries = await audited(wired)
    assert {entry["after"]["execution_id"] for entry in entries} == {str(first.id), str(second.id)}
    assert len(entries) == 2
    assert entries[0]["after"]["name"] == "token"


async def test_a_new_value_is_used_as_soon_as_the_old_one_is_forgotten(engine: Engine, ticks: Ticks) -> None:
    vault = Vault(engine.database, monotonic=ticks)
    tenant, execution = engine.actor.tenant_id, UUID(int=7)

    async def reveal() -> dict[str, str]:
        return await vault.reveal(tenant, execution, ["token"], correlation_id="c")

    assert await reveal() == {}
    await put(engine, "token", "first-value")
    assert await reveal() == {"token": "first-value"}
    await put(engine, "token", "second-value")
    assert await reveal() == {"token": "first-value"}
    ticks.now += KEPT
    assert await reveal() == {"token": "second-value"}
    async with enter(engine.database, engine.actor) as scope:
        await secrets.delete(scope, "token")
    ticks.now += KEPT
    assert await reveal() == {}


async def test_a_step_without_secrets_asks_for_none(engine: Engine) -> None:
    class Refusing:
        async def reveal(self, *_: Any, **__: Any) -> dict[str, str]:
            raise AssertionError("nobody asked for a secret")

    engine.ports = Ports(http=engine.http, secrets=Refusing())
    row = await run(engine, one_step({"url": "http://api.test/"}))
    assert row["status"] == "COMPLETED"


async def test_a_database_that_is_away_puts_the_step_off(engine: Engine) -> None:
    """The step has not failed; it is done when the database is back."""

    class Away:
        def __init__(self, vault: Vault) -> None:
            self.vault, self.asked = vault, 0

        async def reveal(self, *args: Any, **named: Any) -> dict[str, str]:
            self.asked += 1
            if self.asked == 1:
                from weft.db.database import DatabaseUnavailable

                raise DatabaseUnavailable
            return await self.vault.reveal(*args, **named)

    await put(engine, "token", ASCII)
    store = Away(Vault(engine.database))
    engine.ports = Ports(http=engine.http, secrets=store)
    started = await engine.start(
        await engine.workflow(one_step({"url": "http://api.test/", "query": {"k": "secret://token"}}))
    )
    await engine.settle()
    engine.clock.advance(10)
    await engine.settle()
    assert (await engine.execution(started.id))["status"] == "COMPLETED"
    assert store.asked == 2


async def test_an_error_of_the_client_is_hidden_too(engine: Engine) -> None:
    await put(engine, "token", ASCII)
    engine.http.replies = [HttpError("protocol", f"Bad header Bearer {ASCII}.", retryable=False)]
    engine.ports = Ports(http=engine.http, secrets=Vault(engine.database))
    row = await run(engine, one_step({"url": "http://api.test/", "headers": {"X": "secret://token"}}))
    assert row["error"]["message"] == "Bad header Bearer ***."

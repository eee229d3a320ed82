"""An execution as a stream of events: everything once, in order, from wherever its reader left off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from starlette.types import ASGIApp
from tests.conftest import TestDatabase
from tests.engine import streams
from tests.engine.streams import Event
from tests.factories import executions, identity
from tests.factories.executions import CALL, FAIL, SET
from tests.factories.identity import Person

from weft.api.app import create_app
from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.domain.executions import changes
from weft.domain.executions.errors import EventIdUnclear
from weft.domain.executions.rules import Position, position_of
from weft.domain.identity import access
from weft.engine import event_routes, routes
from weft.engine.news import Cancelled, News, Retried
from weft.engine.outcomes import Done, Failed
from weft.engine.process import EngineProcess
from weft.engine.watching import StreamLimits, Watchers
from weft.http import sse
from weft.http.sse import HEARTBEAT
from weft.http.state import Services

Headers = dict[str, str]
TWICE = [CALL, {**CALL, "key": "again"}]


@pytest.fixture
async def acme(database: Database) -> Person:
    return await identity.tenant(database, "acme")


@pytest.fixture
async def actor(database: Database, acme: Person) -> Actor:
    return await identity.actor(database, acme)


@pytest.fixture
async def signed(database: Database, acme: Person) -> Headers:
    return await identity.bearer(database, acme)


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[EngineProcess]:
    async with executions.engine(database) as opened:
        yield opened


@pytest.fixture
async def app(database: Database, engine: EngineProcess) -> AsyncIterator[ASGIApp]:
    services = Services(database, access.open_scope, cursor_key=bytes(32), public_url="http://weft.test")
    made = create_app(services, (routes.router, event_routes.router))
    routes.attach(made, engine)
    yield made
    await access.settle(database)


async def begun(engine: EngineProcess, actor: Actor, steps: Any, **more: Any) -> UUID:
    """An execution that stands at its first step."""
    workflow = await executions.workflow(engine.database, actor, steps=steps, **more)
    started = await executions.start(engine, actor, workflow, input={"amount": 7})
    await executions.take_up(engine, actor, started.id)
    return started.id


def address(execution_id: UUID) -> str:
    return f"/v1/executions/{execution_id}/events"


def told(events: list[Event]) -> list[tuple[str, str | None, str]]:
    return [(event.name, event.data.get("step"), event.data["status"]) for event in events]


async def test_what_happens_is_told_as_it_happens(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers
) -> None:
    execution_id = await begun(engine, actor, TWICE)
    async with streams.opened(app, address(execution_id), signed) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert "content-length" not in stream.headers
        first = [await stream.next(), await stream.next()]
        assert told(first) == [("step", "call", "RUNNING"), ("execution", None, "RUNNING")]
        assert [step["step"] for step in first[1].data["steps"]] == ["call"]
        await executions.settle(engine, actor, execution_id, Done({"paid": True}))
        settled = [await stream.next(), await stream.next(), await stream.next()]
        assert told(settled) == [
            ("step", "call", "COMPLETED"),
            ("step", "again", "RUNNING"),
            ("execution", None, "RUNNING"),
        ]
        assert settled[0].data["id"] == first[0].data["id"], "the same row, told again"
        assert settled[0].data["data_bytes"] > 0
        assert settled[0].data["data"] is None
        await executions.settle(engine, actor, execution_id, Failed("http_4xx", "No.", retryable=False), visit=2)
        rest = await stream.rest()
        assert told(rest) == [
            ("step", "again", "FAILED"),
            ("execution", None, "FAILED"),
            ("end", None, "FAILED"),
        ]
        assert rest[-1].data["error"]["message"] == "No."
    assert len(engine.watchers) == 0


async def test_it_goes_on_exactly_after_each_event(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers
) -> None:
    """Whatever event was the last one that arrived: the rest comes, and nothing of before."""
    execution_id = await begun(engine, actor, TWICE)
    await executions.settle(engine, actor, execution_id, Done(1))
    await executions.settle(engine, actor, execution_id, Done(2), visit=2)
    async with streams.opened(app, address(execution_id), signed) as stream:
        whole = await stream.rest()
    assert told(whole) == [
        ("step", "call", "COMPLETED"),
        ("step", "again", "COMPLETED"),
        ("execution", None, "COMPLETED"),
        ("end", None, "COMPLETED"),
    ]
    for place, event in enumerate(whole[:-1]):
        async with streams.opened(app, address(execution_id), signed, last=event.id) as stream:
            assert await stream.rest() == whole[place + 1 :], event.id
        async with streams.opened(app, f"{address(execution_id)}?last_event_id={event.id}", signed) as stream:
            assert await stream.rest() == whole[place + 1 :], event.id
    async with streams.opened(app, address(execution_id), signed, last=whole[-1].id) as stream:
        assert stream.status == 204, "whoever had the end need not come again"


async def test_a_retried_execution_goes_on_after_its_end(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers
) -> None:
    execution_id = await begun(engine, actor, [FAIL])
    async with streams.opened(app, address(execution_id), signed) as stream:
        end = (await stream.rest())[-1]
    assert (end.name, end.data["status"]) == ("end", "FAILED")
    await engine.driver.deliver(actor.tenant_id, [News(execution_id, Retried("Ada"))])
    async with streams.opened(app, address(execution_id), signed, last=end.id) as stream:
        again = await stream.rest()
    assert {event.data["message"] for event in again if event.name == "step"} >= {
        "Retried by Ada: it goes on where it failed."
    }
    assert again[-1].name == "end"
    assert again[-1].id != end.id


async def test_every_row_of_many_saves_comes_once_though_the_reader_hangs_up(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages smaller than a save, and a new connection after every few events."""
    monkeypatch.setattr(changes, "PAGE", 3)
    loop = {
        "key": "each",
        "type": "for_each",
        "config": {"items": "{{ input.list }}", "concurrency": 4, "body": {"steps": [{**CALL, "key": "one"}]}},
    }
    workflow = await executions.workflow(engine.database, actor, steps=[loop])
    started = await executions.start(engine, actor, workflow, input={"list": list(range(10))})
    seen: list[Event] = []

    async def work() -> None:
        await executions.take_up(engine, actor, started.id)
        for visit in range(2, 12):
            await executions.settle(engine, actor, started.id, Done(visit), visit=visit)

    async def follow() -> None:
        last: str | None = None
        while not seen or seen[-1].name != "end":
            async with streams.opened(app, address(started.id), signed, last=last) as stream:
                for _ in range(4):
                    event = await stream.next()
                    seen.append(event)
                    last = event.id
                    if event.name == "end":
                        break

    await asyncio.gather(work(), follow())
    ids = [event.id for event in seen if event.name == "step"]
    assert len(ids) == len(set(ids))
    assert all(_key(a) <= _key(b) for a, b in pairwise(ids))
    final = {event.data["id"]: event.data["status"] for event in seen if event.name == "step"}
    async with transaction(engine.database, actor, read_only=True) as connection:
        rows = await connection.fetch("select id, status from weft.execution_logs where execution_id = $1", started.id)
    assert final == {str(row["id"]): row["status"] for row in rows}
    assert len(final) == 11


def _key(event_id: str | None) -> tuple[int, str]:
    version, _, row = (event_id or "").partition(".")
    return int(version), row


async def test_the_first_look_at_a_long_journal_begins_with_its_newest_rows(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SNAPSHOT", 1)
    execution_id = await begun(engine, actor, [SET, {**SET, "key": "more"}, {**SET, "key": "last"}])
    async with streams.opened(app, address(execution_id), signed) as stream:
        events = await stream.rest()
    assert [event.data["step"] for event in events if event.name == "step"] == ["last"]
    assert next(event for event in events if event.name == "execution").data["earlier"] is True
    async with streams.opened(app, address(execution_id), signed, last="0") as stream:
        whole = await stream.rest()
    assert [event.data["step"] for event in whole if event.name == "step"] == ["answer", "more", "last"]
    assert next(event for event in whole if event.name == "execution").data["earlier"] is False


async def test_outputs_come_when_asked_for_and_are_small(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await begun(engine, actor, TWICE)
    await executions.settle(engine, actor, execution_id, Done({"a": 1}))
    await executions.settle(engine, actor, execution_id, Done({"b": "x" * 500}), visit=2)
    monkeypatch.setattr(changes, "LARGEST_DATA", 100)
    monkeypatch.setattr(changes, "PAGE_WITH_DATA", 1)
    async with streams.opened(app, f"{address(execution_id)}?data=true", signed) as stream:
        events = await stream.rest()
    steps = [event.data for event in events if event.name == "step"]
    assert [step["data"] for step in steps] == [{"a": 1}, None]
    assert steps[1]["data_bytes"] > 500
    assert events[-1].data["output"] == {"b": "x" * 500}


async def test_nobody_else_may_look(
    engine: EngineProcess, app: ASGIApp, actor: Actor, database: Database, acme: Person, signed: Headers
) -> None:
    execution_id = await begun(engine, actor, [CALL])
    stranger = await identity.bearer(database, await identity.tenant(database, "other"))
    nobody = await identity.bearer(database, await identity.somebody(database, acme, "workflows:read"))
    for headers, status, code in (
        ({}, 401, "credential_missing"),
        (nobody, 403, "permission_missing"),
        (stranger, 404, "execution_not_found"),
    ):
        async with streams.opened(app, address(execution_id), headers) as stream:
            assert (stream.status, (await stream.json())["type"]) == (status, f"/errors/{code}")
    async with streams.opened(app, address(uuid4()), signed) as stream:
        assert stream.status == 404
    async with streams.opened(app, address(execution_id), signed, last="yesterday") as stream:
        assert (stream.status, (await stream.json())["type"]) == (422, "/errors/event_id_unclear")
    assert len(engine.watchers) == 0


async def test_it_ends_when_its_reader_may_not_read_any_more(
    engine: EngineProcess, app: ASGIApp, actor: Actor, database: Database, acme: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_routes, "CHECK_SECONDS", 0.0)
    execution_id = await begun(engine, actor, [CALL])
    reader = await identity.somebody(database, acme, "executions:read")
    async with streams.opened(app, address(execution_id), await identity.bearer(database, reader)) as stream:
        await stream.next("execution")
        async with transaction(database, actor) as connection:
            await connection.execute(
                "update weft.tenant_users set status = 'SUSPENDED' where user_id = $1", reader.user_id
            )
        await executions.settle(engine, actor, execution_id, Done(1))
        assert [event for event in await stream.rest() if event.name == "end"] == []


async def test_there_are_not_more_than_so_many(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers, database: Database
) -> None:
    engine.watchers._limits = StreamLimits(total=2, per_tenant=1)
    execution_id = await begun(engine, actor, [CALL])
    async with streams.opened(app, address(execution_id), signed) as stream:
        await stream.next("execution")
        async with streams.opened(app, address(execution_id), signed) as second:
            assert (second.status, (await second.json())["type"]) == (429, "/errors/streams_exhausted")
            assert second.headers["retry-after"] == "10"
    async with streams.opened(app, address(execution_id), signed) as stream:
        assert stream.status == 200


async def test_a_quiet_stream_shows_that_it_lives(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_routes, "HEARTBEAT_SECONDS", 0.01)
    execution_id = await begun(engine, actor, [CALL])
    async with streams.opened(app, address(execution_id), signed) as stream:
        await stream.next("execution")
        assert await stream.chunk() == HEARTBEAT


async def test_a_reader_that_does_not_read_is_dropped(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PATIENCE", 0.01)
    execution_id = await begun(engine, actor, [CALL])
    async with streams.opened(app, address(execution_id), signed) as stream:
        await stream.next("execution")
        stream.stalled = True
        await executions.settle(engine, actor, execution_id, Done(1))
        assert stream.task is not None
        await asyncio.wait_for(asyncio.shield(stream.task), timeout=60)
    assert len(engine.watchers) == 0


async def test_streams_end_when_the_process_is_told_to_stop(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers
) -> None:
    execution_id = await begun(engine, actor, [CALL])
    async with streams.opened(app, address(execution_id), signed) as stream:
        await stream.next("execution")
        engine.watchers.leave()
        assert await stream.rest() == []
    async with streams.opened(app, address(execution_id), signed) as stream:
        assert stream.status == 503


async def test_an_execution_that_is_deleted_ends_its_stream(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers, test_database: TestDatabase
) -> None:
    execution_id = await begun(engine, actor, [CALL])
    async with streams.opened(app, address(execution_id), signed) as stream:
        await stream.next("execution")
        admin = await asyncpg.connect(test_database.admin)
        try:
            await admin.execute("delete from weft.execution_logs")
            await admin.execute("delete from weft.workflow_executions")
        finally:
            await admin.close()
        assert await stream.rest() == []


async def test_a_database_that_is_away_for_a_moment_ends_no_stream(
    engine: EngineProcess, app: ASGIApp, actor: Actor, signed: Headers, test_database: TestDatabase
) -> None:
    execution_id = await begun(engine, actor, [CALL])
    async with streams.opened(app, address(execution_id), signed) as stream:
        await stream.next("execution")
        admin = await asyncpg.connect(test_database.admin)
        try:
            await admin.execute(
                "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
                " where datname = current_database() and usename = 'weft_app'"
            )
        finally:
            await admin.close()
        await engine.driver.deliver(actor.tenant_id, [News(execution_id, Cancelled("Enough.", "Ada"))])
        assert (await stream.rest())[-1].data["status"] == "CANCELLED"


async def test_watching_costs_one_statement_for_each_tenant(
    engine: EngineProcess, actor: Actor, database: Database, bob: Actor
) -> None:
    """Whatever is watched; and nothing is asked while nobody watches."""
    watchers = Watchers(database)
    mine = [await begun(engine, actor, [CALL]) for _ in range(3)]
    watches = [watchers.watch(actor.tenant_id, one) for one in (*mine, *mine)] + [
        watchers.watch(bob.tenant_id, mine[0])
    ]
    asked: list[str] = []

    def note(record: Any) -> None:
        asked.append(record.query)

    async with database.pool.acquire() as first, database.pool.acquire() as second:
        first.add_query_logger(note)
        second.add_query_logger(note)
    await watchers.look()
    assert sum("weft:engine.watched" in query for query in asked) == 2
    assert [await watch.moved(0, 0.0) for watch in watches] == [True] * 6 + [False]
    assert watches[-1].is_gone, "another tenant's execution is not there"
    for watch in watches:
        watch.close()
    asked.clear()
    await watchers.look()
    assert asked == []


@pytest.mark.parametrize("position", [Position(7), Position(7, UUID(int=5)), Position(7, ended=True), Position(0)])
def test_positions_are_written_and_read(position: Position) -> None:
    assert position_of(str(position)) == position


@pytest.mark.parametrize("text", ["", "x", "-1", "7.", "7.x", "7.end.end", "٣", "1" * 10, "7." + "f" * 33])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(EventIdUnclear):
        position_of(text)


async def test_http_clients_that_take_answers_whole_get_the_end(
    engine: EngineProcess, app: Any, actor: Actor, signed: Headers
) -> None:
    execution_id = await begun(engine, actor, [SET])
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://weft.test", headers=signed) as client:
        answer = await client.get(address(execution_id))
    assert answer.text.rstrip().splitlines()[-2] == "event: end"

"""No loop of events goes on for ever, in depth or in breadth; whatever leads to many others goes on."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine
from tests.engine.documents import chain, step
from tests.engine.test_event_triggers import executions, follow
from tests.engine.test_events import send, status

from weft.core.ids import new_id
from weft.db.scope import enter
from weft.domain.events import rules
from weft.domain.events import service as events
from weft.engine import replays
from weft.engine.events import loops
from weft.engine.events.following import Followers
from weft.engine.events.hearing import loops_refused


async def test_a_workflow_that_emits_what_starts_it_comes_to_an_end(engine: Engine) -> None:
    emit = step("again", "emit_event", {"event": "turn"})
    workflow = await engine.workflow(chain(emit))
    await follow(engine, workflow, "turn")
    before = loops_refused.count
    await engine.start(workflow)
    await engine.settle()
    rows = await executions(engine)
    assert [row["depth"] for row in rows] == list(range(rules.DEEPEST + 1))
    assert [row["status"] for row in rows] == ["COMPLETED"] * rules.DEEPEST + ["FAILED"]
    assert rows[-1]["error"]["kind"] == "event_loop"
    assert loops_refused.count == before + 1


async def test_a_workflow_that_follows_its_own_end_comes_to_an_end(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("end", "end")))
    await follow(engine, workflow, "workflow.completed")
    before = loops_refused.count
    await engine.start(workflow)
    await engine.settle()
    rows = await executions(engine)
    assert len(rows) == rules.DEEPEST + 1
    assert await status(engine, rows[-1]["id"]) == "COMPLETED"
    notes = await engine.fetch("select execution_id, message from weft.execution_logs where visit = 0")
    assert [row["execution_id"] for row in notes] == [rows[-1]["id"]]
    assert "does a workflow trigger itself" in notes[0]["message"]
    assert loops_refused.count == before + 1
    assert await engine.jobs() == []


# -- breadth -------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(rules, "MOST_AGAIN", 8)
    return 8


def each(count: int, event: str, payload: Any = None) -> dict[str, Any]:
    """Steps that emit an event so many times."""
    config = {"event": event} if payload is None else {"event": event, "payload": payload}
    body = {"steps": [step("say", "emit_event", config)], "transitions": []}
    return {"steps": [step("all", "for_each", {"items": {"count": count}, "body": body})], "transitions": []}


async def refusals(engine: Engine) -> Counter[str]:
    rows = await engine.fetch("select effects from weft.events where effects is not null")
    return Counter(one["code"] for row in rows for one in row["effects"]["refused"])


async def again(engine: Engine, event: UUID) -> int:
    async with enter(engine.database, engine.actor) as scope:
        seen = await events.get(scope, event)
    assert seen.effects is not None
    assert len(seen.effects.started) == 1
    return seen.effects.again


async def notes(engine: Engine) -> list[str]:
    rows = await engine.fetch("select message from weft.execution_logs where visit = 0 and step_key is null")
    return [row["message"] for row in rows if row["message"] and "does a workflow trigger itself" in row["message"]]


async def test_a_workflow_that_wakes_itself_five_times_comes_to_an_end(engine: Engine, few: int) -> None:
    workflow = await engine.workflow(each(5, "order.paid"))
    await follow(engine, workflow)
    before = loops_refused.count
    origin = await send(engine)
    await engine.settle()
    rows = await executions(engine)
    assert len(rows) == 1 + few
    assert {row["status"] for row in rows} == {"COMPLETED"}
    refused = 5 * (1 + few) - few
    assert await refusals(engine) == {"event_loop": refused}
    assert loops_refused.count == before + refused
    assert len(await notes(engine)) == 1, "the journal says it once, not for each"
    assert await again(engine, origin) == few + refused
    assert await engine.jobs() == []


async def test_two_workflows_that_wake_each_other_come_to_an_end(engine: Engine, few: int) -> None:
    ping, pong = await engine.workflow(each(3, "pong")), await engine.workflow(each(3, "ping"))
    await follow(engine, ping, "ping")
    await follow(engine, pong, "pong")
    await send(engine, "ping")
    await engine.settle()
    assert len(await executions(engine, ping)) == 1 + few
    assert 3 <= len(await executions(engine, pong)) <= 3 * (1 + few), "as often as one round would, and so often again"
    assert set(await refusals(engine)) == {"event_loop"}
    assert await engine.jobs() == []


async def test_workflows_that_follow_every_end_come_to_an_end(engine: Engine, few: int) -> None:
    """None follows itself alone: each end wakes all of them."""
    for _ in range(3):
        await follow(engine, await engine.workflow(chain(step("end", "end"))), "workflow.completed")
    await engine.start(await engine.workflow(chain(step("end", "end"))))
    await engine.settle()
    rows = await executions(engine)
    assert 1 + 3 + few <= len(rows) <= 1 + 2 * (3 + few), "one that starts late may count apart"
    assert set(await refusals(engine)) == {"event_loop"}
    assert len(await notes(engine)) == 1


async def test_a_loop_through_a_sub_workflow_is_one(engine: Engine, few: int) -> None:
    await engine.workflow(each(4, "order.paid") | {"name": "leaf"})
    workflow = await engine.workflow(chain(step("down", "sub_workflow", {"workflow": "leaf"})))
    await follow(engine, workflow)
    await send(engine)
    await engine.settle()
    assert len(await executions(engine, workflow)) == 1 + few


async def test_what_leads_to_many_others_is_no_loop(engine: Engine, few: int) -> None:
    """Stages that each follow the one before, and one that follows two of them: far more than a loop may have."""
    many = 3 * few
    first = await engine.workflow(each(many, "order.created"))
    second = await engine.workflow(chain(step("say", "emit_event", {"event": "order.paid"})))
    third = await engine.workflow(chain(step("end", "end")))
    await follow(engine, first, "import")
    await follow(engine, second, "order.created")
    await follow(engine, third, ["order.paid", "order.created"])
    await send(engine, "import")
    await engine.settle()
    found = [len(await executions(engine, one)) for one in (first, second, third)]
    assert found == [1, many, 2 * many]
    assert not await refusals(engine)


async def test_a_delivery_that_is_repeated_is_counted_once(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("end", "end")))
    await follow(engine, workflow)
    origin = await send(engine)
    await engine.settle()
    event = {
        "id": new_id(), "type": "order.paid", "correlation": "", "payload": None, "received_at": engine.clock(),
        "execution_id": None, "depth": 2, "metadata": {loops.CHAIN: [str(origin)]},
    }  # fmt: skip
    followers = Followers(engine.driver, engine.starter)
    told = [await followers.start(engine.actor.tenant_id, event) for _ in range(3)]
    assert [len(one["started"]) for one in told] == [1, 1, 1]
    assert len(await executions(engine)) == 2
    assert await again(engine, origin) == 1


async def test_a_replay_begins_a_chain_of_its_own(engine: Engine) -> None:
    workflow = await engine.workflow(chain(step("end", "end")))
    await follow(engine, workflow)
    event = await send(engine)
    await engine.settle()
    (row,) = await executions(engine)
    assert loops.chain_of(row["metadata"]) == [event]
    again = await replays.replay(engine.driver, engine.actor, replays.ReplayRequest(row["id"], "end"))
    assert loops.chain_of((await engine.execution(again.id))["metadata"]) == []


@pytest.mark.parametrize("written", [None, "x", ["x"], [1], [str(new_id())] * 17, {"a": 1}])
def test_metadata_that_somebody_made_up_is_no_chain(written: Any) -> None:
    assert loops.chain_of({loops.CHAIN: written}) == []

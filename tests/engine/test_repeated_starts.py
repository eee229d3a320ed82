"""A start that is repeated under its key, and numbers that the database gives back otherwise than they came."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engine.conftest import Engine
from tests.engine.documents import chain, step

from weft.domain.executions.payloads import LARGE
from weft.engine import replays
from weft.engine.replays import ReplayRequest
from weft.engine.start_errors import IdempotencyKeyReused

LARGE_TEXT = "x" * (LARGE + 1)
INPUTS: list[Any] = [None, {"a": 1e23}, [1e300, -0.0, 0.1, 1.0, 2**70], {"a": 1e23, "b": LARGE_TEXT}]
SHORT = ["nothing", "large float", "numbers", "payload"]


@pytest.mark.parametrize("value", INPUTS, ids=SHORT)
async def test_the_same_start_is_recognised(engine: Engine, value: Any) -> None:
    workflow = await engine.workflow(chain(step("end", "end", {"output": 1})))
    first = await engine.start(workflow, value, idempotency_key="k")
    again = await engine.start(workflow, value, idempotency_key="k")
    assert (first.created, again.created, again.id) == (True, False, first.id)
    others: list[Any] = [{"a": 2e23}, {"a": 1e23, "b": LARGE_TEXT + "x"}]
    for other in others:
        with pytest.raises(IdempotencyKeyReused):
            await engine.start(workflow, other, idempotency_key="k")


@pytest.mark.parametrize("value", INPUTS, ids=SHORT)
async def test_the_same_replay_is_recognised(engine: Engine, value: Any) -> None:
    workflow = await engine.workflow(chain(step("end", "end", {"output": 1})))
    first = await engine.start(workflow, 1, inline=True)
    request = ReplayRequest(first.id, "end", input=value, has_input=True, idempotency_key="k")
    made = await replays.replay(engine.driver, engine.actor, request)
    again = await replays.replay(engine.driver, engine.actor, request)
    assert (made.created, again.created, again.id) == (True, False, made.id)
    other = ReplayRequest(first.id, "end", input={"a": 2e23}, has_input=True, idempotency_key="k")
    with pytest.raises(IdempotencyKeyReused):
        await replays.replay(engine.driver, engine.actor, other)

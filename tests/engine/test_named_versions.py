"""Who names a version gets one that somebody let run, through every door."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.engine.conftest import Engine
from tests.engine.documents import chain, step
from tests.engine.versions import publish

from weft.engine import migrations, replays
from weft.engine.migrations import Wanted
from weft.engine.replays import ReplayRequest
from weft.engine.start_errors import VersionNotPublished, VersionUnknown

FIRST, DRAWN, THIRD = (chain(step("end", "end", {"output": number}), name="pay") for number in (1, 2, 3))


@pytest.fixture
async def workflow(engine: Engine) -> UUID:
    """Version 2 was saved while the workflow was not active, and version 3 before anybody activated it again."""
    workflow = await engine.workflow(dict(FIRST))
    await publish(engine, workflow, DRAWN, 2, published=False)
    await publish(engine, workflow, THIRD, 3)
    return workflow


async def test_a_start_takes_what_was_let_run(engine: Engine, workflow: UUID) -> None:
    outputs = [(await engine.start(workflow, inline=True, version=number)).output for number in (None, 1, 3)]
    assert outputs == [3, 1, 3]
    with pytest.raises(VersionNotPublished, match="weft workflow rollback WORKFLOW 2"):
        await engine.start(workflow, version=2)
    with pytest.raises(VersionUnknown):
        await engine.start(workflow, version=4)


@pytest.mark.usefixtures("workflow")
async def test_a_sub_workflow_too(engine: Engine) -> None:
    parent = await engine.workflow(chain(step("call", "sub_workflow", {"workflow": "pay", "version": 2})))
    started = await engine.start(parent)
    await engine.settle()
    row = await engine.execution(started.id)
    assert row["status"] == "FAILED"
    assert "Version 2" in row["error"]["message"]


async def test_a_replay_and_a_move_too(engine: Engine, workflow: UUID) -> None:
    first = await engine.start(workflow, inline=True, version=1)
    assert (await replays.replay(engine.driver, engine.actor, ReplayRequest(first.id, "end", version=3))).created
    with pytest.raises(VersionNotPublished):
        await replays.replay(engine.driver, engine.actor, ReplayRequest(first.id, "end", version=2))
    for dry_run in (True, False):
        wanted = Wanted(workflow, 1, 2, {}, None, ("WAITING",), 10, None, dry_run)
        with pytest.raises(VersionNotPublished):
            await migrations.consider(engine.driver, engine.actor, wanted)
    back = Wanted(workflow, 2, 1, {}, None, ("WAITING",), 10, None, False)
    assert (await migrations.consider(engine.driver, engine.actor, back)).items == []

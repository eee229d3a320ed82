"""A start after its workflow changed: what this process remembers of it refuses nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engine.conftest import Engine
from tests.engine.documents import chain, step

from weft.core.ids import new_id
from weft.db.hot import transaction
from weft.engine.plans import InputInvalid
from weft.engine.start_errors import WorkflowUnknown


def _taking(field: str) -> dict[str, Any]:
    taken = {"type": "object", "required": [field], "additionalProperties": False, "properties": {field: {}}}
    return chain(step("done", "end", {"output": f"{{{{ input.{field} }}}}"}), input=taken)


async def _elsewhere(engine: Engine, statement: str, *values: Any) -> None:
    """Another process changes the workflow."""
    async with transaction(engine.database, engine.actor) as connection:
        await connection.execute(statement, *values)


async def test_an_input_is_held_against_the_version_that_is_current(engine: Engine) -> None:
    workflow = await engine.workflow(_taking("old"))
    assert (await engine.start(workflow, {"old": 1}, inline=True)).output == 1
    await _elsewhere(
        engine,
        "insert into weft.workflow_versions (tenant_id, id, workflow_id, number, definition, content_hash)"
        " values ($1, $2, $3, 2, $4, 'y')",
        engine.actor.tenant_id,
        version := new_id(),
        workflow,
        _taking("new") | {"name": "changed"},
    )
    await _elsewhere(engine, "update weft.workflows set current_version_id = $2 where id = $1", workflow, version)
    assert (await engine.start(workflow, {"new": 2}, inline=True)).output == 2
    with pytest.raises(InputInvalid, match="old"):
        await engine.start(workflow, {"old": 1}, inline=True)


async def test_a_deleted_workflow_is_unknown_whatever_the_input(engine: Engine) -> None:
    workflow = await engine.workflow(_taking("old"))
    await engine.start(workflow, {"old": 1}, inline=True)
    await _elsewhere(engine, "update weft.workflows set deleted_at = now() where id = $1", workflow)
    with pytest.raises(WorkflowUnknown):
        await engine.start(workflow, {"new": 2})

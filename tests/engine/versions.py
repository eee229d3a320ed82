"""Further versions of a workflow, for tests that need more than one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.engine.conftest import Engine

from weft.core.ids import new_id
from weft.db.hot import transaction
from weft.interpreter.compile import compile_definition


async def publish(
    engine: Engine, workflow: UUID, document: dict[str, Any], number: int, *, published: bool = True
) -> UUID:
    """Make a document the current version of the workflow; `published` says whether somebody let it run."""
    tenant, version = engine.actor.tenant_id, new_id()
    paths = [(step.path, step.kind) for step in compile_definition(document).all_steps()]
    async with transaction(engine.database, engine.actor) as connection:
        await connection.execute(
            "insert into weft.workflow_versions (tenant_id, id, workflow_id, number, definition, content_hash)"
            " values ($1, $2, $3, $4, $5, $6)", tenant, version, workflow, number, document, f"v{number}",
        )  # fmt: skip
        if published:
            await connection.execute(
                "insert into weft.workflow_publications (tenant_id, version_id) values ($1, $2)", tenant, version
            )
        await connection.executemany(
            'insert into weft.workflow_steps (tenant_id, id, version_id, key, name, step_type, "order", config)'
            " values ($1, $2, $3, $4, $4, $5, $6, '{}')",
            [(tenant, new_id(), version, path, kind, order) for order, (path, kind) in enumerate(paths)],
        )
        await connection.execute(
            "update weft.workflows set version = $2, current_version_id = $3 where id = $1", workflow, number, version
        )
    return version

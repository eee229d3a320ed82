"""The working draft: a document that is kept as it is being drawn, sound or not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.workflows import check, queries
from weft.domain.workflows import document as documents
from weft.domain.workflows.errors import DraftMissing
from weft.domain.workflows.kinds import KindRegistry, installed
from weft.domain.workflows.models import Workflow
from weft.domain.workflows.service import publishing, rows


@dataclass(frozen=True, slots=True)
class Draft:
    definition: dict[str, Any]
    row_version: int
    differs: bool


async def draft_of(scope: Scope, workflow_id: UUID) -> Draft:
    """The draft, or the current version's definition when nothing has been drawn since."""
    workflow = await rows.find(scope, workflow_id)
    if workflow.draft is not None:
        return Draft(workflow.draft, workflow.row_version, await differs(scope, workflow))
    if workflow.current_version_id is None:
        raise DraftMissing
    definition = await scope.one(
        queries.definition_of(scope.tenant_id, workflow.current_version_id), missing=DraftMissing()
    )
    return Draft(dict(definition), workflow.row_version, differs=False)


async def differs(scope: Scope, workflow: Workflow) -> bool:
    """Whether the draft holds something that the current version does not."""
    if workflow.draft is None:
        return False
    if workflow.current_version_id is None:
        return True
    current = await scope.maybe(queries.content_hash_of(scope.tenant_id, workflow.current_version_id))
    return current != documents.content_hash(workflow.draft)


async def store_draft(
    scope: Scope, workflow_id: UUID, document: Mapping[str, Any], *, expected: int | None = None
) -> Workflow:
    """Keep what has been drawn so far. It need not be sound, only storable; `save_version` demands the rest.

    The workflow's own name, description and tags follow the document's. `expected` is the `row_version` that the
    editor has seen: two editors on one draft do not overwrite each other unknowingly.
    """
    accepted = documents.accept(document)
    workflow = await rows.lock(scope, workflow_id, expected=expected)
    workflow.draft = accepted
    publishing.take_over(scope, workflow, accepted)
    async with rows.unique_name(workflow.name):
        await scope.flush()
    return workflow


async def check_document(document: Mapping[str, Any], kinds: KindRegistry | None = None) -> check.Report:
    """Everything that is wrong with a document; nothing is stored. Off the event loop, for it may take a while."""
    accepted = documents.accept(document)
    return await asyncio.to_thread(check.check, accepted, kinds or installed())

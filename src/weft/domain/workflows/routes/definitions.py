"""Definitions by themselves: their schema, checking one without storing it, and import from a file."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from weft.core.actor import Actor
from weft.db.scope import Scope, enter
from weft.domain.workflows import diff, kinds, schema
from weft.domain.workflows import service as workflows
from weft.domain.workflows.parsing import Format, parse
from weft.domain.workflows.routes.shared import listed_issues
from weft.domain.workflows.schemas import (
    CheckResult,
    CheckStats,
    Document,
    ImportResult,
    StepKindRead,
    VersionSummary,
    WorkflowSummary,
)
from weft.http.scope import acting, signed_in
from weft.http.state import RequestServices

router = APIRouter(prefix="/workflows", tags=["workflows"])

Member = Annotated[Scope, signed_in()]
Drawer = Annotated[Actor, acting("workflows:write")]
"""Without a transaction: reading a body, parsing and checking it take as long as the sender wants them to."""
Note = Annotated[str, Query(max_length=2_000, description="Why, for the history.")]

_FORMATS: Final[dict[str, Format]] = {"json": "json", "yaml": "yaml", "x-yaml": "yaml"}
_TEXT: Final = {"schema": {"type": "string"}}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A definition, as YAML or JSON.",
        "content": {"application/yaml": _TEXT, "application/json": {"schema": {"type": "object"}}},
    }
}


@router.get("/definition-schema")
async def show_definition_schema(_: Member) -> dict[str, Any]:
    """The JSON Schema of definitions, with the configs of the step kinds that are installed here."""
    return schema.with_kinds(kinds.installed().all())


@router.get("/step-kinds", response_model=list[StepKindRead])
async def list_step_kinds(_: Member) -> list[StepKindRead]:
    """The step kinds that are installed here: what an editor's palette offers."""
    return [StepKindRead.of(kind) for kind in kinds.installed().all()]


@router.post("/check", response_model=CheckResult)
async def check_definition(_: Drawer, document: Document) -> CheckResult:
    """Everything that is wrong with a definition. Nothing is stored."""
    report = await workflows.check_document(document)
    return CheckResult(
        sound=report.sound,
        errors=listed_issues(report.errors),
        warnings=listed_issues(report.warnings),
        stats=CheckStats.model_validate(report.stats),
    )


@router.post("/import", response_model=ImportResult, openapi_extra=_BODY)
async def import_workflow(
    actor: Drawer,
    services: RequestServices,
    request: Request,
    response: Response,
    workflow_id: UUID | None = None,
    client_id: UUID | None = None,
    note: Note = "",
) -> ImportResult:
    """Make a file's definition the current version: of `workflow_id`, else of the workflow of that name, else of a
    new one. Refused as a whole when it is unsound. Of an active workflow the version runs at once, which needs
    `workflows:publish` besides."""
    subtype = request.headers.get("content-type", "").partition(";")[0].strip().lower().partition("/")[2]
    text = await request.body()
    parsed = await asyncio.to_thread(parse, text, _FORMATS.get(subtype))
    sound = await workflows.examine(parsed.document)
    async with enter(services.database, actor) as scope:
        done = await workflows.import_definition(scope, sound, workflow_id=workflow_id, client_id=client_id, note=note)
    response.status_code = 201 if done.outcome == "created" else 200
    return ImportResult(
        outcome=done.outcome,
        workflow=WorkflowSummary.model_validate(done.saved.workflow),
        version=VersionSummary.model_validate(done.saved.version),
        changes=diff.lines(done.changes),
        warnings=listed_issues(done.saved.warnings),
    )

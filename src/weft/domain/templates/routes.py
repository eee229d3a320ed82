"""Message templates over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from weft.db.scope import Scope
from weft.domain.templates import service as templates
from weft.domain.templates.models import MessageTemplate
from weft.domain.templates.schemas import TemplatePut, TemplateRead
from weft.http.paging import Page, Paged, Paging
from weft.http.scope import allowed

router = APIRouter(prefix="/templates", tags=["templates"])

Reader = Annotated[Scope, allowed("templates:read")]
Writer = Annotated[Scope, allowed("templates:write")]
Name = Annotated[str, Path(max_length=200, description="The name, as a step's `template` has it.")]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="By itself the newest.")]


@router.get("", response_model=Page[TemplateRead])
async def list_templates(scope: Reader, query: Paging) -> Paged[MessageTemplate]:
    """The newest version of each message template."""
    return await templates.listed(scope, query)


@router.get("/{name}", response_model=TemplateRead)
async def show_template(scope: Reader, name: Name, version: Version = None) -> MessageTemplate:
    return await templates.get(scope, name, version)


@router.get("/{name}/versions", response_model=Page[TemplateRead])
async def list_template_versions(scope: Reader, name: Name, query: Paging) -> Paged[MessageTemplate]:
    return await templates.versions(scope, name, query)


@router.put("/{name}", response_model=TemplateRead)
async def put_template(scope: Writer, name: Name, new: TemplatePut) -> MessageTemplate:
    """Make a new version, used from now on by every step that names no version."""
    return await templates.put(scope, name, new)


@router.delete("/{name}", status_code=204)
async def delete_template(scope: Writer, name: Name) -> None:
    """Take a template away with all its versions. Steps that name it fail from now on."""
    await templates.delete(scope, name)

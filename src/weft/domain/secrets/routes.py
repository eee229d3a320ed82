"""Secrets over HTTP: names and dates go out, values only come in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from weft.db.scope import Scope
from weft.domain.secrets import service as secrets
from weft.domain.secrets.models import Secret
from weft.domain.secrets.schemas import SecretPut, SecretRead
from weft.http.paging import Page, Paged, Paging
from weft.http.preconditions import IfMatch, Tag
from weft.http.scope import allowed

router = APIRouter(prefix="/secrets", tags=["secrets"])

Reader = Annotated[Scope, allowed("secrets:read")]
Writer = Annotated[Scope, allowed("secrets:write")]
Name = Annotated[str, Path(max_length=200, description="The name, as definitions write it: `secret://name`.")]


@router.get("", response_model=Page[SecretRead])
async def list_secrets(scope: Reader, query: Paging) -> Paged[Secret]:
    """Names and dates. No address of weft shows a value."""
    return await secrets.listed(scope, query)


@router.get("/{name}", response_model=SecretRead)
async def show_secret(scope: Reader, name: Name, tag: Tag) -> Secret:
    secret = await secrets.get(scope, name)
    tag(secret.row_version)
    return secret


@router.put("/{name}", response_model=SecretRead, responses={201: {"model": SecretRead}})
async def put_secret(
    scope: Writer, name: Name, new: SecretPut, expected: IfMatch, tag: Tag, response: Response
) -> Secret:
    """Set a secret's value: 201 for a new one, 200 when it replaces the value before. Workers use it in seconds."""
    secret, is_new = await secrets.put(scope, name, new, expected=expected)
    tag(secret.row_version)
    response.status_code = 201 if is_new else 200
    return secret


@router.delete("/{name}", status_code=204)
async def delete_secret(scope: Writer, name: Name, expected: IfMatch) -> None:
    """Take a secret away for good. Steps that refer to it fail from now on."""
    await secrets.delete(scope, name, expected=expected)

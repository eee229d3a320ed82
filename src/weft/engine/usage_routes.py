"""How much room a tenant's large values take, over HTTP. Here, because the usual quota is the engine's to know."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from weft.db.scope import Scope
from weft.engine.payloads import usage
from weft.engine.routes import Engine
from weft.http.bodies import Output
from weft.http.scope import allowed

router = APIRouter(prefix="/usage", tags=["tenants"])


class StorageRead(Output):
    """What is kept of values above 256 KB: inputs, outputs of steps and of executions."""

    payloads: int = Field(description="How many there are.")
    size: int = Field(description="Bytes of their JSON.")
    stored_size: int = Field(description="Bytes that they take, compressed: these are counted against the quota.")
    quota: int = Field(description="Bytes that they may take: the tenant's `limits.payload_bytes`, or the usual ones.")


@router.get("/storage", response_model=StorageRead)
async def show_storage(scope: Annotated[Scope, allowed("tenants:read", may_lag=True)], engine: Engine) -> StorageRead:
    """How much room the tenant's large values take, and how much they may."""
    used = await usage(scope.raw, scope.tenant_id, engine.driver.limits)
    return StorageRead.model_validate(used)

"""Secrets: set, listed, taken away. Only `opened`, which the worker calls, ever has a value in hand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from weft.core.actor import ActorKind
from weft.core.ids import new_id
from weft.db import secrets as cells
from weft.db.scope import Scope
from weft.domain.secrets import queries, rules
from weft.domain.secrets.errors import SecretNameInvalid, SecretNotFound
from weft.domain.secrets.models import Secret
from weft.domain.secrets.schemas import SecretPut
from weft.http.paging import Paged, PageQuery, page
from weft.http.preconditions import check

TABLE: Final = "secrets"
COLUMN: Final = "value"


@dataclass(frozen=True, slots=True)
class Cell:
    """A secret as it is stored."""

    id: UUID
    name: str
    version: int
    sealed: bytes = field(repr=False)


async def listed(scope: Scope, query: PageQuery) -> Paged[Secret]:
    """Names and dates, never values."""
    return await page(scope, queries.listed(scope.tenant_id), (Secret.name, Secret.id), query)


async def get(scope: Scope, name: str) -> Secret:
    return await scope.one(queries.by_name(scope.tenant_id, name), missing=SecretNotFound(name))


async def put(scope: Scope, name: str, new: SecretPut, *, expected: int | None = None) -> tuple[Secret, bool]:
    """Set the value: of a new secret (True), or of one that exists, whose value before is gone for good (False)."""
    if not rules.is_name(name):
        raise SecretNameInvalid
    # Two who set the same new name at once: one makes the row, the other finds it.
    await scope.raw.execute("select pg_advisory_xact_lock(hashtextextended($1, 8))", f"{scope.tenant_id}:{name}")
    secret = await scope.maybe(queries.by_name(scope.tenant_id, name).with_for_update())
    if secret is None:
        secret_id = new_id()
        sealed = await cells.seal(scope, TABLE, COLUMN, secret_id, new.value.encode())
        made = Secret(
            id=secret_id,
            name=name,
            value=sealed,
            description=new.description or "",
            rotated_at=scope.now(),
            created_by=_author(scope),
        )
        return await scope.add(made), True
    check(expected, secret.row_version)
    secret.value = await cells.seal(scope, TABLE, COLUMN, secret.id, new.value.encode())
    secret.version += 1
    secret.rotated_at = scope.now()
    if new.description is not None:
        secret.description = new.description
    await scope.flush()
    return secret, False


async def delete(scope: Scope, name: str, *, expected: int | None = None) -> None:
    """Take the secret away. Steps that refer to it fail from now on, with the error kind `secret_missing`."""
    secret = await scope.one(queries.by_name(scope.tenant_id, name).with_for_update(), missing=SecretNotFound(name))
    check(expected, secret.row_version)
    await scope.session.delete(secret)
    await scope.flush()


async def stored(scope: Scope, names: Collection[str]) -> list[Cell]:
    """Those of these names that exist, still sealed; in one statement."""
    rows = await scope.raw.fetch(queries.CELLS, scope.tenant_id, list(names))
    return [Cell(row["id"], row["name"], row["version"], bytes(row["value"])) for row in rows]


async def opened(scope: Scope, cell: Cell) -> str:
    """The value itself: for the call that needs it, and for nothing else."""
    return (await cells.unseal(scope, TABLE, COLUMN, cell.id, cell.sealed)).decode()


def _author(scope: Scope) -> UUID | None:
    actor = scope.actor
    return None if actor.kind is ActorKind.system else actor.user_id or actor.id

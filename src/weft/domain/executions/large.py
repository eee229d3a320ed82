"""Large values as readers see them: whole as long as that is reasonable, otherwise told where to fetch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from weft.db.scope import Scope
from weft.domain.executions.payloads import Reference, stored, unpacked, value_of
from weft.domain.executions.schemas import PayloadRead

SHOWN: Final = 1_000_000
"""Bytes of JSON; a larger value is fetched by itself."""
TOGETHER: Final = 4_000_000
"""Bytes of all payloads that one answer shows."""


@dataclass(slots=True)
class Shown:
    """`values` by name; those that are not shown are None there, and `hidden` tells where they are."""

    values: dict[str, Any]
    hidden: dict[str, PayloadRead] = field(default_factory=dict)


async def shown(scope: Scope, execution_id: UUID, written: Mapping[str, Any]) -> Shown:
    """Columns of documents of one execution, as they are stored, for a reader: one statement for all payloads."""
    found = Shown({name: unpacked(value) for name, value in written.items()})
    references = {name: value for name, value in found.values.items() if isinstance(value, Reference)}
    if not references:
        return found
    wanted: dict[str, Reference] = {}
    left = TOGETHER
    for name, reference in references.items():
        found.values[name] = None
        if reference.size <= min(SHOWN, left):
            wanted[name] = reference
            left -= reference.size
        else:
            found.hidden[name] = PayloadRead(
                id=reference.id,
                size=reference.size,
                href=f"/v1/executions/{execution_id}/payloads/{reference.id}",
            )
    if wanted:
        ids = list({reference.id for reference in wanted.values()})
        data = await stored(scope.raw, scope.tenant_id, execution_id, ids)
        found.values |= {name: value_of(data[reference.id]) for name, reference in wanted.items()}
    return found


async def payload(scope: Scope, execution_id: UUID, payload_id: UUID) -> bytes:
    """One payload, compressed. Raises `PayloadNotFound`."""
    return (await stored(scope.raw, scope.tenant_id, execution_id, [payload_id]))[payload_id]

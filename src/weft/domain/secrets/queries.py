"""Statements about secrets as values. None of those that people reach selects a value."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import defer

from weft.domain.secrets.models import Secret

CELLS: Final = """/* weft:secrets.cells */
select id, name, version, value
  from weft.secrets
 where tenant_id = $1 and name = any($2::text[])
"""


def by_name(tenant_id: UUID, name: str) -> Select[Secret]:
    return _without_value().where(Secret.tenant_id == tenant_id, Secret.name == name)


def listed(tenant_id: UUID, names: Collection[str] = ()) -> Select[Secret]:
    query = _without_value().where(Secret.tenant_id == tenant_id)
    return query.where(Secret.name.in_(names)) if names else query


def _without_value() -> Select[Secret]:
    return select(Secret).options(defer(Secret.value, raiseload=True))

"""Versions that somebody names by number, instead of taking the current one."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from weft.db.database import Connection
from weft.engine.start_errors import VersionNotPublished, VersionUnknown

NAMED: Final = """/* weft:engine.version */
select v.id,
       exists (select from weft.workflow_publications p where p.tenant_id = $1 and p.version_id = v.id) as published
  from weft.workflow_versions v where v.tenant_id = $1 and v.workflow_id = $2 and v.number = $3
"""


async def find(connection: Connection, tenant_id: UUID, workflow_id: UUID, number: int) -> UUID:
    """Any version of the workflow. Raises `VersionUnknown`."""
    return (await _named(connection, tenant_id, workflow_id, number))[0]


async def find_published(connection: Connection, tenant_id: UUID, workflow_id: UUID, number: int) -> UUID:
    """A version that is to run, known to have been let run: whoever may only draw saves versions too.

    Raises `VersionUnknown` and `VersionNotPublished`.
    """
    version_id, is_published = await _named(connection, tenant_id, workflow_id, number)
    if not is_published:
        raise VersionNotPublished(number)
    return version_id


async def _named(connection: Connection, tenant_id: UUID, workflow_id: UUID, number: int) -> tuple[UUID, bool]:
    row = await connection.fetchrow(NAMED, tenant_id, workflow_id, number)
    if row is None:
        raise VersionUnknown(number)
    return row["id"], row["published"]

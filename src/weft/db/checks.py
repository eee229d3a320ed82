"""What a revision wants of the installation before it runs: backfills that are over, and no process too old for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import weft
from weft.core.errors import Conflict
from weft.db import data_definitions
from weft.db.history import LIVE_SECONDS, version_number
from weft.db.operation_tables import RevisionKind
from weft.db.revisions import ChainBroken, Revision, kind_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

LIVE = f"""
select kind, host, version, started_at from weft.app_instances
 where seen_at > clock_timestamp() - interval '{LIVE_SECONDS} seconds' order by started_at"""


@dataclass(frozen=True, slots=True)
class LiveInstance:
    kind: str
    host: str
    version: str
    started_at: datetime


class OlderVersionRuns(Conflict):
    code = "older_version_runs"

    def __init__(self, revision: Revision, older: Sequence[LiveInstance]) -> None:
        listed = "; ".join(f"{one.kind} {one.version} on {one.host}" for one in older[:5])
        more = f" and {len(older) - 5} more" if len(older) > 5 else ""
        super().__init__(
            f"Revision {revision.id} removes what weft before {revision.needs} still uses, and such processes run: "
            f"{listed}{more}. Nothing was changed by it. Update them, or stop them and wait {LIVE_SECONDS} seconds "
            "(`weft db instances`), then migrate again."
        )


class BackfillUnfinished(Conflict):
    code = "backfill_unfinished"

    def __init__(self, revision: Revision, name: str, rows: int, tenants: int) -> None:
        super().__init__(
            f"Revision {revision.id} needs the data migration '{name}' to be finished, and {rows} rows of {tenants} "
            f"{'tenants are' if tenants != 1 else 'tenant are'} left. Nothing was changed by it. "
            f"Run `weft db data run {name}`, then migrate again."
        )


async def require(connection: AsyncConnection, revision: Revision, directories: Sequence[Path]) -> None:
    """Raises `OlderVersionRuns`, `BackfillUnfinished`, or `ChainBroken` for a revision that does not say what it must.

    The caller's connection is that of the owner, who sees all tenants; it is left in a transaction.
    """
    if revision.requires_data:
        known = data_definitions.load(directories)
        for name in revision.requires_data:
            if name not in known:
                raise data_definitions.DataMigrationUnknown(name)
            left: list[Any] = list((await connection.exec_driver_sql(known[name].pending)).all())
            if left:
                raise BackfillUnfinished(revision, name, sum(int(row[1]) for row in left), len(left))
    if kind_of(revision) is not RevisionKind.contract:
        return
    if revision.needs is None:
        raise ChainBroken(f'The contract revision {revision.id} must say which version it needs: needs = "x.y".')
    if version_number(weft.__version__) < version_number(revision.needs):
        raise ChainBroken(
            f"Revision {revision.id} needs weft {revision.needs}, and this is {weft.__version__}: it cannot be its own."
        )
    rows: list[Any] = list((await connection.exec_driver_sql(LIVE)).all())
    found = [LiveInstance(*row) for row in rows]
    older = [one for one in found if version_number(one.version) < version_number(revision.needs)]
    if older:
        raise OlderVersionRuns(revision, older)

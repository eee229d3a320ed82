"""`weft db partitions` and `weft db retention`: months of the journal, and deleting what is too old, for operators."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from weft.cli import output
from weft.core.errors import NotFound

if TYPE_CHECKING:
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)

_PARTITIONS = """
select p.relname::text as "table", c.relname::text as partition, pg_get_expr(c.relpartbound, c.oid) as bounds,
       greatest(c.reltuples, 0)::bigint as rows, pg_total_relation_size(c.oid) as bytes
  from pg_inherits i
  join pg_class p on p.oid = i.inhparent
  join pg_class c on c.oid = i.inhrelid
 where p.relnamespace = 'weft'::regnamespace and p.relkind = 'p' and c.relkind = 'r'
 order by 1, 2"""


class TenantUnknown(NotFound):
    code = "tenant_unknown"

    def __init__(self, tenant: str) -> None:
        super().__init__(f"There is no tenant '{tenant}'. `weft tenant list` shows those there are.")


@app.command()
def partitions() -> None:
    """List the months of the journal and the audit log, with their size. Rows are the database's estimate."""
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        rows = asyncio.run(_partitions(addresses.owner or addresses.app))
    output.rows(rows, ["table", "partition", "rows", "bytes", "bounds"], empty="There are no partitions.")


@app.command()
def retention(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's, by its slug.")] = None,
) -> None:
    """Archive and delete what is too old now, of every tenant, and drop the journal's empty months."""
    from weft.settings import load_settings

    report = sweep(load_settings(os.environ), slug=tenant)
    output.result(report, lambda: report_text(report))


async def _partitions(dsn: str) -> list[dict[str, Any]]:
    from weft.ops.connections import connect, reading

    connection = await connect(dsn, application="weft db partitions")
    try:
        async with reading(connection):
            return [dict(row) for row in await connection.fetch(_PARTITIONS)]
    finally:
        await connection.close()


def sweep(settings: Settings, *, only: str | None = None, slug: str | None = None) -> dict[str, Any]:
    """One round here and now, without a limit of time; what it did."""
    from weft.core import logs
    from weft.ops.installation import reach

    logs.configure(level="warning", style=settings.log.format)  # to standard error: the answer is the command's
    with reach(settings) as addresses:
        return asyncio.run(_sweep(settings, addresses.app, only, slug))


async def _sweep(settings: Settings, dsn: str, only: str | None, slug: str | None) -> dict[str, Any]:
    from weft.db.database import Database
    from weft.domain.identity.service import tenants
    from weft.ops.retention import Sweep, bounds_of

    database = await Database.open(dsn, application_name="weft retention", size=1, hot_size=2)
    try:
        chosen = UUID(only) if only is not None else None
        if slug is not None and (chosen := await tenants.find(database, slug)) is None:
            raise TenantUnknown(slug)
        report = await Sweep(database, settings.archives, bounds_of(settings)).run(datetime.now(UTC), only=chosen)
        return report.as_json()
    finally:
        await database.close()


def report_text(report: Mapping[str, Any]) -> str:
    if not report["executions"]:
        lines = ["No execution was too old."]
    else:
        lines = [f"{report['executions']} executions are gone, {report['archived']} of them archived."]
    if report["journals"]:
        lines.append(f"The journals of {report['journals']} executions are gone.")
    lines += [f"  {file}" for file in report["files"]]
    if report["months"]:
        lines.append(f"Dropped empty months: {', '.join(report['months'])}.")
    if report["failures"]:
        lines.append(f"{report['failures']} tenants' old executions had to stay; see above.")
    if not report["is_done"]:
        lines.append("A worker is at it at this moment; what is left goes with its next rounds.")
    return "\n".join(lines)

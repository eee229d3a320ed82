"""`weft db storage`: who takes the room. Tables and large values exactly, tenants as a sample tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from weft.core.errors import NotFound
from weft.ops.connections import connect, reading
from weft.ops.installation import Addresses
from weft.ops.upkeep.tasks import quoted

if TYPE_CHECKING:
    from weft.db.database import Connection

SAMPLED_PAGES: Final = 2_000
"""Pages of a table that are read at most; a smaller table is counted exactly."""
PAGE: Final = 8192

_TABLES: Final = """/* weft:insight.storage */
select coalesce(p.relname, c.relname)::text as "table", sum(pg_total_relation_size(c.oid))::bigint as bytes,
       sum(pg_relation_size(c.oid))::bigint as heap_bytes, sum(greatest(c.reltuples, 0))::bigint as rows,
       bool_or(exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')) as is_tenants,
       (select string_agg(format('coalesce(pg_column_size(%I), 0)', a.attname), ' + ') from pg_attribute a
         where a.attrelid = min(c.oid) and a.attnum > 0 and not a.attisdropped) as width
  from pg_class c
  left join pg_inherits i on i.inhrelid = c.oid
  left join pg_class p on p.oid = i.inhparent
 where c.relnamespace = 'weft'::regnamespace and c.relkind = 'r' group by 1 order by 2 desc, 1
"""
_PAYLOADS: Final = """/* weft:insight.payloads */
select tenant_id, payloads, size, stored_size from weft.payload_usage
"""
_TENANTS: Final = "/* weft:insight.tenants */ select id, slug from weft.tenants"


class StorageTenantUnknown(NotFound):
    code = "tenant_unknown"

    def __init__(self, tenant: str) -> None:
        super().__init__(f"There is no tenant '{tenant}'. `weft tenant list` shows those there are.")


async def storage(addresses: Addresses, *, tenant: str | None = None) -> dict[str, Any]:
    """Bytes by table and by tenant. Needs the owner, who sees the rows of all tenants.

    A tenant's part of a table is its part of the sampled rows' bytes; `is_estimated` says where less than all was read.
    """
    connection = await connect(addresses.require_owner(), application="weft db storage")
    try:
        async with reading(connection):
            await connection.execute("set local app.maintenance = 'on'; set local statement_timeout = '10min'")
            names = {row["id"]: row["slug"] for row in await connection.fetch(_TENANTS)}
            if tenant is not None and tenant not in names.values() and tenant not in map(str, names):
                raise StorageTenantUnknown(tenant)
            tables = [dict(row) for row in await connection.fetch(_TABLES)]
            shares = [await _shares(connection, table) for table in tables if table["is_tenants"]]
            payloads = {row["tenant_id"]: dict(row) for row in await connection.fetch(_PAYLOADS)}
    finally:
        await connection.close()
    found = _by_tenant(names, shares, payloads)
    if tenant is not None:
        found = [one for one in found if tenant in (one["tenant"], one["tenant_id"])]
    for table in tables:
        del table["is_tenants"], table["heap_bytes"], table["width"]
    return {"tables": tables, "tenants": found}


async def _shares(connection: Connection, table: dict[str, Any]) -> dict[str, Any]:
    """Each tenant's rows and bytes in one table."""
    pages = max(1, table["heap_bytes"] // PAGE)
    share = min(1.0, SAMPLED_PAGES / pages)
    sampled = f" tablesample system ({share * 100:.4f}) repeatable (1)" if share < 1 else ""
    rows = await connection.fetch(
        # Column by column: the size of a value that lies elsewhere is known without fetching it, that of a row is not.
        f"/* weft:insight.shares */ select tenant_id, count(*) as rows, sum(24 + {table['width']})::bigint as bytes"
        f" from {quoted(table['table'])}{sampled} group by tenant_id"
    )
    total = sum(row["bytes"] for row in rows) or 1
    return {
        "table": table["table"],
        "is_estimated": share < 1,
        "tenants": {
            row["tenant_id"]: (round(row["rows"] / share), round(table["bytes"] * row["bytes"] / total)) for row in rows
        },
    }


def _by_tenant(
    names: dict[UUID, str], shares: list[dict[str, Any]], payloads: dict[UUID, dict[str, Any]]
) -> list[dict[str, Any]]:
    found = []
    for tenant_id, slug in names.items():
        tables = [
            {"table": one["table"], "rows": rows, "bytes": size, "is_estimated": one["is_estimated"]}
            for one in shares
            for rows, size in [one["tenants"].get(tenant_id, (0, 0))]
            if rows
        ]
        kept = payloads.get(tenant_id, {})
        found.append(
            {
                "tenant": slug,
                "tenant_id": str(tenant_id),
                "bytes": sum(one["bytes"] for one in tables),
                "rows": sum(one["rows"] for one in tables),
                "payloads": kept.get("payloads", 0),
                "payload_bytes": kept.get("stored_size", 0),
                "tables": sorted(tables, key=lambda one: -one["bytes"]),
            }
        )
    return sorted(found, key=lambda one: (-one["bytes"], one["tenant"]))

"""`weft db stats`, `weft db slow`, `weft db storage`: how the database is, what is slow, who takes the room."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output

if TYPE_CHECKING:
    from weft.ops.insight.advice import Advice
    from weft.ops.insight.slow import Measured
    from weft.ops.installation import Addresses
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)

Rows = Annotated[int, typer.Option("--limit", "-n", min=1, help="Rows of each list to show at most.")]


@app.command()
def stats(limit: Rows = 15) -> None:
    """Show sizes, dead rows, cache hits, transactions, connections, slots, partitions and the queue.

    With an administrator's address the sessions of every role are shown, else those of weft's own.
    """
    from weft.ops.insight.stats import stats as ask
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        found = asyncio.run(ask(addresses))
    output.result(found, lambda: _stats_text(found, limit))


@app.command()
def slow(
    limit: Rows = 15,
    explain: Annotated[
        str | None, typer.Option("--explain", help="Show the plan of this statement, and what is to be said about it.")
    ] = None,
    sample: Annotated[
        float, typer.Option("--sample", min=0, max=600, help="Look for so many seconds at what runs now.")
    ] = 0,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metrics", help="Address of a process's metrics; default: API and worker of these settings."),
    ] = None,
    enable: Annotated[
        bool, typer.Option("--enable", help="Create the extension pg_stat_statements first, as the administrator.")
    ] = False,
) -> None:
    """Show which statements take the time, with a word on each, and what is to be said about indexes.

    API and workers measure their statements themselves; pg_stat_statements is shown too where it is there.
    """
    from weft.ops.insight import slow as slow_
    from weft.ops.installation import reach
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    documents = _documents(settings, metrics)
    measured = slow_.merged(documents)
    with reach(settings) as addresses:
        if enable:
            asyncio.run(_enable(addresses))
        if explain is not None:
            _explain(addresses, explain, measured)
            return
        found = asyncio.run(_look(addresses, sample, measured))
    document = {"processes": len(documents), **found.as_json(limit)}
    document["measured"] = [one.as_json() | {"remark": slow_.remark(one)} for one in measured[:limit]]
    output.result(document, lambda: _slow_text(document, found.advice, sample))


@app.command()
def storage(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant, by slug or id.")] = None,
    limit: Rows = 15,
) -> None:
    """Show who takes the room: each table, and each tenant. Needs the owner's address.

    Tables and large values are exact. Rows of tenants are counted where a table is small, else estimated from a sample.
    """
    from weft.ops.insight.storage import storage as ask
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        found = asyncio.run(ask(addresses, tenant=tenant))
    output.result(found, lambda: _storage_text(found, limit, whole=tenant is None))


class _Found:
    """What the database knew."""

    def __init__(self, counted: list[Measured] | None, running: list[dict[str, Any]], advice: list[Advice]) -> None:
        self.counted = counted
        self.running = running
        self.advice = advice

    def as_json(self, limit: int) -> dict[str, Any]:
        return {
            "counted": None if self.counted is None else [one.as_json() for one in self.counted[:limit]],
            "running": self.running[:limit],
            "advice": [one.as_json() for one in self.advice],
        }


async def _look(addresses: Addresses, seconds: float, measured: list[Measured]) -> _Found:
    from weft.ops.connections import connect, reading
    from weft.ops.insight import advice, slow, widest

    connection = await connect(widest(addresses), application="weft db slow")
    try:
        running = await slow.sample(connection, seconds) if seconds else []
        async with reading(connection):
            return _Found(await slow.counted(connection, measured), running, await advice.advise(connection))
    finally:
        await connection.close()


async def _enable(addresses: Addresses) -> None:
    from weft.ops.connections import connect
    from weft.ops.insight import slow, widest

    if addresses.admin is None:
        raise slow.AdministratorNeeded
    connection = await connect(widest(addresses), application="weft db slow")
    try:
        if await slow.enable(connection):
            output.note("pg_stat_statements is created; it counts from now on")
    finally:
        await connection.close()


def _documents(settings: Settings, metrics: list[str] | None) -> list[dict[str, Any]]:
    from weft.ops.insight import slow

    found = []
    for address in metrics or slow.addresses_of(settings):
        document = slow.fetch(address)
        if document is None:
            output.note(f"nothing answers at {address}: its statements are not among these")
        else:
            found.append(document)
    return found


def _explain(addresses: Addresses, label: str, measured: list[Measured]) -> None:
    from weft.ops.insight import plans, slow

    one = next((one for one in measured if one.label == label and one.text), None)
    if one is None:
        raise slow.StatementUnknown(label)
    plan = asyncio.run(plans.explain(addresses.app, one.text))
    document = one.as_json() | {
        "text": one.text,
        "plan": plan.lines,
        "cost": plan.cost,
        "suggestions": plan.suggestions,
    }
    lines = [one.text.strip(), "", *plan.lines, "", *plan.suggestions]
    output.result(document, "\n".join(lines))


def _table(head: str, rows: list[dict[str, Any]], columns: dict[str, str]) -> list[str]:
    """A heading and aligned columns; numbers to the right."""
    if not rows:
        return []
    cells = [[_cell(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns.values()), *cells]) for i in range(len(columns))]
    right = [isinstance(rows[0].get(key), int | float) for key in columns]
    lines = ["", head]
    for line in [list(columns.values()), *cells]:
        padded = [f"{c:>{w}}" if r else f"{c:<{w}}" for c, w, r in zip(line, widths, right, strict=True)]
        lines.append("  " + "  ".join(padded).rstrip())
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "isoformat") else str(value)


def _sized(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    from weft.ops.upkeep.tasks import megabytes

    return [row | {name: megabytes(row[name]) for name in names} for row in rows]


def _stats_head(found: dict[str, Any]) -> list[str]:
    from weft.ops.upkeep.tasks import megabytes

    server, ratio = found["server"], found["cache_hit_ratio"]
    used = sum(row["connections"] for row in found["connections"])
    jobs = ", ".join(f"{one['jobs']:,} {state}" for state, one in sorted(found["queue"].items()))
    runway = ", ".join(f"{table} {days:.0f} days" for table, days in found["partition_runway_days"].items())
    return [
        f"PostgreSQL {server['version'].partition(' ')[0]}, database '{server['name']}': {megabytes(server['bytes'])}.",
        f"Counters since {server['counted_since']:%Y-%m-%d %H:%M} UTC; {server['deadlocks']} deadlocks.",
        f"Pages found in memory: {f'{ratio:.2%}' if ratio is not None else 'nothing was read yet'}.",
        f"Oldest unfrozen row: {found['xid_age']:,} transactions.",
        f"Oldest open transaction: {max((row['seconds'] for row in found['transactions']), default=0):.1f} s.",
        f"Connections: {used} here; the server allows {found['connections_allowed']}.",
        f"Partitions last: {runway or 'there are none'}.",
        f"Jobs: {jobs or 'none'}.",
    ]


def _stats_text(found: dict[str, Any], limit: int) -> str:
    lines = _stats_head(found)
    lines += _table(
        "Tables",
        _sized(found["tables"][:limit], "bytes", "index_bytes"),
        {"table": "table", "partitions": "parts", "rows": "rows", "dead_rows": "dead", "bytes": "size",
         "index_bytes": "indexes", "whole_reads": "whole reads", "vacuumed_at": "vacuumed", "analyzed_at": "analyzed"},
    )  # fmt: skip
    lines += _table(
        "Indexes",
        _sized(found["indexes"][:limit], "bytes"),
        {"index": "index", "bytes": "size", "scans": "scans", "is_valid": "valid"},
    )
    lines += _table(
        "Open transactions",
        found["transactions"],
        {"pid": "pid", "role": "role", "application": "application", "state": "state", "seconds": "seconds",
         "statement": "statement"},
    )  # fmt: skip
    lines += _table(
        "Connections",
        found["connections"],
        {"application": "application", "state": "state", "connections": "connections"},
    )
    lines += _table(
        "Replication slots",
        _sized(found["slots"], "lag"),
        {"name": "slot", "is_active": "active", "wal_status": "status", "lag": "lag"},
    )
    return "\n".join(lines)


def _slow_text(document: dict[str, Any], advice: list[Advice], sampled: float = 0) -> str:
    columns = {
        "statement": "statement",
        "calls": "calls",
        "total_seconds": "seconds",
        "mean_ms": "mean ms",
        "p99_ms": "p99 ms",
        "longest_ms": "longest ms",
    }
    lines: list[str] = []
    if document["processes"]:
        head = f"Measured by {document['processes']} processes of weft since they started"
        lines += _table(head, document["measured"], columns | {"remark": ""})
    else:
        lines.append("No API and no worker answered: start them, or name their metrics with --metrics.")
    if document["counted"] is None:
        lines += ["", "pg_stat_statements is not there; `weft db slow --enable` creates it where it is loaded."]
    else:
        columns.pop("p99_ms")
        lines += _table("Counted by pg_stat_statements, of every program", document["counted"], columns)
    lines += _table("Seen running", document["running"], {"statement": "statement", "event": "event", "share": "share"})
    if sampled and not document["running"]:
        lines += ["", f"In {sampled:g} seconds no statement was seen running."]
    if advice:
        lines += ["", "Indexes"]
        for one in advice:
            lines += [f"  {one.kind}: {one.sentence}", f"    -> {one.remedy}"]
    else:
        lines += ["", "Nothing is to be said about indexes."]
    return "\n".join(lines).lstrip("\n")


def _storage_text(found: dict[str, Any], limit: int, *, whole: bool) -> str:
    lines: list[str] = []
    if whole:
        columns = {"table": "table", "rows": "rows", "bytes": "size"}
        lines += _table("Tables (rows are the server's estimate)", _sized(found["tables"][:limit], "bytes"), columns)
        tenants = _sized(found["tenants"][:limit], "bytes", "payload_bytes")
        columns = {
            "tenant": "tenant",
            "rows": "rows",
            "bytes": "size",
            "payloads": "large values",
            "payload_bytes": "their size",
        }
        lines += _table("Tenants", tenants, columns)
    else:
        for one in _sized(found["tenants"], "bytes", "payload_bytes"):
            lines.append(
                f"{one['tenant']}: {one['bytes']} in {one['rows']:,} rows; {one['payloads']:,} large values take"
                f" {one['payload_bytes']}."
            )
            columns = {"table": "table", "rows": "rows", "bytes": "size", "is_estimated": "estimated"}
            lines += _table("Tables", _sized(one["tables"][:limit], "bytes"), columns)
    return "\n".join(lines).lstrip("\n")

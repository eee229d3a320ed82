"""The plan of a statement without its values, and what is to be said about it in words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from weft.core.errors import Invalid
from weft.ops.connections import connect

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
LARGE: Final = 1_000
"""Rows of a table from which on reading it whole is worth a word."""

_ROWS: Final = """/* weft:insight.rows */
select c.relname::text as name, greatest(c.reltuples, 0)::bigint as rows from pg_class c
 where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p')
"""
_COMPARED: Final = re.compile(r"\(+(?:\w+\.)?(\w+)\)?(?:::\w+)? (?:=|<|>|<=|>=|~~|@>) ")


class PlanRefused(Invalid):
    code = "plan_refused"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"The database does not plan this statement by itself: {said}. Only single statements that read or write "
            "rows have a plan."
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """A plan: lines for people, and suggestions in words."""

    lines: list[str]
    suggestions: list[str]
    cost: float


async def explain(app_dsn: str, text: str) -> Explained:
    """The plan that the application role gets, whatever the values are: nothing is run.

    The plan is the generic one of a prepared statement, which is what the driver's cached statements come to use.
    """
    connection = await connect(app_dsn, application="weft db slow")
    try:
        async with connection.transaction(readonly=True):
            await connection.execute(f"set local app.tenant_id = '{NOBODY}'")
            await connection.execute("set local plan_cache_mode = force_generic_plan")
            try:
                await connection.execute(f"prepare weft_explained as {text.rstrip().rstrip(';')}")
                count = await connection.fetchval(
                    "select cardinality(parameter_types) from pg_prepared_statements where name = 'weft_explained'"
                )
                values = f"({', '.join(['null'] * count)})" if count else ""
                plan = json.loads(await connection.fetchval(f"explain (format json) execute weft_explained{values}"))
                lines = await connection.fetch(f"explain execute weft_explained{values}")
            except asyncpg.PostgresError as error:
                raise PlanRefused(str(error)) from error
        rows = {row["name"]: row["rows"] for row in await connection.fetch(_ROWS)}
    finally:
        await connection.close()
    root = plan[0]["Plan"]
    return Explained([row[0] for row in lines], suggest(root, rows), root["Total Cost"])


def suggest(plan: dict[str, Any], rows: dict[str, int]) -> list[str]:
    """What is worth saying of a plan, each thing once. `rows` is how many each table has."""
    found: dict[str, None] = {}
    for node in _nodes(plan):
        sentence = _of(node, rows)
        if sentence is not None:
            found[sentence] = None
    if not found:
        found["Every table is reached by an index, or is small. If it is slow all the same, look at how many rows it"
              " returns, at locks (`weft db stats`), and at the disk."] = None  # fmt: skip
    return list(found)


def _of(node: dict[str, Any], rows: dict[str, int]) -> str | None:
    kind, table = node["Node Type"], node.get("Relation Name", "")
    whole = re.sub(r"_\d{6}$", "", table)
    size = rows.get(table, 0)
    if kind == "Seq Scan" and size >= LARGE:
        columns = _columns(node.get("Filter", ""))
        if columns:
            wanted = ", ".join(["tenant_id", *columns])
            return f"It reads all {size:,} rows of {whole}. An index on ({wanted}) would find them."
        return f"It reads all {size:,} rows of {whole}, and has no condition that an index could serve."
    if kind == "Function Scan":
        return (
            f"Its work is done inside the function {node.get('Function Name', '')}: the plan shows its call only. "
            "`auto_explain.log_nested_statements` logs what is inside."
        )
    if kind == "Sort" and node.get("Plan Rows", 0) >= 10 * LARGE:
        keys = ", ".join(node.get("Sort Key", []))
        return f"It sorts some {node['Plan Rows']:,} rows by {keys}; an index in that order would spare it."
    if "Index" in kind and size >= LARGE and (columns := _columns(node.get("Filter", ""))):
        index = node.get("Index Name", "an index")
        return f"{index} finds more than is wanted; {', '.join(columns)} are compared row by row, and could join it."
    return None


def _columns(condition: str) -> list[str]:
    """The columns that a condition compares, the tenant's left out: every index of ours begins with it."""
    return [name for name in dict.fromkeys(_COMPARED.findall(f"({condition}")) if name != "tenant_id"]


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *[inner for child in plan.get("Plans", []) for inner in _nodes(child)]]

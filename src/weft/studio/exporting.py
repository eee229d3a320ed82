"""Exports: the rows of a list, whole, one after another from a cursor. However many there are, few are in memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from weft.core.actor import Actor
from weft.db.database import Database
from weft.studio import rows, statements
from weft.studio.catalogue import TableFacts
from weft.studio.cells import plain
from weft.studio.statements import Question

FORMATS: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_AT_ONCE: Final = 200
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


async def export(
    database: Database,
    actor: Actor,
    table: TableFacts,
    tenant: UUID | None,
    question: Question,
    form: str,
    seconds: float,
) -> AsyncIterator[bytes]:
    """The file in pieces, at most `question.limit` rows of it."""
    names = [c.name for c in table.columns.values()]
    statement = statements.exported(table, tenant, question)
    async with rows.looking(database, actor, seconds, is_long=True) as connection:
        cursor = await connection.cursor(statement.text, *statement.values)
        records = await cursor.fetch(_AT_ONCE)  # a refusal comes before the first piece
        yield _csv_line(names) if form == "csv" else b"["
        separator = "\n"
        while records:
            lines = [[plain(table.columns[name], record[name]) for name in names] for record in records]
            if form == "csv":
                yield b"".join(map(_csv_line, lines))
            else:
                said = ",\n".join(json.dumps(dict(zip(names, line, strict=True)), ensure_ascii=False) for line in lines)
                yield (separator + said).encode()
                separator = ",\n"
            records = await cursor.fetch(_AT_ONCE)
        if form == "json":
            yield b"\n]\n"


def _csv_line(values: list[Any]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_csv_value(value) for value in values])
    return buffer.getvalue().encode()


def _csv_value(value: Any) -> Any:
    """JSON for what has parts. A text that a spreadsheet would run as a formula is quoted for it."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

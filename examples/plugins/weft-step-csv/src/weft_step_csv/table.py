"""From text to rows, within bounds. Knows nothing of steps."""

from __future__ import annotations

import csv
import io
from typing import Any

MOST_ROWS = 10_000
MOST_COLUMNS = 200


class TableWrong(ValueError):
    """The text is no table that can be read; `str` is a sentence."""


def table(text: str, delimiter: str) -> dict[str, Any]:
    """The first line names the columns. Raises `TableWrong` with the line."""
    # NUL cannot be stored, and `strict` refuses quotes that are never closed.
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff").replace("\0", "")), delimiter=delimiter, strict=True)
    try:
        columns = next(reader, [])
        _check(columns)
        rows = []
        for values in reader:
            if not values:
                continue
            if len(rows) == MOST_ROWS:
                raise TableWrong(f"There are more than {MOST_ROWS:,} rows. Split the file.")
            if len(values) != len(columns):
                raise TableWrong(
                    f"Line {reader.line_num} has {len(values)} values, but there are {len(columns)} columns."
                )
            rows.append(dict(zip(columns, values, strict=True)))
    except csv.Error as error:
        raise TableWrong(f"Line {reader.line_num} cannot be read: {error}.") from error
    return {"columns": columns, "rows": rows}


def _check(columns: list[str]) -> None:
    if not columns:
        raise TableWrong("The text is empty. The first line must name the columns.")
    if len(columns) > MOST_COLUMNS:
        raise TableWrong(f"There are more than {MOST_COLUMNS} columns.")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise TableWrong(f"There are two columns called '{twice[:60]}'.")

"""Places in a list, and the names of rows, as they stand in addresses. Pure.

A page begins after the last row of the one before, not after so many rows: the thousandth costs what the first does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from weft.studio.catalogue import ColumnFacts, Kind, TableFacts
from weft.studio.errors import QuestionInvalid, RowMissing

LONGEST = 8_000
"""Characters of a place or a name in an address; servers take some more."""


def parse(column: ColumnFacts, text: str) -> Any:
    """A value of the column from text. Raises `ValueError` with what is expected."""
    match column.kind:
        case Kind.uuid:
            try:
                return UUID(text)
            except ValueError:
                raise ValueError("An id looks like 0199c0aa-0000-7000-8000-000000000000.") from None
        case Kind.whole:
            return _whole(column, text)
        case Kind.number:
            return _number(text)
        case Kind.yes_no:
            if text not in ("true", "false"):
                raise ValueError("Say true or false.")
            return text == "true"
        case Kind.time:
            return _time(column, text)
        case _:
            return _text(text)


def text_of(value: Any) -> str | None:
    """The inverse of `parse`."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, (datetime, date)) else str(value)


def row_name(table: TableFacts, values: Sequence[Any]) -> str:
    """What names a row in an address: the values of its key, in their order."""
    return ";".join(quote(text_of(value) or "", safe="") for value in values) if table.key else "-"


def row_key(table: TableFacts, name: str) -> list[Any]:
    """The inverse of `row_name`. Raises `RowMissing` for what can be no row's name."""
    if not table.key:
        return []
    parts = name.split(";")
    if len(parts) != len(table.key) or len(name) > LONGEST:
        raise RowMissing
    try:
        return [parse(table.columns[key], unquote(part)) for key, part in zip(table.key, parts, strict=True)]
    except ValueError as error:
        raise RowMissing from error


def cursor(values: Sequence[Any]) -> str | None:
    """The place of a row, by the values that the list is sorted by; None if no address could hold them."""
    said = json.dumps([text_of(value) for value in values], ensure_ascii=False, separators=(",", ":"))
    coded = base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")
    return coded if len(coded) <= LONGEST else None


def place(columns: Sequence[ColumnFacts], text: str) -> list[Any]:
    """The inverse of `cursor`. Raises `QuestionInvalid`."""
    try:
        if len(text) > LONGEST:
            raise ValueError("too long")
        said = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(said, list) or len(said) != len(columns):
            raise ValueError("of another list")
        return [
            None if part is None and column.nullable else parse(column, _said(part))
            for column, part in zip(columns, said, strict=True)
        ]
    except (ValueError, TypeError, RecursionError) as error:
        raise QuestionInvalid("This page's address is damaged. Begin again at the first page.") from error


def _said(part: object) -> str:
    if not isinstance(part, str):
        raise TypeError("not text")
    return part


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueError("Text cannot hold the character with code 0.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Half of a surrogate pair is no character.")
    return text


def _whole(column: ColumnFacts, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ValueError("A whole number is needed.") from None
    least, most = column.bounds or (number, number)
    if not least <= number <= most:
        raise ValueError(f"A number from {least:,} to {most:,} is needed.")
    return number


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise ValueError("A number is needed.") from None
    if not number.is_finite() or abs(number.adjusted()) > 1000:
        raise ValueError("A number of sensible size is needed.")
    return number


def _time(column: ColumnFacts, text: str) -> datetime | date:
    from datetime import UTC

    try:
        if column.type == "date":
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment.astimezone(UTC)  # as it goes to PostgreSQL: at the ends of the calendar there may be no such time
    except (ValueError, OverflowError):
        raise ValueError("A time looks like 2026-11-25 18:30:00+00:00; without an offset it is UTC.") from None
    return moment

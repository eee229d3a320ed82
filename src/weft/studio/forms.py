"""What a form sends back, as values of the columns. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from weft.studio.catalogue import ColumnFacts, Kind, TableFacts
from weft.studio.documents import document
from weft.studio.errors import ValuesInvalid
from weft.studio.keyset import parse

Check = Callable[[ColumnFacts, Any], Any]
NULL: Final = "null"
"""The name of the box beside a field that says: no value. Without it an empty text is an empty text."""


def editable(table: TableFacts, cut: frozenset[str]) -> list[ColumnFacts]:
    """Columns that a form offers. What is shown only in part is not among them."""
    return [column for column in table.columns.values() if column.editable and column.name not in cut]


def read(
    columns: list[ColumnFacts],
    sent: Mapping[str, str],
    before: Mapping[str, Any],
    check: Check = lambda _column, value: value,
) -> dict[str, Any]:
    """The values that differ from what the row holds, and those that weft makes from them.

    `check` gives a changed value as it is to be written; JSON it is given as text. Raises `ValuesInvalid`, which names
    every column that is wrong.
    """
    changed: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for column in columns:
        if column.name not in sent and f"{column.name}.{NULL}" not in sent:
            continue
        text = sent.get(column.name, "").replace("\r\n", "\n")
        try:
            value = _value(column, text, f"{column.name}.{NULL}" in sent)
            if value == _held(column, before.get(column.name)):
                continue
            # JSON goes as it was typed: what Python makes of a number may not be all of it.
            value = check(column, text if column.kind is Kind.json and value is not None else value)
        except ValueError as error:
            problems[column.name] = str(error)
            continue
        changed[column.name] = value
        if column.derived and value is not None:
            name, make = column.derived
            changed[name] = make(value)
    if problems:
        raise ValuesInvalid(problems)
    return changed


def _held(column: ColumnFacts, value: Any) -> Any:
    """What the row holds, as the form gives it back: browsers send every line's end as one."""
    if value is None:
        return None
    if column.kind is Kind.text:
        return value.replace("\r\n", "\n")
    return json.loads(value, parse_float=Decimal) if column.kind in (Kind.json, Kind.list) else value


def _value(column: ColumnFacts, text: str, is_null: bool) -> Any:
    if is_null:
        if not column.nullable:
            raise ValueError("This cannot be left empty.")
        return None
    match column.kind:
        case Kind.text:
            return parse(column, text)
        case Kind.word:
            if text not in column.words:
                raise ValueError(f"Choose one of {', '.join(column.words)}.")
            return text
        case Kind.json:
            return document(text)
        case Kind.list:
            return _list(column, text)
        case _:
            if not text.strip():
                raise ValueError("A value is needed here.")
            return parse(column, text.strip())


def _list(column: ColumnFacts, text: str) -> list[Any]:
    value = document(text)
    wanted = int if "int" in column.type else str
    if not isinstance(value, list) or not all(type(one) is wanted for one in value):
        raise ValueError('A list is needed, such as ["a", "b"].' if wanted is str else "A list of numbers is needed.")
    return value

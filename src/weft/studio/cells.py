"""Values as people see them: cut where they are large, masked where they are secret, linked where they refer. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from markupsafe import Markup

from weft.studio.catalogue import ColumnFacts, Kind
from weft.studio.rules import size_words

HIDDEN: Final = "hidden"
_DEEPEST: Final = 60
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[][{},:]|[^][{},:\s"]+')
_OPEN: Final = 2
"""Levels of a JSON value that are open at first, in a value of few parts."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value. `text` is what a list shows; `tree` a JSON value that opens and closes."""

    column: ColumnFacts
    text: str
    title: str = ""
    is_null: bool = False
    is_muted: bool = False
    is_cut: bool = False
    note: str = ""
    tree: Markup | None = None
    href: str | None = None


def cell(column: ColumnFacts, value: Any, size: int | None, *, whole: bool = False, href: str | None = None) -> Cell:
    """`whole` on the page of a row, where texts are long and JSON can be opened."""
    if column.is_secret:
        return Cell(column, HIDDEN if value else "", is_null=not value, is_muted=True, note=_secret_note(value))
    if value is None:
        if size is None:
            return Cell(column, "", is_null=True)
        return Cell(column, size_words(size), is_muted=True, is_cut=True, note="too large for a list")
    match column.kind:
        case Kind.binary:
            return Cell(column, size_words(value), is_muted=True, note="binary")
        case Kind.uuid:
            return Cell(column, str(value) if whole else _short(value), str(value), href=href)
        case Kind.time:
            return Cell(column, time_words(value), value.isoformat())
        case Kind.yes_no:
            return Cell(column, "yes" if value else "no")
        case Kind.json | Kind.list:
            return _document(column, value, size or 0, whole=whole)
        case Kind.text | Kind.word:
            is_cut = size is not None and size > len(value.encode())
            text = value + "…" if is_cut and not whole else value
            return Cell(column, text, value if not whole else "", is_cut=is_cut, note=_cut(size, is_cut), href=href)
        case _:
            return Cell(column, f"{value}", href=href)


def plain(column: ColumnFacts, value: Any) -> Any:
    """A value for an export: what JSON can hold."""
    if column.is_secret:
        return None if not value else HIDDEN
    if value is None or column.kind in (Kind.whole, Kind.yes_no, Kind.text, Kind.word):
        return value
    match column.kind:
        case Kind.json | Kind.list:
            return json.loads(value)
        case Kind.binary:
            return f"{value} bytes"
        case Kind.time:
            return value.isoformat()
        case _:
            return str(value)


def typed(column: ColumnFacts, value: Any) -> str:
    """A value as a form shows it, which `forms.read` understands."""
    if value is None:
        return ""
    match column.kind:
        case Kind.yes_no:
            return "true" if value else "false"
        case Kind.time:
            return str(value.isoformat(sep=" "))
        case Kind.json | Kind.list:
            return pretty(value) if len(value) > 60 else str(value)
        case _:
            return str(value)


def time_words(value: Any) -> str:
    """In UTC, and saying so; milliseconds only where there are any."""
    if not isinstance(value, datetime):
        return str(value)
    moment = value.astimezone(UTC)
    fraction = f".{moment.microsecond // 1000:03d}" if moment.microsecond >= 1000 else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def pretty(text: str) -> str:
    """JSON over several lines, with every number as it is written."""
    parts: list[str] = []
    depth, before = 0, ""
    for piece in _TOKENS.findall(text):
        if piece in ("]", "}"):
            depth -= 1
            parts.append(piece if before in ("[", "{") else "\n" + "  " * depth + piece)
        elif piece == ",":
            parts.append(",\n" + "  " * depth)
        elif piece == ":":
            parts.append(": ")
        else:
            parts.append("\n" + "  " * depth + piece if before in ("[", "{") else piece)
            depth += piece in ("[", "{")
        before = piece
    return "".join(parts)


def tree(value: Any, depth: int = 0) -> Markup:
    """A JSON value whose objects and lists open and close, without a script."""
    if isinstance(value, Mapping):
        name = Markup('<span class="json-name">{}</span>: {}')
        parts = [name.format(key, tree(part, depth + 1)) for key, part in value.items()]
        return _branch("{", "}", parts, "field", depth)
    if isinstance(value, list):
        return _branch("[", "]", [tree(one, depth + 1) for one in value], "item", depth)
    if isinstance(value, str):
        return Markup('<span class="json-text">{}</span>').format(json.dumps(value, ensure_ascii=False))
    word = value.text if isinstance(value, _Digits) else json.dumps(value)
    return Markup('<span class="json-word">{}</span>').format(word)


@dataclass(frozen=True, slots=True)
class _Digits:
    """A number as it is written: a float would round it."""

    text: str


def _branch(opening: str, closing: str, parts: list[Markup], what: str, depth: int) -> Markup:
    if not parts:
        return Markup('<span class="json-word">{}{}</span>').format(opening, closing)
    count = f"{len(parts)} {what}{'s' if len(parts) != 1 else ''}"
    state = Markup(" open") if depth < _OPEN and len(parts) <= 50 else Markup("")
    items = Markup("").join(Markup("<li>{}</li>").format(part) for part in parts)
    return Markup(
        '<details class="json"{}><summary>{}<span class="json-count">{}</span></summary><ul>{}</ul>{}</details>'
    ).format(state, opening, count, items, Markup('<span class="json-end">{}</span>').format(closing))


def _document(column: ColumnFacts, text: str, size: int, *, whole: bool) -> Cell:
    is_cut = whole and size > len(text.encode())
    if not whole:
        return Cell(column, text, text, href=None)
    shown = None
    if not is_cut:
        try:
            parsed = json.loads(text, parse_float=_Digits, parse_int=_Digits)
            shown = tree(parsed) if _depth_of(text) <= _DEEPEST else None
        except (ValueError, RecursionError):
            shown = None
    return Cell(column, text, is_cut=is_cut, note=_cut(size, is_cut) or size_words(size), tree=shown)


def _depth_of(text: str) -> int:
    """An upper bound, brackets in strings included."""
    depth = deepest = 0
    for character in text:
        if character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def _short(value: UUID) -> str:
    said = str(value)
    return f"{said[:8]}…{said[-4:]}"


def _cut(size: int | None, is_cut: bool) -> str:
    return f"the beginning of {size_words(size)}" if is_cut and size is not None else ""


def _secret_note(value: Any) -> str:
    return "secret: never leaves the database by the studio" if value else ""

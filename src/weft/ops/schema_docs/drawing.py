"""The sources of the pictures, in the language of Graphviz. The same schema gives the same text, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from weft.ops.schema_docs.catalogue import Column, Constraint, Table
from weft.ops.schema_docs.rooms import Room

_COLOURS: Final = (
    "#e3edf7", "#e6f2e4", "#fbeede", "#f3e6f3", "#fdf4cf", "#e2f1f1", "#f7e4e4", "#ebe9f6", "#eef2dc", "#f4ebe2",
    "#e4e9f2", "#e9f5ee", "#f9ece6", "#efe6ee",
)  # fmt: skip
_FONT: Final = 'fontname="Helvetica"'
_LINE: Final = "#8a94a0"
_BOX: Final = f'style="filled,rounded", color="{_LINE}"'
_MOST_COLUMNS: Final = 40


def overview(rooms: Sequence[Room]) -> str:
    """Every table by its name, in the box of its room."""
    lines = [
        *_head("schema", "rankdir=LR, nodesep=0.18, ranksep=1.1, compound=true"),
        f"  node [shape=box, {_BOX}, fillcolor=white, {_FONT}, fontsize=11, height=0.3]",
        '  edge [color="#6b7785", arrowsize=0.6]',
    ]
    for room in rooms:
        lines += [
            f"  subgraph {_quoted('cluster_' + room.name)} {{",
            f'    label={_quoted(room.title)}; labeljust=l; style="filled,rounded"',
            f"    color={_quoted(_colour(rooms, room))}; {_FONT}; fontsize=14",
            *(f"    {_quoted(table.name)}" for table in room.tables),
            "  }",
        ]
    pairs = {
        (table.name, key.target)
        for room in rooms
        for table in room.tables
        for key in table.references
        if key.target not in (None, "tenants", table.name)
    }
    lines += [f"  {_quoted(source)} -> {_quoted(str(target))}" for source, target in sorted(pairs)]
    return "\n".join([*lines, "}", ""])


def room_picture(room: Room, rooms: Sequence[Room]) -> str:
    """The tables of a room with their columns; of other rooms, only what is referred to or refers, by name."""
    own = {table.name for table in room.tables}
    lines = [
        *_head(room.name, "rankdir=LR, nodesep=0.35, ranksep=0.9"),
        f"  node [shape=record, style=filled, color={_quoted(_LINE)}, {_FONT}, fontsize=11]",
        f"  node [fillcolor={_quoted(_colour(rooms, room))}]",
        f'  edge [color="#6b7785", arrowsize=0.7, {_FONT}, fontsize=9, fontcolor="#4a545f"]',
    ]
    lines += [f'  {_quoted(table.name)} [label="{_label(table)}"]' for table in room.tables]
    edges, others = _edges(room, rooms, own)
    for name, other in sorted(others.items()):
        style = f"shape=box, {_BOX}, fillcolor={_quoted(_colour(rooms, other))}"
        lines.append(f"  {_quoted(name)} [{style}, label={_quoted(name)}]")
    lines += edges
    return "\n".join([*lines, "}", ""])


def _edges(room: Room, rooms: Sequence[Room], own: set[str]) -> tuple[list[str], dict[str, Room]]:
    where = {table.name: other for other in rooms for table in other.tables}
    edges: list[str] = []
    others: dict[str, Room] = {}
    for table in room.tables:
        for key in table.references:
            if key.target is None or (key.target == "tenants" and table.name != "tenants"):
                continue
            if key.target not in own:
                others[key.target] = where[key.target]
            edges.append(f"  {_quoted(table.name)} -> {_quoted(key.target)} [label={_quoted(_named(key))}]")
    for name, other in where.items():
        if name in own:
            continue
        table = next(one for one in other.tables if one.name == name)
        if any(key.target in own and key.target != "tenants" for key in table.references):
            others[name] = other
    for name, other in sorted(others.items()):
        table = next(one for one in other.tables if one.name == name)
        targets = sorted({str(key.target) for key in table.references if key.target in own and key.target != "tenants"})
        edges += [f"  {_quoted(name)} -> {_quoted(target)} [style=dashed]" for target in targets]
    return edges, others


def _label(table: Table) -> str:
    """A record: the name above two columns. `#` marks the key, `>` a reference, `?` what may be null."""
    references = {name for key in table.references for name in key.columns} - {"tenant_id"}
    shown = table.columns[:_MOST_COLUMNS]
    names = [_marked(column, table, references) for column in shown]
    kinds = [_short(column.type) + (" ?" if column.nullable else "") for column in shown]
    if len(table.columns) > len(shown):
        names.append(f"and {len(table.columns) - len(shown)} more")
    return f"{_escaped(table.name)}|{{{_stacked(names)}|{_stacked(kinds)}}}"


def _marked(column: Column, table: Table, references: set[str]) -> str:
    mark = "#" if column.name in table.key else ">" if column.name in references else ""
    return f"{mark} {column.name}" if mark else column.name


def _stacked(lines: Sequence[str]) -> str:
    return "".join(f"{_escaped(line)}\\l" for line in lines)


def _escaped(text: str) -> str:
    """Characters that mean something in a record."""
    return re.sub(r"([{}|<>\\])", r"\\\1", text)


def _short(kind: str) -> str:
    return kind.replace("timestamp with time zone", "timestamptz").replace("double precision", "float8")


def _named(key: Constraint) -> str:
    return ", ".join(name for name in key.columns if name != "tenant_id") or "tenant_id"


def _head(name: str, options: str) -> list[str]:
    return [f"digraph {_quoted(name)} {{", f"  graph [{options}, bgcolor=white, pad=0.3, {_FONT}]"]


def _colour(rooms: Sequence[Room], room: Room) -> str:
    return _COLOURS[[one.name for one in rooms].index(room.name) % len(_COLOURS)]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""The pages of the schema in Markdown: one for each room, and one that leads to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from weft.ops.schema_docs.catalogue import Column, Constraint, Table
from weft.ops.schema_docs.rooms import Room

_MARK: Final = "<!-- Written by `weft db docs` from a database's catalogue; a test fails when it is out of date. -->"
_HEAD: Final = f"""\
# The schema

{_MARK}

Every table of the schema `weft`, as a migrated PostgreSQL has it. A *tenant table* holds rows of tenants: its key
begins with `tenant_id`, row security is enabled and forced, and references carry the tenant along. The pictures leave
out the references to `tenants`, which every tenant table has by itself or by way of others. Monthly partitions are not
listed: how many there are depends on the date. In the pictures of the rooms `#` marks the key, `>` a reference, and `?`
what may be null; a dashed arrow comes from another room.

![Tables by room, and what refers to what](overview.svg)
"""
_ON_DELETE: Final = {
    "a": "",
    "r": "",
    "c": ", goes with it",
    "n": ", is emptied with it",
    "d": ", takes its default",
}


def index_page(rooms: Sequence[Room], said: Mapping[str, str]) -> str:
    lines = [_HEAD]
    for room in rooms:
        lines += [f"## [{room.title}]({room.name}.md)", "", room.sentence, "", "| table | tenant | what it holds |"]
        lines.append("|---|:-:|---|")
        for table in room.tables:
            mark = "✓" if table.is_tenants else ""
            link = f"[`{table.name}`]({room.name}.md#{table.name})"
            lines.append(f"| {link} | {mark} | {_cell(_description(table, said))} |")
        lines.append("")
    return "\n".join(lines)


def room_page(room: Room, rooms: Sequence[Room], said: Mapping[str, str]) -> str:
    where = {table.name: other.name for other in rooms for table in other.tables}
    lines = [f"# {room.title}", "", _MARK, "", room.sentence, "", f"![Tables of {room.title}]({room.name}.svg)", ""]
    lines += ["[All rooms](README.md)", ""]
    for table in room.tables:
        lines += [f"## {table.name}", "", *_table(table, where, said)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(table: Table, where: Mapping[str, str], said: Mapping[str, str]) -> Iterator[str]:
    description = _description(table, said)
    if description:
        yield from (description, "")
    yield from (_facts(table), "")
    yield from ("| column | type | null | default | |", "|---|---|:-:|---|---|")
    yield from (_column(column, table) for column in table.columns)
    yield ""
    yield from _listed("Keys", [_key(one) for one in table.constraints if one.kind in "pu"])
    yield from _listed("References", [_reference(one, where) for one in table.references])
    yield from _listed("Checks", [f"`{one.name}`: `{one.definition}`" for one in table.constraints if one.kind == "c"])
    yield from _listed("Indexes", [f"`{name}`: `{definition}`" for name, definition in table.indexes])
    policies = []
    for policy in table.policies:
        using = f" sees `{policy.using}`" if policy.using else ""
        check = f" writes `{policy.check}`" if policy.check and policy.check != policy.using else ""
        policies.append(f"`{policy.name}`, {policy.command.lower()}, to {policy.roles}:{using}{check}".rstrip(":"))
    yield from _listed("Policies", policies)
    yield from _listed("Triggers", [f"`{name}`: `{definition}`" for name, definition in table.triggers])


def _facts(table: Table) -> str:
    """What kind of table it is, in one line."""
    facts = ["Tenant table" if table.is_tenants else "Not a tenant's"]
    if table.forced:
        facts.append("row security enabled and forced")
    elif table.secured:
        facts.append("row security enabled")
    else:
        facts.append("no row security")
    if table.partitioned:
        facts.append(f"partitioned by {table.partitioned.lower()}")
    if table.options:
        facts.append(f"stored with {table.options}")
    return "; ".join(facts) + "."


def _column(column: Column, table: Table) -> str:
    notes = ["key"] if column.name in table.key else []
    if column.generated:
        notes.append("generated")
    if column.comment:
        notes.append(column.comment)
    default = f"`{column.default}`" if column.default is not None else ""
    null = "✓" if column.nullable else ""
    return f"| `{column.name}` | {column.type} | {null} | {_cell(default)} | {_cell(', '.join(notes))} |"


def _key(one: Constraint) -> str:
    kind = "primary" if one.kind == "p" else "unique"
    return f"{kind} `{one.name}`: {_names(one.columns)}"


def _reference(one: Constraint, where: Mapping[str, str]) -> str:
    target = one.target or ""
    page = where.get(target)
    link = f"[`{target}`]({page}.md#{target})" if page else f"`{target}`"
    return f"{_names(one.columns)} → {link} {_names(one.target_columns)}{_ON_DELETE.get(one.on_delete, '')}"


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from (f"**{title}**", "", *(f"- {line}" for line in lines), "")


def _names(columns: Sequence[str]) -> str:
    return f"`({', '.join(columns)})`"


def _description(table: Table, said: Mapping[str, str]) -> str:
    return table.comment or said.get(table.name, "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

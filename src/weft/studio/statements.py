"""The studio's SQL, as values. Pure: tables and columns come from the models, everything else is a parameter.

Nothing here counts a whole table. A page is `limit`, from a place in an order that an index has; how many rows there
are is counted up to a bound, and beyond it asked of the planner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from weft.studio.catalogue import LARGE, TENANT, ColumnFacts, Kind, Reference, TableFacts

SHORT: Final = 200
"""Characters of a text that a list shows."""
LIGHT: Final = 2_000
"""Bytes, as stored, up to which a list shows the beginning of a JSON value: larger ones are not even read."""
LONG: Final = 100_000
"""Characters of a value that a row's page shows; the whole of it can be downloaded."""


@dataclass(slots=True)
class Arguments:
    """The parameters of a statement that is being written."""

    values: list[Any] = field(default_factory=list)

    def put(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


@dataclass(frozen=True, slots=True)
class Statement:
    text: str
    values: tuple[Any, ...]


Condition = Callable[[Arguments], str]
"""Writes a test on the row into a statement."""


@dataclass(frozen=True, slots=True)
class Order:
    """By one column, then by the key, so that no two rows have the same place."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Question:
    """What a list is asked for."""

    condition: Condition | None = None
    search: str | None = None
    order: Order | None = None
    place: Sequence[Any] | None = None
    back: bool = False
    """The rows before the place, not those after it; they come in the reverse order."""
    limit: int = 50


def quoted(name: str) -> str:
    """Names come from the models; quoting lets them be words of SQL (`order`, `to`)."""
    return f'"{name}"'


def order_columns(table: TableFacts, order: Order | None) -> tuple[list[ColumnFacts], bool]:
    """What a list is sorted by, and whether downwards. Without a wish: the newest first, as the key has it."""
    names = [order.column] if order else []
    names += [name for name in table.order if name not in names]
    return [table.columns[name] for name in names], order.descending if order else True


def page(table: TableFacts, tenant: UUID | None, question: Question, columns: Sequence[str]) -> Statement:
    """One row more than the limit, which says whether there is a next page."""
    arguments = Arguments()
    sorting, descending = order_columns(table, question.order)
    descending ^= question.back
    tests = _tests(table, tenant, question, arguments)
    if question.place is not None:
        tests.append(_beyond(sorting, descending, question.place, arguments))
    direction = " desc" if descending else ""
    shown = dict.fromkeys([*columns, *table.key])
    places = ", ".join(f'{quoted(c.name)} as "{c.name}#place"' for c in sorting)
    return Statement(
        f"/* weft:studio.page */ select {', '.join(_short(table.columns[name]) for name in shown)}, {places}"
        f" from {table.from_sql}{_where(tests)}"
        f" order by {', '.join(quoted(c.name) + direction for c in sorting)} limit {question.limit + 1:d}",
        tuple(arguments.values),
    )


def count(table: TableFacts, tenant: UUID | None, question: Question, most: int) -> Statement:
    """How many rows there are, counted no further than `most`."""
    arguments = Arguments()
    where = _where(_tests(table, tenant, question, arguments))
    if question.condition is None and not question.search:
        # Without an order a scan of the whole table looks cheap, and is not where the tenant's rows come last.
        where += f" order by {', '.join(quoted(name) for name in table.order)}"
    return Statement(
        f"/* weft:studio.count */ select count(*) from (select from {table.from_sql}{where} limit {most:d}) as found",
        tuple(arguments.values),
    )


def estimate(table: TableFacts, tenant: UUID | None, question: Question) -> Statement:
    """How many rows the planner expects, which knows how the tenants share the table. It reads no row."""
    arguments = Arguments()
    where = _where(_tests(table, tenant, question, arguments))
    return Statement(
        f"explain (format json) /* weft:studio.estimate */ select 1 from {table.from_sql}{where}",
        tuple(arguments.values),
    )


def row(table: TableFacts, tenant: UUID | None, key: Sequence[Any]) -> Statement:
    """One row, with its version."""
    arguments = Arguments()
    tests = _key_tests(table, tenant, key, arguments)
    return Statement(
        f"/* weft:studio.row */ select {', '.join(map(_long, table.columns.values()))},"
        f' {table.version} as "#version" from {table.from_sql}{_where(tests)}',
        tuple(arguments.values),
    )


def exported(table: TableFacts, tenant: UUID | None, question: Question) -> Statement:
    """All rows that a list would show, whole, for a cursor."""
    arguments = Arguments()
    sorting, descending = order_columns(table, question.order)
    tests = _tests(table, tenant, question, arguments)
    direction = " desc" if descending else ""
    return Statement(
        f"/* weft:studio.export */ select {', '.join(map(_whole, table.columns.values()))}"
        f" from {table.from_sql}{_where(tests)}"
        f" order by {', '.join(quoted(c.name) + direction for c in sorting)} limit {question.limit:d}",
        tuple(arguments.values),
    )


def value(table: TableFacts, tenant: UUID | None, key: Sequence[Any], column: ColumnFacts, most: int) -> Statement:
    """One value whole, or null with its size when it is larger than `most` bytes."""
    arguments = Arguments()
    tests = _key_tests(table, tenant, key, arguments)
    name = quoted(column.name)
    said = name if column.kind is Kind.binary else f"convert_to({name}::text, 'UTF8')"
    return Statement(
        f"/* weft:studio.value */ select octet_length({said}) as size,"
        f" case when octet_length({said}) <= {most:d} then {said} end as value from {table.from_sql}{_where(tests)}",
        tuple(arguments.values),
    )


def update(
    table: TableFacts, tenant: UUID | None, key: Sequence[Any], values: Mapping[str, Any], version: str
) -> Statement:
    """Change a row that is still what it was: one row or none."""
    arguments = Arguments()
    changes = [f"{quoted(name)} = {_given(table.columns[name], arguments.put(v))}" for name, v in values.items()]
    tests = [*_key_tests(table, tenant, key, arguments), f"{table.version} = {arguments.put(version)}"]
    return Statement(
        f"/* weft:studio.update */ update {table.from_sql} set {', '.join(changes)}{_where(tests)}",
        tuple(arguments.values),
    )


def delete(table: TableFacts, tenant: UUID | None, key: Sequence[Any]) -> Statement:
    arguments = Arguments()
    tests = _key_tests(table, tenant, key, arguments)
    return Statement(f"/* weft:studio.delete */ delete from {table.from_sql}{_where(tests)}", tuple(arguments.values))


def kept(table: TableFacts, tenant: UUID | None, keys: Sequence[Sequence[Any]]) -> Statement:
    """Whether any of these rows is one that stays as it is."""
    arguments = Arguments()
    named = ", ".join(map(quoted, table.key))
    given = ", ".join(f"({', '.join(arguments.put(value) for value in key)})" for key in keys)
    tests = [*_tenant_tests(table, tenant, arguments), f"({named}) in ({given})", quoted(str(table.kept_if))]
    return Statement(
        f"/* weft:studio.kept */ select exists (select from {table.from_sql}{_where(tests)})", tuple(arguments.values)
    )


def referring(
    table: TableFacts,
    target: TableFacts,
    reference: Reference,
    tenant: UUID | None,
    keys: Sequence[Sequence[Any]],
    most: int,
) -> Statement:
    """How many rows of `table` refer to those of `target`, counted no further than `most`."""
    arguments = Arguments()
    place = arguments.put(tenant)
    named = ", ".join(f"t.{quoted(name)}" for name in target.key)
    given = ", ".join(f"({', '.join(arguments.put(value) for value in key)})" for key in keys)
    same = " and ".join(f"r.{quoted(here)} = t.{quoted(there)}" for here, there in reference.pairs)
    return Statement(
        f"/* weft:studio.referring */ select count(*) from (select from {target.from_sql} t join {table.from_sql} r"
        f" on r.{TENANT} = {place} and {same}"
        f" where t.{TENANT} = {place} and ({named}) in ({given}) limit {most:d}) as found",
        tuple(arguments.values),
    )


def _tests(table: TableFacts, tenant: UUID | None, question: Question, arguments: Arguments) -> list[str]:
    tests = _tenant_tests(table, tenant, arguments)
    if question.condition is not None:
        tests.append(question.condition(arguments))
    if question.search:
        tests.append(_found(table, question.search, arguments))
    return tests


def _tenant_tests(table: TableFacts, tenant: UUID | None, arguments: Arguments) -> list[str]:
    """Row security says the same; said here too, so that the planner finds the index."""
    if TENANT in table.columns:
        return [f"{TENANT} = {arguments.put(tenant)}"]
    return [f"id = {arguments.put(tenant)}"] if table.is_tenants_own else []


def _key_tests(table: TableFacts, tenant: UUID | None, key: Sequence[Any], arguments: Arguments) -> list[str]:
    tests = _tenant_tests(table, tenant, arguments)
    return tests + [f"{quoted(n)} = {arguments.put(v)}" for n, v in zip(table.key, key, strict=True)]


def _where(tests: Sequence[str]) -> str:
    return f" where {' and '.join(tests)}" if tests else ""


def _found(table: TableFacts, text: str, arguments: Arguments) -> str:
    """A row that names the text: an id exactly, anything readable by its beginning or middle."""
    try:
        identity = UUID(text)
    except ValueError:
        pattern = arguments.put(f"%{escaped(text)}%")
        readable = [c.name for c in table.columns.values() if c.kind in (Kind.text, Kind.word)]
        return "(" + (" or ".join(f"{quoted(name)} ilike {pattern}" for name in readable) or "false") + ")"
    tests = [f"{quoted(c.name)} = {{0}}::uuid" for c in table.columns.values() if c.kind is Kind.uuid]
    tests += [f"{quoted(c.name)} = {{0}}::uuid::text" for c in table.columns.values() if c.kind is Kind.text]
    return "(" + " or ".join(tests).format(arguments.put(identity)) + ")" if tests else "false"


def escaped(text: str) -> str:
    """Text that `like` takes literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _beyond(columns: Sequence[ColumnFacts], descending: bool, after: Sequence[Any], arguments: Arguments) -> str:
    """The test for rows after a place. Nulls are last upwards and first downwards, as the index has them."""
    first, *rest = columns
    sign = "<" if descending else ">"
    if not first.nullable:
        names = ", ".join(quoted(c.name) for c in columns)
        given = ", ".join(arguments.put(v) for v in after)
        return f"({names}) {sign} ({given})"
    name = quoted(first.name)
    others = ", ".join(quoted(c.name) for c in rest)
    given = ", ".join(arguments.put(v) for v in after[1:])
    if after[0] is None:
        same = f"({name} is null and ({others}) {sign} ({given}))"
        return f"({same} or {name} is not null)" if descending else same
    here = arguments.put(after[0])
    beyond = f"{name} {sign} {here} or ({name} = {here} and ({others}) {sign} ({given}))"
    return f"({beyond})" if descending else f"({beyond} or {name} is null)"


def _json(column: ColumnFacts) -> str:
    name = quoted(column.name)
    return f"array_to_json({name})::text" if column.kind is Kind.list else f"{name}::text"


def _short(column: ColumnFacts) -> str:
    """A value as a list shows it."""
    name, size = quoted(column.name), f'"{column.name}#size"'
    match column.kind:
        case Kind.secret:
            return f"{name} is not null as {name}"
        case Kind.binary:
            return f"octet_length({name}) as {name}"
        case Kind.text:
            return f"left({name}, {SHORT}) as {name}, octet_length({name}) as {size}"
        case Kind.json | Kind.list:
            stored = f"pg_column_size({name})"
            shown = f"case when {stored} <= {LIGHT} then left({_json(column)}, {SHORT}) end"
            return f"{shown} as {name}, {stored} as {size}"
        case _:
            return name


def _long(column: ColumnFacts) -> str:
    """A value as a row's page shows it."""
    if column.kind not in LARGE:
        return _short(column)
    name = quoted(column.name)
    said = name if column.kind is Kind.text else _json(column)
    return f'left({said}, {LONG}) as {name}, octet_length({said}) as "{column.name}#size"'


def _whole(column: ColumnFacts) -> str:
    if column.kind in (Kind.json, Kind.list):
        return f"{_json(column)} as {quoted(column.name)}"
    return quoted(column.name) if column.kind is Kind.text else _short(column)


def _given(column: ColumnFacts, place: str) -> str:
    """JSON travels as text, so that nothing of it is lost on the way."""
    return f"{place}::text::jsonb" if column.kind is Kind.json else place

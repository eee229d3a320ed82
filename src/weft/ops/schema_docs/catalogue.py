"""The schema as the catalogue has it, as values. Monthly partitions are left out: their number depends on the date."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from weft.core.errors import Conflict

SCHEMA: Final = "weft"
_OURS: Final = "c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p') and not c.relispartition"

_TABLES: Final = f"""/* weft:docs.tables */
select c.relname::text as name, obj_description(c.oid, 'pg_class') as comment, pg_get_partkeydef(c.oid) as partitioned,
       c.relrowsecurity as secured, c.relforcerowsecurity as forced, array_to_string(c.reloptions, ', ') as options
  from pg_class c where {_OURS} order by 1"""
_COLUMNS: Final = f"""/* weft:docs.columns */
select c.relname::text as "table", a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type,
       not a.attnotnull as nullable, pg_get_expr(d.adbin, d.adrelid) as "default",
       a.attgenerated <> '' as generated, col_description(c.oid, a.attnum) as comment
  from pg_attribute a join pg_class c on c.oid = a.attrelid
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where {_OURS} and a.attnum > 0 and not a.attisdropped order by 1, a.attnum"""
_CONSTRAINTS: Final = f"""/* weft:docs.constraints */
select c.relname::text as "table", k.conname::text as name, k.contype::text as kind,
       pg_get_constraintdef(k.oid) as definition,
       (select array_agg(a.attname::text order by u.n) from unnest(k.conkey) with ordinality u(attnum, n)
          join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum) as columns,
       f.relname::text as target,
       (select array_agg(a.attname::text order by u.n) from unnest(k.confkey) with ordinality u(attnum, n)
          join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.attnum) as target_columns,
       k.confdeltype::text as on_delete
  from pg_constraint k join pg_class c on c.oid = k.conrelid left join pg_class f on f.oid = k.confrelid
 where {_OURS} and k.contype in ('p', 'u', 'f', 'c') and k.conparentid = 0 order by 1, 2"""
_INDEXES: Final = f"""/* weft:docs.indexes */
select c.relname::text as "table", x.relname::text as name, pg_get_indexdef(i.indexrelid) as definition
  from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
 where {_OURS} and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u'))
 order by 1, 2"""
_POLICIES: Final = """/* weft:docs.policies */
select tablename::text as "table", policyname::text as name, cmd::text as command,
       array_to_string(roles, ', ') as roles,
       qual as "using", with_check as "check" from pg_policies where schemaname = $1 order by 1, 2"""
_TRIGGERS: Final = f"""/* weft:docs.triggers */
select c.relname::text as "table", t.tgname::text as name, pg_get_triggerdef(t.oid) as definition
  from pg_trigger t join pg_class c on c.oid = t.tgrelid
 where {_OURS} and not t.tgisinternal order by 1, 2"""


class SchemaMissing(Conflict):
    code = "schema_missing"

    def __init__(self) -> None:
        super().__init__("There is no weft schema in this database. Make it first: weft db migrate.")


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    nullable: bool
    default: str | None
    generated: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Constraint:
    """`kind` is that of pg_constraint: p primary key, u unique, f reference, c check."""

    name: str
    kind: str
    definition: str
    columns: tuple[str, ...]
    target: str | None = None
    target_columns: tuple[str, ...] = ()
    on_delete: str = "a"


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    command: str
    roles: str
    using: str | None
    check: str | None


@dataclass(slots=True)
class Table:
    name: str
    comment: str | None
    partitioned: str | None
    secured: bool
    forced: bool
    options: str | None
    columns: list[Column] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    indexes: list[tuple[str, str]] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    triggers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, ...]:
        return next((one.columns for one in self.constraints if one.kind == "p"), ())

    @property
    def references(self) -> list[Constraint]:
        return [one for one in self.constraints if one.kind == "f"]

    @property
    def is_tenants(self) -> bool:
        """Its rows belong to a tenant each."""
        return any(column.name == "tenant_id" for column in self.columns)


async def read(connection: Any) -> list[Table]:
    """Every table, by name; a statement for each sort of thing. Raises `SchemaMissing`."""
    if await connection.fetchval("select to_regnamespace($1) is null", SCHEMA):
        raise SchemaMissing
    tables = {row["name"]: Table(**row) for row in await connection.fetch(_TABLES, SCHEMA)}
    if not tables:
        raise SchemaMissing
    for table, rows in (await _by_table(connection, _COLUMNS)).items():
        tables[table].columns = [Column(**row) for row in rows]
    for table, rows in (await _by_table(connection, _CONSTRAINTS)).items():
        tables[table].constraints = [_constraint(row) for row in rows]
    for table, rows in (await _by_table(connection, _INDEXES)).items():
        tables[table].indexes = [(row["name"], _index(row["definition"])) for row in rows]
    for table, rows in (await _by_table(connection, _POLICIES)).items():
        if table in tables:  # not of a view
            tables[table].policies = [Policy(**row) for row in rows]
    for table, rows in (await _by_table(connection, _TRIGGERS)).items():
        tables[table].triggers = [(row["name"], _trigger(row["definition"])) for row in rows]
    return list(tables.values())


async def _by_table(connection: Any, query: str) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in await connection.fetch(query, SCHEMA):
        values = dict(row)
        found[values.pop("table")].append(values)
    return found


def _constraint(row: dict[str, Any]) -> Constraint:
    columns, targets = tuple(row["columns"] or ()), tuple(row["target_columns"] or ())
    return Constraint(
        row["name"], row["kind"], row["definition"], columns, row["target"], targets, row["on_delete"].strip() or "a"
    )


def _index(definition: str) -> str:
    """Without what the page says already: on which table, and that it is a tree."""
    said = re.sub(r"^CREATE (UNIQUE )?INDEX \S+ ON (ONLY )?\S+ USING (btree )?", r"\1", definition)
    return said.replace("UNIQUE ", "unique ", 1)


def _trigger(definition: str) -> str:
    return re.sub(r"^CREATE TRIGGER \S+ ", "", definition).replace("EXECUTE FUNCTION ", "runs ")

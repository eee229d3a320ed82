"""The schema for a distributed PostgreSQL (Citus), as SQL in the order that it needs; made from the models' markers.

The order is that of every migration (`weft.db.emit`), with the distribution put in where it belongs: tables, then
where they live, then references, row security, functions, triggers, owners, grants. Nothing here is a list of tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import MetaData, Table
from sqlalchemy.schema import AddConstraint, ForeignKeyConstraint

from weft.db import emit
from weft.db.base import SCHEMA
from weft.ops.roles import APP, DEFINERS, OWNER
from weft.ops.scale.obstacles import is_kept
from weft.ops.scale.places import KEY, Place, nulls_the_tenant, place_of, references, tables_at

ADMINISTRATOR: Final = "administrator"
"""The section that needs a superuser of the coordinator. Everything else is the owner's, in one transaction."""

_SET_NULL: Final = re.compile(r" ON DELETE SET NULL( \([^)]*\))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Section:
    """Statements of one kind, and why they come here."""

    name: str
    why: str
    statements: tuple[str, ...]


def plan(metadata: MetaData, revision: str, permissions: str) -> list[Section]:
    """Every statement that makes the schema from nothing. `permissions`: the insert of the catalogue of permissions."""
    tables = emit.tables_of(metadata)
    return [
        _section(ADMINISTRATOR, "settings of the nodes and roles, once, as a superuser", _administration()),
        _section("transaction", "one connection to each node, so that steps see each other", _transaction()),
        _section("tables", "without references", [*_version_table(), *emit.create_tables(tables)]),
        _section("reference tables", "a copy on every node", _reference_tables(metadata)),
        _section("distributed tables", f"by {KEY}, those of one tenant together", _distributed_tables(metadata)),
        _section("references", "after distribution: before it they would be refused", _references(tables)),
        _section("row security", "after distribution: it is handed on to the shards", emit.row_security(tables)),
        _section("functions", "with the policies and rights of their owners", _functions(tables)),
        _section("triggers", "without the audit of tables that every node has", _triggers(tables)),
        _section("owners", "definer functions go to their narrow roles", _hand_over()),
        _section("grants", "one table a statement, parents only", emit.grants(tables)),
        _section("partitions", "this month, the last, and three ahead", [f"select {SCHEMA}.ensure_partitions(3)"]),
        _section(
            "catalogue",
            "permissions, and the revision that this is",
            [permissions, f"insert into {SCHEMA}.alembic_version (version_num) values ('{revision}')"],
        ),
    ]


def as_sql(sections: Sequence[Section]) -> str:
    """The plan for psql. The owner's part is one transaction."""
    head = "-- Written by weft db distribute from the models' markers. Run it on the coordinator, in an empty database."
    parts = [head]
    for section in sections:
        parts.append(f"-- {section.name}: {section.why}")
        if section.name == "transaction":
            parts += [f"set role {OWNER};", "begin;"]
        parts += [f"{statement.strip().rstrip(';')};" for statement in section.statements]
    return "\n\n".join([*parts, "commit;", "reset role;"]) + "\n"


def statements_of(sections: Sequence[Section], *, administrator: bool) -> list[str]:
    return [
        statement.strip().rstrip(";")
        for section in sections
        if (section.name == ADMINISTRATOR) is administrator
        for statement in section.statements
    ]


def _section(name: str, why: str, statements: Sequence[str] | Iterator[str]) -> Section:
    return Section(name, why, tuple(statements))


def _administration() -> Iterator[str]:
    # Citus looks at triggers of distributed tables with suspicion; ours write into the same tenant's rows only.
    for command in ("alter system set citus.enable_unsafe_triggers = on", "select pg_reload_conf()"):
        yield f"select success, result from run_command_on_all_nodes($cmd${command}$cmd$)"
    for role in (APP, OWNER):
        # `SET LOCAL app.tenant_id` reaches the other nodes only so; without it they show no rows.
        yield f"alter role {role} set citus.propagate_set_commands = 'local'"
    for role in DEFINERS:
        # A definer function opens connections to the nodes as its owner. Nobody knows a password: fence it in pg_hba.
        yield f"alter role {role} login password null"


def _transaction() -> Iterator[str]:
    yield "set local citus.multi_shard_modify_mode = 'sequential'"
    yield "set local citus.propagate_set_commands = 'local'"
    yield "set local app.maintenance = 'on'"


def _version_table() -> Iterator[str]:
    yield f"create schema if not exists {SCHEMA}"
    yield (
        f"create table {SCHEMA}.alembic_version (version_num varchar(32) not null, "
        "constraint alembic_version_pkc primary key (version_num))"
    )


def _reference_tables(metadata: MetaData) -> Iterator[str]:
    for table in tables_at(metadata, Place.reference):
        yield f"select create_reference_table('{SCHEMA}.{table.name}')"


def _distributed_tables(metadata: MetaData) -> Iterator[str]:
    together = "none"
    for table in tables_at(metadata, Place.distributed):
        name = f"{SCHEMA}.{table.name}"
        yield f"select create_distributed_table('{name}', '{KEY}', colocate_with => '{together}')"
        together = name if together == "none" else together


def _references(tables: Sequence[Table]) -> Iterator[str]:
    for table, key in references(tables):
        if is_kept(place_of(table), place_of(key.referred_table)):
            yield _reference(key)


def _reference(key: ForeignKeyConstraint) -> str:
    statement = str(AddConstraint(key).compile(dialect=emit.DIALECT)).strip()
    return _SET_NULL.sub("", statement) if nulls_the_tenant(key) else statement


def _functions(tables: Sequence[Table]) -> Iterator[str]:
    yield from emit.functions()
    yield from emit.retention(tables)


def _hand_over() -> Iterator[str]:
    """As in a migration; but the plan is also run by a superuser who has become the owner, and must stay it."""
    for statement in emit.hand_over():
        yield f"set local role {OWNER}" if statement == "reset role" else statement


def _triggers(tables: Sequence[Table]) -> Iterator[str]:
    reference = {table.name for table in tables if place_of(table) is Place.reference}
    for statement in emit.triggers(tables):
        on = re.search(rf" on {SCHEMA}\.(\w+) ", statement)
        if statement.startswith("create trigger audit ") and on is not None and on[1] in reference:
            continue
        yield statement

"""Where each table lives on a distributed PostgreSQL (Citus), read from the models' markers.

reference    no tenant: a copy on every node (tenants, users, permissions)
local        marked `local`, on the coordinator: the queue, which is claimed across tenants; the installation's records
distributed  everything else, by `tenant_id`, the rows of one tenant together
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import ForeignKeyConstraint, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint

from weft.db import emit

KEY = "tenant_id"


class Place(StrEnum):
    reference = "reference"
    distributed = "distributed"
    local = "local"


def place_of(table: Table) -> Place:
    if table.info["local"]:
        return Place.local
    return Place.distributed if KEY in table.columns else Place.reference


def tables_at(metadata: MetaData, place: Place) -> list[Table]:
    """In the order in which they can be made."""
    return [table for table in emit.tables_of(metadata) if place_of(table) is place]


def unique_keys(table: Table) -> list[tuple[str, tuple[str, ...]]]:
    """Every primary key, unique constraint and unique index: its name and columns."""
    found = [
        (str(part.name), tuple(column.name for column in part.columns))
        for part in table.constraints
        if isinstance(part, PrimaryKeyConstraint | UniqueConstraint)
    ]
    found += [(str(index.name), tuple(c.name for c in index.columns)) for index in table.indexes if index.unique]
    return sorted(found)


def carries_the_tenant(key: ForeignKeyConstraint) -> bool:
    """Whether the tenant stands on both sides of a reference, at the same place."""
    return any(element.parent.name == KEY == element.column.name for element in key.elements)


def nulls_the_tenant(key: ForeignKeyConstraint) -> bool:
    """`on delete set null` would also null the tenant, by which the row is placed."""
    return (key.ondelete or "").upper().startswith("SET") and KEY in (column.name for column in key.columns)


def references(tables: Sequence[Table]) -> list[tuple[Table, ForeignKeyConstraint]]:
    return [
        (table, key) for table in tables for key in sorted(table.foreign_key_constraints, key=lambda key: str(key.name))
    ]

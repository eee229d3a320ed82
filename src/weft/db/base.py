"""What tables are made of. Mixins say what a table *is*; `within_tenant` makes a reference that cannot
cross tenants, because row security does not guard foreign keys (they bypass it by design).

The markers in `Table.info` are what `weft.db.emit` turns into policies, triggers, grants and partitions:

    scope      "tenant" (guarded by tenant_id), "own" (guarded by another column, see `own`), "catalogue" (read by all)
    audit      True: every change is written to `audit_logs` in the same transaction
    grants     what the application role may do, e.g. "select, insert, update, delete"
    touch      True: `updated_at` and `row_version` are kept by a trigger
    partition  column by whose month the table is partitioned
    local      True: on a distributed PostgreSQL it stays on the coordinator (`weft.ops.scale.places`)
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    FetchedValue,
    ForeignKeyConstraint,
    MetaData,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from weft.core.ids import new_id

SCHEMA = "weft"

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_1_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}

READ = "select"
APPEND = "select, insert"
WRITE = "select, insert, update, delete"


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """Declarative base; constructors take keywords only and are typed."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy declares it so
        datetime: DateTime(timezone=True),
        UUID: Uuid(as_uuid=True),
        str: Text,
    }
    # Values that triggers or defaults make are fetched in the same statement, never by a second one.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  likewise


class Identified(MappedAsDataclass, kw_only=True):
    """An id made in Python, so that it is known before the row is stored."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default_factory=new_id, sort_order=-90)


class Tenanted(MappedAsDataclass, kw_only=True):
    """A row of one tenant. `Scope.add` fills `tenant_id`; row security refuses any other."""

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, init=False, sort_order=-100)


class Timestamps(MappedAsDataclass, kw_only=True):
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"), sort_order=90)
    updated_at: Mapped[datetime] = mapped_column(
        init=False, server_default=text("now()"), server_onupdate=FetchedValue(), sort_order=91
    )


class Versioned(MappedAsDataclass, kw_only=True):
    """Optimistic locking: a trigger counts every update; HTTP shows the number as the `ETag`."""

    row_version: Mapped[int] = mapped_column(
        init=False, server_default=text("1"), server_onupdate=FetchedValue(), sort_order=92
    )


class SoftDelete(MappedAsDataclass, kw_only=True):
    """Hidden from every query unless it says `execution_options(include_deleted=True)`."""

    deleted_at: Mapped[datetime | None] = mapped_column(init=False, default=None, sort_order=93)


def within_tenant(column: str, table: str, *, on_delete: str | None = None) -> ForeignKeyConstraint:
    """A reference `(tenant_id, column)` to `table (tenant_id, id)`: it cannot point into another tenant.

    `on_delete` is None (refuse) or "CASCADE". SET NULL would also null `tenant_id` and is not distributable.
    """
    return ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{SCHEMA}.{table}.tenant_id", f"{SCHEMA}.{table}.id"],
        ondelete=on_delete,
    )


def of_tenant() -> ForeignKeyConstraint:
    """The reference to the tenant itself, for tables that have no other parent."""
    return ForeignKeyConstraint(["tenant_id"], [f"{SCHEMA}.tenants.id"], name=None)


def one_of(column: str, values: type[StrEnum] | tuple[str, ...]) -> CheckConstraint:
    """text + CHECK: a native enumeration has no index under row security (its equality is not leakproof)."""
    words = [v.value for v in values] if isinstance(values, type) else list(values)
    listed = ", ".join("'" + word.replace("'", "''") + "'" for word in words)
    return CheckConstraint(f"{column} in ({listed})", name=column)


def marks(
    *,
    scope: str = "tenant",
    own: str | None = None,
    audit: bool = True,
    grants: str = WRITE,
    touch: bool = True,
    partition: str | None = None,
    storage: str | None = None,
    local: bool = False,
) -> dict[str, Any]:
    """The last element of `__table_args__`: what the kernel must know of the table."""
    options: dict[str, Any] = {
        "info": {
            "scope": scope,
            "own": own,
            "audit": audit,
            "grants": grants,
            "touch": touch,
            "partition": partition,
            "storage": storage,
            "local": local,
        }
    }
    if partition is not None:
        options["postgresql_partition_by"] = f"range ({partition})"
    return options


SECRET = {"secret": True}
"""`mapped_column(info=SECRET)`: the audit log says that it changed, never what it was."""

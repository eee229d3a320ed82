"""What the studio knows of each table, read from the models: columns, references both ways, what is secret.

Which columns are masked is decided here and nowhere else, by the same marker that masks them in the audit log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from weft.db.base import SCHEMA, Base
from weft.db.emit import DIALECT
from weft.studio import rules

TENANT: Final = "tenant_id"


class Kind(StrEnum):
    """How a value is read, shown, filtered and typed in."""

    text = "text"
    word = "word"
    uuid = "uuid"
    whole = "whole"
    number = "number"
    yes_no = "yes_no"
    time = "time"
    json = "json"
    list = "list"
    binary = "binary"
    secret = "secret"  # noqa: S105  a kind of column


LARGE: Final = frozenset({Kind.text, Kind.json, Kind.list})
"""Kinds whose values may be large: they are cut before they leave the database."""
SORTABLE: Final = frozenset({Kind.text, Kind.word, Kind.uuid, Kind.whole, Kind.number, Kind.yes_no, Kind.time})
_KEPT: Final = frozenset({TENANT, "created_at", "updated_at", "deleted_at", "row_version"})
"""Columns that weft keeps itself, whatever the table. More goes with `deleted_at` than a time: whoever may put a row
away, what must stop with it, and what restoring asks."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Columns of one table that name a row of another one, in pairs. The tenant is not among them: it is the same."""

    table: str
    pairs: tuple[tuple[str, str], ...]
    target: str
    goes_along: bool = False
    """Whether its rows are deleted with the row that they refer to."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    name: str
    kind: Kind
    type: str
    nullable: bool
    is_key: bool
    words: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    editable: bool = False
    derived: tuple[str, Callable[[str], str]] | None = None
    """Another column that is made from this one, and how."""

    @property
    def is_secret(self) -> bool:
        return self.kind is Kind.secret

    @property
    def label(self) -> str:
        return self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table. `key` are the columns that name a row within its tenant."""

    name: str
    room: str
    sentence: str
    scope: str
    own: str | None
    may_update: bool
    may_delete: bool
    columns: Mapping[str, ColumnFacts]
    key: tuple[str, ...]
    version: str
    references: tuple[Reference, ...]
    order: tuple[str, ...]
    kept_if: str | None = None
    """The column that says of a row that it stays as it is."""
    referred: list[Reference] = field(default_factory=list)

    @property
    def title(self) -> str:
        words = self.name.replace("_", " ")
        return words[:1].upper() + words[1:]

    @property
    def is_global(self) -> bool:
        return self.scope == "catalogue"

    @property
    def is_tenants_own(self) -> bool:
        """The row of the tenant itself."""
        return self.scope == "own" and self.own == "id"

    @property
    def from_sql(self) -> str:
        return f"{SCHEMA}.{self.name}"

    def reference_of(self, column: str) -> Reference | None:
        """The reference that this column belongs to."""
        return next((one for one in self.references if any(pair[0] == column for pair in one.pairs)), None)

    def first_columns(self, most: int = 8) -> list[str]:
        """Those that a list shows until somebody chooses others."""
        dull = _KEPT - {"created_at"}
        wanted = [
            c.name
            for c in self.columns.values()
            if c.name not in dull and c.kind not in (Kind.secret, Kind.binary) and not c.name.endswith("_key")
        ]
        light = [n for n in wanted if self.columns[n].kind not in (Kind.json, Kind.list)]
        heavy = [n for n in wanted if n not in light]
        chosen = set((light + heavy)[: most - 1])
        chosen |= {"created_at"} & self.columns.keys()
        return [name for name in self.columns if name in chosen] or list(self.columns)[:most]


Derive = Mapping[str, Callable[[str], str]]
"""How a column is made from another: {"workflows.name_key": name_key}."""


def read(metadata: MetaData, derive: Derive | None = None) -> dict[str, TableFacts]:
    """Every table by name."""
    sentences = _sentences(metadata)
    found = {table.name: _facts(table, sentences, derive or {}) for table in metadata.sorted_tables}
    for facts in found.values():
        for reference in facts.references:
            found[reference.target].referred.append(reference)
    return dict(sorted(found.items()))


def _facts(table: Table, sentences: Mapping[str, tuple[str, str]], derive: Derive) -> TableFacts:
    grants = table.info["grants"]
    # What is not audited is the engine's: a change by hand would leave no trace, and break what the engine counts on.
    audited = bool(table.info["audit"]) and table.name not in rules.KEPT_TABLES
    may_update = audited and "update" in grants
    key = tuple(c.name for c in table.primary_key if c.name != TENANT)
    columns = {c.name: _column(table, c, key, may_update, derive) for c in table.columns}
    room, sentence = sentences.get(table.name, ("other", ""))
    return TableFacts(
        name=table.name,
        room=room,
        sentence=sentence,
        scope=table.info["scope"],
        own=table.info["own"],
        may_update=may_update and any(c.editable for c in columns.values()),
        may_delete=audited and "delete" in grants and table.name not in rules.KEPT_ROWS,
        columns=columns,
        key=key,
        version=_version(table),
        references=tuple(_references(table)),
        order=key or (TENANT,),
        kept_if=rules.KEPT_IF[table.name][0] if table.name in rules.KEPT_IF else None,
    )


def _column(table: Table, column: Column[Any], key: tuple[str, ...], may_update: bool, derive: Derive) -> ColumnFacts:
    kind, bounds = _kind(column)
    words = _words(table, column.name) if kind is Kind.text else ()
    made = f"{column.name}_key" if f"{column.name}_key" in table.columns else None
    how = derive.get(f"{table.name}.{made}") if made else None
    is_made = column.name.endswith("_key") and column.name.removesuffix("_key") in table.columns
    editable = (
        may_update
        and column.name not in {*_KEPT, *key, *rules.KEPT_COLUMNS.get(table.name, ())}
        and kind not in (Kind.secret, Kind.binary)
        and column.computed is None
        and column.identity is None
        and not is_made
        and (made is None or how is not None)
    )
    return ColumnFacts(
        name=column.name,
        kind=Kind.word if words else kind,
        type=column.type.compile(dialect=DIALECT).lower().partition(" collate")[0],
        nullable=bool(column.nullable),
        is_key=column.name in key,
        words=words,
        bounds=bounds,
        editable=editable,
        derived=(made, how) if made and how else None,
    )


def _kind(column: Column[Any]) -> tuple[Kind, tuple[int, int] | None]:
    if column.info.get("secret"):
        return Kind.secret, None
    match column.type:
        case Uuid():
            return Kind.uuid, None
        case Boolean():
            return Kind.yes_no, None
        case SmallInteger():
            return Kind.whole, (-(2**15), 2**15 - 1)
        case BigInteger():
            return Kind.whole, (-(2**63), 2**63 - 1)
        case Integer():
            return Kind.whole, (-(2**31), 2**31 - 1)
        case Numeric() | Float():
            return Kind.number, None
        case DateTime() | Date():
            return Kind.time, None
        case JSONB():
            return Kind.json, None
        case ARRAY():
            return Kind.list, None
        case LargeBinary():
            return Kind.binary, None
        case _:
            return Kind.text, None


def _words(table: Table, column: str) -> tuple[str, ...]:
    """What `one_of` allows there."""
    for check in table.constraints:
        if isinstance(check, CheckConstraint) and (
            listed := re.fullmatch(rf"{column} in \((.+)\)", str(check.sqltext).strip())
        ):
            return tuple(re.findall(r"'([^']*)'", listed[1]))
    return ()


def _version(table: Table) -> str:
    """What changes with every update of a row, as text."""
    for name in ("row_version", "updated_at"):
        if name in table.columns:
            return f"{name}::text"
    return "xmin::text"


def _references(table: Table) -> Iterator[Reference]:
    for constraint in sorted(table.foreign_key_constraints, key=lambda k: str(k.name)):
        pairs = [(e.parent.name, e.column.name) for e in constraint.elements if e.parent.name != TENANT]
        if pairs:  # every row refers to its tenant, which is no news
            goes_along = constraint.ondelete == "CASCADE"
            yield Reference(table.name, tuple(pairs), constraint.referred_table.name, goes_along)


def _sentences(metadata: MetaData) -> dict[str, tuple[str, str]]:
    """The room of each table, and the first sentence that its model says of itself."""
    found = {}
    for mapper in Base.registry.mappers:
        model = mapper.class_
        parts = model.__module__.split(".")
        room = parts[2] if parts[1] == "domain" else "engine"
        own = vars(model).get("__doc__") or ""
        # A dataclass without a docstring is given its signature.
        said = "" if own.startswith(f"{model.__name__}(") else " ".join(own.split())
        first = re.split(r"(?<=[.!?])\s", said, maxsplit=1)[0].replace("`", "")
        found[str(model.__tablename__)] = (room, first[:1].upper() + first[1:])
    return {name: found[name] for name in (t.name for t in metadata.sorted_tables) if name in found}

"""Tables of what is too large, or too much, for the rows of executions and their journal. The engine writes them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Integer, LargeBinary
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import Base, Tenanted, marks, of_tenant, within_tenant

KEPT = "select, insert, delete"
"""What is written once: it is read and goes, and never changes."""


class Payload(Tenanted, Base):
    """A value whose JSON is large: an input, a step's output or an execution's. The row that has it names its id.

    A replay has copies of what it keeps, under the same ids. `size` is that of the JSON, `stored_size` that of `data`,
    which is compressed already (`db/sql/payloads.sql`).
    """

    __tablename__ = "payloads"
    __table_args__ = (
        within_tenant("execution_id", "workflow_executions", on_delete="CASCADE"),
        marks(grants=KEPT, audit=False, touch=False),
    )

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    stored_size: Mapped[int] = mapped_column(BigInteger)
    encoding: Mapped[str]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class PayloadUsage(Tenanted, Base):
    """How much a tenant keeps in `payloads`: counted by the save that writes and by a trigger when rows go."""

    __tablename__ = "payload_usage"
    __table_args__ = (
        of_tenant(),
        marks(grants="select, insert, update", audit=False, touch=False, storage="fillfactor = 50"),
    )

    payloads: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)
    stored_size: Mapped[int] = mapped_column(BigInteger)


class ItemChunk(Tenanted, Base):
    """A piece of a long list that a for-each goes through: `count` items from number `first` on.

    It lasts as long as the attempt of the visit that found the items.
    """

    __tablename__ = "item_chunks"
    __table_args__ = (
        within_tenant("execution_id", "workflow_executions", on_delete="CASCADE"),
        marks(grants=KEPT, audit=False, touch=False),
    )

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    visit: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int]
    items: Mapped[list[Any]] = mapped_column(JSONB)


class ItemResults(Tenanted, Base):
    """Items of a long list that ended in one save: their numbers, and beside each the visit that has its output.

    `visit` and `attempt` are those which first found the items; an attempt that takes over adds to them.
    """

    __tablename__ = "item_results"
    __table_args__ = (
        within_tenant("execution_id", "workflow_executions", on_delete="CASCADE"),
        marks(grants=KEPT, audit=False, touch=False),
    )

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    visit: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[int] = mapped_column(primary_key=True)
    indexes: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    results: Mapped[list[int]] = mapped_column(ARRAY(Integer))

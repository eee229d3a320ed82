"""What the installation knows of itself: what it is for, which revisions were applied, which processes live, how far
backfills are."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Float, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import READ, Base, Identified, Tenanted, marks, of_tenant, one_of


class RevisionKind(StrEnum):
    expand = "expand"  # adds; the versions before work on
    backfill = "backfill"  # changes rows, not what older versions need
    contract = "contract"  # removes what versions before `needs` still used


class Direction(StrEnum):
    up = "up"
    down = "down"


class DataState(StrEnum):
    running = "running"  # or paused: the cursor tells where it goes on
    done = "done"
    failed = "failed"


class Installation(Base):
    """What this database is for: the strictest profile that ever served or migrated it. One row.

    `weft.serve_as` makes it stricter; only the owner makes it milder, see `weft.ops.profiles`.
    """

    __tablename__ = "installation"
    __table_args__ = (
        CheckConstraint("is_only", name="is_only"),
        one_of("profile", ("development", "staging", "production")),
        marks(scope="catalogue", local=True, grants=READ, audit=False, touch=False),
    )

    profile: Mapped[str]
    is_only: Mapped[bool] = mapped_column(primary_key=True, default=True, server_default=text("true"))
    since: Mapped[datetime] = mapped_column(init=False, server_default=text("clock_timestamp()"))


class MigrationHistory(Identified, Base):
    """A revision that was applied or taken back. Written in the revision's own transaction, by the owner.

    `needs` is the oldest version of weft that works on the schema after a contract revision: older code reads it here,
    because it has no file of a revision that came after it.
    """

    __tablename__ = "migration_history"
    __table_args__ = (
        one_of("kind", RevisionKind),
        one_of("direction", Direction),
        Index("migration_history_revision_idx", "revision", "applied_at"),
        marks(scope="catalogue", local=True, grants=READ, audit=False, touch=False),
    )

    revision: Mapped[str]
    kind: Mapped[str]
    direction: Mapped[str]
    version: Mapped[str]
    applied_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    seconds: Mapped[float | None] = mapped_column(Float, default=None)
    needs: Mapped[str | None] = mapped_column(default=None)
    reason: Mapped[str | None] = mapped_column(default=None)
    backup: Mapped[str | None] = mapped_column(default=None)
    restore_point: Mapped[str | None] = mapped_column(default=None)


class AppInstance(Identified, Base):
    """A process of weft that lives, as its heartbeat says. Written by `weft.beat` and `weft.leave` only."""

    __tablename__ = "app_instances"
    __table_args__ = (
        one_of("kind", ("api", "worker")),
        marks(scope="catalogue", local=True, grants=READ, audit=False, touch=False, storage="fillfactor = 50"),
    )

    kind: Mapped[str]
    host: Mapped[str]
    version: Mapped[str]
    revision: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    seen_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class DataMigrationState(Tenanted, Base):
    """How far a data migration is in one tenant. Saved with every batch, in its transaction."""

    __tablename__ = "data_migrations"
    __table_args__ = (
        of_tenant(),
        one_of("state", DataState),
        marks(grants="select, insert, update", audit=False, touch=False, storage="fillfactor = 70"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(default=DataState.running.value, server_default=DataState.running.value)
    cursor: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True), default=None)
    rows: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    expected: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    error: Mapped[str | None] = mapped_column(default=None)
    started_at: Mapped[datetime] = mapped_column(init=False, server_default=text("clock_timestamp()"))
    updated_at: Mapped[datetime] = mapped_column(init=False, server_default=text("clock_timestamp()"))
    finished_at: Mapped[datetime | None] = mapped_column(default=None)

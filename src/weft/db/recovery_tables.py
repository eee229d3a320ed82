"""What recovery drills and the WAL archiver write. Nothing of a tenant's; the owner writes, and nobody else."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import READ, Base, Identified, marks, one_of


class RecoveryMarker(Base):
    """A row whose only purpose is to be found again after a restore. A drill deletes those of the one before."""

    __tablename__ = "recovery_markers"
    __table_args__ = (marks(scope="catalogue", local=True, audit=False, touch=False, grants=READ),)

    drill: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class RecoveryDrill(Identified, Base):
    """What a drill found. The newest hundred stay; the same lies, signed, beside the backups."""

    __tablename__ = "recovery_drills"
    __table_args__ = (
        one_of("kind", ("POINT_IN_TIME", "LOGICAL")),
        Index("recovery_drills_at_idx", text("at desc")),
        marks(scope="catalogue", local=True, audit=False, touch=False, grants=READ),
    )

    kind: Mapped[str]
    at: Mapped[datetime]
    ok: Mapped[bool]
    rpo_seconds: Mapped[float | None]
    """Nothing came back, nothing is known: only in a drill that failed."""
    rto_seconds: Mapped[float]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB(none_as_null=True))


class RecoveryArchive(Base):
    """How far the WAL of one replication slot has come on its target, as the archiver last said."""

    __tablename__ = "recovery_archives"
    __table_args__ = (marks(scope="catalogue", local=True, audit=False, touch=False, grants=READ),)

    slot: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    complete_to: Mapped[datetime | None]
    """Everything committed before this moment is on the target."""
    spool_bytes: Mapped[int] = mapped_column(BigInteger)
    """WAL that was taken in and is on no target."""

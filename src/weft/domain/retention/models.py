"""The table of archives: which files hold the executions, or the journals, that are gone."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import APPEND, Base, Identified, Tenanted, marks, of_tenant, one_of


class ArchiveKind(StrEnum):
    executions = "EXECUTIONS"
    journals = "JOURNALS"


class Archive(Identified, Tenanted, Base):
    """One batch that was deleted, and the file it lies in; without a file it is gone for good.

    EXECUTIONS went with everything that belongs to them; of JOURNALS the executions themselves are still there.

    It is written by the transaction that deletes them.
    """

    __tablename__ = "archives"
    __table_args__ = (
        of_tenant(),
        one_of("kind", ArchiveKind),
        Index("archives_created_at_idx", "tenant_id", "created_at", "id"),
        marks(grants=APPEND, touch=False),
    )

    period_from: Mapped[datetime]
    period_to: Mapped[datetime]
    executions: Mapped[int]
    rows: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(default=ArchiveKind.executions.value, server_default=ArchiveKind.executions.value)
    file: Mapped[str | None] = mapped_column(default=None)
    bytes: Mapped[int | None] = mapped_column(BigInteger, default=None)
    sha256: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"))

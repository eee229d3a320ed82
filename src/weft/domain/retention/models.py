"""The table of archives: which files hold the executions that are gone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import APPEND, Base, Identified, Tenanted, marks, of_tenant


class Archive(Identified, Tenanted, Base):
    """One batch of executions that was deleted, and the file they lie in; without a file they are gone for good.

    It is written by the transaction that deletes them.
    """

    __tablename__ = "archives"
    __table_args__ = (
        of_tenant(),
        Index("archives_created_at_idx", "tenant_id", "created_at", "id"),
        marks(grants=APPEND, touch=False),
    )

    period_from: Mapped[datetime]
    period_to: Mapped[datetime]
    executions: Mapped[int]
    rows: Mapped[int] = mapped_column(BigInteger)
    file: Mapped[str | None] = mapped_column(default=None)
    bytes: Mapped[int | None] = mapped_column(BigInteger, default=None)
    sha256: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=text("now()"))

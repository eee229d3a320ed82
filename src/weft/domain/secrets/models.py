"""The table of secrets. A value is sealed into its row; `version` counts the values that there have been."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import SECRET, Base, Identified, Tenanted, Timestamps, Versioned, marks, of_tenant


class Secret(Identified, Tenanted, Timestamps, Versioned, Base):
    __tablename__ = "secrets"
    __table_args__ = (
        of_tenant(),
        UniqueConstraint("tenant_id", "name"),
        marks(),
    )

    name: Mapped[str]
    value: Mapped[bytes] = mapped_column(LargeBinary, info=SECRET)
    rotated_at: Mapped[datetime]
    description: Mapped[str] = mapped_column(default="", server_default="")
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    created_by: Mapped[UUID | None] = mapped_column(default=None)

"""The table of clients, with the columns of the workflow configuration platform's document."""

from __future__ import annotations

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import Base, Identified, SoftDelete, Tenanted, Timestamps, Versioned, marks, of_tenant


class Client(Identified, Tenanted, Timestamps, Versioned, SoftDelete, Base):
    __tablename__ = "clients"
    __table_args__ = (
        of_tenant(),
        Index("clients_created_at_idx", "tenant_id", "created_at", "id"),
        marks(grants="select, insert, update"),
    )

    name: Mapped[str]
    email: Mapped[str | None] = mapped_column(default=None)
    phone: Mapped[str | None] = mapped_column(default=None)
    address: Mapped[str | None] = mapped_column(default=None)
    company: Mapped[str | None] = mapped_column(default=None)
    notes: Mapped[str | None] = mapped_column(default=None)
    is_active: Mapped[bool] = mapped_column(default=True, server_default=text("true"))

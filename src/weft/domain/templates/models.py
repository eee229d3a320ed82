"""The table of message templates: a row for each version. Versions are never changed; a new text is a new version."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import Base, Identified, Tenanted, marks, of_tenant


class MessageTemplate(Identified, Tenanted, Base):
    __tablename__ = "message_templates"
    __table_args__ = (
        of_tenant(),
        UniqueConstraint("tenant_id", "name", "version"),
        Index("message_templates_newest_key", "tenant_id", "name", unique=True, postgresql_where=sql("is_newest")),
        marks(touch=False),
    )

    name: Mapped[str]
    version: Mapped[int]
    text: Mapped[str]
    subject: Mapped[str] = mapped_column(default="", server_default="")
    html: Mapped[str | None] = mapped_column(default=None)
    description: Mapped[str] = mapped_column(default="", server_default="")
    is_newest: Mapped[bool] = mapped_column(default=True, server_default=sql("true"))
    created_by: Mapped[UUID | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(init=False, server_default=sql("now()"), sort_order=90)

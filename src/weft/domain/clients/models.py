"""The table of clients, with the columns of the workflow configuration platform's document."""

from __future__ import annotations

import unicodedata

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column, validates

from weft.db.base import Base, Identified, SoftDelete, Tenanted, Timestamps, Versioned, marks, of_tenant


class Client(Identified, Tenanted, Timestamps, Versioned, SoftDelete, Base):
    __tablename__ = "clients"
    __table_args__ = (
        of_tenant(),
        Index("clients_created_at_idx", "tenant_id", "created_at", "id"),
        Index("clients_name_key_idx", "tenant_id", "name_key", "id"),
        marks(grants="select, insert, update"),
    )

    name: Mapped[str]
    # Compared byte by byte, so that a prefix is a range: LIKE has no index under row security (it is not leakproof).
    name_key: Mapped[str] = mapped_column(Text(collation="C"), init=False)
    email: Mapped[str | None] = mapped_column(default=None)
    phone: Mapped[str | None] = mapped_column(default=None)
    address: Mapped[str | None] = mapped_column(default=None)
    company: Mapped[str | None] = mapped_column(default=None)
    notes: Mapped[str | None] = mapped_column(default=None)
    is_active: Mapped[bool] = mapped_column(default=True, server_default=text("true"))

    @validates("name")
    def _keep_key(self, _: str, name: str) -> str:
        self.name_key = name_key(name)
        return name


def name_key(name: str) -> str:
    """What names are searched by: compatibility forms and letter case make no difference."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())

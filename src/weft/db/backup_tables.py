"""What the database remembers of its backups. The places where they lie know better; this is for those who only ask.

No tenant's: health and metrics read it. A backup holds the rows of its own moment, so a restored database is told anew.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import READ, Base, marks


class Backup(Base):
    """One backup that lies somewhere. `verified_at` is when a restore of it agreed, unless one found it wrong since."""

    __tablename__ = "backups"
    __table_args__ = (marks(scope="catalogue", local=True, audit=False, touch=False, grants=READ),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    reason: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    bytes: Mapped[int] = mapped_column(BigInteger)
    places: Mapped[list[str]] = mapped_column(ARRAY(Text))
    verified_at: Mapped[datetime | None] = mapped_column(default=None)
    failure: Mapped[str | None] = mapped_column(default=None)
    """What the last restore of it found wrong."""

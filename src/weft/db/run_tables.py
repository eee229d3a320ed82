"""What operators' commands have done to the whole installation: the last run of each kind, for health and metrics."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import READ, Base, marks


class LastRun(Base):
    """One row for each kind of run, such as `maintenance`. The owner writes it, everybody may read it.

    Nothing of a tenant stands in it. `succeeded_at` is the end of the last run that went well.
    """

    __tablename__ = "last_runs"
    __table_args__ = (marks(scope="catalogue", local=True, grants=READ, audit=False, touch=False),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    is_ok: Mapped[bool]
    succeeded_at: Mapped[datetime | None] = mapped_column(default=None)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default_factory=dict, server_default=text("'{}'::jsonb"))

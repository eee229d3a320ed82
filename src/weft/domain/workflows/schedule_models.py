"""Tables of schedules: when each is due next, and what became of its due times."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from weft.db.base import Base, Identified, Tenanted, marks, one_of, within_tenant
from weft.domain.workflows.schedules.due import RunStatus


class WorkflowSchedule(Tenanted, Base):
    """When a schedule trigger is due next: apart from the trigger, because every run changes it.

    `wake_at` is when a scheduler has to look: at the due time, when a claim's lease lapses, or to see whether a queue
    can go on. `epoch` counts claims and changes: what a scheduler decided is written only under the epoch it read.
    """

    __tablename__ = "workflow_schedules"
    __table_args__ = (
        within_tenant("trigger_id", "workflow_triggers", on_delete="CASCADE"),
        Index("workflow_schedules_wake_at_idx", "wake_at", postgresql_where=text("wake_at is not null")),
        marks(audit=False, touch=False, storage="fillfactor = 70"),
    )

    trigger_id: Mapped[UUID] = mapped_column(primary_key=True)
    next_run_at: Mapped[datetime | None] = mapped_column(default=None)
    last_run_at: Mapped[datetime | None] = mapped_column(default=None)
    wake_at: Mapped[datetime | None] = mapped_column(default=None)
    epoch: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class ScheduleRun(Identified, Tenanted, Base):
    """What became of one due time. Its uniqueness is why a due time is never run twice.

    `open`: it waits, is about to be started, or its execution was not yet seen to have ended. `execution_id` is chosen
    when the run is decided, before the execution exists; no reference, for executions are removed before their runs.
    """

    __tablename__ = "schedule_runs"
    __table_args__ = (
        within_tenant("trigger_id", "workflow_triggers", on_delete="CASCADE"),
        UniqueConstraint("tenant_id", "trigger_id", "due_at"),
        one_of("status", RunStatus),
        Index("schedule_runs_open_idx", "tenant_id", "trigger_id", "due_at", postgresql_where=text("open")),
        Index("schedule_runs_decided_at_idx", "decided_at"),
        marks(audit=False, touch=False),
    )

    trigger_id: Mapped[UUID]
    due_at: Mapped[datetime]
    status: Mapped[str]
    decided_at: Mapped[datetime]
    reason: Mapped[str | None] = mapped_column(default=None)
    until: Mapped[datetime | None] = mapped_column(default=None)
    times: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    execution_id: Mapped[UUID | None] = mapped_column(default=None)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    open: Mapped[bool] = mapped_column(default=False, server_default=text("false"))

"""Tables of events. None is audited: events are kept as they came in, and waits and questions are the engine's."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from weft.db.base import Base, Identified, Tenanted, marks, of_tenant, one_of, within_tenant


class EventSource(StrEnum):
    api = "API"  # POST /v1/events
    step = "STEP"  # an `emit_event` step
    workflow = "WORKFLOW"  # the end of an execution
    question = "QUESTION"  # somebody answered


class QuestionStatus(StrEnum):
    open = "OPEN"
    answered = "ANSWERED"
    closed = "CLOSED"  # its step was cancelled or timed out


class Event(Identified, Tenanted, Base):
    """Something that happened. Kept for `rules.KEPT`, whoever waited for it.

    `correlation` is empty when the sender named none: an empty text has an index, null would need another one.
    `key` makes a repeated event the same event. `depth` counts the executions that led to it.
    """

    __tablename__ = "events"
    __table_args__ = (
        of_tenant(),
        one_of("source", EventSource),
        Index("events_key_key", "tenant_id", "key", unique=True, postgresql_where=text("key is not null")),
        Index("events_correlation_idx", "tenant_id", "type", "correlation", "received_at", "id"),
        Index("events_type_idx", "tenant_id", "type", "received_at", "id"),
        Index("events_received_at_idx", "tenant_id", "received_at", "id"),
        Index("events_age_idx", "received_at"),
        marks(
            grants="select, insert, update",
            audit=False,
            touch=False,
            storage="fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05",
        ),
    )

    type: Mapped[str]
    received_at: Mapped[datetime]
    source: Mapped[str]
    correlation: Mapped[str] = mapped_column(default="", server_default="")
    payload: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True), default=None)
    key: Mapped[str | None] = mapped_column(default=None)
    execution_id: Mapped[UUID | None] = mapped_column(default=None)  # whose step or end it tells of
    depth: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    delivered_at: Mapped[datetime | None] = mapped_column(default=None)
    effects: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), default=None)


class EventWait(Identified, Tenanted, Base):
    """A step that waits for events of one type. Deleted when the visit ends without one; else `taken` says which.

    `correlation` is empty when any event of the type will do. Events that came before `since` are not looked at.
    """

    __tablename__ = "event_waits"
    __table_args__ = (
        within_tenant("execution_id", "workflow_executions", on_delete="CASCADE"),
        # Delivery pages through the open waits of an event by this index: its cost follows who is woken.
        Index("event_waits_open_idx", "tenant_id", "type", "correlation", "id", postgresql_where=text("taken is null")),
        Index("event_waits_execution_id_idx", "tenant_id", "execution_id", "visit", "attempt"),
        marks(audit=False, touch=False, storage="fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02"),
    )

    execution_id: Mapped[UUID]
    visit: Mapped[int]
    attempt: Mapped[int]
    step: Mapped[str]
    type: Mapped[str]
    since: Mapped[datetime]
    correlation: Mapped[str] = mapped_column(default="", server_default="")
    taken: Mapped[UUID | None] = mapped_column(default=None)


class EventInterest(Tenanted, Base):
    """What a tenant's processes must know of its event triggers. `version` counts their changes.

    `ends`: somebody may want to hear of the ends of executions, which are told only then.
    """

    __tablename__ = "event_interests"
    __table_args__ = (
        of_tenant(),
        marks(grants="select, insert, update", audit=False, touch=False),
    )

    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    ends: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class Question(Identified, Tenanted, Base):
    """A question that a step asks. Its answer is an event that the step waits for, with the id as correlation."""

    __tablename__ = "questions"
    __table_args__ = (
        within_tenant("execution_id", "workflow_executions", on_delete="CASCADE"),
        UniqueConstraint("tenant_id", "execution_id", "visit", "attempt"),
        one_of("status", QuestionStatus),
        Index("questions_status_idx", "tenant_id", "status", "asked_at", "id"),
        marks(grants="select, insert, update", audit=False, touch=False),
    )

    execution_id: Mapped[UUID]
    visit: Mapped[int]
    attempt: Mapped[int]
    step: Mapped[str]
    question: Mapped[str]
    asked_at: Mapped[datetime]
    choices: Mapped[list[str] | None] = mapped_column(ARRAY(Text), default=None)
    to: Mapped[str | None] = mapped_column(default=None)
    correlation: Mapped[str] = mapped_column(default="", server_default="")
    status: Mapped[str] = mapped_column(default=QuestionStatus.open.value, server_default=QuestionStatus.open.value)
    answer: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True), default=None)
    comment: Mapped[str | None] = mapped_column(default=None)
    answered_by: Mapped[UUID | None] = mapped_column(default=None)
    answered_at: Mapped[datetime | None] = mapped_column(default=None)

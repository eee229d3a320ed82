"""What may come in and what goes out of the events room."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from weft.core.forms import VISIBLE_KEY
from weft.domain.events.models import EventSource, QuestionStatus
from weft.domain.events.rules import MAX_CORRELATION, MAX_TYPE, TYPE_PATTERN
from weft.http.bodies import Input, Output

Type = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TYPE, pattern=TYPE_PATTERN)]
Correlation = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CORRELATION)]
EventKey = Annotated[str, StringConstraints(pattern=VISIBLE_KEY)]


class EventSend(Input):
    type: Type = Field(description="Words with dots between them: `order.paid`.", examples=["order.paid"])
    correlation: Correlation | None = Field(
        default=None, description="What it is about, in the words of whoever waits for it: an order's number."
    )
    payload: Any | None = Field(default=None, description="Any JSON.")
    id: EventKey | None = Field(
        default=None, description="Your own id of the event. Sent again, it is the same event, and nothing happens."
    )


class EventAccepted(Output):
    id: UUID
    type: str
    correlation: str | None
    received_at: datetime
    repeated: bool = Field(description="It was here before; nothing happened.")


class EventSummary(Output):
    id: UUID
    type: str
    correlation: str | None
    source: EventSource
    execution_id: UUID | None = Field(description="The execution whose step or end it tells of.")
    depth: int = Field(description="How many executions led to it, one by the other's events.")
    received_at: datetime
    delivered_at: datetime | None = Field(description="When everybody who waited for it had been told.")


class EventEffects(Output):
    """What came of it."""

    woken: int = Field(description="Steps that waited for it.")
    started: list[dict[str, Any]] = Field(description="Executions that triggers started: `trigger`, `execution`.")
    refused: list[dict[str, Any]] = Field(description="Triggers that could not: `trigger`, `code`, `message`.")
    again: int = Field(default=0, description="How often what it led to would have started its triggers again.")


class EventRead(EventSummary):
    payload: Any | None
    effects: EventEffects | None


class QuestionRead(Output):
    id: UUID
    execution_id: UUID
    step: str
    visit: int
    question: str
    choices: list[str] | None
    to: str | None = Field(description="Whom it is for, as the workflow says it.")
    correlation: str | None
    status: QuestionStatus
    answer: Any | None
    comment: str | None
    asked_at: datetime
    answered_at: datetime | None
    answered_by: UUID | None


class QuestionAnswer(Input):
    answer: Any = Field(description="Any JSON; one of the choices when the question has some.")
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)] | None = None

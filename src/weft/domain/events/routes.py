"""Events and questions over HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Header, Query, Response

from weft.core.forms import VISIBLE_KEY
from weft.db.scope import Scope
from weft.domain.events import service as events
from weft.domain.events.models import QuestionStatus
from weft.domain.events.rules import MAX_CORRELATION, MAX_TYPE, MOST_AT_ONCE
from weft.domain.events.schemas import (
    EventAccepted,
    EventRead,
    EventSend,
    EventSummary,
    QuestionAnswer,
    QuestionRead,
)
from weft.http.bodies import Moment
from weft.http.paging import Page, Paged, Paging
from weft.http.scope import allowed

router = APIRouter(tags=["events"])

Reader = Annotated[Scope, allowed("events:read")]
Writer = Annotated[Scope, allowed("events:write")]
Asker = Annotated[Scope, allowed("executions:read")]
Answerer = Annotated[Scope, allowed("executions:answer")]
Several = Annotated[list[EventSend], Body(min_length=1, max_length=MOST_AT_ONCE)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=VISIBLE_KEY,
        description="Repeat a request under the same key, and nothing happens again. An event's own `id` goes first.",
    ),
]


@router.post("/events", status_code=202, response_model=EventAccepted | list[EventAccepted])
async def send_events(
    scope: Writer, sent: EventSend | Several, response: Response, key: Key = None
) -> EventAccepted | list[EventAccepted]:
    """Tell of something that happened: one event, or a list of up to 100, all of them or none.

    Steps that wait for it go on and triggers start their workflows, soon after this answer.
    """
    several = sent if isinstance(sent, list) else [sent]
    accepted = await events.send(scope, several, key=key)
    if all(one.repeated for one in accepted):
        response.headers["Idempotency-Replayed"] = "true"
    return accepted if isinstance(sent, list) else accepted[0]


@router.get("/events", response_model=Page[EventSummary])
async def list_events(
    scope: Reader,
    query: Paging,
    type: Annotated[str | None, Query(min_length=1, max_length=MAX_TYPE)] = None,  # noqa: A002  the field's name
    correlation: Annotated[
        str | None, Query(min_length=1, max_length=MAX_CORRELATION, description="Quick only with `type`.")
    ] = None,
    received_from: Moment | None = None,
    received_to: Moment | None = None,
) -> Paged[EventSummary]:
    """Events that are kept, newest first."""
    return await events.listed(
        scope, query, type_=type, correlation=correlation, since=received_from, until=received_to
    )


@router.get("/events/{event_id}", response_model=EventRead)
async def get_event(scope: Reader, event_id: UUID) -> EventRead:
    """One event, with what came of it: who was woken, what was started, what was refused and why."""
    return await events.get(scope, event_id)


@router.get("/questions", response_model=Page[QuestionRead])
async def list_questions(
    scope: Asker,
    query: Paging,
    status: QuestionStatus = QuestionStatus.open,
    execution_id: UUID | None = None,
    to: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> Paged[QuestionRead]:
    """Questions that executions ask; the open ones, unless another status is named."""
    return await events.questions(scope, query, status=status.value, execution_id=execution_id, to=to)


@router.get("/questions/{question_id}", response_model=QuestionRead)
async def get_question(scope: Asker, question_id: UUID) -> QuestionRead:
    return await events.question(scope, question_id)


@router.post("/questions/{question_id}/answer", response_model=QuestionRead)
async def answer_question(scope: Answerer, question_id: UUID, given: QuestionAnswer) -> QuestionRead:
    """Answer an open question, once; the execution then goes on."""
    return await events.answer(scope, question_id, given)

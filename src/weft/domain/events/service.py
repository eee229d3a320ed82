"""Events and questions: `from weft.domain.events import service as events`. The engine delivers them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from weft.db.database import dumps
from weft.db.scope import Scope
from weft.domain.events import queries, rules
from weft.domain.events.errors import (
    AnswerNotAmongChoices,
    EventIdReused,
    EventNotFound,
    EventTypeReserved,
    QuestionClosed,
    QuestionNotFound,
)
from weft.domain.events.models import Event, EventSource, Question, QuestionStatus
from weft.domain.events.schemas import EventAccepted, EventRead, EventSend, EventSummary, QuestionAnswer, QuestionRead
from weft.domain.events.storing import NewEvent, store
from weft.http.paging import Paged, PageQuery, page


async def send(scope: Scope, sent: Sequence[EventSend], *, key: str | None = None) -> list[EventAccepted]:
    """Accept events, all or none. `key` is the request's own: with it every event of the request is recognised."""
    new = [
        NewEvent(
            type=_own(event.type),
            source=EventSource.api.value,
            correlation=event.correlation or "",
            payload=event.payload,
            key=_key(event, key, place),
        )
        for place, event in enumerate(sent)
    ]
    fresh = await store(scope.raw, scope.tenant_id, new)
    known = [event for event in new if event.id not in fresh]
    earlier = await _earlier(scope, known) if known else {}
    return [_accepted(event, fresh, earlier) for event in new]


def _own(kind: str) -> str:
    if rules.is_reserved(kind):
        raise EventTypeReserved(kind)
    return kind


def _key(event: EventSend, key: str | None, place: int) -> str | None:
    """The sender's own id counts, wherever it is sent; the request's key is another name space."""
    if event.id is not None:
        return f"id:{event.id}"
    return f"request:{key}:{place}" if key is not None else None


async def _earlier(scope: Scope, events: Sequence[NewEvent]) -> dict[UUID, Any]:
    """What is stored under the keys of these events, by the ids that they do not get."""
    rows = await scope.raw.fetch(
        queries.STORED,
        scope.tenant_id,
        [event.id for event in events],
        [event.key for event in events],
        [event.type for event in events],
        [event.correlation for event in events],
        [None if event.payload is None else dumps(event.payload) for event in events],
    )
    return {row["sent"]: row for row in rows}


def _accepted(event: NewEvent, fresh: dict[UUID, datetime], earlier: dict[UUID, Any]) -> EventAccepted:
    if event.id in fresh:
        return EventAccepted(
            id=event.id,
            type=event.type,
            correlation=event.correlation or None,
            received_at=fresh[event.id],
            repeated=False,
        )
    row = earlier[event.id]
    if not row["same"]:
        raise EventIdReused((event.key or "").partition(":")[2])
    return EventAccepted(
        id=row["id"],
        type=row["type"],
        correlation=row["correlation"] or None,
        received_at=row["received_at"],
        repeated=True,
    )


async def listed(
    scope: Scope,
    query: PageQuery,
    *,
    type_: str | None = None,
    correlation: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Paged[EventSummary]:
    """One page of events by the time they came, without their payloads."""
    select = queries.listed(scope.tenant_id, type_=type_, correlation=correlation, since=since, until=until)
    found = await page(scope, select, (Event.received_at, Event.id), query)
    return Paged([EventSummary.model_validate(_shown(row)) for row in found.items], found.next_cursor)


async def get(scope: Scope, event_id: UUID) -> EventRead:
    row = await scope.one(queries.by_id(scope.tenant_id, event_id), missing=EventNotFound(event_id))
    return EventRead.model_validate(_shown(row) | {"payload": row.payload, "effects": row.effects})


def _shown(row: Event) -> dict[str, Any]:
    names = ("id", "type", "source", "execution_id", "depth", "received_at", "delivered_at")
    return {name: getattr(row, name) for name in names} | {"correlation": row.correlation or None}


# -- questions -----------------------------------------------------------------------------------------------


async def questions(
    scope: Scope,
    query: PageQuery,
    *,
    status: str | None = None,
    execution_id: UUID | None = None,
    to: str | None = None,
) -> Paged[QuestionRead]:
    select = queries.questions(scope.tenant_id, status=status, execution_id=execution_id, to=to)
    found = await page(scope, select, (Question.asked_at, Question.id), query)
    return Paged([_question(row) for row in found.items], found.next_cursor)


async def question(scope: Scope, question_id: UUID) -> QuestionRead:
    return _question(
        await scope.one(queries.question(scope.tenant_id, question_id), missing=QuestionNotFound(question_id))
    )


async def answer(scope: Scope, question_id: UUID, given: QuestionAnswer) -> QuestionRead:
    """Answer an open question, once. The execution goes on when the answer's event is delivered."""
    row = await scope.one(
        queries.question(scope.tenant_id, question_id).with_for_update(), missing=QuestionNotFound(question_id)
    )
    if row.status != QuestionStatus.open.value:
        raise QuestionClosed(row.status)
    if row.choices is not None and given.answer not in row.choices:
        raise AnswerNotAmongChoices(row.choices)
    row.status = QuestionStatus.answered.value
    row.answer, row.comment = given.answer, given.comment
    row.answered_by, row.answered_at = scope.actor.user_id, scope.now()
    await scope.flush()
    payload = {
        "answer": given.answer,
        "comment": given.comment,
        "answered_by": str(scope.actor.user_id) if scope.actor.user_id is not None else None,
        "answered_at": scope.now().isoformat(),
    }
    await store(
        scope.raw,
        scope.tenant_id,
        [
            NewEvent(
                type=rules.ANSWERED,
                source=EventSource.question.value,
                correlation=str(question_id),
                payload=payload,
                key=f"question:{question_id}",
                execution_id=row.execution_id,
            )
        ],
    )
    await scope.record("question.answer", "questions", question_id, {"execution_id": str(row.execution_id)})
    return _question(row)


def _question(row: Question) -> QuestionRead:
    return QuestionRead.model_validate(row).model_copy(update={"correlation": row.correlation or None})

"""An execution as a stream of events: `GET /v1/executions/{id}/events`. What is in it: `domain/executions/changes`."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from weft.core.actor import Actor
from weft.core.errors import Unavailable, WeftError
from weft.db.database import Database
from weft.db.hot import AWAY
from weft.db.scope import enter
from weft.domain.executions import changes
from weft.domain.executions.changes import Changes
from weft.domain.executions.errors import ExecutionNotFound
from weft.domain.executions.rules import Position, position_of
from weft.domain.executions.schemas import EndEvent, ExecutionEvent, StepEvent
from weft.engine.routes import Engine
from weft.engine.watching import Watch
from weft.http.bodies import Output
from weft.http.scope import acting, require_still
from weft.http.sse import HEARTBEAT, RECONNECT, EventStream, event

HEARTBEAT_SECONDS: Final = 15.0
CHECK_SECONDS: Final = 60.0
"""How often a stream asks whether its reader may still read."""
LONGEST_SECONDS: Final = 4 * 3600.0
PERMISSION: Final = "executions:read"

router = APIRouter(tags=["executions"])

Reader = Annotated[Actor, acting(PERMISSION)]
EventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)]

_DESCRIPTION: Final = (
    "Server-sent events: `step` (a row of the journal was begun or settled), `execution` (where it stands after that), "
    "`end` (it is over; the stream closes). Each `data` is one line of JSON."
)
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": _DESCRIPTION},
    204: {"description": "You have had the `end` already: do not connect again."},
}
EVENTS: Final[dict[str, type[Output]]] = {"step": StepEvent, "execution": ExecutionEvent, "end": EndEvent}
"""What the `data` of each event is."""


@router.get(
    "/executions/{execution_id}/events",
    name="stream_execution_events",
    response_class=EventStream,
    status_code=200,
    responses=_RESPONSES,
    openapi_extra={
        "x-events": {name: {"$ref": f"#/components/schemas/{model.__name__}"} for name, model in EVENTS.items()}
    },
)
async def stream_execution_events(
    request: Request,
    engine: Engine,
    actor: Reader,
    execution_id: UUID,
    last_seen: EventId = None,
    last_event_id: Annotated[
        str | None, Query(max_length=100, description="As the header `Last-Event-ID`, which wins over it.")
    ] = None,
    data: Annotated[bool, Query(description="With what each step gave, up to 64 KB, and the output.")] = False,
) -> Response:
    """What happens to an execution, as it happens. Without an event's id it begins with where it stands now.

    Send the `id` of the last event you got as `Last-Event-ID`, as browsers do by themselves, and it goes on from there:
    nothing is missed and nothing comes twice.
    """
    said = last_seen or last_event_id
    after = position_of(said) if said else None
    watch = engine.watchers.watch(actor.tenant_id, execution_id)
    try:
        stream = _Stream(request, engine.database, actor, watch, data=data)
        first = await stream.read(after)
        if after is not None and after.ended and first.end is not None and first.position.version == after.version:
            watch.close()
            return Response(status_code=204)
        return EventStream(stream.events(first, after), close=watch.close)
    except BaseException:
        watch.close()
        raise


class _Stream:
    """One open stream."""

    def __init__(self, request: Request, database: Database, actor: Actor, watch: Watch, *, data: bool) -> None:
        self._request = request
        self._database = database
        self._actor = actor
        self._watch = watch
        self._data = data
        self._began = self._checked = time.monotonic()

    async def read(self, after: Position | None) -> Changes:
        async with self._watch.reading, enter(self._database, self._actor, read_only=True) as scope:
            return await changes.since(scope, self._watch.execution_id, after, data=self._data)

    async def events(self, found: Changes, after: Position | None) -> AsyncGenerator[bytes, None]:
        yield RECONNECT
        told = after.version if after is not None and after.row is None and not after.ended else -1
        while True:
            for chunk in _written(found, told):
                yield chunk
            if found.end is not None:
                return
            told = found.position.version if found.is_all else -1
            async for beat in self._until_changed(found):
                yield beat
            try:
                if self._watch.is_leaving or not await self._may_go_on():
                    return
                found = await self._next(found)
            except ExecutionNotFound:
                return  # it was deleted: whoever connects again hears so

    async def _until_changed(self, found: Changes) -> AsyncGenerator[bytes, None]:
        """Heartbeats, until there is something to read."""
        while found.is_all and not self._watch.is_leaving:
            if await self._watch.moved(found.position.version, HEARTBEAT_SECONDS) or self._watch.is_gone:
                return
            if time.monotonic() - self._checked > CHECK_SECONDS:
                return
            yield HEARTBEAT

    async def _next(self, found: Changes) -> Changes:
        """What comes after; the same place again while the database is away."""
        try:
            return await self.read(found.position)
        except (asyncpg.PostgresError, *AWAY, Unavailable):
            return Changes([], found.position, found.is_all, found.execution, None)

    async def _may_go_on(self) -> bool:
        """Whether the reader's key or session still opens this, now and then; no stream lasts for ever."""
        now = time.monotonic()
        if now - self._began > LONGEST_SECONDS:
            return False
        if now - self._checked > CHECK_SECONDS:
            self._checked = now
            try:
                await require_still(self._request, PERMISSION)
            except Unavailable:
                return True
            except WeftError:
                return False
        return True


def _written(found: Changes, told: int) -> list[bytes]:
    """The events of one reading. `told`: the version of the execution that the reader knows already."""
    chunks = [event("step", step.model_dump_json(), str(place)) for place, step in found.steps]
    if found.is_all and found.position.version != told:
        chunks.append(event("execution", found.execution.model_dump_json(), str(found.position)))
    if found.end is not None:
        place = Position(found.position.version, ended=True)
        chunks.append(event("end", found.end.model_dump_json(), str(place)))
    return chunks

"""Putting events into the database: the one way, for senders outside and for steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from weft.core.ids import new_id
from weft.db.database import Connection, dumps
from weft.domain.events.queries import STORE


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is to be stored. `depth`: how many executions led to it.

    `received_at` is the database's time when the event is stored, unless the engine, whose clock it shares, says it.
    """

    type: str
    source: str
    received_at: datetime | None = None
    correlation: str = ""
    payload: Any = None
    key: str | None = None
    execution_id: UUID | None = None
    depth: int = 0
    id: UUID = field(default_factory=new_id)


async def store(connection: Connection, tenant_id: UUID, events: Sequence[NewEvent]) -> dict[UUID, datetime]:
    """Store events, each with its job, inside an open transaction. Returns those that are new, and when they came."""
    rows = await connection.fetch(
        STORE,
        tenant_id,
        [event.id for event in events],
        [event.type for event in events],
        [event.correlation for event in events],
        [None if event.payload is None else dumps(event.payload) for event in events],
        [event.source for event in events],
        [event.key for event in events],
        [event.execution_id for event in events],
        [event.depth for event in events],
        [event.received_at for event in events],
        [new_id() for _ in events],
    )
    return {row[0]: row[1] for row in rows}

"""Triggers that events start again: recognised by what led to the event, and bounded.

An execution that an event started carries that event and those before it, and so do its sub-workflows. A trigger that
one of these has started already is started *again*: it is part of a loop. How often that may happen is counted at the
first event of them, for everything that came of it: so a loop ends wherever it goes round, in a chain or in breadth,
while an event that leads to many others for other triggers costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from weft.core.actor import system_actor
from weft.core.errors import Conflict
from weft.db.database import Connection, Database
from weft.db.hot import transaction
from weft.domain.events import rules

CHAIN: Final = "event_chain"
"""The metadata of an execution that says which events led to it, the first of them first."""

ORIGINS = """/* weft:events.origins */
select f.id,
       (select c.id from unnest($4::uuid[]) with ordinality as c (id, place)
         where exists (select 1 from weft.workflow_executions x
                        where x.tenant_id = $1 and x.workflow_id = f.workflow_id
                          and x.idempotency_key = 'event:' || f.id || ':' || c.id)
         order by c.place limit 1) as origin,
       exists (select 1 from weft.workflow_executions x
                where x.tenant_id = $1 and x.workflow_id = f.workflow_id
                  and x.idempotency_key = 'event:' || f.id || ':' || $5::uuid) as started
  from unnest($2::uuid[], $3::uuid[]) as f (id, workflow_id)
"""

AGAIN = """/* weft:events.again */
update weft.events e
   set effects = coalesce(e.effects, '{"woken": 0, "started": [], "refused": []}')
                 || jsonb_build_object('again', coalesce((e.effects ->> 'again')::integer, 0) + 1)
 where e.tenant_id = $1 and e.id = $2
returning (e.effects ->> 'again')::integer
"""


class EventLoop(Conflict):
    """What an event's effects say of a trigger that would have gone round once too often."""

    code = "event_loop"

    def __init__(self) -> None:
        super().__init__(
            f"What an event led to has started its triggers again {rules.MOST_AGAIN} times: does a workflow trigger "
            "itself, or two each other? Give the trigger a filter that a repeated event does not pass."
        )


@dataclass(frozen=True, slots=True)
class Round:
    """A trigger that is started again. `first`: no other of its loop was refused before."""

    may: bool
    first: bool


def key_of(trigger_id: UUID, event_id: object) -> str:
    """The idempotency key of what a trigger starts for an event; `ORIGINS` looks for it."""
    return f"event:{trigger_id}:{event_id}"


def chain_of(metadata: Mapping[str, Any] | None) -> list[UUID]:
    """The events that led to an execution. Metadata is anybody's: what is no such list counts as none."""
    written = (metadata or {}).get(CHAIN)
    if not isinstance(written, list) or len(written) > rules.DEEPEST:
        return []
    try:
        return [UUID(one) for one in written]
    except (ValueError, TypeError, AttributeError):
        return []


def inherited(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a sub-workflow's metadata must say, so that a loop through it is one too."""
    chain = chain_of(metadata)
    return {CHAIN: [str(one) for one in chain]} if chain else {}


async def rounds(
    database: Database, tenant_id: UUID, event: Mapping[str, Any], triggers: Sequence[tuple[UUID, UUID]]
) -> dict[UUID, Round]:
    """Which of these triggers (with their workflows) the event starts again, and whether it may. Each is counted once,
    but for one whose delivery is broken off here."""
    chain = chain_of(event["metadata"])
    if not chain or not triggers:
        return {}
    ids, workflows = [one for one, _ in triggers], [workflow for _, workflow in triggers]
    found: dict[UUID, Round] = {}
    async with transaction(database, system_actor(tenant_id)) as connection:
        for row in await connection.fetch(ORIGINS, tenant_id, ids, workflows, chain, event["id"]):
            if row["origin"] is not None and not row["started"]:
                found[row["id"]] = await _count(connection, tenant_id, row["origin"])
    return found


async def _count(connection: Connection, tenant_id: UUID, origin: UUID) -> Round:
    """One more at the event where the loop began. One that was too old to be kept counts no more: depth bounds it."""
    again = await connection.fetchval(AGAIN, tenant_id, origin)
    return Round(may=again is None or again <= rules.MOST_AGAIN, first=again == rules.MOST_AGAIN + 1)

"""Event triggers: which of a tenant's triggers follow an event, and the executions that they start.

What is known of a tenant's triggers is kept, under the version that every change of one counts up; the version is asked
for with each event. The start itself verifies that the trigger still is what was read, as a webhook's does.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog

from weft.core.actor import system_actor
from weft.core.errors import Exhausted, Unavailable, WeftError
from weft.db.hot import transaction
from weft.domain.events import rules
from weft.engine.drive import Driver
from weft.engine.events import loops
from weft.engine.events.hearing import loops_refused
from weft.engine.events.matching import shown
from weft.engine.news import News, Noted
from weft.engine.plans import Condition, condition_of
from weft.engine.start_errors import IdempotencyKeyReused, StartsTooDeep, TriggerChanged
from weft.engine.start_requests import StartRequest
from weft.engine.starts import Starter
from weft.expressions.compile import Compiled, compile_value

log = structlog.get_logger("weft.events")

KEPT: Final = 1024
"""Tenants whose triggers are kept."""

SHOWN: Final = 100
"""Starts and refusals that an event remembers of each."""

VERSION = """/* weft:events.trigger_version */
select i.version from weft.event_interests i where i.tenant_id = $1
"""

TRIGGERS = """/* weft:events.triggers */
select t.id, t.workflow_id, t.row_version, t.config
  from weft.workflow_triggers t
 where t.tenant_id = $1 and t.kind = 'EVENT' and t.enabled
 order by t.id
"""


@dataclass(frozen=True, slots=True)
class Follower:
    """An enabled event trigger, ready to be asked."""

    id: UUID
    workflow_id: UUID
    row_version: int
    types: frozenset[str]
    correlation: str | None
    filter: Condition | None
    mapping: Compiled | None


class Followers:
    """One per worker."""

    def __init__(self, driver: Driver, starter: Starter) -> None:
        self._driver = driver
        self._starter = starter
        self._known: OrderedDict[UUID, tuple[int, list[Follower]]] = OrderedDict()

    async def start(self, tenant_id: UUID, event: Mapping[str, Any]) -> dict[str, Any]:
        """Start what follows the event, once for each trigger. Says what was started and what was refused."""
        refused: list[dict[str, str]] = []
        asked: list[tuple[Follower, StartRequest]] = []
        for follower in await self._of(tenant_id, event):
            try:
                request = await self._request(tenant_id, follower, event)
            except (Exhausted, Unavailable):
                raise
            except WeftError as error:
                refused.append(_refusal(follower, error))
            else:
                if request is not None:
                    asked.append((follower, request))
        asked = await self._but_loops(tenant_id, event, asked, refused)
        # Together, so that each finds the others there when what it led to asks whether they were started.
        answers = await asyncio.gather(
            *(self._begin(tenant_id, event, request) for _, request in asked), return_exceptions=True
        )
        started = await self._told(tenant_id, event, asked, answers, refused)
        return {"started": started[:SHOWN], "refused": refused[:SHOWN]}

    async def _told(
        self,
        tenant_id: UUID,
        event: Mapping[str, Any],
        asked: Sequence[tuple[Follower, StartRequest]],
        answers: Sequence[UUID | BaseException | None],
        refused: list[dict[str, str]],
    ) -> list[dict[str, str]]:
        """What was started. Raises what says that it is to be tried later: what was started is known by its key."""
        started = []
        for (follower, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, UUID):
                started.append({"trigger": str(follower.id), "execution": str(answer)})
            elif isinstance(answer, WeftError) and not isinstance(answer, (Exhausted, Unavailable)):
                refused.append(_refusal(follower, answer))
                if isinstance(answer, StartsTooDeep):
                    loops_refused.count += 1
                    await self._note(tenant_id, event, f"{rules.DEEPEST} executions have led to one another by events")
            elif answer is not None:
                raise answer
        return started

    async def _but_loops(
        self,
        tenant_id: UUID,
        event: Mapping[str, Any],
        asked: Sequence[tuple[Follower, StartRequest]],
        refused: list[dict[str, str]],
    ) -> list[tuple[Follower, StartRequest]]:
        """Without those that would go round once too often. The first of a loop is noted where it was stopped."""
        triggers = [(follower.id, follower.workflow_id) for follower, _ in asked]
        rounds = await loops.rounds(self._driver.database, tenant_id, event, triggers)
        for follower, _ in asked:
            found = rounds.get(follower.id)
            if found is None or found.may:
                continue
            loops_refused.count += 1
            refused.append(_refusal(follower, loops.EventLoop()))
            if found.first:
                reason = f"What one event led to has started its triggers again {rules.MOST_AGAIN} times"
                await self._note(tenant_id, event, reason)
        return [one for one in asked if one[0].id not in rounds or rounds[one[0].id].may]

    async def _of(self, tenant_id: UUID, event: Mapping[str, Any]) -> list[Follower]:
        known = self._known.get(tenant_id)
        async with transaction(self._driver.database, system_actor(tenant_id), read_only=True) as connection:
            version = await connection.fetchval(VERSION, tenant_id)
            if version is None:
                return []
            if known is None or known[0] != version:
                rows = await connection.fetch(TRIGGERS, tenant_id)
                known = self._known[tenant_id] = version, [_follower(row) for row in rows]
        self._known.move_to_end(tenant_id)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        correlation = event["correlation"]
        return [one for one in known[1] if event["type"] in one.types and one.correlation in (None, correlation)]

    async def _request(self, tenant_id: UUID, follower: Follower, event: Mapping[str, Any]) -> StartRequest | None:
        """What the trigger asks the event to start; None when its filter does not hold."""
        evaluator, seen = self._driver.evaluator, {"event": shown(event)}
        if follower.filter is not None and not await evaluator.plain_condition(follower.filter, seen, tenant_id):
            return None
        value = seen["event"]["payload"]
        if follower.mapping is not None:
            value = await evaluator.plain(follower.mapping, seen, tenant_id)
        chain = [*loops.chain_of(event["metadata"]), event["id"]]
        return StartRequest(
            workflow=follower.workflow_id,
            input=value,
            idempotency_key=loops.key_of(follower.id, event["id"]),
            trigger="EVENT",
            trigger_id=follower.id,
            trigger_version=follower.row_version,
            depth=event["depth"],
            metadata={
                "event": {"id": str(event["id"]), "type": event["type"]},
                loops.CHAIN: [str(one) for one in chain[-rules.DEEPEST :]],
            },
        )

    async def _begin(self, tenant_id: UUID, event: Mapping[str, Any], request: StartRequest) -> UUID | None:
        try:
            result = await self._starter.submit(system_actor(tenant_id, correlation_id=str(event["id"])), request)
        except IdempotencyKeyReused:  # it was started when this event was delivered before
            return None
        except TriggerChanged:
            self._known.pop(tenant_id, None)
            raise
        return result.id

    async def _note(self, tenant_id: UUID, event: Mapping[str, Any], reason: str) -> None:
        """Tell the execution that the event came from: a loop ends here."""
        if event["execution_id"] is not None:
            sentence = f"{reason}: does a workflow trigger itself? The trigger of '{event['type']}' started nothing."
            await self._driver.deliver(tenant_id, [News(event["execution_id"], Noted(sentence))])


def _refusal(follower: Follower, error: WeftError) -> dict[str, str]:
    log.info("event trigger refused", trigger=str(follower.id), code=error.code)
    return {"trigger": str(follower.id), "code": error.code, "message": error.message}


def _follower(row: Mapping[str, Any]) -> Follower:
    config = row["config"]
    types = config["event"]
    return Follower(
        id=row["id"],
        workflow_id=row["workflow_id"],
        row_version=row["row_version"],
        types=frozenset([types] if isinstance(types, str) else types),
        correlation=config.get("correlation"),
        filter=condition_of(config.get("filter")),
        mapping=compile_value(config["input"]) if config.get("input") is not None else None,
    )

"""What a start of a limited workflow or tenant adds: the scope in which it needs a place, and who is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from weft.core.actor import Actor
from weft.core.errors import WeftError
from weft.db.database import Connection
from weft.db.hot import transaction
from weft.engine import places
from weft.engine.drive import Driver
from weft.engine.records import NewExecution


class Target(Protocol):
    """The workflow that is to be started, as the process knows it."""

    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def limits(self) -> places.StartLimits: ...


class Request(Protocol):
    @property
    def input(self) -> object: ...
    @property
    def parent_id(self) -> UUID | None: ...


class Waiting(Protocol):
    """One start under way."""

    @property
    def request(self) -> Request: ...
    @property
    def actor(self) -> Actor: ...
    @property
    def new(self) -> NewExecution | None: ...
    @property
    def target(self) -> Target | None: ...

    full: WeftError | None


One = TypeVar("One", bound=Waiting)


class LimitedStarts:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def key_of(self, waiting: Waiting, target: Target) -> str | None:
        """The scope in which the execution needs a place; None if it needs none.

        A sub-workflow needs no place of the tenant: it runs in its parent's. Inside an execution of the same workflow
        it needs none of that either. Else the outer one could wait for ever.
        """
        limits, parent = target.limits, waiting.request.parent_id
        tenant_id = waiting.actor.tenant_id
        if parent is not None:
            if limits.concurrent is None:
                return None
            async with transaction(self._driver.database, waiting.actor, read_only=True) as connection:
                if await connection.fetchval(places.ANCESTORS, tenant_id, parent, target.id):
                    return None
        if limits.concurrent is None:
            return ""
        return await places.key_of(self._driver.evaluator, target.name, limits, waiting.request.input, tenant_id)

    async def admitted(self, connection: Connection, tenant_id: UUID, group: Sequence[One]) -> list[One]:
        """Those that may be stored now: all but what workflows that refuse have no place for. Takes the locks."""
        scopes = {id(one): (one.new.workflow_id, one.new.place_key) for one in group if one.new is not None}
        limited = {scope for scope in scopes.values() if scope[1] is not None}
        await places.lock(connection, tenant_id, [workflow for workflow, _ in limited])
        refusing = [one for one in group if one.target is not None and one.target.limits.refuses]
        if not refusing:
            return list(group)
        asked = {(workflow, key) for one in refusing for workflow, key in [scopes[id(one)]] if key is not None}
        room = await places.room(connection, tenant_id, list(asked))
        turned_away = set()
        for one in refusing:
            workflow, key = scopes[id(one)]
            if key is None or one.target is None or (workflow, key) not in room:
                continue
            room[workflow, key] -= 1
            if room[workflow, key] < 0:
                one.full = places.WorkflowFull(one.target.name, one.target.limits.concurrent or 0)
                turned_away.add(id(one))
        return [one for one in group if id(one) not in turned_away]

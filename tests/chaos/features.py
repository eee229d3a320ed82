"""What `test_features.py` sets up: schedules, a limited workflow, one that waits for events, and an old history."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from benches.lab import Lab
from tests.factories import identity

from weft.core.actor import Actor, system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.limits.schemas import WorkflowLimitsWrite
from weft.domain.limits.service import workflows as limits
from weft.domain.retention import service as retention
from weft.domain.retention.rules import Bounds
from weft.domain.retention.schemas import RetentionUpdate
from weft.domain.workflows import service as workflows
from weft.domain.workflows.models import TriggerKind
from weft.domain.workflows.schedule_schemas import ScheduleConfig
from weft.domain.workflows.schemas import TriggerCreate, TriggerUpdate, WorkflowCreate
from weft.domain.workflows.service import triggers
from weft.engine import registry

PLACES = 2
SCHEDULES = 3

UNFINISHED = """
select (select count(*) from weft.workflow_executions where status not in ('COMPLETED', 'FAILED', 'CANCELLED'))
     + (select count(*) from weft.schedule_runs where status = 'PENDING') as unfinished
"""
CAUGHT_UP = """
select trigger_id from weft.schedule_runs group by trigger_id
having max(due_at) filter (where status = 'STARTED') >= $1 and not bool_or(status = 'PENDING' and due_at < $1)
"""
STANDING = "select status, count(*) as executions from weft.workflow_executions group by 1"

LONG_AGO = """
insert into weft.workflow_executions
  (tenant_id, id, workflow_id, version_id, number, status, created_at, updated_at, started_at, completed_at)
select $1, gen_random_uuid(), w.id, w.current_version_id, 1000000 + $4::integer + n, 'COMPLETED', at, at, at, at
  from weft.workflows w, generate_series(1, $3::integer) n,
       lateral (select now() - interval '40 days' + n * interval '1 second') t (at)
 where w.tenant_id = $1 and w.id = $2
"""


@dataclass
class Made:
    actor: Actor
    headers: dict[str, str]
    limited: UUID
    waiting: UUID
    old: UUID
    schedules: list[UUID]


def limited(port: int) -> dict[str, Any]:
    """A call that takes its time; at most so many executions are at it."""
    call = {"method": "POST", "url": f"http://127.0.0.1:{port}/limited", "body": {}}
    return {
        "name": "limited",
        "steps": [
            {
                "key": "call",
                "type": "http",
                "config": call,
                "retry": {"attempts": 50, "initial": 0.05, "max": 0.5},
                "timeout": 10,
            }
        ],
        "transitions": [],
    }


WAITING: dict[str, Any] = {
    "name": "waiting",
    "steps": [
        {"key": "go", "type": "wait_for_event", "config": {"event": "chaos.go", "correlation": "{{ input.n }}"}},
        {"key": "end", "type": "end", "config": {"output": "{{ steps.go.output.payload }}"}},
    ],
    "transitions": [{"from": "go", "to": "end"}],
}
OLD: dict[str, Any] = {
    "name": "old",
    "steps": [{"key": "set", "type": "set", "config": {"vars": {"n": "{{ 1 }}"}}}],
    "transitions": [],
}


async def prepare(lab: Lab, port: int) -> Made:
    registry.kinds()
    database = await lab.database()
    try:
        owner = await identity.tenant(database, "chaos")
        actor = system_actor(owner.tenant_id, "chaos")
        headers = await identity.bearer(database, owner)
        made = [await _workflow(database, actor, one) for one in (limited(port), WAITING, OLD)]
        async with enter(database, actor) as scope:
            await limits.set_limits(scope, made[0], WorkflowLimitsWrite(concurrent=PLACES))
            await retention.replace(scope, RetentionUpdate(executions_days=30), Bounds())
        return Made(actor, headers, made[0], made[1], made[2], schedules=[])
    finally:
        await database.close()


async def _workflow(database: Database, actor: Actor, document: dict[str, Any]) -> UUID:
    async with enter(database, actor) as scope:
        workflow = await workflows.create(scope, WorkflowCreate(definition=document))
        await workflows.save_version(scope, workflow.id)
        await workflows.change_status(scope, workflow.id, "activate")
        return workflow.id


async def arm(lab: Lab, made: Made) -> None:
    """From now on each of them is due every second, and each due time counts, however late it is seen."""
    config = ScheduleConfig(
        every="1s", overlap="allow", catch_up="all", catch_up_limit=1000, anchor=datetime.now(UTC).isoformat()
    )
    database = await lab.database()
    try:
        for number in range(SCHEDULES):
            new = TriggerCreate(kind=TriggerKind.schedule, name=f"every second {number}", config=config)
            async with enter(database, made.actor) as scope:
                made.schedules.append((await triggers.create(scope, made.limited, new)).trigger.id)
    finally:
        await database.close()


async def disarm(lab: Lab, made: Made) -> None:
    database = await lab.database()
    try:
        for trigger in made.schedules:
            async with enter(database, made.actor) as scope:
                await triggers.update(scope, made.limited, trigger, TriggerUpdate(enabled=False))
    finally:
        await database.close()


async def finished_long_ago(lab: Lab, made: Made, count: int, first: int) -> None:
    """Executions that ended forty days ago, numbered from `first` on."""
    connection = await asyncpg.connect(lab.admin_dsn)
    try:
        await connection.execute(LONG_AGO, made.actor.tenant_id, made.old, count, first)
    finally:
        await connection.close()


class Sender(threading.Thread):
    """Starts an execution that waits, and sends what it waits for; repeats both until they are accepted.

    Every other event is sent before its execution begins to wait: an event may come first.
    """

    def __init__(self, address: str, made: Made, count: int, pace: float) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._made = made
        self._count = count
        self._pace = pace
        self.is_done = False
        self.repeated = 0

    def run(self) -> None:
        for number in range(self._count):
            start = (f"/v1/workflows/{self._made.waiting}/executions", {"input": {"n": str(number)}}, f"start-{number}")
            event = {"type": "chaos.go", "correlation": str(number), "payload": number, "id": f"event-{number}"}
            self._send(*start)
            self._send("/v1/events", event, None)
            time.sleep(self._pace)
        self.is_done = True

    def _send(self, path: str, body: dict[str, Any], key: str | None) -> None:
        headers = {"content-type": "application/json", **self._made.headers}
        if key is not None:
            headers["idempotency-key"] = key
        request = urllib.request.Request(self._address + path, json.dumps(body).encode(), headers)  # noqa: S310  loopback
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10):  # noqa: S310  loopback
                    return
            except urllib.error.HTTPError as refused:
                with refused:
                    if refused.code < 500:
                        raise AssertionError(refused.read()) from refused
                self.repeated += 1
            except (OSError, http.client.HTTPException):
                self.repeated += 1
            time.sleep(0.05)

"""Webhooks for tests: a trigger with what its owner was shown, and what may be asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from tests.factories import executions

from weft.core.actor import Actor
from weft.db.database import Database
from weft.db.hot import transaction
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.domain.workflows import tokens
from weft.domain.workflows.schemas import TriggerCreate, TriggerUpdate, WebhookConfig
from weft.domain.workflows.service import triggers

ECHO: dict[str, Any] = {"output": "{{ input }}"}


@dataclass
class Hook:
    """A trigger and what its owner was shown."""

    database: Database
    actor: Actor
    workflow_id: UUID
    id: UUID
    token: str
    secret: bytes

    @property
    def path(self) -> str:
        return f"/hooks/{self.token}"

    async def change(self, **change: Any) -> None:
        async with enter(self.database, self.actor) as scope:
            await triggers.update(scope, self.workflow_id, self.id, TriggerUpdate(**change))

    async def rotate_token(self) -> str:
        async with enter(self.database, self.actor) as scope:
            made = await triggers.rotate_token(scope, self.workflow_id, self.id)
        assert made.token is not None
        return f"/hooks/{made.token}"

    async def rotate_secret(self) -> bytes:
        async with enter(self.database, self.actor) as scope:
            made = await triggers.rotate_secret(scope, self.workflow_id, self.id)
        assert made.signing_secret is not None
        return tokens.read_signing_secret(made.signing_secret)

    async def move(self, verb: str) -> None:
        async with enter(self.database, self.actor) as scope:
            await workflows.change_status(scope, self.workflow_id, verb)


async def hook(
    database: Database,
    actor: Actor,
    *,
    workflow: dict[str, Any] | None = None,
    enabled: bool = True,
    name: str = "orders",
    **config: Any,
) -> Hook:
    """A webhook that believes whoever knows its address, unless told otherwise."""
    workflow_id = await executions.workflow(database, actor, **(workflow or ECHO))
    new = TriggerCreate(name=name, enabled=enabled, config=WebhookConfig(**({"verify": "none"} | config)))
    async with enter(database, actor) as scope:
        made = await triggers.create(scope, workflow_id, new)
    assert made.token is not None
    assert made.signing_secret is not None
    secret = tokens.read_signing_secret(made.signing_secret)
    return Hook(database, actor, workflow_id, made.trigger.id, made.token, secret)


def told(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


async def rows(database: Database, actor: Actor) -> list[Any]:
    async with transaction(database, actor, read_only=True) as connection:
        found: list[Any] = await connection.fetch("select * from weft.workflow_executions order by number")
    return found

"""Webhooks that this process knows: their hash, secret and configuration, read once and kept.

What is kept may be out of date, and that is found out in two ways: whatever a known webhook would refuse is looked up
again before it is refused, and the statement that stores the start, or finds the one that a repeated key is answered
with, verifies that the trigger still is, and still is enabled, at the row version that was read.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.workflows.errors import WebhookUnknown
from weft.domain.workflows.models import WorkflowTrigger
from weft.domain.workflows.service import triggers
from weft.domain.workflows.service.triggers import Previous, Webhook
from weft.domain.workflows.tokens import WebhookToken
from weft.expressions.compile import Compiled, compile_value
from weft.interpreter.durations import parse_duration

KEPT: Final = 4096
REQUEST: Final = "request"
"""The value of `config.input` that asks for the whole request instead of its body."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook, ready to be answered. `mapping` makes the input from the request; None takes the body as it is.

    `previous` is what was rotated and still works, each until its time: ask `opens` and `secrets`.
    """

    tenant_id: UUID
    id: UUID
    workflow_id: UUID
    name: str
    row_version: int
    enabled: bool
    verify: Literal["none", "standard", "github"]
    is_answered: bool
    wait_seconds: float
    whole_request: bool
    tolerance: float
    keep_body: bool
    token_hash: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    mapping: Compiled | None = field(repr=False)
    previous: Previous = field(repr=False)

    def opens(self, token: WebhookToken, now: datetime) -> bool:
        """Whether this is its address, in the same time for yes and no."""
        genuine = token.matches(self.token_hash)
        old, until = self.previous.token_hash, self.previous.token_until
        if old is not None and until is not None and now < until:
            genuine |= token.matches(old)
        return genuine and self.enabled

    def secrets(self, now: datetime) -> tuple[bytes, ...]:
        """What a message may be signed with: the secret, and the one before while its grace lasts."""
        old, until = self.previous.signing_secret, self.previous.secret_until
        return (self.secret, old) if old is not None and until is not None and now < until else (self.secret,)


class Triggers:
    """One per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[UUID, UUID], Hook] = OrderedDict()

    def known(self, tenant_id: UUID, trigger_id: UUID) -> Hook | None:
        """The webhook as it was when it was last read."""
        hook = self._known.get((tenant_id, trigger_id))
        if hook is not None:
            self._known.move_to_end((tenant_id, trigger_id))
        return hook

    async def read(self, tenant_id: UUID, trigger_id: UUID) -> Hook | None:
        """The webhook as it is now; None when the tenant has no such trigger."""
        key = (tenant_id, trigger_id)
        try:
            async with enter(self._database, system_actor(tenant_id), read_only=True) as scope:
                found = await triggers.webhook(scope, trigger_id)
                row = await scope.session.get_one(WorkflowTrigger, key)  # read by the line above: no second statement
        except WebhookUnknown:
            self._known.pop(key, None)
            return None
        hook = self._known[key] = _hook(tenant_id, found, row)
        self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return hook


def _hook(tenant_id: UUID, found: Webhook, row: WorkflowTrigger) -> Hook:
    config = found.config
    return Hook(
        tenant_id=tenant_id,
        id=found.trigger_id,
        workflow_id=found.workflow_id,
        name=row.name,
        row_version=row.row_version,
        enabled=found.enabled,
        verify=config.verify,
        is_answered=config.respond == "sync",
        wait_seconds=config.wait_seconds,
        whole_request=config.input == REQUEST,
        tolerance=parse_duration(config.tolerance),
        keep_body=config.keep_body,
        token_hash=found.token_hash,
        secret=found.signing_secret,
        mapping=compile_value(config.input) if config.input not in (None, REQUEST) else None,
        previous=found.previous,
    )

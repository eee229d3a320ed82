"""Webhook triggers: addresses, secrets, and what their receiver is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import Enter
from tests.factories import workflows as make
from tests.factories.workflows import KINDS

from weft.core.ids import new_id
from weft.db import secrets
from weft.db.keyring import SecretsUnreadable
from weft.domain.workflows import service, tokens
from weft.domain.workflows.errors import (
    TriggerConfigInvalid,
    TriggerNameTaken,
    TriggerNotFound,
    WebhookOnly,
    WebhookUnknown,
    WorkflowArchived,
    WorkflowNotFound,
)
from weft.domain.workflows.models import TriggerKind
from weft.domain.workflows.schemas import TriggerCreate, TriggerUpdate, WebhookConfig
from weft.domain.workflows.service import triggers
from weft.http.preconditions import VersionStale


async def test_a_webhook_is_told_its_address_once(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        made = await triggers.create(scope, workflow.id, TriggerCreate(name="orders"))
        assert made.token is not None
        assert made.signing_secret is not None
        token = tokens.parse(made.token)
        assert (token.tenant_id, token.trigger_id) == (scope.tenant_id, made.trigger.id)
    async with as_ada() as scope:
        webhook = await triggers.webhook(scope, token.trigger_id)
        assert token.matches(webhook.token_hash)
        assert tokens.written(webhook.signing_secret) == made.signing_secret
        assert (webhook.workflow_id, webhook.version_id) == (workflow.id, workflow.current_version_id)
        assert (webhook.enabled, webhook.startable) == (True, True)
        assert webhook.config == WebhookConfig()
        stored = await scope.raw.fetchrow("select token_hash, secret from weft.workflow_triggers")
        assert token.secret not in bytes(stored["token_hash"])
        assert webhook.signing_secret not in bytes(stored["secret"])
        assert webhook.signing_secret.hex() not in repr(webhook)


async def test_a_name_is_given_once_in_a_workflow(as_ada: Enter) -> None:
    """For a new trigger and for a new name; without a name there may be many."""
    async with as_ada() as scope:
        workflow, other = await make.active(scope, name="one"), await make.active(scope, name="other")
        for owner in (workflow, other):
            await triggers.create(scope, owner.id, TriggerCreate(name="orders"))
        second = await triggers.create(scope, workflow.id, TriggerCreate(name="returns"))
        for _ in range(2):
            await triggers.create(scope, workflow.id, TriggerCreate())
    for kind in (TriggerKind.webhook, TriggerKind.manual):
        with pytest.raises(TriggerNameTaken, match="called 'orders' already"):
            async with as_ada() as scope:
                await triggers.create(scope, workflow.id, TriggerCreate(kind=kind, name="orders"))
    with pytest.raises(TriggerNameTaken):
        async with as_ada() as scope:
            await triggers.update(scope, workflow.id, second.trigger.id, TriggerUpdate(name="orders"))
    async with as_ada() as scope:
        kept = await triggers.update(scope, workflow.id, second.trigger.id, TriggerUpdate(name="returns"))
    assert kept.name == "returns"


async def test_the_secret_opens_only_in_its_own_row(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        one = await triggers.create(scope, workflow.id, TriggerCreate())
        two = await triggers.create(scope, workflow.id, TriggerCreate())
        assert one.trigger.secret is not None
        with pytest.raises(SecretsUnreadable):
            await secrets.unseal(scope, triggers.TABLE, triggers.COLUMN, two.trigger.id, one.trigger.secret)


async def test_secrets_never_reach_the_audit_log(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        made = await triggers.create(scope, workflow.id, TriggerCreate())
        await triggers.rotate_secret(scope, workflow.id, made.trigger.id)
    async with as_ada() as scope:
        rows = await scope.raw.fetch(
            "select a::text as line from weft.audit_logs a where resource_type = 'workflow_triggers'"
        )
        lines = "\n".join(row["line"] for row in rows)
        assert len(rows) == 2
        assert made.trigger.token_hash is not None
        assert made.trigger.secret is not None
        for hidden in (made.trigger.token_hash, made.trigger.secret):
            assert hidden.hex() not in lines


async def test_whether_it_may_start_the_workflow(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = (await make.saved(scope)).workflow
        made = await triggers.create(scope, workflow.id, TriggerCreate())
        trigger_id = made.trigger.id
        assert not (await triggers.webhook(scope, trigger_id)).startable  # still a draft
        await service.change_status(scope, workflow.id, "activate")
        assert (await triggers.webhook(scope, trigger_id)).startable
        await triggers.update(scope, workflow.id, trigger_id, TriggerUpdate(enabled=False))
        found = await triggers.webhook(scope, trigger_id)
        assert (found.enabled, found.startable) == (False, False)
        await triggers.update(scope, workflow.id, trigger_id, TriggerUpdate(enabled=True))
        await service.change_status(scope, workflow.id, "deactivate")
        assert not (await triggers.webhook(scope, trigger_id)).startable
        await service.delete(scope, workflow.id)
        with pytest.raises(WebhookUnknown):
            await triggers.webhook(scope, trigger_id)


async def test_another_tenant_has_no_such_webhook(as_ada: Enter, as_bob: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        made = await triggers.create(scope, workflow.id, TriggerCreate())
    async with as_bob() as scope:
        with pytest.raises(WebhookUnknown):
            await triggers.webhook(scope, made.trigger.id)
        with pytest.raises(WorkflowNotFound):
            await triggers.create(scope, workflow.id, TriggerCreate())


async def test_rotating(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        made = await triggers.create(scope, workflow.id, TriggerCreate())
        assert made.token is not None
        old = tokens.parse(made.token)
        renewed = await triggers.rotate_token(scope, workflow.id, made.trigger.id)
        assert renewed.token is not None
        assert renewed.signing_secret is None
        webhook = await triggers.webhook(scope, made.trigger.id)
        assert not old.matches(webhook.token_hash)
        assert tokens.parse(renewed.token).matches(webhook.token_hash)
        assert tokens.written(webhook.signing_secret) == made.signing_secret
        again = await triggers.rotate_secret(scope, workflow.id, made.trigger.id)
        webhook = await triggers.webhook(scope, made.trigger.id)
        assert made.signing_secret != again.signing_secret == tokens.written(webhook.signing_secret)


async def test_changing_only_what_is_sent(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        made = await triggers.create(scope, workflow.id, TriggerCreate(name="a", config=WebhookConfig(verify="github")))
        seen = made.trigger.row_version
        changed = await triggers.update(scope, workflow.id, made.trigger.id, TriggerUpdate(name="b"), expected=seen)
        assert (changed.name, changed.enabled, changed.config["verify"]) == ("b", True, "github")
        with pytest.raises(VersionStale):
            await triggers.update(scope, workflow.id, made.trigger.id, TriggerUpdate(name="c"), expected=seen)
        await triggers.delete(scope, workflow.id, made.trigger.id)
        with pytest.raises(TriggerNotFound):
            await triggers.get(scope, workflow.id, made.trigger.id)
        with pytest.raises(TriggerNotFound):
            await triggers.delete(scope, workflow.id, new_id())


async def test_a_manual_trigger_has_no_address(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        made = await triggers.create(scope, workflow.id, TriggerCreate(kind=TriggerKind.manual, name="button"))
        assert (made.token, made.signing_secret, made.trigger.config) == (None, None, {})
        for attempt in (
            triggers.rotate_token(scope, workflow.id, made.trigger.id),
            triggers.rotate_secret(scope, workflow.id, made.trigger.id),
            triggers.update(scope, workflow.id, made.trigger.id, TriggerUpdate(config=WebhookConfig())),
        ):
            with pytest.raises(WebhookOnly):
                await attempt
        with pytest.raises(WebhookUnknown):
            await triggers.webhook(scope, made.trigger.id)


async def test_triggers_of_an_archived_workflow_stay_as_they_are(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        made = await triggers.create(scope, workflow.id, TriggerCreate())
        await service.change_status(scope, workflow.id, "archive")
        for attempt in (
            triggers.create(scope, workflow.id, TriggerCreate()),
            triggers.rotate_token(scope, workflow.id, made.trigger.id),
            triggers.delete(scope, workflow.id, made.trigger.id),
        ):
            with pytest.raises(WorkflowArchived):
                await attempt


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"order": "{{ body.order + }}"}, "cannot be read"),
        ({"order": "{{ bdy.order }}"}, "no `bdy`. Did you mean `body`?"),
        ("{{ input.x }}", "no `input`"),
        ("{{ steps.a.output }}", "There are `body`, `headers`, `query`, `now`, `trigger`."),
    ],
)
async def test_an_input_mapping_that_cannot_work(as_ada: Enter, mapping: Any, words: str) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        with pytest.raises(TriggerConfigInvalid, match="input mapping") as caught:
            await triggers.create(scope, workflow.id, TriggerCreate(config=WebhookConfig(input=mapping)))
        assert words in caught.value.message
        assert caught.value.issues[0].path[:2] == ("config", "input")


async def test_an_input_mapping_over_the_call(as_ada: Enter) -> None:
    mapping = {"order": "{{ body.order }}", "agent": "{{ headers['user-agent'] }}", "page": "{{ query.page }}", "n": 1}
    async with as_ada() as scope:
        workflow = await make.active(scope)
        made = await triggers.create(scope, workflow.id, TriggerCreate(config=WebhookConfig(input=mapping)))
        assert (await triggers.webhook(scope, made.trigger.id)).config.input == mapping


@pytest.mark.parametrize(
    "config", [{"wait_seconds": 31}, {"wait_seconds": -1}, {"verify": "md5"}, {"respond": "maybe"}, {"unknown": 1}]
)
def test_configs_that_are_none(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebhookConfig.model_validate(config)


def test_the_factory_registry_is_its_own() -> None:
    """Tests of this room must not leave kinds in the process's registry."""
    from weft.domain.workflows.kinds import installed

    assert KINDS is not installed()
    assert installed().get("note") is None

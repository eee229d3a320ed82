"""Small decisions: statuses, names, tokens, kinds."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import workflows as make

from weft.core.ids import new_id
from weft.domain.identity import tokens as credentials
from weft.domain.identity.errors import CredentialInvalid
from weft.domain.workflows import rules, tokens
from weft.domain.workflows.errors import (
    MoveRefused,
    NameMissing,
    WebhookUnknown,
    WorkflowArchived,
    WorkflowHasNoVersion,
)
from weft.domain.workflows.kinds import KindNameTaken, KindRegistry
from weft.domain.workflows.models import WorkflowStatus

# what a verb makes of each status; None: refused
MOVES: dict[str, dict[str, str | None]] = {
    "activate": {"DRAFT": "ACTIVE", "ACTIVE": "ACTIVE", "INACTIVE": "ACTIVE", "ARCHIVED": None},
    "deactivate": {"DRAFT": None, "ACTIVE": "INACTIVE", "INACTIVE": "INACTIVE", "ARCHIVED": None},
    "archive": {"DRAFT": "ARCHIVED", "ACTIVE": "ARCHIVED", "INACTIVE": "ARCHIVED", "ARCHIVED": "ARCHIVED"},
    "unarchive": {"DRAFT": None, "ACTIVE": None, "INACTIVE": None, "ARCHIVED": "INACTIVE"},
}


@pytest.mark.parametrize("verb", MOVES)
@pytest.mark.parametrize("status", [status.value for status in WorkflowStatus])
def test_moves_between_statuses(verb: str, status: str) -> None:
    expected = MOVES[verb][status]
    if expected is None:
        with pytest.raises(MoveRefused, match=f"A workflow that is {status} cannot be {verb}"):
            rules.move(status, verb, version=1)
    else:
        assert rules.move(status, verb, version=1) == expected


def test_only_a_version_can_be_activated() -> None:
    with pytest.raises(WorkflowHasNoVersion):
        rules.move("DRAFT", "activate", version=0)
    assert rules.move("DRAFT", "archive", version=0) == "ARCHIVED"


def test_allowed_moves_lead_elsewhere() -> None:
    assert rules.allowed_moves("ACTIVE") == ("deactivate", "archive")
    assert rules.allowed_moves("ARCHIVED") == ("unarchive",)


def test_archived_is_read_only() -> None:
    rules.require_editable("ACTIVE")
    with pytest.raises(WorkflowArchived):
        rules.require_editable("ARCHIVED")


@pytest.mark.parametrize(
    "other", ["Invoice approval", " invoice  APPROVAL ", "\uff49nvoice approval", "INVOICE\tapproval"]
)
def test_names_that_are_the_same(other: str) -> None:
    assert rules.name_key(other) == "invoice approval"


@pytest.mark.parametrize("name", [None, 3, "", "  ", "x" * 201])
def test_a_name_is_needed(name: object) -> None:
    with pytest.raises(NameMissing):
        rules.require_name(name)


# --- addresses of webhooks


def test_an_address_leads_to_tenant_and_trigger() -> None:
    tenant_id, trigger_id = new_id(), new_id()
    minted = tokens.mint(tenant_id, trigger_id)
    token = tokens.parse(minted.text)
    assert (token.tenant_id, token.trigger_id) == (tenant_id, trigger_id)
    assert token.matches(minted.token_hash)
    assert not token.matches(tokens.mint(tenant_id, trigger_id).token_hash)
    assert minted.text not in repr(minted)
    assert "secret=" not in repr(token)


def test_it_is_no_credential_and_a_credential_is_no_address() -> None:
    with pytest.raises(CredentialInvalid):
        credentials.parse(tokens.mint(new_id(), new_id()).text)
    with pytest.raises(WebhookUnknown):
        tokens.parse(credentials.mint(credentials.TokenKind.key, new_id(), new_id()).text)


@given(st.integers(0, 99), st.characters(codec="utf-8"))
def test_a_changed_address_is_refused(place: int, char: str) -> None:
    text = tokens.mint(new_id(), new_id()).text
    changed = text[: place % len(text)] + char + text[place % len(text) + 1 :]
    if changed != text:
        with pytest.raises(WebhookUnknown):
            tokens.parse(changed)


@pytest.mark.parametrize("text", ["", "weft_wh_", "weft_wh_x_y", "x" * 101, "weft_wh_" + "z" * 93])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(WebhookUnknown):
        tokens.parse(text)


def test_signing_secrets_are_written_as_standard_webhooks_do() -> None:
    secret = tokens.new_signing_secret()
    assert len(secret) == 32
    assert tokens.written(secret).startswith("whsec_")
    assert tokens.read_signing_secret(tokens.written(secret)) == secret


# --- kinds


def test_the_same_kind_may_be_registered_twice_but_not_two_of_one_name() -> None:
    kind = make.Note()
    registry = KindRegistry([kind, kind])
    assert registry.get("note") is kind
    with pytest.raises(KindNameTaken, match="two step kinds called 'note'"):
        registry.register(make.Note())


class Plugin:
    """Entry points as an installed distribution would offer them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **offered: object) -> None:
        self.asked = 0
        self.offered = offered
        monkeypatch.setattr(metadata, "entry_points", self.entry_points)

    def entry_points(self, *, group: str) -> list[Any]:
        assert group == "weft.step_kinds"
        self.asked += 1
        points = []
        for name, target in self.offered.items():
            point = metadata.EntryPoint(name, f"plugin:{name}", group)
            object.__setattr__(point, "load", lambda target=target: _load(target))
            points.append(point)
        return points


def _load(target: object) -> object:
    if isinstance(target, Exception):
        raise target
    return target


def test_plugins_are_loaded_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fancy(make.Note):
        name = "fancy"

    plugin = Plugin(monkeypatch, fancy=Fancy, call=make.Call())
    registry = KindRegistry([make.Note()], plugins=True)
    assert registry.get("note") is not None
    assert plugin.asked == 0
    assert isinstance(registry.get("fancy"), Fancy)
    assert registry.names() == ("call", "fancy", "note")
    assert registry.get("nowhere") is None
    assert plugin.asked == 1


def test_a_broken_plugin_takes_only_itself_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Plugin(monkeypatch, broken=ImportError("no numpy"), wrong=object(), call=make.Call())
    registry = KindRegistry(plugins=True)
    with caplog.at_level(logging.WARNING):
        assert registry.names() == ("call",)
    assert registry.broken == {"broken": "ImportError: no numpy", "wrong": "TypeError: it is not a StepKind"}
    assert "no numpy" in caplog.text

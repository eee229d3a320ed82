"""`weft event` and `weft question` against a real server."""

from __future__ import annotations

import json

import pytest
from tests.cli.conftest import Served, Weft

INVALID, NOT_FOUND, CONFLICT = 2, 5, 6
NOBODY = "0198f3a0-0000-7000-8000-00000000c0de"


@pytest.fixture
def signed_in(served: Served, weft: Weft) -> Weft:
    result = weft("login", "--email", served.owner.email, "--password-stdin", stdin=served.owner.password + "\n")
    assert result.code == 0, result.err
    return weft


def test_events_are_sent_listed_and_shown(signed_in: Weft) -> None:
    weft = signed_in
    sent = weft("event", "send", "order.paid", "-c", "A-1", "--payload", '{"sum": 3}', "--id", "mine", "--json").json()
    assert (sent["type"], sent["correlation"], sent["repeated"]) == ("order.paid", "A-1", False)
    again = weft("event", "send", "order.paid", "-c", "A-1", "--payload", '{"sum": 3}', "--id", "mine")
    assert (again.code, "sent before" in again.out, sent["id"] in again.out) == (0, True, True)
    other = weft("event", "send", "order.paid", "--id", "mine")
    assert (other.code, "Use a new id" in other.err) == (CONFLICT, True)
    table = weft("event", "list", "--type", "order.paid").out
    assert "A-1" in table
    assert weft("event", "list", "--type", "other", "--json").json() == []
    shown = weft("event", "show", sent["id"], "--json").json()
    assert shown["payload"] == {"sum": 3}
    assert weft("event", "show", NOBODY).code == NOT_FOUND


def test_what_cannot_be_sent_is_refused(signed_in: Weft) -> None:
    reserved = signed_in("event", "send", "workflow.completed")
    assert (reserved.code, "weft's own types" in reserved.err) == (INVALID, True)
    broken = signed_in("event", "send", "a.b", "--payload", "{")
    assert (broken.code, "not valid JSON" in broken.err) == (INVALID, True)
    problem = json.loads(signed_in("event", "send", "no type", "--json").err)
    assert problem["kind"] == "invalid"


def test_questions_are_listed_and_answered(signed_in: Weft) -> None:
    nobody = signed_in("question", "list")
    assert (nobody.code, "Nobody asks anything." in nobody.out) == (0, True)
    unknown = signed_in("question", "answer", NOBODY, "yes")
    assert (unknown.code, "weft" in unknown.err or "questions" in unknown.err) == (NOT_FOUND, True)

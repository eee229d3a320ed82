"""What the steps answer that are functions of their config."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.engine.steps.calls import NOW, call_of

from weft.engine import registry
from weft.engine.kinds import Instant
from weft.engine.outcomes import Done, Failed, Items, Outcome, StartChild, WaitUntil
from weft.engine.steps.for_each import MOST

HOUR = timedelta(hours=1)


def run(name: str, config: dict[str, Any], *, now: datetime = NOW) -> Outcome:
    kind = registry.kind(name)
    assert isinstance(kind, Instant)
    return kind.run(call_of(config, now=now))


def until(moment: datetime) -> dict[str, str]:
    return {"until": moment.isoformat().replace("+00:00", "Z")}


@pytest.mark.parametrize(
    ("name", "config", "outcome"),
    [
        ("set", {"vars": {"a": 1, "b": [2]}}, Done(output={"a": 1, "b": [2]}, variables={"a": 1, "b": [2]})),
        ("set", {"vars": {}}, Done(output={}, variables={})),
        ("transform", {"output": {"total": 3}}, Done(output={"total": 3})),
        ("transform", {"output": [1, 2]}, Done(output=[1, 2])),
        ("transform", {"output": None}, Done(output=None)),
        ("transform", {"values": {"total": 3}}, Done(output={"total": 3})),
        ("condition", {}, Done()),
        ("switch", {}, Done()),
        ("parallel", {}, Done()),
        ("join", {}, Done()),
        ("for_each", {"items": [1, 2], "concurrency": 5}, Items([1, 2])),
        ("for_each", {"items": ()}, Items([])),
        ("for_each", {"items": {"count": 3}}, Items(range(3))),
        ("for_each", {"items": {"count": 3.0}}, Items(range(3))),
        ("sub_workflow", {"workflow": "refund"}, StartChild("refund", {}, None)),
        ("sub_workflow", {"workflow": " refund ", "input": {"a": 1}, "version": 3}, StartChild("refund", {"a": 1}, 3)),
        ("sub_workflow", {"workflow": "refund", "input": None, "version": 2.0}, StartChild("refund", None, 2)),
        ("end", {}, Done()),
        ("end", {"output": {"paid": True}}, Done(output={"paid": True})),
        ("fail", {"message": "No money."}, Failed("fail", "No money.", retryable=False)),
        ("fail", {"message": "No", "data": {"left": 0}}, Failed("fail", "No", retryable=False, data={"left": 0})),
        ("delay", {"for": 90}, WaitUntil(NOW + timedelta(seconds=90), until(NOW + timedelta(seconds=90)))),
        ("delay", {"for": "1h30m"}, WaitUntil(NOW + timedelta(minutes=90), until(NOW + timedelta(minutes=90)))),
        ("delay", {"for": "366d"}, WaitUntil(NOW + timedelta(days=366), until(NOW + timedelta(days=366)))),
        ("delay", {"for": 0}, Done(output=until(NOW))),
        ("delay", {"for": -5.5}, Done(output=until(NOW))),
        ("delay", {"until": "2030-06-01T13:00:00Z"}, WaitUntil(NOW + HOUR, until(NOW + HOUR))),
        ("delay", {"until": "2030-06-01T16:00:00+03:00"}, WaitUntil(NOW + HOUR, until(NOW + HOUR))),
        ("delay", {"until": "2030-06-01T12:00:00Z"}, Done(output=until(NOW))),
        ("delay", {"until": "1999-01-01T00:00:00Z"}, Done(output={"until": "1999-01-01T00:00:00Z"})),
    ],
)  # fmt: skip
def test_what_a_step_answers(name: str, config: dict[str, Any], outcome: Outcome) -> None:
    assert run(name, config) == outcome


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("set", {"vars": "abc"}, "config.vars must be an object, but it is the text 'abc'."),
        ("set", {"vars": [1]}, "config.vars must be an object, but it is a list of 1."),
        ("transform", {}, "needs `output` or `values`"),
        ("for_each", {"items": "input.lines"}, "config.items must be a list, but it is the text 'input.lines'."),
        ("for_each", {"items": None}, "config.items must be a list, but there is none."),
        ("for_each", {"items": {"a": 1}}, "config.items must be a list, but it is an object with 1 fields."),
        ("for_each", {"items": {"count": -1}}, "config.items.count must be a whole number, 0 or more"),
        ("for_each", {"items": {"count": True}}, "config.items.count must be a whole number"),
        ("for_each", {"items": {"count": "3"}}, "config.items.count must be a whole number"),
        ("for_each", {"items": {"count": MOST + 1}}, "at most 1,000,000 runs"),
        ("delay", {}, "exactly one of config.for and config.until"),
        ("delay", {"for": 1, "until": "2030-06-01T13:00:00Z"}, "exactly one"),
        ("delay", {"for": "soon"}, "is not a duration"),
        ("delay", {"for": True}, "is not a duration"),
        ("delay", {"for": [1]}, "config.for"),
        ("delay", {"for": float("nan")}, "config.for"),
        ("delay", {"for": "367d"}, "more than a year"),
        ("delay", {"for": 1e300}, "more than a year"),
        ("delay", {"for": "99999999999999999999w"}, "more than a year"),
        ("delay", {"for": 1e300}, "config.for"),
        ("delay", {"until": "2031-06-03T00:00:00Z"}, "more than a year ahead"),
        ("delay", {"until": "2030-06-01T13:00:00"}, "a time with its zone"),
        ("delay", {"until": "tomorrow"}, "a time with its zone"),
        ("delay", {"until": 1906549200}, "it is the number 1906549200."),
        ("sub_workflow", {}, "config.workflow must be text, but there is none."),
        ("sub_workflow", {"workflow": 7}, "config.workflow must be text, but it is the number 7."),
        ("sub_workflow", {"workflow": "  "}, "config.workflow is empty"),
        ("sub_workflow", {"workflow": "a", "version": 0}, "config.version must be a whole number between 1 and"),
        ("sub_workflow", {"workflow": "a", "version": "3"}, "config.version must be a whole number"),
        ("sub_workflow", {"workflow": "a", "version": True}, "config.version must be a whole number"),
        ("sub_workflow", {"workflow": "a", "version": 1.5}, "it is the number 1.5."),
        ("fail", {"message": {"a": 1}}, "config.message must be text"),
    ],
)
def test_a_wrong_value_fails_for_good_and_names_the_field(name: str, config: dict[str, Any], words: str) -> None:
    outcome = run(name, config)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.retryable) == ("invalid", False)
    assert words in outcome.message


def test_a_long_value_is_not_repeated_whole() -> None:
    outcome = run("set", {"vars": "x" * 10_000})
    assert isinstance(outcome, Failed)
    assert len(outcome.message) < 200


def test_the_output_is_not_the_config_itself() -> None:
    """A step's config belongs to a plan that other executions share."""
    config = {"vars": {"a": 1}}
    outcome = run("set", config)
    assert isinstance(outcome, Done)
    assert outcome.variables is not config["vars"]


def test_a_delay_reckons_in_utc() -> None:
    somewhere = NOW.astimezone(UTC)
    assert run("delay", {"for": 60}, now=somewhere) == WaitUntil(
        NOW + timedelta(seconds=60), {"until": "2030-06-01T12:01:00Z"}
    )

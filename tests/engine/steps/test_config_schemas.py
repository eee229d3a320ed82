"""Configs as people write them: what the check at save lets pass, and what it says of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from weft.core.errors import Issue
from weft.domain.workflows.kinds import StepKind
from weft.domain.workflows.validation import config_issues
from weft.engine import registry
from weft.interpreter.definition import Join, JoinKind, Split

WHERE = ("steps", 0, "config")
BODY = {"steps": [{"key": "a", "type": "set", "config": {"vars": {"x": 1}}}]}


def issues_of(name: str, config: dict[str, Any]) -> list[Issue]:
    kind: object = registry.kind(name)
    assert isinstance(kind, StepKind)
    return config_issues(kind, config, WHERE) or kind.check(config, WHERE)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("set", {"vars": {"total": "{{ input.a + 1 }}", "list": [1]}}),
        ("set", {"vars": "{{ input }}"}),
        ("transform", {"output": {"a": "{{ input.a }}"}}),
        ("transform", {"output": "{{ input.a }}"}),
        ("transform", {"values": {"a": 1}}),
        ("condition", {}),
        ("switch", {}),
        ("parallel", {}),
        ("join", {}),
        ("for_each", {"items": "input.lines", "body": BODY}),
        ("for_each", {"items": "{{ input.lines }}", "concurrency": 100, "body": BODY}),
        ("for_each", {"items": [1, 2], "body": BODY}),
        ("loop", {"until": "steps.a.output", "max_iterations": 3, "body": BODY}),
        ("loop", {"while": {"field": "index", "operator": "less_than", "value": 3}, "max_iterations": 3, "body": BODY}),
        ("wait_until", {"until": "{{ input.due }}"}),
        ("wait_for_event", {"event": "order.paid", "correlation": "{{ input.order }}", "filter": "event.payload.ok"}),
        ("wait_for_event", {"event": ["workflow.failed", "a.b"], "from": "now", "on_timeout": "continue"}),
        ("emit_event", {"event": "{{ input.kind }}", "correlation": 7, "payload": [1]}),
        ("question", {"question": "Which?", "choices": "{{ vars.all }}"}),
        ("compensate", {}),
        ("compensate", {"steps": ["a"]}),
        ("delay", {"for": "1h30m"}),
        ("delay", {"for": 30}),
        ("delay", {"for": "{{ input.wait }}"}),
        ("delay", {"until": "2030-01-01T00:00:00Z"}),
        ("delay", {"until": "{{ input.due }}"}),
        ("sub_workflow", {"workflow": "refund", "input": {"id": "{{ input.id }}"}, "version": 3}),
        ("sub_workflow", {"workflow": "{{ vars.which }}", "version": "{{ vars.version }}"}),
        ("http", {"url": "https://api.example.com/x"}),
        ("http", {"url": "{{ input.callback }}"}),
        ("http", {"url": "https://{{ input.host }}/x", "method": "{{ input.verb }}", "timeout": "{{ input.t }}"}),
        (
            "http",
            {
                "method": "POST",
                "url": "https://api.example.com/{{ input.id }}",
                "headers": {"Authorization": "Bearer {{ vars.token }}", "X-Version": 2, "Idempotency-Key": None},
                "query": {"page": 1, "tag": ["a", "b"], "all": True},
                "body": {"amount": "{{ input.amount }}"},
                "expect": [200, "2xx", 404],
                "response": "json",
                "timeout": "30s",
                "max_bytes": 5000,
                "follow_redirects": False,
                "idempotent": False,
            },
        ),
        ("end", {}),
        ("end", {"output": {"a": "{{ steps.pay.output }}"}}),
        ("fail", {"message": "No: {{ input.reason }}", "data": {"a": 1}}),
    ],
)
def test_sound_configs_pass(name: str, config: dict[str, Any]) -> None:
    assert issues_of(name, config) == []


@pytest.mark.parametrize(
    ("name", "config", "path", "words"),
    [
        ("set", {}, (), "lacks `vars`"),
        ("set", {"vars": {}}, ("vars",), ""),
        ("set", {"vars": {"Not A Name": 1}}, ("vars",), "does not fit"),
        ("set", {"vars": "plain"}, ("vars",), "Expected an object"),
        ("set", {"vars": {"a": 1}, "more": 1}, ("more",), "not known"),
        ("transform", {}, (), "either `output` or `values`"),
        ("transform", {"output": 1, "values": {}}, (), "has both"),
        ("condition", {"when": "x"}, ("when",), "not known"),
        ("parallel", {"branches": 2}, ("branches",), "not known"),
        ("for_each", {"items": "input.lines"}, (), "lacks `body`"),
        ("loop", {"until": "true", "body": BODY}, (), "lacks `max_iterations`"),
        ("loop", {"max_iterations": 3, "body": BODY}, (), "has neither"),
        ("loop", {"while": "true", "until": "true", "max_iterations": 3, "body": BODY}, (), "has both"),
        ("loop", {"until": "true", "max_iterations": 10_001, "body": BODY}, ("max_iterations",), "at most"),
        ("wait_until", {"until": "tomorrow"}, ("until",), "is not a time"),
        ("wait_for_event", {"event": "no type"}, ("event",), "is no type of event"),
        ("wait_for_event", {"event": "workflow.begun"}, ("event",), "weft tells of no"),
        ("wait_for_event", {"event": "a", "from": "later"}, ("from",), ""),
        ("emit_event", {"event": "question.answered"}, ("event",), "one of weft's own"),
        ("question", {"question": "Which?", "choices": []}, ("choices",), ""),
        ("compensate", {"steps": []}, ("steps",), ""),
        ("for_each", {"body": BODY}, (), "lacks `items`"),
        ("for_each", {"items": 3, "body": BODY}, ("items",), "found 3."),
        ("for_each", {"items": "x", "concurrency": 0, "body": BODY}, ("concurrency",), "at least"),
        ("for_each", {"items": "x", "concurrency": 101, "body": BODY}, ("concurrency",), "at most"),
        ("delay", {}, (), "has neither"),
        ("delay", {"for": 1, "until": "{{ x }}"}, (), "has both"),
        ("delay", {"for": "soon"}, ("for",), "a duration such as"),
        ("delay", {"for": -1}, ("for",), "at least"),
        ("delay", {"for": "367d"}, ("for",), "at most a year"),
        ("delay", {"for": 99_999_999}, ("for",), "at most a year"),
        ("delay", {"for": 9_999_999_999}, ("for",), "at most a year"),
        ("delay", {"for": "99999999999999999999w"}, ("for",), "at most a year"),
        ("delay", {"until": "2030-01-01T00:00:00"}, ("until",), "not a time with its zone"),
        ("delay", {"until": 5}, ("until",), "Expected text"),
        ("sub_workflow", {}, (), "lacks `workflow`"),
        ("sub_workflow", {"workflow": ""}, ("workflow",), "at least"),
        ("sub_workflow", {"workflow": "a", "version": 0}, ("version",), "at least"),
        ("http", {}, (), "lacks `url`"),
        ("http", {"url": "ftp://x"}, ("url",), "The address must begin with http:// or https://."),
        ("http", {"url": "https://u:p@x/"}, ("url",), "user name or password"),
        ("http", {"url": "https:///x"}, ("url",), "names no host"),
        ("http", {"url": "https://x:99999/"}, ("url",), "cannot be read"),
        ("http", {"url": "https://x", "method": "FETCH"}, ("method",), "Expected one of"),
        ("http", {"url": "https://x", "headers": {"Host": "y"}}, ("headers", "Host"), "written by weft itself"),
        ("http", {"url": "https://x", "headers": {"Proxy-A": "y"}}, ("headers", "Proxy-A"), "written by weft itself"),
        ("http", {"url": "https://x", "headers": {"a b": "y"}}, ("headers", "a b"), "not a header's name"),
        ("http", {"url": "https://x", "headers": {"a": "1\n2"}}, ("headers", "a"), "one line of text"),
        ("http", {"url": "https://x", "headers": {"a": []}}, ("headers", "a"), "Expected"),
        ("http", {"url": "https://x", "expect": [99]}, ("expect", 0), ""),
        ("http", {"url": "https://x", "expect": ["ok"]}, ("expect", 0), ""),
        ("http", {"url": "https://x", "expect": []}, ("expect",), "at least"),
        ("http", {"url": "https://x", "response": "xml"}, ("response",), "Expected one of"),
        ("http", {"url": "https://x", "timeout": "10m"}, ("timeout",), "at most 300 seconds"),
        ("http", {"url": "https://x", "timeout": 301}, ("timeout",), "at most 300 seconds"),
        ("http", {"url": "https://x", "max_bytes": 0}, ("max_bytes",), "at least"),
        ("end", {"result": 1}, ("result",), "not known"),
        ("fail", {}, (), "lacks `message`"),
        ("fail", {"message": ""}, ("message",), "at least"),
    ],
)
def test_faults_are_named_where_they_are(name: str, config: dict[str, Any], path: tuple[str, ...], words: str) -> None:
    issues = issues_of(name, config)
    assert issues
    assert issues[0].path == (*WHERE, *path)
    assert words in issues[0].message


def test_paths_are_relative_when_nobody_says_where() -> None:
    """As the engine's own protocol wants it."""
    (issue,) = registry.kind("delay").check({"until": "soon"})
    assert issue.path == ("until",)


@pytest.mark.parametrize(
    ("name", "config", "fields"),
    [
        ("set", {"vars": {"a": 1, "b": 2}}, {"a", "b"}),
        ("transform", {"output": {"a": 1, "b": {"c": 2}}}, {"a", "b"}),
        ("delay", {"for": 1}, {"until"}),
        ("http", {"url": "https://x"}, {"status", "headers", "body"}),
    ],
)
def test_the_output_is_known_at_save(name: str, config: dict[str, Any], fields: set[str]) -> None:
    kind: object = registry.kind(name)
    assert isinstance(kind, StepKind)
    schema = kind.outputs(config)
    assert schema is not None
    assert schema["properties"].keys() == fields


@pytest.mark.parametrize(
    ("name", "config"),
    [("transform", {"output": "{{ input }}"}), ("end", {"output": {"a": 1}}), ("sub_workflow", {"workflow": "x"})],
)
def test_what_is_not_known_at_save_is_not_claimed(name: str, config: dict[str, Any]) -> None:
    kind: object = registry.kind(name)
    assert isinstance(kind, StepKind)
    assert kind.outputs(config) is None


def test_how_branching_kinds_branch_by_themselves() -> None:
    kinds = {kind.name: kind for kind in registry.BUILT_IN}
    assert [name for name, kind in kinds.items() if kind.split is not Split.one] == ["parallel"]
    assert [name for name, kind in kinds.items() if kind.join != Join()] == ["join"]
    assert kinds["join"].join == Join(JoinKind.all)
    assert [name for name, kind in kinds.items() if kind.may_use_secrets] == ["http", "notification"]

"""References to secrets are checked by how they are written; whether the secrets exist is asked when a step runs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.factories.workflows import KINDS, definition, step

from weft.domain.workflows.check import Report, check


def report(config: dict[str, Any], kind: str = "call") -> Report:
    return check(definition(steps=[step("a", kind, config=config)]), KINDS)


@pytest.mark.parametrize(
    "config",
    [
        {"url": "secret://hook"},
        {"url": "https://api.test/{{ secrets.path }}/{{secrets.more}}"},
        {"url": "https://api.test", "headers": {"Authorization": "Bearer {{- secrets.token -}}"}},
        {"url": "https://api.test", "body": [{"deep": "secret://token"}, "{{ secrets.a }}{{ execution.id | upper }}"]},
    ],
)
def test_what_can_be_resolved(config: dict[str, Any]) -> None:
    assert report(config).errors == ()


@pytest.mark.parametrize(
    ("config", "kind", "code", "words"),
    [
        ({"data": "secret://token"}, "note", "secret_misplaced", "steps that call other systems"),
        ({"data": ["a {{ secrets.token }}"]}, "note", "secret_misplaced", "steps that call other systems"),
        ({"url": "secret://no-word"}, "call", "secret_name_invalid", "letters, digits and _"),
        ({"url": "secret://"}, "call", "secret_name_invalid", "letters, digits and _"),
        ({"url": "https://a.test/secret://token"}, "call", "secret_embedded", "{{ secrets.name }}"),
        ({"url": "{{ secrets.token | upper }}"}, "call", "secret_transformed", "no filters"),
        ({"url": "{{ 'x' ~ secrets.token }}"}, "call", "secret_transformed", "no filters"),
        ({"url": "{{ secrets }}"}, "call", "secret_transformed", "no filters"),
        ({"url": "{{ secrets[input.name] }}"}, "call", "secret_transformed", "no filters"),
        ({"url": "{% if secrets.a == 'x' %}y{% endif %}"}, "call", "secret_transformed", "no filters"),
        ({"url": "{{ secrets.token }}{{ secrets.token | length }}"}, "call", "secret_transformed", "no filters"),
        ({"url": "{{ secrets." + "x" * 65 + " }}"}, "call", "secret_name_invalid", "at most 64"),
    ],
)
def test_what_cannot(config: dict[str, Any], kind: str, code: str, words: str) -> None:
    (issue,) = report(config, kind).errors
    assert (issue.code, words in issue.message) == (code, True), issue
    assert issue.message.startswith("Step 'a': ")
    assert issue.path[:3] == ("steps", 0, "config")


def test_conditions_and_outputs_read_no_secrets() -> None:
    steps = [step("a", "call"), step("b")]
    for document in (
        definition(steps=steps, transitions=[{"from": "a", "to": "b", "when": "secrets.token == 'x'"}]),
        definition(steps=steps, output={"x": "{{ secrets.token }}"}),
    ):
        assert "secret_misplaced" in [issue.code for issue in check(document, KINDS).errors]

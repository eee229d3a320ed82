"""The published JSON Schema, and the sentences that its refusals become."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import pytest
from tests.factories import workflows as make

from weft.domain.workflows import schema, validation
from weft.domain.workflows.sentences import dotted
from weft.interpreter.compile import compile_definition
from weft.interpreter.conditions import OPERATORS


def refusals(document: dict[str, Any]) -> list[str]:
    return [f"{dotted(issue.path)}: {issue.message}" for issue in validation.shape_issues(document)]


def test_the_published_file_is_the_one_source() -> None:
    """`python -m weft.domain.workflows.schema` writes it."""
    assert schema.PUBLISHED.read_text(encoding="utf-8") == schema.published()


def test_it_is_a_json_schema_without_references_to_elsewhere() -> None:
    jsonschema_rs.meta.validate(schema.definition_schema())
    references = [word for word in json.dumps(schema.definition_schema()).split('"') if word.startswith(("http", "#/"))]
    assert {word.partition("/")[0] for word in references} == {"#", "https:"}
    assert references.count("https://json-schema.org/draft/2020-12/schema") == 1


def test_kinds_are_joined_in_for_editors() -> None:
    joined = schema.with_kinds(make.KINDS.all())
    jsonschema_rs.meta.validate(joined)
    validator = jsonschema_rs.Draft202012Validator(joined, offline=True)
    assert validator.is_valid(make.definition(steps=[make.step("a", config={"amount": 3})]))
    assert not validator.is_valid(make.definition(steps=[make.step("a", config={"amount": "three"})]))


def test_every_operator_and_word_of_the_format_is_allowed() -> None:
    document = make.definition(
        steps=[
            make.step(
                "a",
                name="A step",
                description="does this",
                config={},
                split="any",
                join={"at_least": 2},
                retry={
                    "attempts": 3,
                    "backoff": "exponential",
                    "initial": "2s",
                    "max": 60,
                    "jitter": True,
                    "on": ["timeout", "http_5xx"],
                },
                timeout="1h30m",
                required=False,
                on_error="b",
                max_visits=3,
                position={"x": 1, "y": -2.5},
            ),
            make.step("b", join="any", timeout="PT30S"),
        ],
        transitions=[
            {"from": "a", "to": "b", "default": True, "order": 2, "label": "else"},
            *(
                {"from": "a", "to": "b", "when": {"field": "input.x", "operator": operator, "value": 1}}
                for operator in OPERATORS
            ),
            {"from": "a", "to": "b", "when": "input.x > 3"},
            {"from": "a", "to": "b", "when": {"all": [{"not": {"any": ["input.x"]}}]}},
        ],
        description="all of it",
        tags=["a", "b"],
        input={"type": "object"},
        output={"x": "{{ input.x }}"},
    )
    assert refusals(document) == []


@pytest.mark.parametrize(
    "duration", ["500ms", "30s", "5m", "2h", "1h30m", "1h 30m", "2d", "1w", 30, 0.5, "PT1H30M", " 5 s"]
)
def test_durations_are_those_of_the_interpreter(duration: object) -> None:
    document = make.definition(steps=[make.step("a", timeout=duration)])
    assert refusals(document) == []
    compile_definition(document)


@pytest.mark.parametrize("duration", ["soon", "5 minutes", "", "-3s", -1, True, "s", "1h,30m"])
def test_other_durations_are_refused(duration: object) -> None:
    assert refusals(make.definition(steps=[make.step("a", timeout=duration)]))


@pytest.mark.parametrize("key", ["a", "sign_off", "x1", "a" * 63])
def test_keys(key: str) -> None:
    assert refusals(make.definition(steps=[make.step(key)])) == []


@pytest.mark.parametrize("key", ["", "A", "1a", "a-b", "a.b", "a b", "ä", "a" * 64, "a\n"])
def test_other_keys_are_refused(key: str) -> None:
    assert refusals(make.definition(steps=[make.step(key)]))


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, 'name: " " does not fit. Write text that is not blank.'),
    ({"name": 3}, "name: Expected text, found 3."),
    ({"stepz": []}, "stepz: The field `stepz` is not known here. Did you mean `steps`?"),
    ({"zzz": []}, "zzz: The field `zzz` is not known here. Remove it or correct its name."),
    ({"tags": ["a", "a"]}, "tags: The list holds an entry twice. Remove one of them."),
    ({"steps": []}, "steps: Expected at least one entry, found 0."),
    ({"steps": [{"key": "A", "type": "note"}]}, "steps[0].key: Step 'A': \"A\" does not fit. Write a lower-case word"),
    ({"steps": [{"key": "a"}]}, "steps[0]: Step 'a' lacks `type`. Add it."),
    ({"steps": [{"type": "note"}]}, "steps[0]: `steps[0]` lacks `key`. Add it."),
    ({"steps": [make.step("a", confg={})]}, "Step 'a': The field `confg` is not known here. Did you mean `config`?"),
    ({"steps": [make.step("a", config=None)]}, "steps[0].config: Step 'a': Expected an object, found null."),
    ({"steps": [make.step("a", split="al")]}, 'found "al". Did you mean `all`?'),
    ({"steps": [make.step("a", timeout="soon")]}, "Step 'a': \"soon\" does not fit. Write a duration such as"),
    ({"steps": [make.step("a", timeout="{{ input.t }}")]}, "does not fit. Write a duration such as"),
    (
        {"steps": [make.step("a", retry={"attempts": 0})]},
        "steps[0].retry.attempts: Step 'a': Expected at least 1, found 0.",
    ),
    ({"steps": [make.step("a", retry={"attempts": 1.5})]}, "Expected a whole number, found 1.5."),
    (
        {"steps": [make.step("a", join={"at_leas": 1})]},
        "The field `at_leas` is not known here. Did you mean `at_least`?",
    ),
    ({"steps": [make.step("each", "for_each")]}, "steps[0]: Step 'each' lacks `config`. Add it."),
    ({"steps": [make.step("each", "for_each", config={"items": "x"})]}, "`steps[0].config` lacks `body`. Add it."),
    (
        {"steps": [make.step("each", "for_each", config={"items": "x", "body": {"steps": [{"key": "q"}]}})]},
        "steps[0].config.body.steps[0]: Step 'q' lacks `type`. Add it.",
    ),
    ({"transitions": [{"from": "a"}]}, "transitions[0]: `transitions[0]` lacks `to`. Add it."),
    (
        {"transitions": [{"from": "a", "to": "b", "when": {"field": "x", "operator": "equal", "value": 1}}]},
        "transitions[0].when.operator: The transition from 'a' to 'b': Expected one of",
    ),
    (
        {"transitions": [{"from": "a", "to": "b", "when": {"all": []}}]},
        "The transition from 'a' to 'b': Expected at least one entry",
    ),
    (
        {"transitions": [{"from": "a", "to": "b", "when": 3}]},
        "3 fits none of the forms that may stand here. Expected text, found 3. Or: Expected an object",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), FAULTS)
def test_a_fault_is_said_with_its_place_and_mend(change: dict[str, Any], sentence: str) -> None:
    assert any(sentence in said for said in refusals({**make.definition(), **change})), refusals(
        {**make.definition(), **change}
    )


def test_many_faults_are_cut_off() -> None:
    document = make.definition(steps=[{"key": "A", "type": "B"}] * 500)
    assert len(validation.shape_issues(document)) == validation.MAX_ISSUES


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"type": "objct"}, "input.type: `input` is not a JSON Schema"),
        ({"properties": {"a": {"minimum": "x"}}}, "input.properties.a.minimum"),
        ({"$ref": "https://example.com/schema.json"}, "input: `input` is not a JSON Schema"),
        ({"pattern": "("}, "input"),
        ({"pattern": "(a{1,1000}){1,1000}"}, "input"),
    ],
)
def test_an_input_schema_that_is_none(written: dict[str, Any], words: str) -> None:
    issues = validation.input_schema_issues(written, ("input",))
    assert words in next(f"{dotted(issue.path)}: {issue.message}" for issue in issues)


def test_expressions_are_excused_from_the_types_of_a_config() -> None:
    config = {"amount": "{{ input.amount }}", "text": 3}
    issues = validation.config_issues(make.Note(), config, ("steps", 0, "config"))
    assert [issue.path for issue in issues] == [("steps", 0, "config", "text")]


def test_an_alternative_that_fails_for_an_expression_alone_is_excused() -> None:
    class Either(make.Control):
        config_schema: Mapping[str, Any] = {
            "properties": {"x": {"oneOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}}
        }

    kind = Either("either")
    assert validation.config_issues(kind, {"x": "{{ input.x }}"}, ()) == []
    assert validation.config_issues(kind, {"x": [1, "{{ input.x }}"]}, ()) == []
    assert len(validation.config_issues(kind, {"x": "three"}, ())) == 1
    assert len(validation.config_issues(kind, {"x": [True, "{{ input.x }}"]}, ())) == 1

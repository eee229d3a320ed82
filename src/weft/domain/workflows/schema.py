"""The definition document as JSON Schema. This module is its one source; `definition.schema.json` is made from it.

    python -m weft.domain.workflows.schema

writes the published file; a test fails when the two differ. The `config` of a step is open here: each step kind
has a schema of its own (`kinds.py`), and `with_kinds` joins them into one schema for an editor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from weft.domain.workflows import rules
from weft.domain.workflows.kinds import StepKind
from weft.interpreter.conditions import OPERATORS
from weft.interpreter.definition import FOR_EACH, LOOP, Compensation

KEY_PATTERN: Final = "^[a-z][a-z0-9_]{0,62}$"
DURATION_PATTERN: Final = r"^\s*(([0-9]+(\.[0-9]+)? ?(ms|[wdhms]) ?)+|P[0-9.WDTHMS]+)\s*$"
IDENTIFIER: Final = "urn:weft:definition:1"
PUBLISHED: Final = Path(__file__).with_name("definition.schema.json")

MAX_STEPS: Final = 1_000
MAX_TRANSITIONS: Final = 4_000

_KEY: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": KEY_PATTERN,
    "description": "A lower-case word of letters, digits and underscores.",
}
_EXPRESSION: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 4096}


def definition_schema() -> dict[str, Any]:
    """The schema that every definition is validated against, whatever kinds are installed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": IDENTIFIER,
        "title": "weft workflow definition",
        "type": "object",
        "required": ["name", "steps"],
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": rules.MAX_NAME,
                "pattern": r"\S",
                "description": "What people call the workflow; unique in the tenant.",
            },
            "description": {"type": "string", "maxLength": rules.MAX_DESCRIPTION},
            "tags": {
                "type": "array",
                "maxItems": rules.MAX_TAGS,
                "uniqueItems": True,
                "items": {"type": "string", "minLength": 1, "maxLength": rules.MAX_TAG},
            },
            "input": {
                "type": ["object", "boolean"],
                "description": "JSON Schema (2020-12) of an execution's input. An input that fails it is refused.",
            },
            "compensate": {
                "enum": [word.value for word in Compensation],
                "description": "When completed steps that name a `compensate` are undone; by default at both bad ends.",
            },
            "steps": {"$ref": "#/$defs/steps"},
            "transitions": {"$ref": "#/$defs/transitions"},
            "output": {
                "description": "What the execution answers with: a mapping with expressions, evaluated at the end. "
                "Without it the answer is the output of the last step."
            },
        },
        "$defs": _definitions(),
    }


def _definitions() -> dict[str, Any]:
    return {
        "key": _KEY,
        "duration": {
            "description": "Seconds as a number, or text such as 500ms, 30s, 5m, 2h, 1h30m, 2d, PT30S.",
            "oneOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "maxLength": 60, "pattern": DURATION_PATTERN},
            ],
        },
        "condition": _condition(),
        "steps": {"type": "array", "minItems": 1, "maxItems": MAX_STEPS, "items": {"$ref": "#/$defs/step"}},
        "step": _step(),
        "join": {
            "description": "How several arrivals become one visit.",
            "oneOf": [
                {"enum": ["each", "all", "any"]},
                {
                    "type": "object",
                    "required": ["at_least"],
                    "additionalProperties": False,
                    "properties": {"at_least": {"type": "integer", "minimum": 1, "maximum": MAX_STEPS}},
                },
            ],
        },
        "retry": _retry(),
        "transitions": {
            "type": "array",
            "maxItems": MAX_TRANSITIONS,
            "items": {"$ref": "#/$defs/transition"},
        },
        "transition": {
            "type": "object",
            "required": ["from", "to"],
            "additionalProperties": False,
            "properties": {
                "from": {"$ref": "#/$defs/key"},
                "to": {"$ref": "#/$defs/key"},
                "when": {"$ref": "#/$defs/condition"},
                "default": {"type": "boolean", "description": "Taken when no other transition of the step holds."},
                "order": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": 1_000_000,
                    "description": "Tried in this order; else as they are written.",
                },
                "label": {"type": "string", "maxLength": 200},
            },
        },
        "body": {
            "type": "object",
            "required": ["steps"],
            "additionalProperties": False,
            "properties": {
                "steps": {"$ref": "#/$defs/steps"},
                "transitions": {"$ref": "#/$defs/transitions"},
            },
        },
    }


def _condition() -> dict[str, Any]:
    group = {"type": "array", "minItems": 1, "maxItems": 100, "items": {"$ref": "#/$defs/condition"}}
    return {
        "description": "A comparison, a group of conditions, or an expression that gives true or false.",
        "anyOf": [
            _EXPRESSION,
            {
                "type": "object",
                "required": ["field", "operator"],
                "additionalProperties": False,
                "properties": {
                    "field": {"type": "string", "minLength": 1, "maxLength": 500},
                    "operator": {"enum": list(OPERATORS)},
                    "value": True,
                },
            },
            *(
                {
                    "type": "object",
                    "required": [word],
                    "additionalProperties": False,
                    "properties": {word: {"$ref": "#/$defs/condition"} if word == "not" else group},
                }
                for word in ("all", "any", "not")
            ),
        ],
    }


def _retry() -> dict[str, Any]:
    duration = {"$ref": "#/$defs/duration"}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "attempts": {"type": "integer", "minimum": 1, "maximum": 100, "description": "The first one included."},
            "backoff": {"enum": ["fixed", "linear", "exponential"]},
            "initial": duration,
            "max": duration,
            "jitter": {"type": "boolean"},
            "on": {
                "type": "array",
                "uniqueItems": True,
                "maxItems": 50,
                "items": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"},
                "description": "Kinds of error that are tried again; without it every error that may pass by itself.",
            },
        },
    }


def _step() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["key", "type"],
        "additionalProperties": False,
        "properties": {
            "key": {"$ref": "#/$defs/key"},
            "type": {"type": "string", "pattern": KEY_PATTERN, "description": "The step kind."},
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            "description": {"type": "string", "maxLength": 10_000},
            "config": {"type": "object"},
            "split": {
                "enum": ["one", "any", "all"],
                "description": "Which outgoing transitions are followed when several hold: the first, every one.",
            },
            "join": {"$ref": "#/$defs/join"},
            "retry": {"$ref": "#/$defs/retry"},
            "timeout": {"$ref": "#/$defs/duration"},
            "required": {
                "type": "boolean",
                "description": "false: a failure is recorded as SKIPPED and the flow goes on.",
            },
            "on_error": {"$ref": "#/$defs/key"},
            "compensate": {"$ref": "#/$defs/key", "description": "The step that undoes this one."},
            "max_visits": {
                "type": "integer",
                "minimum": 1,
                "maximum": 100_000,
                "description": "How often one execution may enter the step; a cycle needs it.",
            },
            "cancels": {
                "description": "When the step completes, these steps are cancelled; `all`: every other step.",
                "oneOf": [
                    {"const": "all"},
                    {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MAX_STEPS,
                        "uniqueItems": True,
                        "items": {"$ref": "#/$defs/key"},
                    },
                ],
            },
            "exclusive": {
                "type": "string",
                "pattern": KEY_PATTERN,
                "description": "A name. Of the steps that have the same, one at a time is under way in an execution.",
            },
            "position": {
                "type": "object",
                "required": ["x", "y"],
                "additionalProperties": False,
                "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
            },
        },
        "if": {"required": ["type"], "properties": {"type": {"enum": [FOR_EACH, LOOP]}}},
        "then": {
            "required": ["config"],
            "properties": {"config": {"required": ["body"], "properties": {"body": {"$ref": "#/$defs/body"}}}},
        },
    }


def with_kinds(kinds: Iterable[StepKind]) -> dict[str, Any]:
    """The schema with the configs of these kinds in it: for completion in an editor, not for validation here."""
    schema = definition_schema()
    step = schema["$defs"]["step"]
    known = sorted(kinds, key=lambda kind: kind.name)
    step["properties"]["type"]["anyOf"] = [
        *({"const": kind.name, "description": kind.description} for kind in known),
        {"type": "string"},
    ]
    step["allOf"] = [
        {
            "if": {"required": ["type"], "properties": {"type": {"const": kind.name}}},
            "then": {"properties": {"config": dict(kind.config_schema)}},
        }
        for kind in known
    ]
    return schema


def published() -> str:
    return json.dumps(definition_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(published(), encoding="utf-8")

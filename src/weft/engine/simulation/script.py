"""Scripts: what the world answers in a simulation, by step or by step kind.

steps:
  supplier:                                   # a step's path; `*` and `?` match
    - {when: attempt == 1, probability: 0.2, fail: {kind: http_5xx, message: busy}}
    - output: {status: 200, body: {status: known}}
      duration: {p50: 120ms, p95: 900ms}
kinds:
  http: [{duration: 50ms}]
workflows:
  settle invoice: settle.yaml                 # the definition itself, or (for the command) a file
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import jsonschema_rs

from weft.core.errors import Issue
from weft.domain.workflows.sentences import sentence
from weft.engine.plans import Condition, condition_of
from weft.engine.simulation.draws import Spread, spread_of
from weft.engine.simulation.errors import ScriptInvalid
from weft.expressions.compile import Compiled, Literal, compile_value
from weft.expressions.errors import ExpressionInvalid
from weft.interpreter.durations import DurationUnclear

_DURATION: Final = {"type": ["string", "number"], "minLength": 1, "minimum": 0}
_SPREAD: Final[dict[str, Any]] = {
    "description": "A length of time (`2s`), or a distribution.",
    "oneOf": [
        _DURATION,
        {
            "type": "object", "additionalProperties": False, "required": ["uniform"],
            "properties": {"uniform": {"type": "array", "minItems": 2, "maxItems": 2, "items": _DURATION}},
        },
        {
            "type": "object", "additionalProperties": False, "required": ["exponential"],
            "properties": {"exponential": {**_DURATION, "description": "The mean."}},
        },
        {
            "type": "object", "additionalProperties": False, "required": ["normal"],
            "properties": {
                "normal": {
                    "type": "object", "additionalProperties": False, "required": ["mean", "deviation"],
                    "properties": {"mean": _DURATION, "deviation": _DURATION},
                }
            },
        },
        {
            "type": "object", "additionalProperties": False, "required": ["p50", "p95"],
            "properties": {"p50": _DURATION, "p95": _DURATION},
        },
    ],
}  # fmt: skip
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "when": {"type": ["string", "object", "boolean"], "description": "A condition over the call."},
        "probability": {"type": "number", "minimum": 0, "maximum": 1},
        "output": {"description": "What the step puts out; expressions are evaluated."},
        "duration": _SPREAD,
        "cost": {"type": ["number", "string"], "minimum": 0},
        "fail": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "kind": {"type": "string", "minLength": 1, "maxLength": 100},
                "message": {"type": "string", "maxLength": 10_000},
                "retryable": {"type": "boolean"},
                "retry_after": _DURATION,
                "data": {},
            },
        },
    },
    "not": {"required": ["output", "fail"]},
}
_ANSWERS: Final = {"oneOf": [_ANSWER, {"type": "array", "minItems": 1, "maxItems": 100, "items": _ANSWER}]}
_BY_NAME: Final = {"type": "object", "maxProperties": 500, "additionalProperties": _ANSWERS}
SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "weft simulation script",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "steps": {**_BY_NAME, "description": "Answers by the step's path; `*` and `?` match."},
        "kinds": {**_BY_NAME, "description": "Answers by step kind, for steps that `steps` does not name."},
        "workflows": {
            "type": "object",
            "maxProperties": 100,
            "additionalProperties": {"type": ["object", "string"]},
            "description": "Definitions of sub-workflows by name.",
        },
    },
}
"""What a script looks like."""

_VALIDATOR: Final = jsonschema_rs.validator_for(SCHEMA, offline=True)


@dataclass(frozen=True, slots=True)
class Failing:
    kind: Compiled
    message: Compiled
    retryable: bool
    retry_after: float | None
    data: Compiled


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of a script. None where the script leaves something to the step's kind."""

    when: Condition | None = None
    probability: float | None = None
    output: Compiled | None = None
    duration: Spread | None = None
    cost: Compiled | None = None
    fail: Failing | None = None


@dataclass(slots=True)
class Script:
    """`find` gives a step's answers: of its path, else of the first pattern that matches, else of its kind."""

    steps: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    kinds: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    workflows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    _found: dict[tuple[str, str], tuple[Answer, ...]] = field(default_factory=dict)

    def find(self, path: str, kind: str) -> tuple[Answer, ...]:
        known = self._found.get((path, kind))
        if known is None:
            known = self._found[path, kind] = self._search(path, kind)
        return known

    def _search(self, path: str, kind: str) -> tuple[Answer, ...]:
        if path in self.steps:
            return self.steps[path]
        for pattern, answers in self.steps.items():
            if fnmatchcase(path, pattern):
                return answers
        return self.kinds.get(kind, ())

    def unused(self, paths: Sequence[str]) -> list[str]:
        """Names under `steps` that fit no step: nearly always a slip."""
        return [name for name in self.steps if not any(fnmatchcase(path, name) for path in paths)]


def read_script(document: object) -> Script:
    """The script, ready to answer. Raises `ScriptInvalid` with every fault."""
    if document is None:
        return Script()
    issues = _issues_of_shape(document)
    if issues:
        raise ScriptInvalid(issues)
    assert isinstance(document, Mapping)  # noqa: S101  the schema has said so
    script = Script(
        steps=_answers(document.get("steps") or {}, "steps", issues),
        kinds=_answers(document.get("kinds") or {}, "kinds", issues),
        workflows=_definitions(document.get("workflows") or {}, issues),
    )
    if issues:
        raise ScriptInvalid(issues)
    return script


def _issues_of_shape(document: object) -> list[Issue]:
    if not isinstance(document, Mapping):
        return [Issue("A script is an object with `steps`, `kinds` and `workflows`.", (), "script_invalid")]
    try:
        found = [error for _, error in zip(range(20), _VALIDATOR.iter_errors(document), strict=False)]
    except ValueError as error:
        return [Issue(f"It is not JSON: {error}.", (), "script_invalid")]
    return [Issue(_said(error), tuple(error.instance_path), "script_invalid") for error in found]


def _said(error: jsonschema_rs.ValidationError) -> str:
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.OneOfNotValid):
        return (
            "This is no answer: it has `when`, `probability`, `output` or `fail` (not both), `duration` and `cost`; a "
            "duration is `2s`, {p50, p95}, {uniform: [a, b]}, {exponential: mean} or {normal: {mean, deviation}}."
        )
    return sentence(error)


def _definitions(written: Mapping[str, Any], issues: list[Issue]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for name, definition in written.items():
        if isinstance(definition, Mapping):
            found[" ".join(name.split()).casefold()] = definition
        else:
            said = "Here stands the definition itself; only the command reads files."
            issues.append(Issue(said, ("workflows", name), "script_invalid"))
    return found


def _answers(written: Mapping[str, Any], where: str, issues: list[Issue]) -> dict[str, tuple[Answer, ...]]:
    found: dict[str, tuple[Answer, ...]] = {}
    for name, answers in written.items():
        listed = answers if isinstance(answers, list) else [answers]
        compiled = []
        for place, answer in enumerate(listed):
            at = (where, name, place) if isinstance(answers, list) else (where, name)
            try:
                compiled.append(_answer(answer))
            except DurationUnclear as unclear:
                issues.append(Issue(f"{str(unclear)[:1].upper()}{str(unclear)[1:]}.", at, "script_invalid"))
            except ExpressionInvalid as invalid:
                issues.extend(Issue(one.message, (*at, *one.path), "script_invalid") for one in invalid.issues)
        shares = sum(one.probability or 0.0 for one in compiled if one.when is None)
        if shares > 1.0 + 1e-9:
            issues.append(
                Issue(f"The probabilities add up to {shares:g}, more than 1.", (where, name), "script_invalid")
            )
        found[name] = tuple(compiled)
    return found


def _answer(written: Mapping[str, Any]) -> Answer:
    fail = written.get("fail")
    return Answer(
        when=condition_of(written["when"]) if "when" in written else None,
        probability=written.get("probability"),
        output=compile_value(written["output"], ("output",)) if "output" in written else None,
        duration=spread_of(written["duration"]) if "duration" in written else None,
        cost=compile_value(written["cost"], ("cost",)) if "cost" in written else None,
        fail=_failing(fail) if fail is not None else None,
    )


def _failing(written: Mapping[str, Any]) -> Failing:
    kind = written.get("kind", "simulated")
    after = written.get("retry_after")
    return Failing(
        kind=compile_value(kind, ("fail", "kind")),
        message=compile_value(written.get("message", f"The script lets it fail ({kind})."), ("fail", "message")),
        retryable=written.get("retryable", True),
        retry_after=spread_of(after).first if after is not None else None,
        data=compile_value(written["data"], ("fail", "data")) if "data" in written else Literal(value=None),
    )

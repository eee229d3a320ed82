"""JSON Schema over definitions: their shape, the configs of their steps, and the schema they give for their input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Final, TypeAlias

import jsonschema_rs
from jsonschema_rs import ValidationError, ValidationErrorKind

from weft.core.errors import Issue
from weft.domain.secrets.rules import SCHEME
from weft.domain.workflows.kinds import StepKind, Where
from weft.domain.workflows.schema import definition_schema
from weft.domain.workflows.sentences import dotted, sentence, unknown_field

Validator: TypeAlias = jsonschema_rs.Draft202012Validator

MAX_ISSUES: Final = 100

# Patterns come from tenants (the input schema) and plug-ins: this engine runs in linear time and is bounded in size.
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1_000_000, dfa_size_limit=2_000_000)


def compile_schema(schema: Mapping[str, Any] | bool) -> Validator:
    """A validator that never fetches anything. Raises ValueError or ReferencingError when it is no JSON Schema."""
    return jsonschema_rs.Draft202012Validator(
        schema if isinstance(schema, bool) else dict(schema),
        offline=True,
        validate_formats=True,
        pattern_options=_PATTERNS,
    )


@lru_cache(maxsize=1)
def _definition() -> tuple[Mapping[str, Any], Validator]:
    schema = definition_schema()
    return schema, compile_schema(schema)


_kind_validators: dict[int, tuple[StepKind, Validator]] = {}


def _kind_validator(kind: StepKind) -> Validator:
    """Compiled once for each kind. The kind is kept beside it, so that its id is not given to another."""
    known = _kind_validators.get(id(kind))
    if known is None:
        known = _kind_validators[id(kind)] = (kind, compile_schema(kind.config_schema))
    return known[1]


def shape_issues(document: Mapping[str, Any]) -> list[Issue]:
    """What is wrong with the document's own shape; configs of steps are looked at by their kinds."""
    schema, validator = _definition()
    issues = _issues(validator.iter_errors(dict(document)), schema, document, ())
    return [replace(issue, message=_owner(document, issue.path) + issue.message) for issue in issues]


def config_issues(kind: StepKind, config: Mapping[str, Any], where: Where) -> list[Issue]:
    """What is wrong with a step's config under its kind's schema. Values that an expression will give are let pass."""
    return _issues(_kind_validator(kind).iter_errors(dict(config)), kind.config_schema, config, where, excuse=True)


def input_schema_issues(schema: object, where: Where) -> list[Issue]:
    """Whether `input` is a JSON Schema at all."""
    if not isinstance(schema, Mapping | bool):
        return []
    try:
        compile_schema(schema)
    except ValidationError as error:
        path = (*where, *error.instance_path)
        return [Issue(f"`input` is not a JSON Schema: {sentence(error)}", path, "input_schema_invalid")]
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        reason = (str(error).splitlines() or ["it cannot be compiled"])[0].rstrip(".")
        return [Issue(f"`input` is not a JSON Schema: {reason}.", where, "input_schema_invalid")]
    return []


def is_expression(value: object) -> bool:
    """Whether a config value is given by an expression or a secret, and so has no type before the step runs."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or value.startswith(SCHEME))


def _excused(error: ValidationError) -> bool:
    """An error about an expression's text says nothing, nor does an alternative that fails only for such text."""
    if is_expression(error.instance):
        return True
    match error.kind:
        case ValidationErrorKind.AnyOf(context) | ValidationErrorKind.OneOfNotValid(context):
            return any(branch and all(_excused(cause) for cause in branch) for branch in context)
        case _:
            return False


def _owner(document: Mapping[str, Any], path: Where) -> str:
    """The beginning of a sentence about something inside a step or a transition; empty elsewhere."""
    found = ""
    value: Any = document
    for part in path:
        value = _inside(value, part)
        found = _called(value) or found
    return f"{found}: " if found and _called(value) != found else ""


def _inside(value: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return value[part] if isinstance(value, list) and part < len(value) else None
    return value.get(part) if isinstance(value, Mapping) else None


def _called(value: Any) -> str | None:
    if isinstance(value, Mapping) and "key" in value:
        return f"Step '{value['key']}'"
    if isinstance(value, Mapping) and "from" in value and "to" in value:
        return f"The transition from '{value['from']}' to '{value['to']}'"
    return None


def _issues(
    errors: Iterable[ValidationError], schema: Mapping[str, Any], document: Any, where: Where, *, excuse: bool = False
) -> list[Issue]:
    reader = _Reader(schema, document, where, excuse)
    return list(islice(chain.from_iterable(map(reader.expand, errors)), MAX_ISSUES))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns the validator's errors about one document into issues. `excuse` lets expressions pass."""

    schema: Mapping[str, Any]
    document: Any
    where: Where
    excuse: bool

    def expand(self, error: ValidationError) -> Iterator[Issue]:
        """One issue for most errors; one for each cause in the alternative that was probably meant."""
        path = (*self.where, *error.instance_path)
        if self.excuse and _excused(error):
            return
        match error.kind:
            case ValidationErrorKind.AdditionalProperties(unexpected):
                for name in unexpected:
                    yield Issue(unknown_field(name, _fields(self.schema, error)), (*path, name), "field_unknown")
            case ValidationErrorKind.Required(name):
                what = _named(path, self.document, self.where)
                yield Issue(f"{what} lacks `{name}`. Add it.", path, "field_missing")
            case ValidationErrorKind.AnyOf(context) | ValidationErrorKind.OneOfNotValid(context):
                nearest = _nearest(context, len(error.instance_path))
                if nearest is None:
                    yield Issue(sentence(error), path, "value_invalid")
                for cause in nearest or ():
                    yield from self.expand(cause)
            case _:
                yield Issue(sentence(error), path, "value_invalid")


def _nearest(context: Sequence[Sequence[ValidationError]], depth: int) -> Sequence[ValidationError] | None:
    """The alternative that was probably meant: the one that fails deepest, and not at once by its type."""
    scored = []
    for place, branch in enumerate(context):
        at_once = any(
            isinstance(cause.kind, ValidationErrorKind.Type | ValidationErrorKind.Enum)
            and len(cause.instance_path) == depth
            for cause in branch
        )
        if branch and not at_once:
            deepest = max(len(cause.instance_path) for cause in branch)
            missing = sum(isinstance(cause.kind, ValidationErrorKind.Required) for cause in branch)
            scored.append((-deepest, missing, len(branch), place))
    return context[min(scored)[-1]] if scored else None


def _fields(schema: Mapping[str, Any], error: ValidationError) -> list[str]:
    """The property names beside the `additionalProperties` that refused."""
    here: Any = schema
    for part in error.schema_path[:-1]:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            return []
    properties = here.get("properties") if isinstance(here, Mapping) else None
    return list(properties) if isinstance(properties, Mapping) else []


def _named(path: Where, document: Any, where: Where) -> str:
    """The thing at the path in words: `Step 'pay'`, `The transition from 'a' to 'b'`, `The document`."""
    if not path:
        return "The document"
    value = document
    for part in path[len(where) :]:
        value = _inside(value, part)
    return _called(value) or f"`{dotted(path)}`"

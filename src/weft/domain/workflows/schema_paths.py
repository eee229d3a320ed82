"""What a JSON Schema says of a dotted path: is there such a field, and what is it?

Only what is certain is said. Where a schema leaves room (open objects, alternatives, references elsewhere) the answer
is that nothing is known, and nobody is bothered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Schema: TypeAlias = Mapping[str, Any] | bool

_MAX_REFERENCES: Final = 20
_ALTERNATIVES: Final = ("anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "$dynamicRef", "not")
_BESIDE_REFERENCE: Final = frozenset(
    {"$ref", "$defs", "definitions", "$schema", "$id", "$comment", "title", "description", "examples", "default"}
)
_SCALARS: Final = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "always null",
}


@dataclass(frozen=True, slots=True)
class Known:
    """The path leads somewhere; `schema` is what stands there, None when nothing is known of it."""

    schema: Schema | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """The schema knows no field `name` in `path`. `certain` when an input with that field would be refused."""

    path: tuple[str, ...]
    name: str
    names: tuple[str, ...] = field(default=())
    certain: bool = False
    because: str = ""


def look(schema: Schema, path: Sequence[str]) -> Known | Absent:
    """Follow `path` into what the schema describes."""
    root = schema
    here: Schema | None = schema
    for depth, name in enumerate(path):
        here = _resolved(here, root)
        if not isinstance(here, Mapping):
            return Known()
        step = _step(here, root, name)
        if isinstance(step, Absent):
            return Absent(tuple(path[:depth]), name, step.names, step.certain, step.because)
        here = step
        if here is None:
            return Known()
    return Known(_resolved(here, root))


def _resolved(schema: Schema | None, root: Schema) -> Schema | None:
    """The schema behind a local `$ref`; None when it lies elsewhere or leads in a circle."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#") or schema.keys() - _BESIDE_REFERENCE:
            return None
        schema = _pointed(root, reference.removeprefix("#"))
    return None


def _pointed(root: Schema, pointer: str) -> Schema | None:
    found: Any = root
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found if isinstance(found, Mapping | bool) else None


def _step(schema: Mapping[str, Any], root: Schema, name: str) -> Schema | Absent | None:
    """What stands at `name` inside; None when nothing is known."""
    types = _types(schema)
    if types and not types & {"object", "array"} and not any(word in schema for word in _ALTERNATIVES):
        kinds = " or ".join(_SCALARS[one] for one in sorted(types) if one in _SCALARS)
        return Absent((), name, certain=True, because=f"it is {kinds}" if kinds else "")
    if name.isdecimal():
        return _element(schema, int(name))
    if types == {"array"}:
        return Absent((), name, certain=True, because="it is a list; take one entry of it with `.0` or a filter")
    properties = dict(_properties(schema, root))
    if name in properties:
        return properties[name]
    return _other(schema, name, tuple(properties))


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    types = schema.get("type")
    if isinstance(types, str):
        return frozenset({types})
    return frozenset(one for one in types if isinstance(one, str)) if isinstance(types, list) else frozenset()


def _element(schema: Mapping[str, Any], index: int) -> Schema | None:
    first = schema.get("prefixItems")
    if isinstance(first, list) and index < len(first):
        return first[index] if isinstance(first[index], Mapping | bool) else None
    rest = schema.get("items")
    return rest if isinstance(rest, Mapping | bool) else None


def _properties(schema: Mapping[str, Any], root: Schema) -> Iterator[tuple[str, Schema]]:
    """The named properties, those of `allOf` included."""
    own = schema.get("properties")
    if isinstance(own, Mapping):
        yield from ((name, part) for name, part in own.items() if isinstance(part, Mapping | bool))
    for part in schema.get("allOf", ()) if isinstance(schema.get("allOf"), list) else ():
        resolved = _resolved(part, root)
        if isinstance(resolved, Mapping) and isinstance(resolved.get("properties"), Mapping):
            yield from resolved["properties"].items()


def _other(schema: Mapping[str, Any], name: str, names: tuple[str, ...]) -> Schema | Absent | None:
    """A property that is not named: allowed by a pattern or by openness, or absent."""
    if any(word in schema for word in (*_ALTERNATIVES, "$ref", "patternProperties")):
        return None
    others = schema.get("additionalProperties", True)
    closed = others is False or schema.get("unevaluatedProperties") is False
    if isinstance(others, Mapping) or not (names or closed):
        return others if isinstance(others, Mapping) else None
    return Absent((), name, names, certain=closed)

"""Reading a config once its expressions have been evaluated: the value, or a sentence that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from weft.domain.secrets.rules import SCHEME
from weft.domain.workflows.schema import DURATION_PATTERN
from weft.engine.steps.base import ConfigWrong
from weft.interpreter.durations import DurationUnclear, parse_duration

SHOWN: Final = 60
"""Characters of a wrong value that a message repeats."""

DURATION: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "maxLength": 40, "pattern": DURATION_PATTERN},
    ]
}
"""Schema of a length of time: seconds, or text such as `1h30m`."""


def is_expression(value: object) -> bool:
    """Whether a config value as written is evaluated, or gives way to a secret, before the step sees it."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or value.startswith(SCHEME))


def text(config: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = config.get(name, default)
    if not isinstance(value, str):
        raise wrong(name, "text", value)
    return value


def mapping(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object; an absent field and null count as an empty one."""
    value = config.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong(name, "an object", value)
    return value


def flag(config: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = config.get(name, default)
    if not isinstance(value, bool):
        raise wrong(name, "true or false", value)
    return value


def integer(config: Mapping[str, Any], name: str, *, default: int | None, low: int, high: int) -> int | None:
    """A whole number in a range; 3.0 counts as 3, because JSON does not tell them apart."""
    value = config.get(name, default)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(name, f"a whole number between {low} and {high}", value)
    return value


def seconds(config: Mapping[str, Any], name: str) -> float:
    """A length of time: a number of seconds, or text such as `90s` or `1h30m`."""
    value = config.get(name)
    if value is None:
        raise wrong(name, "a duration", value)
    try:
        return parse_duration(value)
    except DurationUnclear as unclear:
        raise ConfigWrong(f"config.{name}: {unclear}.") from unclear


def moment(config: Mapping[str, Any], name: str) -> datetime:
    """A point in time, ISO 8601, with its zone: without one it would mean another hour on another machine."""
    value = config.get(name)
    if isinstance(value, str):
        found = parse_moment(value)
        if found is not None:
            return found
    raise wrong(name, "a time with its zone, such as 2030-12-24T18:00:00Z or 2030-12-24T18:00:00+01:00", value)


def parse_moment(written: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(written.strip())
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def wrong(name: str, wanted: str, value: object) -> ConfigWrong:
    """What to raise for a field that is not what it should be."""
    if value is None:
        return ConfigWrong(f"config.{name} must be {wanted}, but there is none. Give it a value.")
    return ConfigWrong(f"config.{name} must be {wanted}, but it is {described(value)}.")


def described(value: object) -> str:
    """A value in words, short enough for a message and never whole."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text '{value[:SHOWN]}{'…' if len(value) > SHOWN else ''}'"
        case int() | float():
            return f"the number {str(value)[:SHOWN]}"
        case list() | tuple():
            return f"a list of {len(value)}"
        case Mapping():
            return f"an object with {len(value)} fields"
        case _:
            return f"a value of type {type(value).__name__}"

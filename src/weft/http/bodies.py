"""What may come in, and what goes out.

`Input` is strict as JSON is: `"1"` is no number and 1 is no text, but an id, a date, a decimal or a word of an
enumeration is written as text. (FastAPI validates Python objects, where pydantic's strict mode refuses those too;
hence the adjusted schema.) Unknown fields are refused, and so is text that PostgreSQL cannot store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, TypeVar, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MAX_BODY: Final = 1_000_000
"""Bytes that a request body has at most, unless the application is made with another limit."""
MAX_TEXT: Final = 10_000
"""Characters of a text field that names no limit of its own."""
MAX_PUBLIC_BODY: Final = 16_384
"""The same where nobody is signed in yet: a form with a few fields."""
MOST_UNKNOWN: Final = 50
"""Fields too many that are named one by one. Beyond that they are not even looked at."""
MAX_DEPTH: Final = 100
"""Levels of lists and objects in a document. PostgreSQL and our own walks use the stack."""

_WRITTEN_AS_TEXT: Final = frozenset({"uuid", "datetime", "date", "time", "timedelta", "decimal", "enum", "url"})
_TIMES: Final = frozenset({"datetime", "date", "time", "timedelta"})
_DAYS: Final = frozenset({"datetime", "date"})
_YEARS: Final = (1970, 2999)
"""From and to. Nearer to the ends of the calendar, another time zone or the next period is no date any more."""
_ALWAYS_STORABLE: Final = frozenset({int, bool, type(None)})
_NOT_SCHEMAS: Final = frozenset({"metadata", "default", "serialization", "cls", "members", "expected", "function"})


def _as_json(node: Any, handler: GetCoreSchemaHandler) -> Any:
    """The same schema, with the types that JSON writes as text accepting text."""
    if isinstance(node, list):
        return [_as_json(part, handler) for part in node]
    if isinstance(node, tuple):
        return tuple(_as_json(part, handler) for part in node)
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if not isinstance(kind, str):
        kind = None  # the fields of a model, one of which is called `type`
    if kind == "definition-ref":
        target: Any = handler.resolve_ref_schema(cast("CoreSchema", node))
        if target["type"] == "enum":
            target["strict"] = False
        return node
    changed = {key: part if key in _NOT_SCHEMAS else _as_json(part, handler) for key, part in node.items()}
    if kind in _WRITTEN_AS_TEXT:
        changed.setdefault("strict", False)
    if kind in _TIMES:
        schema = cast("CoreSchema", changed)
        if kind in _DAYS:
            schema = core_schema.no_info_after_validator_function(within_calendar, schema)
        # Lax mode would also read numbers as seconds since 1970.
        return core_schema.no_info_before_validator_function(_no_number, schema)
    return changed


def _no_number(value: Any) -> Any:
    if isinstance(value, int | float | bytes):
        raise PydanticCustomError("time_type", "must be a time as text, as in 2026-03-01T12:00:00Z")
    if isinstance(value, str) and value.lstrip("+-").replace(".", "", 1).isdigit():
        raise PydanticCustomError("time_type", "must be a time, as in 2026-03-01T12:00:00Z, and not a number")
    return value


_Day = TypeVar("_Day", bound=date)


def within_calendar(value: _Day) -> _Day:
    """Refuse a day so far away that nobody means it, and that could not be reckoned with."""
    first, last = _YEARS
    if not first <= value.year <= last:
        raise PydanticCustomError(
            "time_out_of_range",
            "Input should be a time between {first}-01-01 and {last}-12-31",
            {"first": first, "last": last},
        )
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(within_calendar)]
"""A time in a query: ISO 8601 with its zone, from 1970 to 2999, and no number of seconds. (In an `Input` any `datetime`
is so strict.)"""


def require_storable(value: object) -> None:
    """Refuse a document that PostgreSQL's JSON cannot hold, naming the place. For inputs that are no `Input`, too."""
    found = unstorable(value)
    if found is not None:
        path, sentence = found
        where = ".".join(str(part) for part in path)
        raise PydanticCustomError("text_unstorable", "{where}: {sentence}", {"where": where, "sentence": sentence})


def unstorable(value: object) -> tuple[tuple[str | int, ...], str] | None:
    """The first place in a JSON document that cannot be stored, and why; None if there is none."""
    pending: list[tuple[object, tuple[str | int, ...]]] = [(value, ())]
    while pending:
        part, path = pending.pop()
        if isinstance(part, str):
            if (wrong := _wrong_text(part)) is not None:
                return path, wrong
        elif isinstance(part, float):
            if not math.isfinite(part):
                return path, "NaN and infinities are not JSON."
        elif isinstance(part, Mapping | list | tuple):
            if len(path) >= MAX_DEPTH:
                return path[:3], f"This is nested deeper than {MAX_DEPTH} levels."
            if isinstance(part, Mapping):
                for name in part:
                    if isinstance(name, str) and (wrong := _wrong_text(name)) is not None:
                        return path, f"A name in this object cannot be stored: {wrong}"
            items = part.items() if isinstance(part, Mapping) else enumerate(part)
            pending.extend((inner, (*path, key)) for key, inner in items if type(inner) not in _ALWAYS_STORABLE)
    return None


def _wrong_text(text: str) -> str | None:
    if "\0" in text:
        return "Text may not contain the NUL character."
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "Half of a surrogate pair is no character."
    return None


class Input(BaseModel):
    """Base of every `...Create`, `...Update` and command that comes from outside."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, str_max_length=MAX_TEXT, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return cast("CoreSchema", _as_json(handler(source), handler))

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            if len(value) > len(cls.model_fields) + MOST_UNKNOWN:
                raise PydanticCustomError(
                    "too_many_fields",
                    "this has {count} fields, and {known} are known here; leave the others out",
                    {"count": len(value), "known": len(cls.model_fields)},
                )
            require_storable(value)
        return value


class Output(BaseModel):
    """Base of every `...Read`: made from rows by attribute; every field is always there."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)

"""What a request has wrong, in sentences: from the validator's list of errors to issues that say how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from weft.core.errors import Issue
from weft.core.forms import in_words

Path = tuple[str | int, ...]

_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "is not known here; leave it out or correct its name",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "string_too_long": "may have at most {max_length} characters",
    "too_long": "may have at most {max_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "uuid_type": "must be an id (a UUID, such as 0198c1c4-6e1c-7000-8000-0123456789ab)",
    "uuid_parsing": "must be an id (a UUID, such as 0198c1c4-6e1c-7000-8000-0123456789ab)",
    "timezone_aware": "must have a time zone, as in 2026-03-01T12:00:00Z",
    "datetime_type": "must be a time with its zone, as in 2026-03-01T12:00:00Z",
    "datetime_parsing": "must be a time with its zone, as in 2026-03-01T12:00:00Z",
    "datetime_from_date_parsing": "must be a time with its zone, as in 2026-03-01T12:00:00Z",
}
_SHAPES: Final = frozenset({"list_type", "dict_type", "model_type", "model_attributes_type"})


_LONGEST_NAME: Final = 100
"""Of a field, as it is repeated in a sentence: whoever sends chooses it."""


def issues_of(errors: Iterable[Mapping[str, Any]], body: object = None) -> list[Issue]:
    """An issue for each place in what was sent. `body` tells the names in it from those of alternatives."""
    places: dict[tuple[str, Path], list[Mapping[str, Any]]] = {}
    for error, path in _of_the_shape_that_was_sent(errors, body):
        places.setdefault((str(error["loc"][0]), path), []).append(error)
    return [_issue(location, path, found) for (location, path), found in places.items()]


def _of_the_shape_that_was_sent(
    errors: Iterable[Mapping[str, Any]], body: object
) -> list[tuple[Mapping[str, Any], Path]]:
    """Without those of alternatives that are of another shape: an object is not wrong for not being a list, too."""
    found = [(error, *_there(error, body)) for error in errors]
    beside = [is_alternative and error["type"] in _SHAPES for error, _, is_alternative in found]
    within = [path for (_, path, _), is_beside in zip(found, beside, strict=True) if not is_beside]
    return [
        (error, path)
        for (error, path, _), is_beside in zip(found, beside, strict=True)
        if not (is_beside and any(one[: len(path)] == path for one in within))
    ]


def _there(error: Mapping[str, Any], body: object) -> tuple[Path, bool]:
    """The place in what was sent, and whether the error speaks of one alternative as a whole.

    The names of alternatives stand in what the validator says, and not in what was sent.
    """
    location, *path = error["loc"]
    if body is None or location != "body" or error["type"] == "json_invalid":
        return tuple(path), False
    place: list[str | int] = []
    value, is_here = body, True
    for index, part in enumerate(path):
        is_absent = error["type"] == "missing" and index == len(path) - 1
        is_here = part in value if isinstance(value, Mapping) else isinstance(value, list) and isinstance(part, int)
        if is_here or is_absent:
            place.append(part)
            value = None if is_absent else value[part]  # type: ignore[index]  # one of the two that have parts
    return tuple(place), not is_here


def _issue(location: str, path: Path, errors: Sequence[Mapping[str, Any]]) -> Issue:
    first = errors[0]
    code = str(first["type"])
    if code == "json_invalid":
        sentence = f"The body is not JSON: {first['ctx']['error']} at character {path[0]}."
        return Issue(sentence, (), code, {"location": location})
    name = ".".join(str(part) for part in path)
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}..."
    subject = f"`{name}`" if name else f"The {location}"
    said = list(dict.fromkeys(_sentence(error) for error in errors))
    text = ", or ".join([said[0], *(one.removeprefix("must be ") for one in said[1:])])
    return Issue(
        f"{subject}: {text}{'' if text.endswith(('.', '?', '!')) else '.'}", path, code, {"location": location}
    )


def _sentence(error: Mapping[str, Any]) -> str:
    code, ctx = str(error["type"]), error.get("ctx") or {}
    if code == "string_pattern_mismatch":
        return f"must be {in_words(str(ctx.get('pattern')))}"
    if code in ("string_too_short", "too_short"):
        least, things = ctx["min_length"], "characters" if code == "string_too_short" else "entries"
        return "must not be empty" if least == 1 else f"must have at least {least} {things}"
    if code in _SENTENCES:
        return _SENTENCES[code].format_map(ctx)
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ").strip()

"""JSON Schema errors as sentences people can act on: what was found, what was expected, how to mend it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from jsonschema_rs import ValidationError, ValidationErrorKind

from weft.domain.workflows.kinds import Where
from weft.domain.workflows.schema import DURATION_PATTERN, KEY_PATTERN

_SHOWN: Final = 60
_SHAPES: Final = {
    KEY_PATTERN: "a lower-case word: a letter first, then letters, digits and underscores, 63 at most (`sign_off`)",
    DURATION_PATTERN: "a duration such as `500ms`, `30s`, `5m`, `2h`, `1h30m` or `2d`",
    r"\S": "text that is not blank",
}
_NOUNS: Final = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS: Final[Mapping[type[ValidationErrorKind], str]] = {
    ValidationErrorKind.Minimum: "at least",
    ValidationErrorKind.ExclusiveMinimum: "more than",
    ValidationErrorKind.Maximum: "at most",
    ValidationErrorKind.ExclusiveMaximum: "less than",
}
_SIZES: Final[Mapping[type[ValidationErrorKind], tuple[str, str, str]]] = {
    ValidationErrorKind.MinItems: ("at least", "entry", "entries"),
    ValidationErrorKind.MaxItems: ("at most", "entry", "entries"),
    ValidationErrorKind.MinLength: ("at least", "character", "characters"),
    ValidationErrorKind.MaxLength: ("at most", "character", "characters"),
    ValidationErrorKind.MinProperties: ("at least", "field", "fields"),
    ValidationErrorKind.MaxProperties: ("at most", "field", "fields"),
}


def nearest_word(word: object, words: Iterable[object]) -> str | None:
    """The word that was probably meant, if one is near enough."""
    if not isinstance(word, str):
        return None
    found = difflib.get_close_matches(word, [one for one in words if isinstance(one, str)], n=1, cutoff=0.6)
    return found[0] if found else None


def dotted(path: Where) -> str:
    """A path as people write it: `steps[3].config.url`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def shown(value: Any) -> str:
    """A value, cut to what fits into a sentence."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def sentence(error: ValidationError) -> str:
    """What is wrong with the value, without saying where."""
    kind, value = error.kind, shown(error.instance)
    if type(kind) in _BOUNDS:
        return f"Expected {_BOUNDS[type(kind)]} {kind.value}, found {value}."
    if type(kind) in _SIZES:
        word, one, unit = _SIZES[type(kind)]
        size = len(error.instance) if isinstance(error.instance, str | list | dict) else 0
        number = f"{kind.value} {unit}" if kind.value != 1 else f"one {one}"
        return f"Expected {word} {number}, found {size}."
    match kind:
        case ValidationErrorKind.Type(types):
            return f"Expected {_types(types)}, found {value}."
        case ValidationErrorKind.Enum(options):
            near = nearest_word(error.instance, options)
            listed = ", ".join(shown(option) for option in options)
            return f"Expected one of {listed}, found {value}." + (f" Did you mean `{near}`?" if near else "")
        case ValidationErrorKind.Constant(expected):
            return f"Expected {shown(expected)}, found {value}."
        case ValidationErrorKind.Pattern(pattern):
            return f"{value} does not fit. Write {_SHAPES.get(pattern, f'text that matches {pattern}')}."
        case ValidationErrorKind.PropertyNames(inner):
            return f"A name in this object does not fit: {sentence(inner)}"
        case ValidationErrorKind.UniqueItems():
            return "The list holds an entry twice. Remove one of them."
        case ValidationErrorKind.Format(wanted):
            return f"{value} is not of the form '{wanted}'."
        case ValidationErrorKind.FalseSchema():
            return f"Nothing may stand here, found {value}. Remove it."
        case ValidationErrorKind.AnyOf(context) | ValidationErrorKind.OneOfNotValid(context):
            return f"{value} fits none of the forms that may stand here. {_alternatives(context)}".rstrip()
        case _:
            text = str(error.message).rstrip(".")
            return f"{text[:1].upper()}{text[1:]}."


def _types(types: object) -> str:
    names = types if isinstance(types, list) else [types]
    return " or ".join(_NOUNS.get(str(name), str(name)) for name in names)


def _alternatives(context: Sequence[Sequence[ValidationError]]) -> str:
    """Each way to mend it, once."""
    ways = dict.fromkeys(sentence(branch[0]) for branch in context if branch)
    return " Or: ".join(list(ways)[:4])


def unknown_field(name: str, fields: Iterable[str]) -> str:
    near = nearest_word(name, fields)
    mend = f"Did you mean `{near}`?" if near else "Remove it or correct its name."
    return f"The field `{name}` is not known here. {mend}"

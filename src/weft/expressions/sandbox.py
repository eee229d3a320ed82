"""The engine as weft uses it, the same in weft's own process and in the guard's children.

In a template, none prints as nothing, true and false in lower case, objects and lists as JSON. Whatever goes wrong
is a `Failure` with a code, a sentence and a place in characters.

Imports nothing of weft but `views` and `plain`: the guard's children load it.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from minijinja import Environment, TemplateError

from weft.expressions.plain import plain
from weft.expressions.views import FAILED, TOO_LARGE, TOO_SLOW, Failure, Record, Rows, describe, json_text

EXPRESSION: Final = 0
TEMPLATE: Final = 1

MULTIPLICAND: Final = "weft_multiplicand"
"""The filter behind each operand of `*`; tenants cannot write it, the catalogue does not know it."""

FUEL: Final = 2_000_000
"""Engine instructions per evaluation. It stops plain loops; the wall limit of the guard stops the rest."""


# --- filters of our own --------------------------------------------------------------------------------------


def tojson(value: Any, indent: Any = None) -> str:
    if indent is not None and (type(indent) is not int or not 0 <= indent <= 8):
        raise Failure(FAILED, "`tojson` indents by 0 to 8 spaces.")
    return json_text(value, indent)


def money(value: Any, decimals: Any = 2, thousands: Any = "") -> str:
    """A number for people: halves are rounded away from zero, as accountants do."""
    if type(value) not in {int, float}:
        raise Failure(FAILED, f"`money` formats numbers, and this is {describe(value)}.")
    if type(decimals) is not int or not 0 <= decimals <= 12:
        raise Failure(FAILED, "`money` gives 0 to 12 decimals.")
    if not isinstance(thousands, str) or len(thousands) > 1:
        raise Failure(FAILED, "`money` puts one character, or none, between thousands.")
    try:
        rounded = Decimal(str(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    except InvalidOperation:
        raise Failure(FAILED, f"`money` cannot round {value} to {decimals} decimals.") from None
    return f"{rounded:,f}".replace(",", thousands)


def _multiplicand(value: Any) -> Any:
    if isinstance(value, int | float):
        return value
    raise Failure(FAILED, f"`*` multiplies numbers, and this is {describe(value)}. Convert text with `| float`.")


# --- text ----------------------------------------------------------------------------------------------------


class _Printed(threading.local):
    """How many characters the template under way may still print."""

    left = 0


_printed = _Printed()


def _finalize(value: Any) -> Any:
    """How one `{{ … }}` of a template prints. Text and numbers stay as the engine writes them."""
    if value is None:
        return ""
    kind = type(value)
    if kind is bool:
        text = "true" if value else "false"
    elif kind is float and not math.isfinite(value):
        raise Failure(FAILED, "The result is not a finite number.")
    elif kind in {int, float} or isinstance(value, str):
        _printed.left -= len(value) if isinstance(value, str) else 20
        if _printed.left < 0:
            raise Failure(TOO_LARGE, "The text grows too large. Print less, or fewer times.")
        return NotImplemented
    elif kind in {Record, Rows, dict, list, tuple}:
        text = json_text(value)
    else:
        raise Failure(FAILED, "This is a function and not a value: call it, or remove it.")
    _printed.left -= len(text)
    if _printed.left < 0:
        raise Failure(TOO_LARGE, "The text grows too large. Print less, or fewer times.")
    return text


# --- evaluation ----------------------------------------------------------------------------------------------


def make_environment() -> Environment:
    """The whole language. It keeps no state between evaluations and reads no files."""
    environment = Environment(
        undefined_behavior="strict",
        fuel=FUEL,
        debug=True,  # otherwise errors do not name what is missing; it costs nothing until there is an error
        keep_trailing_newline=True,
        finalizer=_finalize,
    )
    for name in ("debug", "cycler", "joiner"):  # the first prints everything, the others keep state
        environment.remove_global(name)
    environment.remove_filter("attr")
    environment.add_filter("tojson", tojson)
    environment.add_filter("money", money)
    environment.add_filter(MULTIPLICAND, _multiplicand)
    return environment


def evaluate(environment: Environment, form: int, source: str, roots: Mapping[str, Any], limit: int) -> Any:
    """The value of one expression or the text of one template, as JSON. `roots` are views.

    Raises Failure; MemoryError where memory is limited, after which the process should not be used any more.
    """
    try:
        if form == TEMPLATE:
            _printed.left = limit
            return plain(environment.render_str(source, None, **roots), limit)
        return plain(environment.eval_expr(source, **roots), limit)
    except Failure:
        raise
    except TemplateError as error:
        raise _explained(error, source) from None
    except RecursionError:
        raise Failure(TOO_LARGE, "The data nests too deeply for this expression.") from None
    except AttributeError as error:
        raise Failure(FAILED, _no_method(error)) from None
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise Failure(FAILED, f"This call does not fit its arguments: {error}.") from None


def _no_method(error: AttributeError) -> str:
    if isinstance(error.obj, Rows):
        return f"Lists have no method `{error.name}`; there are filters: first, last, length, map, sum, sort."
    if isinstance(error.obj, Record):
        return f"Objects have no method `{error.name}`; there are: get, items, keys, values."
    return f"There is no method `{error.name}` here."


_SENTENCES: Mapping[str, str] = {
    "TooManyArguments": "There are more arguments here than this takes.",
    "MissingArgument": "An argument is missing here.",
    "OutOfFuel": "The expression takes too many steps. Loop over fewer items.",
}


_UNDEFINED = re.compile(r"`(.+)` is undefined\)?$", re.DOTALL)


def _explained(error: TemplateError, source: str) -> Failure:
    kind = error.kind
    start, end = characters(source, error.range)
    code = TOO_SLOW if kind == "OutOfFuel" else FAILED
    detail = error.detail
    if kind == "Unknown":
        failure = Failure(FAILED, "The expression cannot be computed with these values.", start, end)
        failure.panicked = True
        return failure
    missing = _UNDEFINED.search(detail or "")
    if missing is not None:
        return Failure(FAILED, missing_sentence(missing[1]), start, end)
    if kind in _SENTENCES and not detail:
        return Failure(code, _SENTENCES[kind], start, end)
    text = detail or error.message.partition(" (in <")[0]
    return Failure(code, f"{text[:1].upper()}{text[1:500]}.", start, end)


def missing_sentence(path: str) -> str:
    return (
        f"`{path}` is not there. Check its spelling, or give a value for when it is missing: `{path} | default(none)`."
    )


def characters(source: str, span: tuple[int, int] | None) -> tuple[int | None, int | None]:
    """A span in UTF-8 bytes as a span in characters."""
    if span is None:
        return None, None
    if source.isascii():
        return span
    encoded = source.encode()
    start = len(encoded[: span[0]].decode(errors="ignore"))
    return start, start + len(encoded[span[0] : span[1]].decode(errors="ignore"))

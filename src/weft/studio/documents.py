"""JSON that somebody typed, into a form or an address. Pure."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final, NoReturn

from weft.http.bodies import MAX_DEPTH, unstorable

_DIGITS: Final = (131_072, 16_383)
"""Of a number in PostgreSQL's JSON, before its point and after it."""


class _Unfit(ValueError):
    """JSON to Python, but not to PostgreSQL."""


def document(text: str) -> Any:
    """What the text says, every number to its last digit. Raises `ValueError` for what PostgreSQL could not hold."""
    try:
        value = json.loads(text, parse_float=_number, parse_constant=_refused)
    except RecursionError:
        raise ValueError(f"This is nested deeper than {MAX_DEPTH} levels.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    except _Unfit as error:
        raise ValueError(str(error)) from None
    except ValueError:  # a whole number that Python does not read either
        raise ValueError("JSON has no number of thousands of digits here.") from None
    if (found := unstorable(value)) is not None:
        path, sentence = found
        raise ValueError(f"{'.'.join(map(str, path))}: {sentence}" if path else sentence)
    return value


def _number(text: str) -> Decimal:
    number = Decimal(text)
    whole, fraction = _DIGITS
    if number.adjusted() >= whole or int(number.as_tuple().exponent) < -fraction:
        raise _Unfit("A number of sensible size is needed.")
    return number


def _refused(_word: str) -> NoReturn:
    raise _Unfit("JSON has no NaN and no Infinity.")

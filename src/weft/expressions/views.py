"""What the engine gets to see of the data, and how anything that goes wrong is told.

The engine looks at Python objects lazily and without copying, but it also finds their attributes: a dict without a
field `items` would answer `input.items` with a bound method, and `input.clear()` would empty the caller's data.
`Record` and `Rows` show a dict and a list with their keys and indexes, and nothing by which they could be changed.

Imports nothing of weft: the guard's children load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MethodType
from typing import Any, Final

import msgspec

FAILED: Final = "expression_failed"
TOO_SLOW: Final = "expression_too_slow"
TOO_LARGE: Final = "expression_too_large"
CRASHED: Final = "expression_crashed"

_INTEGER_BITS: Final = 127


class Failure(Exception):
    """Why an evaluation gave no value. Positions are characters of the text the engine was given."""

    panicked = False
    """The engine itself stumbled, and should be made anew."""

    def __init__(self, code: str, message: str, start: int | None = None, end: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.start = start
        self.end = end


class _Method:
    """A method that the engine can call, and cannot find when it was looking for a field of that name.

    For a field, the engine asks for the item first and for the attribute directly after; `Record` notes the miss
    in between, and this answers that there is no such attribute.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._name = function.__name__

    def __get__(self, record: Record | None, owner: type[Record]) -> Any:
        if record is None:
            return self
        if record._missed == self._name:  # noqa: SLF001 - the other half of the same trick
            record._missed = None  # noqa: SLF001 - likewise
            raise AttributeError(self._name)
        return MethodType(self._function, record)


_METHODS = frozenset({"items", "keys", "values", "get"})


class Record:
    """A JSON object that can be read and not changed."""

    __slots__ = ("_data", "_missed")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._missed: str | None = None

    def __getitem__(self, key: str) -> Any:
        try:
            value = self._data[key]
        except (KeyError, TypeError):
            self._missed = key if type(key) is str and key in _METHODS else None
            raise KeyError(key) from None
        return value if type(value) in _PLAIN else view(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and bool(self._data == other._data)

    __hash__ = None  # type: ignore[assignment]  # a view of something that may change is no key

    def __str__(self) -> str:
        return json_text(self._data)

    @_Method
    def items(self) -> list[tuple[str, Any]]:
        return [(key, view(value)) for key, value in self._data.items()]

    @_Method
    def keys(self) -> list[str]:
        return list(self._data)

    @_Method
    def values(self) -> list[Any]:
        return [view(value) for value in self._data.values()]

    @_Method
    def get(self, key: str, default: Any = None) -> Any:
        return view(self._data[key]) if key in self._data else default


class Rows:
    """A JSON list that can be read and not changed."""

    __slots__ = ("_data",)

    def __init__(self, data: Sequence[Any]) -> None:
        self._data: Any = data

    def __getitem__(self, index: int) -> Any:
        value = self._data[index]
        return value if type(value) in _PLAIN else view(value)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Any]:
        return map(view, self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and bool(self._data == other._data)

    # Two lists are compared in one step where Python can; the engine would ask for every item.
    def __lt__(self, other: object) -> bool:
        return bool(self._data < other._data) if isinstance(other, Rows) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return bool(self._data > other._data) if isinstance(other, Rows) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a view of something that may change is no key

    def __str__(self) -> str:
        return json_text(self._data)


# The engine asks `isinstance(x, Sequence)`; inheriting would add `count` and `index`, which look like fields.
Sequence.register(Rows)

_PLAIN = frozenset({float, bool, type(None)})


def view(value: Any) -> Any:
    """The value as the engine may see it."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _whole(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        if value.bit_length() > _INTEGER_BITS:
            raise Failure(
                FAILED,
                "A number here has more than 38 digits, and expressions compute with 128 bits. "
                "Pass such a number on as it is, or carry it as text.",
            )
        return value
    if kind is dict:
        return Record(value)
    if kind is list or kind is tuple:
        return Rows(value)
    if kind is Record or kind is Rows:
        return value
    if isinstance(value, Mapping):
        return Record(value)
    try:
        return view(msgspec.to_builtins(value, str_keys=True))
    except (TypeError, RecursionError) as error:
        raise Failure(FAILED, f"The data holds a {kind.__name__}, which is not JSON.") from error


def _whole(text: str) -> str:
    """The engine cannot hold half a character, and would show the text as an object of Python."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Failure(FAILED, "The text holds half a character (a lone surrogate).") from None
    return text


def raw(value: Record | Rows) -> Any:
    """What a view shows. A public attribute would look like a field to the engine."""
    return value._data  # noqa: SLF001  this module owns the view


def _encodable(value: Any) -> Any:
    """What to write for a value that is not JSON as it stands."""
    if isinstance(value, Record | Rows):
        value = raw(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


def json_text(value: Any, indent: int | None = None) -> str:
    """Compact JSON with letters as they are, or indented."""
    try:
        encoded = msgspec.json.encode(value, enc_hook=_encodable)
    except UnicodeEncodeError as error:
        raise Failure(FAILED, "The text holds half a character (a lone surrogate).") from error
    except RecursionError as error:
        raise Failure(TOO_LARGE, "The value nests too deeply to be written as JSON.") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise Failure(FAILED, f"This cannot be written as JSON: {error}.") from error
    if indent is not None:
        encoded = msgspec.json.format(encoded, indent=indent)
    return encoded.decode()


def describe(value: Any) -> str:
    """A value's kind in the words of the language."""
    match value:
        case None:
            return "none (or a missing field)"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping() | Record():
            return "an object"
        case Sequence():
            return "a list"
        case _:
            return "something that is not JSON"

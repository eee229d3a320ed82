"""What a secret may be called, how a definition refers to it, and how long its value may be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weft.domain.secrets.errors import LONGEST_NAME

SCHEME: Final = "secret://"
SHORTEST_VALUE: Final = 4
"""Characters. What is shorter stands in every text by chance, and could not be hidden there."""
LONGEST_VALUE: Final = 10_000

NAME_PATTERN: Final = rf"^[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}$"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN_TEXT: Final = re.compile(r"\{\{-?\s*secrets\.([A-Za-z_][A-Za-z0-9_]*)\s*-?\}\}")


def is_name(text: str) -> bool:
    """Whether a secret can have this name: a word, so that it can stand in an expression."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def referred(text: str) -> str | None:
    """What stands behind `secret://`, when that is the whole text; it need not be a possible name."""
    return text.removeprefix(SCHEME) if text.startswith(SCHEME) else None


def names_in(text: str) -> tuple[str, ...]:
    """The secrets that the text reads as `{{ secrets.name }}`, in order."""
    return tuple(_IN_TEXT.findall(text))


def without_references(text: str) -> str:
    """The text with every `{{ secrets.name }}` taken out: what is left must not speak of secrets."""
    return _IN_TEXT.sub("", text)


def replaced(text: str, marks: dict[str, str]) -> str:
    """The text with every reference to a secret in `marks` replaced by its mark."""
    whole = referred(text)
    if whole is not None:
        return marks.get(whole, text)
    return _IN_TEXT.sub(lambda found: marks.get(found[1], found[0]), text)


def texts_in(value: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text in a JSON value and where it stands; names of fields are not among them."""
    pending: list[tuple[tuple[str | int, ...], object]] = [((), value)]
    while pending:
        path, part = pending.pop()
        if isinstance(part, str):
            yield path, part
        elif isinstance(part, dict):
            pending.extend(((*path, name), inner) for name, inner in part.items())
        elif isinstance(part, list | tuple):
            pending.extend(((*path, index), inner) for index, inner in enumerate(part))

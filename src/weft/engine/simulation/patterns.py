"""Texts that fit a pattern: the part of regular expressions that schemas use. Pure; what is not known is refused."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from weft.engine.simulation.draws import Draws

MOST: Final = 64
"""Repetitions of one piece, at most; longer ones are never needed to fit."""
LONGEST: Final = 10_000
"""Characters of a text; a pattern that asks for more is not met."""
DEEPEST: Final = 40
"""Brackets inside each other."""
EXTRA: Final = 6
"""Repetitions beyond the least, where a pattern sets no bound."""

_DIGITS: Final = "0123456789"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WORD: Final = _LETTERS + _DIGITS + "_"
_ANY: Final = _LETTERS + _DIGITS + " -."
_PRINTABLE: Final = "".join(map(chr, range(32, 127)))
_CLASSES: Final = {"d": _DIGITS, "w": _WORD, "s": " "}
_NEGATED: Final = {"D": _DIGITS, "W": _WORD, "S": " \t\r\n"}
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}


class PatternUnknown(ValueError):
    """The pattern uses something that this module does not know."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Alternatives, each a sequence; or, with `signs`, one character of these."""

    options: tuple[tuple[_Repeated, ...], ...] = ()
    signs: str = ""


@dataclass(frozen=True, slots=True)
class _Repeated:
    piece: _Piece
    least: int = 1
    most: int = 1


def text_for(pattern: str, draws: Draws) -> str:
    """A text in which the pattern is found. Raises `PatternUnknown`."""
    return _said(_read(pattern), draws, [LONGEST])


@lru_cache(maxsize=500)
def _read(pattern: str) -> _Piece:
    return _Reader(pattern).whole()


def _said(piece: _Piece, draws: Draws, left: list[int]) -> str:
    if left[0] < 0:
        raise PatternUnknown(f"it asks for more than {LONGEST:,} characters")
    parts = draws.one_of(piece.options) if len(piece.options) > 1 else piece.options[0] if piece.options else ()
    said: list[str] = []
    for part in parts:
        count = draws.whole(part.least, min(part.most, MOST)) if part.most > part.least else part.least
        if part.piece.signs:
            left[0] -= count
            said.append(_spelled(part.piece.signs, count, draws))
        else:
            for _ in range(count):
                left[0] -= 1
                said.append(_said(part.piece, draws, left))
        if left[0] < 0:
            raise PatternUnknown(f"it asks for more than {LONGEST:,} characters")
    return "".join(said)


def _spelled(signs: str, count: int, draws: Draws) -> str:
    """So many of these characters; one draw is enough for six of them."""
    if len(signs) == 1:
        return signs * count
    spelled = []
    bits = 0
    for place in range(count):
        if place % 6 == 0:
            bits = draws.bits()
        spelled.append(signs[(bits & 1023) % len(signs)])
        bits >>= 10
    return "".join(spelled)


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0

    def whole(self) -> _Piece:
        piece = self._options()
        if self._at < len(self._text):
            raise PatternUnknown("a bracket is closed that was not opened")
        return piece

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self) -> str:
        sign = self._peek()
        if not sign:
            raise PatternUnknown("it ends too early")
        self._at += 1
        return sign

    def _options(self) -> _Piece:
        options = [self._sequence()]
        while self._peek() == "|":
            self._take()
            options.append(self._sequence())
        return _Piece(tuple(options))

    def _sequence(self) -> tuple[_Repeated, ...]:
        parts: list[_Repeated] = []
        while (sign := self._peek()) and sign not in "|)":
            self._take()
            if sign not in "^$":
                parts.append(self._repeated(self._piece(sign)))
        return tuple(parts)

    def _piece(self, sign: str) -> _Piece:
        match sign:
            case "(":
                return self._group()
            case "[":
                return _Piece(signs=self._set())
            case ".":
                return _Piece(signs=_ANY)
            case "\\":
                signs = self._escaped()
                return _Piece(signs=signs) if signs else _Piece(options=((),))
            case "*" | "+" | "?" | "{":
                raise PatternUnknown("there is nothing to repeat")
            case _:
                return _Piece(signs=sign)

    def _group(self) -> _Piece:
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise PatternUnknown("it looks ahead or back")
            self._at += 2
        self._depth += 1
        if self._depth > DEEPEST:
            raise PatternUnknown(f"brackets are nested more than {DEEPEST} deep")
        piece = self._options()
        self._depth -= 1
        if self._take() != ")":
            raise PatternUnknown("a bracket is not closed")
        return piece

    def _escaped(self) -> str:
        sign = self._take()
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign in _NEGATED:
            return "".join(letter for letter in _PRINTABLE if letter not in _NEGATED[sign])
        if sign in "bBAzZ":
            return ""
        if sign in "pPkux" or sign.isdigit():
            raise PatternUnknown(f"`\\{sign}` is not known here")
        return _CONTROLS.get(sign, sign)

    def _set(self) -> str:
        negated = self._peek() == "^"
        if negated:
            self._take()
        found: list[str] = []
        while (sign := self._take()) != "]" or not found:
            signs = self._escaped() if sign == "\\" else sign
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", "") and len(signs) == 1:
                self._take()
                last = self._take()
                end = self._escaped() if last == "\\" else last
                signs = "".join(map(chr, range(ord(signs), min(ord(end), ord(signs) + 512) + 1)))
            found.append(signs)
        signs = "".join(found)
        if negated:
            signs = "".join(letter for letter in _PRINTABLE if letter not in signs)
        if not signs:
            raise PatternUnknown("a set of characters is empty")
        return signs

    def _repeated(self, piece: _Piece) -> _Repeated:
        sign = self._peek()
        if not sign or sign not in "*+?{":
            return _Repeated(piece)
        self._take()
        if sign == "{":
            bounds = ""
            while (digit := self._take()) != "}":
                bounds += digit
            least_text, comma, most_text = bounds.partition(",")
            if not least_text.isdigit() or (most_text and not most_text.isdigit()):
                raise PatternUnknown("a repetition is not written with numbers")
            least = int(least_text)
            most = least if not comma else int(most_text) if most_text else least + EXTRA
        else:
            least, most = {"*": (0, EXTRA), "+": (1, EXTRA), "?": (0, 1)}[sign]
        if self._peek() in ("?", "+") and self._peek():
            self._take()
        if least > MOST:
            raise PatternUnknown(f"something is repeated more than {MOST} times")
        return _Repeated(piece, least, most)

"""Text to tokens, as the engine does it, so that an expression can be judged before the engine sees it.

The judgement only has to err on one side. What this lexer and the engine's could see differently is where a string
ends, where a tag ends and which letters make a name; the first two follow the engine's rules to the letter, and the
third can only turn a valid name into a refused one, because every operator is an ASCII sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

TokenKind = Literal["name", "string", "integer", "float", "operator"]


class Token(NamedTuple):
    kind: TokenKind
    text: str
    start: int
    end: int

    def is_operator(self, *texts: str) -> bool:
        return self.kind == "operator" and self.text in texts

    def is_name(self, *texts: str) -> bool:
        return self.kind == "name" and self.text in texts

    @property
    def is_number(self) -> bool:
        return self.kind in {"integer", "float"}


class Unreadable(Exception):
    """The text stops being an expression between `start` and `end` (characters)."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end


PartKind = Literal["text", "raw", "comment", "print", "tag"]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a template. `inner` is the span between the delimiters, for prints and tags."""

    kind: PartKind
    start: int
    end: int
    inner: tuple[int, int] = (0, 0)
    tokens: tuple[Token, ...] = ()


_SPACE = re.compile(r"[ \t\n\r\f]+")
_NAME = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+"
    r"|[0-9][0-9_]*(?P<fraction>\.[0-9][0-9_]*)?(?P<exponent>[eE][+-]?[0-9][0-9_]*)?"
)
_INDEX = re.compile(r"[0-9][0-9_]*")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_OPERATOR = re.compile(r"//|\*\*|==|!=|>=|<=|[-+*/%.,:~|=><()\[\]{}]")
_START = re.compile(r"\{([{%#])[-+]?")
_RAW = re.compile(r"[ \t\n\r\f]*raw[ \t\n\r\f]*[-+]?%\}")
_END_RAW = re.compile(r"\{%[-+]?[ \t\n\r\f]*endraw[ \t\n\r\f]*[-+]?%\}")
_CLOSING = {")": "(", "]": "[", "}": "{"}

_ADVICE = {
    "&": "Write `and` instead of `&&`.",
    "!": "Write `not` instead of `!`.",
    "?": "Write `a if condition else b` instead of `condition ? a : b`.",
    "$": "Names have no `$` here: write `input.amount`.",
    "`": "Text stands between '…' or \"…\".",
    "{": "Expressions inside an expression need no braces of their own.",
    "“": "Text stands between straight quotes: '…' or \"…\".",
    "”": "Text stands between straight quotes: '…' or \"…\".",
    "\u2019": "Text stands between straight quotes: '…' or \"…\".",
    ";": "One expression is one line of thought: remove the `;`.",
}


def tokenize(source: str, start: int = 0, closing: str | None = None) -> tuple[tuple[Token, ...], int, int]:
    """The tokens from `start` up to `closing` (`}}` or `%}`), or to the end of the text without one.

    Returns them with the position where the inner text ends and the position after the delimiter.
    """
    tokens: list[Token] = []
    brackets: list[Token] = []
    at = start
    length = len(source)
    while at < length:
        space = _SPACE.match(source, at)
        if space is not None:
            at = space.end()
            continue
        if closing is not None and not brackets:
            after = _closes(source, at, closing)
            if after is not None:
                return tuple(tokens), at, after
        token = _token(source, at, after_point=bool(tokens) and tokens[-1].is_operator("."))
        _balance(token, brackets)
        tokens.append(token)
        at = token.end
    if brackets:
        opened = brackets[-1]
        raise Unreadable(f"`{opened.text}` is never closed.", opened.start, opened.end)
    if closing is not None:
        opener = "{{" if closing == "}}" else "{%"
        raise Unreadable(f"`{opener}` is never closed: `{closing}` is missing.", max(0, start - 2), start)
    return tuple(tokens), length, length


def _closes(source: str, at: int, closing: str) -> int | None:
    if source.startswith(closing, at):
        return at + 2
    if source[at] in "-+" and source.startswith(closing, at + 1):
        return at + 3
    return None


def _token(source: str, at: int, *, after_point: bool) -> Token:
    sign = source[at]
    if sign in "'\"":
        match = _STRING.match(source, at)
        if match is None:
            raise Unreadable("This text is never closed: a quote is missing.", at, len(source))
        return Token("string", match.group(), at, match.end())
    if sign.isascii() and sign.isdigit():
        return _number(source, at, after_point=after_point)
    match = _NAME.match(source, at)
    if match is not None:
        return Token("name", match.group(), at, match.end())
    match = _OPERATOR.match(source, at)
    if match is not None:
        return Token("operator", match.group(), at, match.end())
    advice = _ADVICE.get(sign, "Remove it, or put it between quotes if it is text.")
    raise Unreadable(f"`{sign}` has no meaning in an expression. {advice}", at, at + 1)


def _number(source: str, at: int, *, after_point: bool) -> Token:
    """`rows.0.1` has two indexes and no fraction, so what follows a point is an index."""
    match = (_INDEX if after_point else _NUMBER).match(source, at)
    assert match is not None  # noqa: S101 - both match any digit
    end = match.end()
    if _NAME.match(source, end):
        raise Unreadable("A number ends here, and letters follow without an operator.", at, end + 1)
    is_float = not after_point and bool(match["fraction"] or match["exponent"])
    if not (is_float or after_point) and source.startswith(".", end) and not _NAME.match(source, end + 1):
        raise Unreadable("Write a digit after the point: `1.0`.", at, end + 1)
    return Token("float" if is_float else "integer", match.group(), at, end)


def _balance(token: Token, brackets: list[Token]) -> None:
    if token.kind != "operator":
        return
    if token.text in "([{":
        brackets.append(token)
    elif token.text in _CLOSING:
        if not brackets or brackets[-1].text != _CLOSING[token.text]:
            raise Unreadable(f"`{token.text}` closes nothing.", token.start, token.end)
        brackets.pop()


def parts(source: str) -> list[Part]:
    """A template as text, prints, tags, comments and raw blocks, in order."""
    found: list[Part] = []
    at = 0
    while True:
        opening = _START.search(source, at)
        if opening is None:
            if at < len(source):
                found.append(Part("text", at, len(source)))
            return found
        if opening.start() > at:
            found.append(Part("text", at, opening.start()))
        part = _part(source, opening)
        found.append(part)
        at = part.end


def _part(source: str, opening: re.Match[str]) -> Part:
    start, inner = opening.span()
    match opening[1]:
        case "#":
            end = source.find("#}", inner)
            if end < 0:
                raise Unreadable("This comment is never closed: `#}` is missing.", start, len(source))
            return Part("comment", start, end + 2)
        case "%":
            raw = _RAW.match(source, inner)
            if raw is not None:
                ending = _END_RAW.search(source, raw.end())
                if ending is None:
                    raise Unreadable("This raw block is never closed: write {% endraw %}.", start, raw.end())
                return Part("raw", start, ending.end())
            tokens, inner_end, end = tokenize(source, inner, "%}")
            return Part("tag", start, end, (inner, inner_end), tokens)
        case _:
            tokens, inner_end, end = tokenize(source, inner, "}}")
            return Part("print", start, end, (inner, inner_end), tokens)

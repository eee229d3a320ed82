"""SQL text as statements. Knows strings, quoted names, comments, dollar quotes, brackets and the bodies of SQL
functions (`begin atomic ... end`), as psql does; nothing else of the grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*)|(?P<open>/\*)"""
    r"""|(?P<quoted>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)|'(?:[^']|'')*(?:'|\Z)|"(?:[^"]|"")*(?:"|\Z))"""
    r"""|(?P<dollar>\$(?:[^\W\d]\w*)?\$)|(?P<word>[^\W\d][\w$]*)|(?P<bracket>[()])|(?P<end>;)""",
    re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement without its semicolon. `line` is where it begins, counted from one."""

    text: str
    line: int

    def bare(self) -> str:
        """Without comments; a space is where one was."""
        bare, position = "", 0
        for kind, start, end in _tokens(self.text):
            if kind == "comment":
                bare += self.text[position:start] + " "
                position = end
        return (bare + self.text[position:]).strip()

    def plain(self) -> str:
        """Without comments, in one line, spaces made single, also in strings: to look at, not to run."""
        return re.sub(r"\s+", " ", self.bare())


class _Nesting:
    """How deep in brackets and bodies a place is: a semicolon in there ends no statement."""

    def __init__(self) -> None:
        self._brackets = self._blocks = 0
        self._last = ""

    def see(self, word: str) -> None:
        if word in "()":
            self._brackets = max(0, self._brackets + (1 if word == "(" else -1))
            return
        if (self._last, word) == ("begin", "atomic") or (self._blocks and word == "case"):
            self._blocks += 1
        elif self._blocks and word == "end":
            self._blocks -= 1
        self._last = word

    def __bool__(self) -> bool:
        return bool(self._brackets or self._blocks)


def statements(sql: str) -> Iterator[Statement]:
    """The statements of a script, in order. What is not closed (a string, a comment) reaches to the end."""
    begin, inside = 0, _Nesting()
    for kind, start, end in _tokens(sql):
        if kind == "comment" and not sql[begin:start].strip():
            begin = end  # it stands before the statement, not in it
        elif kind == "end" and not inside:
            yield from _statement(sql, begin, start)
            begin, inside = end, _Nesting()
        elif kind == "bracket" or (kind == "word" and sql[start - 1 : start] != "."):
            inside.see(sql[start:end].lower())
    yield from _statement(sql, begin, len(sql))


def _statement(sql: str, begin: int, end: int) -> Iterator[Statement]:
    text = sql[begin:end]
    if body := text.strip():
        yield Statement(body, sql.count("\n", 0, begin + text.index(body[0])) + 1)


def _tokens(sql: str) -> Iterator[tuple[str, int, int]]:
    """Comments, quoted text, words, brackets and semicolons, with where they begin and end."""
    position = 0
    while match := _TOKEN.search(sql, position):
        position = match.end()
        if match["open"]:
            position = _comment_end(sql, position)
            yield "comment", match.start(), position
        elif tag := match["dollar"]:
            found = sql.find(tag, position)
            position = len(sql) if found < 0 else found + len(tag)
            yield "quoted", match.start(), position
        else:
            yield match.lastgroup or "", match.start(), position


def _comment_end(sql: str, position: int) -> int:
    depth = 1
    while depth:
        match = _COMMENT_MARK.search(sql, position)
        if match is None:
            return len(sql)
        depth += 1 if match[0] == "/*" else -1
        position = match.end()
    return position

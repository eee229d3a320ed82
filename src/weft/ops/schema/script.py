"""SQL text as statements. Knows strings, quoted names, comments and dollar quotes; nothing of the grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*)|(?P<open>/\*)|(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")"""
    r"""|(?P<dollar>\$(?:[A-Za-z_]\w*)?\$)|(?P<end>;)"""
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement without its semicolon. `line` is where it begins, counted from one."""

    text: str
    line: int

    def plain(self) -> str:
        """Without comments, in one line, spaces made single."""
        bare, position = "", 0
        for kind, start, end in _tokens(self.text):
            if kind == "comment":
                bare += self.text[position:start] + " "
                position = end
        return re.sub(r"\s+", " ", bare + self.text[position:]).strip()


def statements(sql: str) -> Iterator[Statement]:
    """The statements of a script, in order. What is not closed (a string, a comment) reaches to the end."""
    begin = 0
    for kind, start, end in _tokens(sql):
        if kind == "comment" and not sql[begin:start].strip():
            begin = end  # it stands before the statement, not in it
        elif kind == "end":
            yield from _statement(sql, begin, start)
            begin = end
    yield from _statement(sql, begin, len(sql))


def _statement(sql: str, begin: int, end: int) -> Iterator[Statement]:
    text = sql[begin:end]
    if body := text.strip():
        yield Statement(body, sql.count("\n", 0, begin + text.index(body[0])) + 1)


def _tokens(sql: str) -> Iterator[tuple[str, int, int]]:
    """Comments, quoted text and semicolons, with where they begin and end."""
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

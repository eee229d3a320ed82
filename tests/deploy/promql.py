"""A parser for the PromQL that our files use: it knows the grammar, the functions and how many arguments they take."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

FUNCTIONS = {
    "rate": 1, "increase": 1, "histogram_quantile": 2, "time": 0, "absent": 1, "min_over_time": 1, "max_over_time": 1,
}  # fmt: skip
RANGED = {"rate", "increase", "min_over_time", "max_over_time"}
AGGREGATIONS = {"sum": 1, "max": 1, "min": 1, "avg": 1, "count": 1, "topk": 2}
_LEVELS = [{"or"}, {"and", "unless"}, {"==", "!=", "<", ">", "<=", ">="}, {"+", "-"}, {"*", "/", "%"}]
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:e\d+)?(?![a-z0-9_]))|(?P<duration>(?:\d+[smhdwy])+)|(?P<text>\"[^\"]*\")"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_:]*)|(?P<sign>=~|!~|==|!=|<=|>=|[-+*/%<>=(){}\[\],:]))"
)


@dataclass
class Query:
    """One expression; `metrics` are the series that it names, `labels` those that it tells apart or sums by."""

    text: str
    metrics: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)


def parse(text: str) -> Query:
    """Raises `ValueError` with the place of the first mistake."""
    query = Query(text)
    reader = _Reader(text, query)
    reader.binary(0)
    if reader.at < len(reader.tokens):
        raise ValueError(f"unexpected {reader.tokens[reader.at]!r} in {text}")
    return query


class _Reader:
    def __init__(self, text: str, query: Query) -> None:
        self.query = query
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(text.rstrip()):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"cannot read {text[place:]!r}")
            self.tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            place = match.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        found = self.peek()
        if not found or (wanted is not None and found != wanted):
            raise ValueError(f"expected {wanted or 'more'}, found {found!r} in {self.query.text}")
        self.at += 1
        return found

    def binary(self, level: int) -> bool:
        """Whether the expression is a range of values."""
        if level == len(_LEVELS):
            return self.unary()
        ranged = self.binary(level + 1)
        while self.peek() in _LEVELS[level]:
            self.take()
            if ranged or self.binary(level + 1):
                raise ValueError(f"a range of values cannot be compared or computed with in {self.query.text}")
        return ranged

    def unary(self) -> bool:
        kind, token = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        if token == "(":
            self.take()
            ranged = self.binary(0)
            self.take(")")
        elif kind == "number":
            self.take()
            return False
        elif kind == "name":
            ranged = self.named()
        else:
            raise ValueError(f"unexpected {token!r} in {self.query.text}")
        if self.peek() == "[":
            if ranged:
                raise ValueError(f"a range of a range in {self.query.text}")
            self.range()
            return True
        return ranged

    def named(self) -> bool:
        name = self.take()
        if name in AGGREGATIONS:
            self.grouping()
            self.arguments(name, AGGREGATIONS[name])
            self.grouping()
            return False
        if name in FUNCTIONS:
            self.arguments(name, FUNCTIONS[name])
            return False
        self.query.metrics.add(name)
        if self.peek() == "{":
            self.matchers()
        return False

    def grouping(self) -> None:
        if self.peek() in ("by", "without"):
            self.take()
            self.take("(")
            while self.peek() != ")":
                self.query.labels.add(self.take())
                if self.peek() == ",":
                    self.take()
            self.take(")")

    def arguments(self, name: str, count: int) -> None:
        self.take("(")
        for number in range(count):
            if number:
                self.take(",")
            if self.binary(0) != (name in RANGED):
                raise ValueError(f"{name} takes {'a range' if name in RANGED else 'one value'} in {self.query.text}")
        self.take(")")

    def matchers(self) -> None:
        self.take("{")
        while self.peek() != "}":
            self.query.labels.add(self.take())
            if self.take() not in ("=", "!=", "=~", "!~"):
                raise ValueError(f"a label is compared with =, !=, =~ or !~ in {self.query.text}")
            if self.tokens[self.at][0] != "text":
                raise ValueError(f"a label is compared with a text in {self.query.text}")
            self.take()
            if self.peek() == ",":
                self.take()
        self.take("}")

    def range(self) -> None:
        self.take("[")
        for separator in ("", ":"):
            if separator and self.peek() != separator:
                break
            if separator:
                self.take()
            if self.tokens[self.at][0] != "duration":
                raise ValueError(f"expected a duration, found {self.peek()!r} in {self.query.text}")
            self.take()
        self.take("]")

"""Structured conditions: `{field, operator, value}` and groups of them, judged without surprises.

A missing field is false, whatever is asked of it (`exists` and `is_empty` answer about exactly that); values of
different sorts are unequal and in no order; nothing raises. Each comparison is told to the trace, so that the log
can show why a branch was taken.

    {"field": "steps.score.output.risk", "operator": "greater_than", "value": 0.4}
    {"all": [...]}   {"any": [...]}   {"not": {...}}

A text stands for an expression. It is judged by whoever calls: expressions are bounded in time and memory elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from weft.core.errors import Issue
from weft.interpreter.comparison import MISSING, compare, is_empty, same

DEEPEST: Final = 32
"""Groups may contain one another this deep."""

LONGEST_PATTERN: Final = 1_000
"""Characters of a `matches` pattern."""

Lookup = Callable[[str], object]
"""The value of a field by its path, or `MISSING`."""

Matcher = Callable[[str, str], bool]
"""Does the text (second) match the pattern (first)? Tenants write patterns: it must be bounded in time, and answer
False for a pattern that is none."""

ORDERED: Final = ("greater_than", "greater_or_equal", "less_than", "less_or_equal")
OPERATORS: Final = (
    "equals",
    "not_equals",
    *ORDERED,
    "in",
    "not_in",
    "contains",
    "starts_with",
    "ends_with",
    "matches",
    "exists",
    "is_empty",
)
_TEXTUAL: Final = ("starts_with", "ends_with", "matches")
_ABOUT_PRESENCE: Final = ("exists", "is_empty")
_GROUPS: Final = ("all", "any", "not")


class Compared(TypedDict):
    """One line of the trace. `actual` is None when the field is `missing`. An expression has no operator."""

    field: str
    operator: str
    expected: object
    actual: object
    missing: bool
    result: bool


Trace = list[Compared]


# What a condition looks like


def check_condition(condition: object) -> list[Issue]:
    """Everything wrong with the shape of a condition; paths are relative to it. Empty when it can be judged."""
    return list(_check(condition, (), 1))


def condition_fields(condition: object) -> set[str]:
    """The fields it reads. Those inside expressions are not known here."""
    return {field for leaf in _leaves(condition, 1) if isinstance(field := leaf.get("field"), str)}


def condition_expressions(condition: object) -> set[str]:
    """The expressions that stand in it."""
    return {leaf["expression"] for leaf in _leaves(condition, 1) if "expression" in leaf}


def _leaves(condition: object, depth: int) -> Iterator[Mapping[str, Any]]:
    if isinstance(condition, str):
        yield {"expression": condition}
    elif isinstance(condition, Mapping) and depth <= DEEPEST:
        for group in ("all", "any"):
            members = condition.get(group)
            if isinstance(members, Sequence) and not isinstance(members, str):
                for member in members:
                    yield from _leaves(member, depth + 1)
        if "not" in condition:
            yield from _leaves(condition["not"], depth + 1)
        if "field" in condition:
            yield condition


def _check(condition: object, where: tuple[str | int, ...], depth: int) -> Iterator[Issue]:
    if isinstance(condition, str):
        if not condition.strip():
            yield Issue("This expression is empty; write a condition.", where, "condition_empty")
    elif not isinstance(condition, Mapping):
        yield Issue(
            "A condition is an object {field, operator, value}, a group {all: [...]}, {any: [...]} or {not: ...}, or "
            "an expression as text.",
            where,
            "condition_invalid",
        )
    elif depth > DEEPEST:
        yield Issue(
            f"The condition is nested more than {DEEPEST} deep; compute a part of it in a step before.",
            where,
            "condition_too_deep",
        )
    elif groups := [word for word in _GROUPS if word in condition]:
        yield from _check_group(condition, groups[0], where, depth)
    else:
        yield from _check_comparison(condition, where)


def _check_group(condition: Mapping[str, Any], group: str, where: tuple[str | int, ...], depth: int) -> Iterator[Issue]:
    if len(condition) > 1:
        others = ", ".join(f"'{word}'" for word in condition if word != group)
        yield Issue(f"'{group}' stands alone in its object; move {others} into a group.", where, "condition_mixed")
    members = condition[group]
    if group == "not":
        yield from _check(members, (*where, "not"), depth + 1)
    elif not isinstance(members, Sequence) or isinstance(members, str) or not members:
        yield Issue(f"'{group}' needs a list of at least one condition.", (*where, group), "condition_group_empty")
    else:
        for place, member in enumerate(members):
            yield from _check(member, (*where, group, place), depth + 1)


def _check_comparison(condition: Mapping[str, Any], where: tuple[str | int, ...]) -> Iterator[Issue]:
    field, operator = condition.get("field"), condition.get("operator")
    for word in condition:
        if word not in ("field", "operator", "value"):
            yield Issue(
                f"'{word}' means nothing in a condition; it has field, operator and value.",
                (*where, str(word)),
                "condition_word_unknown",
            )
    if not isinstance(field, str) or not field.strip():
        yield Issue(
            "A condition needs a field, such as 'input.amount' or 'steps.score.output.risk'.",
            (*where, "field"),
            "condition_field_missing",
        )
    if operator not in OPERATORS:
        yield Issue(
            f"'{operator}' is no operator; use one of {', '.join(OPERATORS)}.",
            (*where, "operator"),
            "condition_operator_unknown",
        )
    else:
        yield from _check_value(operator, condition, where)


def _check_value(operator: str, condition: Mapping[str, Any], where: tuple[str | int, ...]) -> Iterator[Issue]:
    spot = (*where, "value")
    value = condition.get("value")
    if operator in _ABOUT_PRESENCE:
        if value is not None and not isinstance(value, bool):
            yield Issue(f"'{operator}' takes true or false, or no value.", spot, "condition_value_invalid")
    elif "value" not in condition:
        yield Issue(f"'{operator}' needs a value to compare with.", spot, "condition_value_missing")
    elif isinstance(value, str) and "{{" in value:
        return  # computed when it is judged
    elif operator in ("in", "not_in"):
        if not isinstance(value, Sequence) or isinstance(value, str):
            yield Issue(f"'{operator}' needs a list of values.", spot, "condition_value_invalid")
    elif operator in _TEXTUAL and not isinstance(value, str):
        yield Issue(f"'{operator}' needs a text to compare with.", spot, "condition_value_invalid")
    elif operator == "matches" and isinstance(value, str) and len(value) > LONGEST_PATTERN:
        yield Issue(
            f"The pattern is longer than {LONGEST_PATTERN} characters; shorten it.", spot, "condition_value_invalid"
        )


# What a condition says


def evaluate(
    condition: object,
    lookup: Lookup,
    trace: Trace | None = None,
    *,
    matcher: Matcher,
    expression: Callable[[str], bool] | None = None,
) -> bool:
    """Does it hold? A malformed part is false, like a missing field.

    `all` and `any` stop at the first condition that decides; only what was judged is in the trace. Without
    `expression`, expressions are false.
    """
    return _Judge(lookup, trace, matcher, expression).holds(condition, 1)


class _Judge:
    def __init__(
        self, lookup: Lookup, trace: Trace | None, matcher: Matcher, expression: Callable[[str], bool] | None
    ) -> None:
        self._lookup = lookup
        self._trace = trace
        self._matcher = matcher
        self._expression = expression

    def holds(self, condition: object, depth: int) -> bool:
        if isinstance(condition, str):
            return self._expressed(condition)
        if not isinstance(condition, Mapping) or depth > DEEPEST:
            return False
        for group in ("all", "any"):
            if group in condition:
                members = condition[group]
                if not isinstance(members, Sequence) or isinstance(members, str) or not members:
                    return False
                judged = (self.holds(member, depth + 1) for member in members)
                return all(judged) if group == "all" else any(judged)
        if "not" in condition:
            return not self.holds(condition["not"], depth + 1)
        return self._compared(condition)

    def _expressed(self, text: str) -> bool:
        known = self._expression is not None
        result = self._expression(text) if self._expression is not None else False
        self._tell(text, "", True, result if known else None, missing=not known, result=result)
        return result

    def _compared(self, condition: Mapping[str, Any]) -> bool:
        field, operator, expected = condition.get("field"), condition.get("operator"), condition.get("value")
        if not isinstance(field, str) or not isinstance(operator, str):
            return False
        actual = self._lookup(field)
        missing = actual is MISSING
        if operator in _ABOUT_PRESENCE:
            fact = not missing if operator == "exists" else missing or is_empty(actual)
            result = fact is (expected is not False)
        else:
            result = not missing and self._judge(operator, actual, expected)
        self._tell(field, operator, expected, None if missing else actual, missing=missing, result=result)
        return result

    def _judge(self, operator: str, actual: object, expected: object) -> bool:
        match operator:
            case "equals":
                return same(actual, expected)
            case "not_equals":
                return not same(actual, expected)
            case "in" | "not_in":
                if not isinstance(expected, Sequence) or isinstance(expected, str | bytes):
                    return False
                return any(same(actual, member) for member in expected) is (operator == "in")
            case "contains":
                return _contains(actual, expected)
            case "starts_with" | "ends_with" | "matches":
                return self._textual(operator, actual, expected)
            case _:
                return _ordered(operator, actual, expected)

    def _textual(self, operator: str, actual: object, expected: object) -> bool:
        if not isinstance(actual, str) or not isinstance(expected, str):
            return False
        if operator == "matches":
            return self._matcher(expected, actual)
        return actual.startswith(expected) if operator == "starts_with" else actual.endswith(expected)

    def _tell(
        self, field: str, operator: str, expected: object, actual: object, *, missing: bool, result: bool
    ) -> None:
        if self._trace is not None:
            self._trace.append(
                Compared(
                    field=field, operator=operator, expected=expected, actual=actual, missing=missing, result=result
                )
            )


def _contains(actual: object, expected: object) -> bool:
    if isinstance(actual, str):
        return isinstance(expected, str) and expected in actual
    if isinstance(actual, Mapping):
        return isinstance(expected, str) and expected in actual
    return isinstance(actual, Sequence) and any(same(member, expected) for member in actual)


def _ordered(operator: str, actual: object, expected: object) -> bool:
    order: Literal[-1, 0, 1] | None = compare(actual, expected)
    if order is None:
        return False
    match operator:
        case "greater_than":
            return order > 0
        case "greater_or_equal":
            return order >= 0
        case "less_than":
            return order < 0
        case "less_or_equal":
            return order <= 0
        case _:
            return False

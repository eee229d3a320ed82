"""Structured conditions: every operator, every awkward value, and the trace that explains them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.interpreter.comparison import MISSING, compare, same
from weft.interpreter.conditions import (
    DEEPEST,
    OPERATORS,
    Trace,
    check_condition,
    condition_expressions,
    condition_fields,
    evaluate,
)


def matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


def holds(operator: str, actual: object, expected: object = None) -> bool:
    condition = {"field": "f", "operator": operator, "value": expected}
    return evaluate(condition, lambda _: actual, matcher=matches)


@pytest.mark.parametrize(
    ("operator", "actual", "expected", "result"),
    [
        ("equals", 1, 1.0, True),
        ("equals", 1, Decimal("1.00"), True),
        ("equals", 0.1, Decimal("0.1"), True),
        ("equals", 1, True, False),
        ("equals", True, 1, False),
        ("equals", True, True, True),
        ("equals", 1, "1", False),
        ("equals", "a", "a", True),
        ("equals", "a", "A", False),
        ("equals", None, None, True),
        ("equals", None, 0, False),
        ("equals", math.nan, math.nan, False),
        ("equals", [1, {"a": 2}], [1.0, {"a": 2}], True),
        ("equals", [1, True], [1, 1], False),
        ("equals", [1], [1, 2], False),
        ("equals", {"a": 1}, {"b": 1}, False),
        ("equals", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", True),
        ("equals", "20260101", "2026-01-01", False),
        ("not_equals", 1, 2, True),
        ("not_equals", 1, 1.0, False),
        ("not_equals", 1, "1", True),
        ("greater_than", 2, 1.5, True),
        ("greater_than", 1, 1, False),
        ("greater_or_equal", 1, 1, True),
        ("less_than", Decimal("0.1"), 0.2, True),
        ("less_or_equal", 10**30, 1e30, True),
        ("greater_than", "b", "a", True),
        ("greater_than", "10", 9, False),
        ("less_than", "10", 9, False),
        ("greater_than", True, False, False),
        ("greater_than", None, 0, False),
        ("less_than", None, 0, False),
        ("greater_than", math.nan, 0, False),
        ("less_or_equal", math.nan, 0, False),
        ("greater_than", math.inf, 10**400, True),
        ("less_than", "2026-01-01T00:30:00+01:00", "2026-01-01T00:00:00Z", True),
        ("less_than", "2026-01-01", "2026-01-02T00:00:00Z", True),
        ("greater_than", datetime(2026, 1, 2, tzinfo=UTC), "2026-01-01", True),
        ("equals", date(2026, 1, 1), "2026-01-01", True),
        ("greater_than", "2026-99-99", "2026-01-01", True),  # no date: compared as text
        ("in", 2, [1, 2.0], True),
        ("in", True, [1], False),
        ("in", "a", "abc", False),
        ("not_in", 3, [1, 2], True),
        ("not_in", 1, [1, 2], False),
        ("not_in", 1, "abc", False),
        ("contains", "invoice", "voi", True),
        ("contains", "12", 1, False),
        ("contains", [1, 2], 2.0, True),
        ("contains", {"a": 1}, "a", True),
        ("contains", 12, 1, False),
        ("starts_with", "invoice", "inv", True),
        ("starts_with", 12, "1", False),
        ("ends_with", "invoice", "ice", True),
        ("ends_with", "invoice", 1, False),
        ("matches", "INV-123", r"^INV-\d+$", True),
        ("matches", 123, r"\d+", False),
        ("exists", None, None, True),
        ("exists", 0, True, True),
        ("exists", 0, False, False),
        ("is_empty", None, None, True),
        ("is_empty", "  ", None, True),
        ("is_empty", [], None, True),
        ("is_empty", {}, True, True),
        ("is_empty", 0, None, False),
        ("is_empty", False, None, False),
        ("is_empty", "x", False, True),
        ("no_such_operator", 1, 1, False),
    ],
)
def test_operators(operator: str, actual: object, expected: object, result: bool) -> None:
    assert holds(operator, actual, expected) is result


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_missing_field_is_false_whatever_is_asked_of_it(operator: str) -> None:
    asked_about_presence = operator == "is_empty"
    assert holds(operator, MISSING, [1] if operator in ("in", "not_in") else "x") is asked_about_presence


def test_absence_can_be_asked_for() -> None:
    assert holds("exists", MISSING, False)
    assert not holds("exists", MISSING, True)
    assert holds("is_empty", MISSING, True)
    assert not holds("is_empty", MISSING, False)


FIELDS: Mapping[str, object] = {"a": 1, "b": 2}


def say(condition: object, trace: Trace | None = None) -> bool:
    return evaluate(condition, lambda field: FIELDS.get(field, MISSING), trace, matcher=matches)


A, B, NO = (
    {"field": "a", "operator": "equals", "value": 1},
    {"field": "b", "operator": "greater_than", "value": 1},
    {"field": "c", "operator": "equals", "value": 1},
)


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        ({"all": [A, B]}, True),
        ({"all": [A, NO]}, False),
        ({"any": [NO, B]}, True),
        ({"any": [NO, NO]}, False),
        ({"not": NO}, True),
        ({"not": {"all": [A, {"not": {"any": [NO]}}]}}, False),
        ({"all": []}, False),
        ({"any": []}, False),
        ({"all": "a"}, False),
        ({}, False),
        (None, False),
        (17, False),
        ({"field": 3, "operator": "equals", "value": 1}, False),
        ({"field": "a", "operator": [], "value": 1}, False),
    ],
)
def test_groups(condition: object, result: bool) -> None:
    assert say(condition) is result


def test_the_trace_shows_what_was_compared() -> None:
    trace: Trace = []
    assert not say({"all": [A, NO, B]}, trace)
    assert trace == [
        {"field": "a", "operator": "equals", "expected": 1, "actual": 1, "missing": False, "result": True},
        {"field": "c", "operator": "equals", "expected": 1, "actual": None, "missing": True, "result": False},
    ]


def test_expressions_are_judged_by_the_caller() -> None:
    trace: Trace = []
    condition = {"any": ["input.a > 1", "input.a > 2"]}
    assert evaluate(condition, lambda _: MISSING, trace, matcher=matches, expression=lambda text: text == "input.a > 2")
    assert [(line["field"], line["result"]) for line in trace] == [("input.a > 1", False), ("input.a > 2", True)]
    assert not say("input.a > 2")


def nested(depth: int) -> Any:
    condition: Any = A
    for _ in range(depth):
        condition = {"all": [condition]}
    return condition


@pytest.mark.parametrize(("depth", "fits"), [(DEEPEST - 1, True), (DEEPEST, False), (100_000, False)])
def test_what_is_nested_too_deep_is_refused_and_false(depth: int, fits: bool) -> None:
    condition = nested(depth)
    assert say(condition) is fits
    assert [issue.code for issue in check_condition(condition)] == ([] if fits else ["condition_too_deep"])
    assert condition_fields(condition) == ({"a"} if fits else set())


@pytest.mark.parametrize(
    ("condition", "code", "path"),
    [
        (None, "condition_invalid", ()),
        (3, "condition_invalid", ()),
        (" ", "condition_empty", ()),
        ({"all": []}, "condition_group_empty", ("all",)),
        ({"any": A}, "condition_group_empty", ("any",)),
        ({"all": [A, {"any": []}]}, "condition_group_empty", ("all", 1, "any")),
        ({"not": None}, "condition_invalid", ("not",)),
        ({"all": [A], "any": [B]}, "condition_mixed", ()),
        ({"operator": "equals", "value": 1}, "condition_field_missing", ("field",)),
        ({"field": "", "operator": "exists"}, "condition_field_missing", ("field",)),
        ({"field": "a", "operator": "is", "value": 1}, "condition_operator_unknown", ("operator",)),
        ({"field": "a", "operator": "equals"}, "condition_value_missing", ("value",)),
        ({"field": "a", "operator": "in", "value": "abc"}, "condition_value_invalid", ("value",)),
        ({"field": "a", "operator": "starts_with", "value": 1}, "condition_value_invalid", ("value",)),
        ({"field": "a", "operator": "matches", "value": "x" * 1001}, "condition_value_invalid", ("value",)),
        ({"field": "a", "operator": "exists", "value": "yes"}, "condition_value_invalid", ("value",)),
        ({**A, "negate": True}, "condition_word_unknown", ("negate",)),
    ],
)
def test_a_malformed_condition_is_refused_with_its_place(
    condition: object, code: str, path: tuple[str | int, ...]
) -> None:
    (issue,) = check_condition(condition)
    assert (issue.code, issue.path) == (code, path)


@pytest.mark.parametrize(
    "condition",
    [
        A,
        {"all": [A, "input.x > 1"]},
        {"not": {"any": [A, B]}},
        {"field": "a", "operator": "exists"},
        {"field": "a", "operator": "is_empty", "value": False},
        {"field": "a", "operator": "equals", "value": None},
        {"field": "a", "operator": "in", "value": "{{ input.choices }}"},
    ],
)
def test_a_proper_condition_has_no_issues(condition: object) -> None:
    assert check_condition(condition) == []


def test_the_fields_and_expressions_of_a_condition_are_known() -> None:
    condition = {"all": [A, {"not": {"any": [B, "input.x > 1"]}}]}
    assert condition_fields(condition) == {"a", "b"}
    assert condition_expressions(condition) == {"input.x > 1"}
    assert condition_fields("input.x") == set()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(max_size=6)
    | st.datetimes().map(lambda moment: moment.isoformat())
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
    | st.datetimes(timezones=st.timezones()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
comparisons = st.builds(
    lambda operator, value: {"field": "f", "operator": operator, "value": value},
    st.sampled_from(OPERATORS),
    json_values,
)
anything = st.recursive(
    json_values | comparisons,
    lambda inner: (
        st.fixed_dictionaries({"all": st.lists(inner, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, max_size=3)})
        | st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=5,
)


@given(anything, json_values)
def test_judging_and_checking_never_raise(condition: object, actual: object) -> None:
    trace: Trace = []
    result = evaluate(condition, lambda _: actual, trace, matcher=lambda _, __: True)
    assert result in (True, False)
    check_condition(condition)
    assert condition_fields(condition) <= {"f"}


@given(json_values, json_values)
def test_sameness_and_order_agree_in_both_directions(left: object, right: object) -> None:
    assert same(left, right) is same(right, left)
    order, reverse = compare(left, right), compare(right, left)
    assert (order is None) is (reverse is None)
    if order is not None and reverse is not None:
        assert order == -reverse
        assert same(left, right) is (order == 0)

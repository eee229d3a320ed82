"""Finding fields and cutting out what is needed."""

from __future__ import annotations

from typing import Any

import pytest

from weft.expressions.context import MISSING, follow, lookup, project

DATA: dict[str, Any] = {
    "input": {"a": None, "lines": [{"price": 1}, {"price": 2}], "0": "zero", "text": "abc", "b": {"c": {"d": 5}}},
    "steps": {"x": {"output": 1}, "y": {"output": 2}},
    "now": "today",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("input.a", None),
        ("input.b.c.d", 5),
        ("input.lines.1.price", 2),
        ("input.lines.2.price", MISSING),
        ("input.lines.-1", MISSING),
        ("input.lines.x", MISSING),
        ("input.lines.99999999999999999999", MISSING),
        ("input.lines.²", MISSING),
        ("input.0", "zero"),
        ("input.a.b", MISSING),
        ("input.text.0", MISSING),
        ("input.items", MISSING),
        ("nothing", MISSING),
        ("", MISSING),
        ("now", "today"),
    ],
)
def test_lookup(path: str, expected: Any) -> None:
    assert lookup(DATA, path) is expected or lookup(DATA, path) == expected


def test_missing_is_not_none_and_is_false() -> None:
    assert not MISSING
    assert MISSING is not None
    assert repr(MISSING) == "MISSING"


def test_follow_tells_how_far_it_came() -> None:
    assert follow(DATA, ("input", "b", "c", "d")) == (5, 4)
    assert follow(DATA, ("input", "b", "x", "d")) == (MISSING, 2)
    assert follow(DATA, ("input", 0)) == (MISSING, 1)
    assert follow(DATA, ("input", "text", 1)) == ("b", 3)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["input.b.c"], {"input": {"b": {"c": {"d": 5}}}}),
        (["input.b", "input.b.c.d"], {"input": {"b": {"c": {"d": 5}}}}),
        (["input.b.c.d", "steps.y.output"], {"input": {"b": {"c": {"d": 5}}}, "steps": {"y": {"output": 2}}}),
        (["input.lines.price"], {"input": {"lines": DATA["input"]["lines"]}}),
        (["input.missing.deep", "vars.x"], {"input": {}}),
        (["input.a"], {"input": {"a": None}}),
        (["input.a.b"], {"input": {"a": None}}),
        (["steps"], {"steps": DATA["steps"]}),
        ([], {}),
    ],
)
def test_project_takes_what_the_paths_reach_and_nothing_else(paths: list[str], expected: dict[str, Any]) -> None:
    assert project(DATA, paths) == expected
    assert project(DATA, reversed(paths)) == expected

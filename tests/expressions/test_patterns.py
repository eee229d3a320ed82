"""Patterns of tenants are decided in bounded time, or not at all."""

from __future__ import annotations

import time

import pytest

from weft.expressions.context import check_pattern, safe_matches
from weft.expressions.errors import PatternFailed


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^INV-[0-9]{4}$", "INV-2026", True),
        ("^INV-[0-9]{4}$", "INV-2026x", False),
        ("[0-9]+", "room 12", True),
        ("(?i)urgent", "very URGENT", True),
        (r"^(?=.*\d)(?=.*[a-z]).{8,}$", "abcdefg1", True),
        (r"(\w+) \1", "go go", True),
        (r"^\p{Lu}", "Éclair", True),
        ("", "", True),
    ],
)
def test_matching(pattern: str, text: str, expected: bool) -> None:
    assert safe_matches(pattern, text) is expected
    assert check_pattern(pattern) is None


@pytest.mark.parametrize("pattern", ["(", "[a-", "(a{1000}){1000}", "(?=(a{1000}){1000})b", "(?<x", "x" * 1001, "\\"])
def test_bad_patterns_are_refused_with_a_sentence(pattern: str) -> None:
    issue = check_pattern(pattern, ("when", "value"))
    assert issue is not None
    assert issue.path == ("when", "value")
    assert issue.code == "pattern_invalid"
    with pytest.raises(PatternFailed) as caught:
        safe_matches(pattern, "x")
    assert caught.value.message == issue.message


def fraction_of_a_second(pattern: str, text: str) -> bool:
    started = time.thread_time()  # of ours alone: what else the machine does takes no part
    try:
        return safe_matches(pattern, text)
    finally:
        assert time.thread_time() - started < 0.7


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 16_000 + "b"),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 16_000),
        (r"^(a|a?)+$", "a" * 16_000 + "b"),
        ("(x+x+)+y", "x" * 16_000),
        (r"(a|b|c|\w+|\d*){250}z", "a b1" * 4_000),
        (r"(\w*\s*){130}z", "a b1" * 4_000),
        (r"(.*a){100}z", "a" * 16_000),
        (r"(?<!a{900})z", "a" * 2_000),
        (r"(?:\b(?=\w)){900}z", "a b1" * 500),
    ],
)
def test_patterns_that_explode_elsewhere_take_no_time(pattern: str, text: str) -> None:
    assert fraction_of_a_second(pattern, text) is False


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a|aa)+\1$", "a" * 300 + "b"),
        (r"(?:(x+)x+)+y\1", "x" * 200),
        (r"(.*)(.*)(.*)(.*)x\1", "a" * 2_000),
        (r"((?=.*a.*z)a|(?=.*a)a)*z", "a" * 2_000),
        (r"(?:(?=.*z)a|.)*z", "a" * 2_000),
    ],
)
def test_a_match_that_cannot_be_decided_is_an_error_and_not_false(pattern: str, text: str) -> None:
    with pytest.raises(PatternFailed, match="too many steps"):
        fraction_of_a_second(pattern, text)


def test_repetition_that_costs_seconds_is_refused() -> None:
    """It compiles to a megabyte, and took eight seconds on 64 KB of text."""
    assert check_pattern(r"(a|b|c|\w+|\d*){1000}z") is not None


def test_texts_are_capped() -> None:
    assert safe_matches("b$", "a" * 16_383 + "b")
    with pytest.raises(PatternFailed, match="16,384"):
        safe_matches("b$", "a" * 16_384 + "b")
    assert safe_matches("a(?=b)", "a" * 2_047 + "b")
    with pytest.raises(PatternFailed, match="2,048"):
        safe_matches("a(?=b)", "a" * 2_048 + "b")
    with pytest.raises(PatternFailed, match="half a character"):
        safe_matches("b", "\ud800b")

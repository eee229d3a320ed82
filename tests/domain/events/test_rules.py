"""Words for types of events."""

from __future__ import annotations

import pytest

from weft.domain.events import rules


@pytest.mark.parametrize("word", ["a", "order.paid", "Order.Paid-2.x_y", "a" * 100])
def test_types_are_words_with_dots_between_them(word: str) -> None:
    assert rules.is_type(word)


@pytest.mark.parametrize("word", ["", ".a", "a.", "a..b", "1a", "a b", "a/b", "ä", "a" * 101, "a\n"])
def test_other_texts_are_none(word: str) -> None:
    assert not rules.is_type(word)


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ("order.paid", None),
        (["workflow.completed", "question.answered"], None),
        ([], "Name the type"),
        (None, "Name the type"),
        ([1], "Name the type"),
        (["a"] * 21, "At most 20"),
        ("not a type", "is no type of event"),
        ("workflow.started", "weft tells of no"),
    ],
)
def test_what_can_be_listened_to(types: object, words: str | None) -> None:
    fault = rules.unlike(types)
    assert fault is None if words is None else words in (fault or "")

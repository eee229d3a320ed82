"""Documents as values: what is accepted, when two are the same, and how they are written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from tests.factories import workflows as make

from weft.domain.workflows import document as documents
from weft.domain.workflows.building import MAX_DEPTH, MAX_NODES
from weft.domain.workflows.errors import DocumentUnreadable
from weft.domain.workflows.parsing import Format, parse

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(
        ["on", "null", "1e3", "2026-01-01", "- x", "a: b", "# no", " lead", "two\nlines\n", "\ttab", "<<"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
keys = st.from_regex(r"\A[a-z][a-z0-9_]{0,5}\Z")
steps = st.lists(
    st.fixed_dictionaries({"key": keys, "type": st.just("note"), "config": st.dictionaries(texts, values, max_size=3)}),
    min_size=1,
    max_size=4,
)
definitions = st.fixed_dictionaries(
    {"name": texts, "steps": steps},
    optional={"description": texts, "input": values, "output": values, "zzz": values},
)


@given(definitions, st.sampled_from(["yaml", "json"]))
def test_what_is_written_is_read_back_exactly(definition: dict[str, Any], format: Format) -> None:  # noqa: A002  the word of the API
    accepted = documents.accept(definition)
    text = documents.write(accepted, format)
    again = documents.accept(parse(text, format).document)
    assert again == accepted
    assert documents.content_hash(again) == documents.content_hash(accepted)
    assert documents.write(again, format) == text


@given(definitions)
def test_the_order_of_keys_does_not_count(definition: dict[str, Any]) -> None:
    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reversed_keys(value[name]) for name in reversed(value)}
        return [reversed_keys(part) for part in value] if isinstance(value, list) else value

    accepted = documents.accept(definition)
    turned = documents.accept(reversed_keys(definition))
    assert documents.content_hash(turned) == documents.content_hash(accepted)
    assert documents.write(turned) == documents.write(accepted)


def test_whole_floats_are_integers() -> None:
    assert documents.canonical(documents.accept({"a": 2.0, "b": -0.0, "c": 0.5})) == '{"a":2,"b":0,"c":0.5}'


def test_the_hash_is_known() -> None:
    """Stored hashes must be found again by later releases."""
    document = documents.accept(make.definition(name="Grüße"))
    assert documents.content_hash(document) == snapshot(
        "400f8138dbab520e99938e53daf622f6a718a281b65b40401733b7cbc3ed56fe"
    )


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ()),
        ("text", ()),
        ({"a": float("nan")}, ("a",)),
        ({"a": [1, float("inf")]}, ("a", 1)),
        ({"a": "x\0"}, ("a",)),
        ({"a": {"\ud800": 1}}, ("a",)),
        ({"a": {1: 2}}, ("a",)),
        ({"a": b"bytes"}, ("a",)),
        ({"a": 10**400}, ("a",)),
    ],
)
def test_what_json_cannot_hold_is_refused(document: object, path: tuple[str | int, ...]) -> None:
    with pytest.raises(DocumentUnreadable) as caught:
        documents.accept(document)
    assert caught.value.issues[0].path == path


def test_limits() -> None:
    deep: Any = []
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    for document, words in (
        ({"a": deep}, "nested deeper"),
        ({"a": [0] * (MAX_NODES + 1)}, "values"),
        ({"a": ["x" * 1000] * 1001}, "bytes"),
    ):
        with pytest.raises(DocumentUnreadable, match=words):
            documents.accept(document)


NESTED = make.definition(
    steps=[
        make.step("first"),
        make.step(
            "lines",
            "for_each",
            config={
                "items": "input.lines",
                "body": {
                    "steps": [
                        make.step("price"),
                        make.step(
                            "parts",
                            "for_each",
                            config={"items": "item.parts", "body": {"steps": [make.step("count")]}},
                        ),
                    ],
                    "transitions": make.chain("price", "parts"),
                },
            },
        ),
    ]
)


def test_steps_of_bodies_are_found_by_their_path() -> None:
    found = {placed.path: placed for placed in documents.each_step(NESTED)}
    assert list(found) == ["first", "lines", "lines.price", "lines.parts", "lines.parts.count"]
    at = found["lines.parts.count"].at
    value: Any = NESTED
    for part in at:
        value = value[part]
    assert value["key"] == "count"
    arrows = [(arrow.end("from"), arrow.end("to")) for arrow in documents.each_transition(NESTED)]
    assert arrows == [("first", "lines"), ("lines.price", "lines.parts")]


@pytest.mark.parametrize(
    "draft",
    [{}, {"steps": None}, {"steps": [1, None, {"key": 3}]}, {"steps": {}}, {"steps": "abc", "transitions": [[]]}],
)
def test_walking_tolerates_half_drawn_documents(draft: dict[str, Any]) -> None:
    assert all(isinstance(placed.path, str) for placed in documents.each_step(draft))
    assert not list(documents.each_transition(draft))
    assert parse(documents.write(draft)).document == draft


def test_written_order() -> None:
    document = {
        "transitions": [{"to": "b", "from": "a", "when": {"value": 1, "field": "input.x", "operator": "equals"}}],
        "steps": [{"type": "note", "config": {"b": "one\ntwo\n", "a": "on"}, "key": "a"}, {"key": "b", "type": "end"}],
        "tags": ["x"],
        "name": "order",
    }
    assert documents.write(document) == snapshot("""\
name: order
tags:
- x
steps:
- key: a
  type: note
  config:
    a: 'on'
    b: |
      one
      two
- key: b
  type: end
transitions:
- from: a
  to: b
  when:
    field: input.x
    operator: equals
    value: 1
""")

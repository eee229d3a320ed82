"""Text to document: what is read, what is refused, and on which line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.domain.workflows import parsing
from weft.domain.workflows.building import MAX_ALIASES, MAX_DEPTH, MAX_NODES
from weft.domain.workflows.errors import DocumentUnreadable
from weft.domain.workflows.parsing import MAX_BYTES, Format, parse

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


def refused(text: str | bytes, format: Format | None = None) -> DocumentUnreadable:  # noqa: A002  the word of the API
    with pytest.raises(DocumentUnreadable) as caught:
        parse(text, format)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: on", "on"),  # YAML 1.1 would say true
        ("a: yes", "yes"),
        ("a: true", True),
        ("a: False", False),
        ("a: null", None),
        ("a: ~", None),
        ("a:", None),
        ("a: ''", ""),
        ("a: 12", 12),
        ("a: -3", -3),
        ("a: 0o17", 15),
        ("a: 0x1F", 31),
        ("a: 012", 12),
        ("a: 1.5", 1.5),
        ("a: 1e3", 1000.0),
        ("a: .5", 0.5),
        ("a: '12'", "12"),
        ("a: 12:30", "12:30"),  # YAML 1.1 would say 750
        ("a: 2026-11-21", "2026-11-21"),  # YAML 1.1 would say a date
        ("a: 1_000", "1_000"),
        ("a: !!str 12", "12"),
        ("a: !!float 12", 12.0),
        ("a: |\n  two\n  lines\n", "two\nlines\n"),
        ("a: {b: [1, {c: 2}]}", {"b": [1, {"c": 2}]}),
        ("a: [on, off]", ["on", "off"]),
    ],
)
def test_yaml_means_what_it_says(text: str, value: object) -> None:
    assert parse(text).document == {"a": value}
    assert type(parse(text).document["a"]) is type(value)


def test_keys_that_look_like_words_of_yaml_stay_text() -> None:
    assert parse("retry: {on: [timeout], 1: x, null: y}").document == {
        "retry": {"on": ["timeout"], "1": "x", "null": "y"}
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "given twice; the first one is on line 1"),
        ("steps:\n  - {key: a,\n     key: b}\n", 3, "'key' is given twice"),
        ('{"a": 1,\n "b": {"c": 1,\n "c": 2}}', 3, "'c' is given twice"),
        ("a: [1, 2\nb: 3\n", 2, "not YAML"),
        ("a: b: c\n", 1, "not YAML"),
        ("\ta: 1\n", 1, "not YAML"),
        ('{"a": 1,}', 1, "not JSON"),
        ('{"a": \n nul}', 2, "not JSON"),
        ("- a\n- b\n", 1, "a list"),
        ("just text", 1, "text"),
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("3", 1, "a number"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: !!python/object:os.system x\n", 1, "tag"),
        ("a: !mine x\n", 1, "tag"),
        ("a: !!int text\n", 1, "does not fit"),
        ("a: .inf\n", 1, "not a number that JSON can hold"),
        ("a: .nan\n", 1, "not a number that JSON can hold"),
        ("a: 1e999\n", 1, "not a number that JSON can hold"),
        ("a: *nowhere\n", 1, "alias"),
        ("a: &x [1, *x]\n", 1, "alias"),
        ("? [a]\n: 1\n", 1, "key must be text"),
        ("&k a: 1\nb: *k\n", 1, "anchor cannot stand on a key"),
        ('a: "\\0"\n', 1, "cannot be stored"),
        ('a: "\\uD800"\n', 1, ""),
        ("a: {<<: 3}\n", 1, "merges objects only"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    error = refused(text)
    assert words in error.message
    assert error.line == line


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 500])
def test_json_that_is_no_json_is_refused(word: str) -> None:
    assert "JSON" in refused(f'{{"a": {word}}}', "json").message


@pytest.mark.parametrize("text", ['{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"\\u0000": 1}'])
def test_json_text_that_cannot_be_stored_is_refused(text: str) -> None:
    assert "cannot be stored" in refused(text, "json").message


def test_an_alias_bomb_ends_at_the_node_limit() -> None:
    error = refused(BOMB)
    assert "once its aliases are followed" in error.message
    assert error.line is not None
    assert error.line <= 6  # long before its last line


def test_aliases_are_counted() -> None:
    text = "a: &a 1\nb: [" + ", ".join(["*a"] * (MAX_ALIASES + 1)) + "]\n"
    assert "aliases" in refused(text).message
    assert len(parse(text.replace("*a, ", "", 1)).document["b"]) == MAX_ALIASES


def test_an_alias_gives_a_value_of_its_own() -> None:
    document = parse("a: &a {x: [1]}\nb: *a\n").document
    document["a"]["x"].append(2)
    assert document["b"] == {"x": [1]}


def test_merge_keys_fill_in_what_is_missing() -> None:
    text = "base: &base {attempts: 3, jitter: true}\nretry: {<<: *base, attempts: 5}\nboth: {<<: [*base, {x: 1}]}\n"
    document = parse(text).document
    assert document["retry"] == {"attempts": 5, "jitter": True}
    assert document["both"] == {"attempts": 3, "jitter": True, "x": 1}


def test_in_json_a_merge_key_is_a_key_like_any_other() -> None:
    assert parse('{"<<": {"a": 1}}').document == {"<<": {"a": 1}}
    assert parse("'<<': {a: 1}").document == {"<<": {"a": 1}}


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_nesting_is_limited(format: Format) -> None:  # noqa: A002  the word of the API
    def nested(depth: int) -> str:
        return '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"

    assert parse(nested(MAX_DEPTH), format).format == format
    assert "nested deeper" in refused(nested(MAX_DEPTH + 1), format).message
    assert "nested deeper" in refused(nested(100_000), format).message


def test_size_is_limited() -> None:
    assert f"{MAX_BYTES:,}" in refused("a: " + "x" * MAX_BYTES).message
    assert "values" in refused("a: [" + "1," * (MAX_NODES + 1) + "]").message


def test_bytes_must_be_utf8() -> None:
    assert parse("name: Grüße".encode()).document == {"name": "Grüße"}
    assert parse(b"\xef\xbb\xbfname: x").document == {"name": "x"}
    assert refused(b"a: 1\nb: \xff\n").line == 2


def test_format_is_found_by_the_first_character() -> None:
    assert parse('  {"a": 1}').format == "json"
    assert parse("{a: 1}", "yaml").format == "yaml"
    assert parse("a: 1").format == "yaml"


TEXT = """\
name: x
steps:
  - key: a
    config:
      text: hello
  - {key: b,
     type: note}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 1),
        (("steps",), 2),
        (("steps", 0), 3),
        (("steps", 0, "config", "text"), 5),
        (("steps", 1, "type"), 7),
        (("steps", 0, "config", "missing"), 4),
        (("steps", 9), 2),
        (("nowhere", 1, 2), 1),
    ],
)
def test_lines_of_parts(path: tuple[str | int, ...], line: int) -> None:
    assert parse(TEXT).line(path) == line
    as_json = json.dumps(parse(TEXT).document, indent=1)
    found = parse(as_json).line(path)
    assert found is not None
    if path[-1] in ("name", "text", "type"):
        assert f'"{path[-1]}"' in as_json.splitlines()[found - 1]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<\"'\\: é", max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["name", "on", "x y"]), json_values, max_size=3), st.sampled_from([None, 2]))
def test_json_is_read_as_the_standard_library_reads_it(document: dict[str, Any], indent: int | None) -> None:
    for ascii_only in (True, False):
        text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
        assert parse(text, "json").document == json.loads(text)


def test_the_fast_reader_is_in_use() -> None:
    """Without libyaml a file of 60 KB takes half a second."""
    assert "CSafeLoader" in parsing._Loader.__name__

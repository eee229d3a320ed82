"""What may be saved, what is refused, and where the complaint points."""

from __future__ import annotations

from typing import Any

import pytest

from weft.core.errors import Kind
from weft.expressions import compile as compiling
from weft.expressions.compile import (
    Compiled,
    Expression,
    Literal,
    Refused,
    Template,
    Tree,
    check_value,
    compile_condition,
    compile_expression,
    compile_template,
    compile_value,
)
from weft.expressions.errors import ExpressionInvalid
from weft.expressions.evaluate import evaluate_simple


def refusal(source: str) -> tuple[str, str]:
    """The sentence, and the part of the source that it points at."""
    with pytest.raises(ExpressionInvalid) as caught:
        compile_expression(source)
    (issue,) = caught.value.issues
    assert issue.code == caught.value.code == "expression_invalid"
    assert caught.value.kind is Kind.invalid
    return issue.message, source[issue.extra["start"] : issue.extra["end"]]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("plain text", Literal),
        (5, Literal),
        (None, Literal),
        ("{# not ours #}", Literal),
        ("{ {", Literal),
        ("{{ input.amount }}", Expression),
        ("{{- input.amount -}}", Expression),
        ("{{ input.amount }}\n", Expression),
        ("{{ {'a': {'b': 1}} }}", Expression),
        ("{{ '}}' }}", Expression),
        ("{{ input.amount }} ", Template),
        (" {{ input.amount }}", Template),
        ("{{ a }}{{ b }}", Template),
        ("{{ a }}{# comment #}", Template),
        ("{% if input.paid %}x{% endif %}", Template),
        ("{% raw %}{{ x }}{% endraw %}", Template),
        ({"a": 1, "b": ["x"]}, Literal),
        ({"a": ["{{ input.amount }}"]}, Tree),
    ],
)
def test_a_string_is_literal_expression_or_template(value: Any, kind: type[Compiled]) -> None:
    assert type(compile_value(value)) is kind


def test_a_tree_tells_what_its_leaves_tell() -> None:
    tree = compile_value(
        {
            "to": "{{ input.email }}",
            "deep": [{"text": "Dear {{ input.name }}"}, "{{ steps.a.output | sort }}"],
            "{{ keys }}": "stay as they are",
        }
    )
    assert not tree.is_literal
    assert not tree.is_simple
    assert tree.paths == {"input.email", "input.name", "steps.a.output"}
    assert tree.issues == ()
    assert [leaf.source.strip() for leaf in tree.leaves()] == [
        "input.email",
        "Dear {{ input.name }}",
        "steps.a.output | sort",
    ]


def test_every_issue_of_a_tree_is_found_at_once() -> None:
    value = {"url": "{{ input.| }}", "ok": "{{ input.a }}", "list": [1, "x {{ b | uper }}"]}
    with pytest.raises(ExpressionInvalid) as caught:
        compile_value(value, ("steps", 3, "config"))
    assert [issue.path for issue in caught.value.issues] == [
        ("steps", 3, "config", "url"),
        ("steps", 3, "config", "list", 1),
    ]
    assert "Did you mean `upper`?" in caught.value.issues[1].message
    assert check_value(value, ("steps", 3, "config")) == caught.value.issues
    assert check_value("{{ input.a }}") == ()


def test_a_refused_value_cannot_be_evaluated() -> None:
    refused = compile_value({"a": "{{ 1 + }}", "b": "{{ input.b }}"}, refuse=False)
    assert isinstance(refused, Refused)
    assert refused.paths == {"input.b"}
    assert not refused.is_simple
    with pytest.raises(ExpressionInvalid):
        evaluate_simple(refused, {})


def test_configuration_nests_only_so_deep() -> None:
    value: Any = "{{ input.a }}"
    for _ in range(100):
        value = [value]
    (issue,) = check_value(value)
    assert "64 levels" in issue.message


@pytest.mark.parametrize(
    ("source", "sentence", "pointed"),
    [
        ("input.name | uppr", "There is no filter `uppr`. Did you mean `upper`?", "uppr"),
        ("input.name | toUpperCase", "There is no filter `toUpperCase`. Did you mean `upper`?", "toUpperCase"),
        ("input.name | xyzzy", "There is no filter `xyzzy`. The reference lists every filter.", "xyzzy"),
        ("input.lines | first.price", "`(value | first).price`", "first.price"),
        ("input.x is defind", "There is no test `defind`. Did you mean `defined`?", "defind"),
        ("input.x is not sting", "There is no test `sting`. Did you mean `string`?", "sting"),
        ("length(input.lines)", "`length` is a filter: write `value | length`.", "length"),
        ("rang(3)", "There is no function `rang`. Did you mean `range`?", "rang"),
        ("now()", "`now` is a value: write `now` without brackets.", "now"),
        ("debug()", "There is no function `debug`.", "debug"),
        ("cycler('a')", "There is no function `cycler`.", "cycler"),
        ("range", "`range` is a function: call it.", "range"),
        ("null == input.a", "Write `none` instead of `null`.", "null"),
        ("a && b", "Write `and` instead of `&&`.", "&"),
        ("a || b", "Write `or` instead of `||`.", "||"),
        ("!a", "Write `not` instead of `!`.", "!"),
        ("a ? b : c", "Write `a if condition else b`", "?"),
        ("$input.a", "Names have no `$` here", "$"),
        ("1. + 2", "Write a digit after the point", "1."),
        ("12abc", "letters follow without an operator", "12a"),
        ("'abc", "a quote is missing", "'abc"),
        ("(1 + 2", "`(` is never closed.", "("),
        ("1 + 2)", "`)` closes nothing.", ")"),
        ("[1, 2}", "`}` closes nothing.", "}"),
        ("1 +", "This cannot be read", "+"),
        ("a b", "This cannot be read", "b"),
        ("", "There is no expression here.", ""),
        ("items", "There is nothing called `items` here.", "items"),
        ("clear", "There is nothing called `clear` here.", "clear"),
        ("self", "There is nothing called `self` here.", "self"),
        ("'ab' * 3", "`*` multiplies numbers", "'ab'"),
        ("3 * [0]", "`*` multiplies numbers", "]"),
        ("3 * {}", "`*` multiplies numbers", "}"),
        ("[0] * input.n", "`*` multiplies numbers", "]"),
    ],
)
def test_a_refusal_says_what_to_write_and_points_at_it(source: str, sentence: str, pointed: str) -> None:
    message, place = refusal(source)
    assert sentence in message
    assert place == pointed


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{% include 'x' %}", "`include` cannot be used"),
        ("{% import 'x' as y %}", "`import` cannot be used"),
        ("{% from 'x' import y %}", "`from` cannot be used"),
        ("{% extends 'x' %}", "`extends` cannot be used"),
        ("{% block a %}{% endblock %}", "`block` cannot be used"),
        ("{% fro x in y %}", "Did you mean"),
        ("{% filter uper %}x{% endfilter %}", "Did you mean `upper`?"),
        ("{% if a %}", "This cannot be read"),
        ("{% %}", "There is no statement here."),
        ("a {{ }}", "There is no expression here."),
        ("a {{ b", "`}}` is missing"),
        ("a {% if b", "`%}` is missing"),
        ("a {{ b }} {# c", "`#}` is missing"),
        ("{% raw %}{{ x }}", "endraw"),
        ("{{ f(1) }}", "There is no function `f`"),
    ],
)
def test_templates_are_refused_with_a_sentence(source: str, sentence: str) -> None:
    with pytest.raises(ExpressionInvalid, match=r".") as caught:
        compile_template(source)
    assert sentence in caught.value.message


def test_macros_and_set_names_may_be_called() -> None:
    compile_template("{% macro line(a, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ line(1) }}")
    compile_template("{% for n in a recursive %}{{ loop(n.children) }}{% endfor %}")
    compile_template("{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}x{% endcall %}")


@pytest.mark.parametrize("lead", ["", "é", "日本語 ", "😀😀\n", "é\r\nü\n  "])
def test_positions_count_characters_and_lines_of_what_was_written(lead: str) -> None:
    written = f"{lead}é {{{{ input.größe | uper }}}} ö"
    with pytest.raises(ExpressionInvalid) as caught:
        compile_template(written)
    place = caught.value.issues[0].extra
    assert written[place["start"] : place["end"]] == "uper"
    lines = written.split("\n")
    assert lines[place["line"] - 1][place["column"] - 1 : place["end_column"] - 1] == "uper"


@pytest.mark.parametrize("lead", ["", "é", "日本語 ", "😀\n"])
def test_positions_of_the_engines_parser_are_characters_too(lead: str) -> None:
    written = f"{lead}{{{{ 'ü' + größe größe }}}}"
    with pytest.raises(ExpressionInvalid) as caught:
        compile_template(written)
    place = caught.value.issues[0].extra
    assert written[place["start"] : place["end"]] == "größe"
    assert place["start"] == written.rindex("größe")


def test_conditions_may_be_written_with_braces() -> None:
    for source in ("input.a > 1", "{{ input.a > 1 }}", " {{ input.a > 1 }}\n"):
        assert compile_condition(source).source.strip() == "input.a > 1"
    assert compile_condition("input.a == '{{'").source == "input.a == '{{'"
    with pytest.raises(ExpressionInvalid, match="one expression"):
        compile_condition("{{ a }} and {{ b }}")


def test_sizes_are_capped() -> None:
    fits = "'" + "x" * (compiling.MAX_EXPRESSION_BYTES - 2) + "'"
    assert compile_expression(fits).is_simple
    message, _ = refusal(fits[:-1] + "é'")
    assert "at most 4,096 bytes" in message
    with pytest.raises(ExpressionInvalid, match="at most 4,096 bytes"):
        compile_template(f"text {{{{ {fits} }}}}")
    assert compile_template("x" * compiling.MAX_TEMPLATE_BYTES).is_simple
    with pytest.raises(ExpressionInvalid, match="at most 16,384 bytes"):
        compile_template("x" * (compiling.MAX_TEMPLATE_BYTES + 1))
    with pytest.raises(ExpressionInvalid, match="at most 16,384 bytes"):
        compile_value("{{ 1 }}" + "x" * compiling.MAX_TEMPLATE_BYTES)


def test_half_characters_are_refused() -> None:
    message, _ = refusal("'\ud800'")
    assert "half a character" in message


def test_a_wide_mapping_is_not_deep() -> None:
    source = "{" + ", ".join(f"'field{n}': input.customer.field{n}" for n in range(80)) + "}"
    assert compile_expression(source).is_simple

"""What may run in weft's own process. When in doubt, the guard."""

from __future__ import annotations

import pytest

from weft.expressions import catalogue
from weft.expressions.compile import compile_expression, compile_template
from weft.expressions.evaluate import evaluate_simple
from weft.expressions.sandbox import make_environment

SIMPLE = [
    "input.amount",
    "input.lines.0.price",
    "input.items",
    "1",
    "'text'",
    "true",
    "none",
    "input.amount > 1000 and input.customer.tier == 'gold'",
    "not input.paid or input.amount <= 0",
    "input.tier in ['gold', 'silver']",
    "input.tier not in input.tiers",
    "input.note is defined and input.note is not none",
    "input.note is startingwith 'a'",
    "input.tier is in ['gold']",
    "input.a + input.b - 1",
    "input.a / 2 // 3 % 4",
    "input.a * 1.19",
    "input.a * input.b * 2",
    "-input.a * -input.b",
    "(input.a + input.b) * 2",
    "input.lines[0].price * input.lines[1].price",
    "(input.a | int) * 2",
    "input.first ~ ' ' ~ input.last",
    "'high' if input.a > 5 else 'low'",
    "[input.a, input.b]",
    "{'id': input.id, 'name': input.name | upper}",
    "input['a b']",
    "input[input.key]",
    "input.lines[0]",
    "input.lines | length > 0",
    "input.note | default('') | trim | upper",
    "input.lines | map(attribute='price') | sum",
    "input.lines | sum(attribute='price') | round(2)",
    "input.amount | money(thousands=',')",
    "input.customer | tojson(indent=2)",
    "input.amount | int(default=0)",
    "input.values | max",
    "input.range == 1",
]

GUARDED = [
    ("range(3)", "a call"),
    ("dict(a=1)", "a call"),
    ("input.clear()", "a call"),
    ("input.lines.append(5)", "a call"),
    ("input.name.upper()", "a call"),
    ("input.lines[0]('x')", "a call"),
    ("(input.a)(1)", "a call"),
    ("'a'.join(input.lines)", "a call"),
    ("input.lines[0:2]", "a slice"),
    ("input.lines[::-1]", "a slice"),
    ("input.lines[input.m[0]:]", "a slice"),
    ("2 ** 10", "powers"),
    ("dict(**input.a)", "a call"),
    ("input.a | format(*input.b)", "the filter `format`"),
    ("input.lines | sort", "the filter `sort`"),
    ("input.lines | join(',')", "the filter `join`"),
    ("input.note | replace('a', input.b)", "the filter `replace`"),
    ("'%1000000000s' | format('a')", "the filter `format`"),
    ("input.lines | slice(1000000000)", "the filter `slice`"),
    ("input.lines | batch(2)", "the filter `batch`"),
    ("input.note | indent(1000000000)", "the filter `indent`"),
    ("input.note | trim(input.other)", "the arguments of `trim`"),
    ("input.lines | map('upper')", "`map` other than by attribute"),
    ("input.lines | map(attribute=input.field)", "`map` other than by attribute"),
    ("input.lines | map", "`map` other than by attribute"),
    ("input.lines | selectattr('price')", "the filter `selectattr`"),
    ("input.a is divisibleby 3", "the test `divisibleby`"),
    ("'upper' is filter", "the test `filter`"),
    (" + ".join(["input.a"] * 18), "more than 16 joins"),
    (" ~ ".join(["input.a"] * 18), "more than 16 joins"),
    (" or ".join(["input.a in input.b"] * 7), "more than 6 passes over the data"),
    (" or ".join(["input.a == input.b"] * 7), "more than 6 passes over the data"),
    (" + ".join(["(input.l | sum)"] * 7), "more than 6 passes over the data"),
]


@pytest.mark.parametrize("source", SIMPLE)
def test_simple(source: str) -> None:
    compiled = compile_expression(source)
    assert compiled.guarded_because is None
    assert compiled.is_simple


@pytest.mark.parametrize(("source", "reason"), GUARDED)
def test_guarded(source: str, reason: str) -> None:
    compiled = compile_expression(source)
    assert compiled.guarded_because == reason
    assert not compiled.is_simple
    with pytest.raises(ValueError, match="needs the guard"):
        evaluate_simple(compiled, {"input": {}})


def test_comparing_with_a_literal_is_not_a_pass_over_the_data() -> None:
    assert compile_expression(
        " or ".join(["input.a == 'x'", "input.b > -5", "none == input.c", "input.a in ['x']"] * 9)
    ).is_simple


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("Dear {{ input.name }}, {{ input.amount * 2 }}", None),
        ("{% if input.paid %}paid{% elif input.amount > 5 %}due{% else %}-{% endif %}", None),
        ("{% raw %}{{ x }}{% endraw %}{# {{ comment() }} #}", None),
        ("{% for line in input.lines %}{{ line }}{% endfor %}", "the tag `for`"),
        ("{% set x = 1 %}", "the tag `set`"),
        ("{% with x = 1 %}{% endwith %}", "the tag `with`"),
        ("{% macro m() %}{% endmacro %}", "the tag `macro`"),
        ("{% filter upper %}x{% endfilter %}", "the tag `filter`"),
        ("{% autoescape true %}{% endautoescape %}", "the tag `autoescape`"),
        ("{% do input.clear() %}", "the tag `do`"),
        ("{% if input.lines | sort %}x{% endif %}", "the filter `sort`"),
        ("{{ input.clear() }}", "a call"),
        ("{{ a | upper }}" * 24, None),
        ("{{ a | upper }}" * 25, "more than 24 filters"),
        ("{{ a | tojson }}" * 7, "more than 6 passes over the data"),
    ],
)
def test_templates(source: str, reason: str | None) -> None:
    assert compile_template(source).guarded_because == reason


def test_the_catalogue_is_what_the_engine_has() -> None:
    """A new version of the engine must not bring filters that nobody has classified."""
    environment = make_environment()
    for name in catalogue.FILTERS:
        assert _kind(environment.eval_expr, f"x | {name}") != "UnknownFilter"
    for name in catalogue.TESTS:
        assert _kind(environment.eval_expr, f"x is {name}") != "UnknownTest"
    for name in (*catalogue.FUNCTIONS, "debug", "cycler", "joiner"):
        known = _kind(environment.eval_expr, f"{name}()") != "UnknownFunction"
        assert known == (name in catalogue.FUNCTIONS)
    assert catalogue.FILTERS.keys() >= catalogue.SIMPLE_FILTERS
    assert catalogue.SIMPLE_WITH_ARGUMENTS <= catalogue.SIMPLE_FILTERS
    assert catalogue.TESTS.keys() >= catalogue.SIMPLE_TESTS


def test_the_engine_has_nothing_beyond_the_catalogue() -> None:
    from minijinja import Environment

    described = Environment().eval_expr("debug()")
    filters = described.partition("filters: [")[2].partition("]")[0]
    names = {name.strip().strip('",') for name in filters.split() if name.strip().strip('",')}
    assert names - {"attr"} == catalogue.FILTERS.keys() - {"money"}


def _kind(evaluate: object, source: str) -> str | None:
    from minijinja import TemplateError

    try:
        evaluate(source)  # type: ignore[operator]  # the engine's own stub says Any
    except TemplateError as error:
        return error.kind
    except Exception:
        return None
    return None

"""A simple expression gives in this process what the guard gives: same values, same sentences, same places."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from weft.expressions.compile import Expression, Template, compile_expression, compile_template
from weft.expressions.errors import ExpressionFailed, ExpressionInvalid
from weft.expressions.evaluate import evaluate_simple
from weft.expressions.guard import Guard

Ask = Any
Leaf = TypeVar("Leaf", Expression, Template)


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Evaluate in the guard, whatever the classification says."""
    with asyncio.Runner() as runner:
        guard = Guard(wall_limit=60.0)
        runner.run(guard.start())

        def evaluate(compiled: Expression | Template, context: dict[str, Any]) -> tuple[Any, ...]:
            forced = replace(compiled, is_simple=False)
            (result,) = runner.run(guard.evaluate([forced], context))
            if isinstance(result.error, ExpressionFailed):
                return outcome(result.error)
            return ("value", result.unwrap())

        yield evaluate
        runner.run(guard.close())


def outcome(error: ExpressionFailed) -> tuple[Any, ...]:
    return ("error", error.code, error.message)


def here(compiled: Expression | Template, context: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return ("value", evaluate_simple(compiled, context))
    except ExpressionFailed as error:
        return outcome(error)


def accepted(compiled: Callable[[str], Leaf], source: str) -> Leaf | None:
    """Of what these strategies write, only the repetition of literals is refused."""
    try:
        return compiled(source)
    except ExpressionInvalid as refused:
        if all("`*` multiplies numbers" in issue.message for issue in refused.issues):
            return None
        raise


def shape(value: Any) -> Any:
    """Equality that tells true from 1, and does not tell 1 from 1.0: numbers of JSON have one type."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shape(item) for item in value]
    return ("boolean", value) if isinstance(value, bool) else value


texts = st.text(st.characters(codec="utf-8"), max_size=6)
numbers = st.one_of(
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e16, 1e300, 2**63, -(2**63), 2**64, 2**126, -(2**126)]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.sampled_from(["12", "1.5", " 7 ", "a", "A", ""]))
NAMES = ["a", "b", "c", "items", "keys", "get", "count", "values", "0"]
data = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=12,
)
contexts = st.fixed_dictionaries(
    {"input": st.dictionaries(st.sampled_from(NAMES), data, max_size=8)}, optional={"item": data}
)

steps = st.sampled_from(
    [".a", ".b", ".items", ".keys", ".count", ".get", ".0", ".1", "['a']", "['items']", "[0]", "[-1]"]
)
paths = st.builds(
    lambda root, rest: root + "".join(rest), st.sampled_from(["input", "input", "item"]), st.lists(steps, max_size=3)
)
plain_paths = st.builds(
    lambda root, rest: root + "".join(rest),
    st.sampled_from(["input", "item", "nowhere"]),
    st.lists(st.sampled_from([".a", ".b", ".items", ".keys", ".count", ".0", ".1"]), max_size=4),
)
literals = st.one_of(
    st.integers(0, 2**66).map(str),
    st.sampled_from(["0.1", "1.5", "1e3", "2.0", "true", "false", "none", "'a'", "'é'", '"12"', "''", "0"]),
    st.sampled_from(["[1, 2]", "['a', none]", "{}", "{'a': 1}", "[]"]),
)
BINARY = ["+", "-", "/", "//", "%", "*", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = [
    "length", "count", "upper", "lower", "title", "capitalize", "trim", "first", "last", "int", "float", "round",
    "round(1)", "abs", "sum", "min", "max", "string", "bool", "tojson", "money", "default('x')", "default(1, true)",
    "map(attribute='a')", "map(attribute='items', default=0)", "sum(attribute='a')", "int(default=3)",
]  # fmt: skip
TESTS = [
    "defined",
    "none",
    "string",
    "number",
    "mapping",
    "sequence",
    "odd",
    "true",
    "startingwith('a')",
    "eq 1",
    "lower",
]


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(lambda left, sign, right: f"({left}) {sign} ({right})", inner, st.sampled_from(BINARY), inner),
        st.builds(lambda left, sign, right: f"{left} {sign} {right}", paths, st.sampled_from(BINARY), literals),
        st.builds(lambda value, name: f"({value}) | {name}", inner, st.sampled_from(FILTERS)),
        st.builds(lambda value, name: f"({value}) is {name}", inner, st.sampled_from(TESTS)),
        st.builds(lambda value: f"not ({value})", inner),
        st.builds(lambda value: f"-({value})", inner),
        st.builds(lambda one, test, other: f"({one}) if ({test}) else ({other})", inner, inner, inner),
        st.builds(lambda one, other: f"[{one}, {other}]", inner, inner),
        st.builds(lambda one, other: f"{{'a': {one}, 'b': {other}}}", inner, inner),
    )


expressions = st.recursive(st.one_of(paths, literals), combined, max_leaves=5)
thorough = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@thorough
@given(source=expressions, context=contexts)
@example(source="input.items | length", context={"input": {"items": [1]}})
@example(source="input.a == input.b", context={"input": {"a": {"a": [1]}, "b": {"a": [1.0]}}})
@example(source="input.a | string", context={"input": {"a": [{"items": None}]}})
def test_expressions(ask: Ask, source: str, context: dict[str, Any]) -> None:
    compiled = accepted(compile_expression, source)
    if compiled is not None and compiled.is_simple:
        assert shape(here(compiled, context)) == shape(ask(compiled, context))


@thorough
@given(source=plain_paths, context=contexts)
@example(source="input.a.b", context={"input": {"a": None}})
@example(source="input.a.b.c", context={"input": {"a": None}})
@example(source="input.a.0", context={"input": {"a": "text"}})
def test_plain_paths_without_the_engine(ask: Ask, source: str, context: dict[str, Any]) -> None:
    compiled = compile_expression(source)
    assert compiled.route is not None
    assert shape(here(compiled, context)) == shape(ask(compiled, context))


@thorough
@given(
    pieces=st.lists(
        st.one_of(texts.filter(lambda t: "{" not in t), expressions.map("{{{{ {} }}}}".format)), max_size=4
    ),
    context=contexts,
)
def test_templates(ask: Ask, pieces: list[str], context: dict[str, Any]) -> None:
    compiled = accepted(compile_template, "".join(pieces))
    if compiled is not None and compiled.is_simple:
        assert here(compiled, context) == ask(compiled, context)

"""Evaluation in weft's own process, for what is simple. Everything else goes to the guard.

Plain paths (`{{ input.customer.id }}`) are followed without the engine; the rest runs on an engine from which
everything that is not simple has been taken away, so that a mistake in classification still meets a wall.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minijinja import Environment

from weft.expressions import catalogue, sandbox
from weft.expressions.compile import Compiled, Expression, Literal, Refused, Template, Tree
from weft.expressions.context import MISSING, follow
from weft.expressions.errors import ConditionNotBoolean, ExpressionFailed, ExpressionInvalid, failed
from weft.expressions.plain import plain
from weft.expressions.views import FAILED, Failure, describe, view

RESULT_LIMIT = 1_000_000
"""Bytes of one result, about."""


def evaluate_simple(compiled: Compiled, context: Mapping[str, Any], *, limit: int = RESULT_LIMIT) -> Any:
    """The value, as JSON that shares nothing with the context. Raises ExpressionFailed.

    Only for what `is_simple`: anything else is a mistake of the caller, and raises ValueError.
    """
    if isinstance(compiled, Expression | Template):
        return _leaf(compiled, context, limit)
    if isinstance(compiled, Literal):
        return copied(compiled.value)
    if isinstance(compiled, Tree):
        if isinstance(compiled.children, dict):
            return {key: evaluate_simple(child, context, limit=limit) for key, child in compiled.children.items()}
        return [evaluate_simple(child, context, limit=limit) for child in compiled.children]
    if isinstance(compiled, Refused):
        raise ExpressionInvalid(compiled.issues)
    raise TypeError(f"{type(compiled).__name__} is not compiled by this package")


def evaluate_condition(condition: Expression, context: Mapping[str, Any], *, limit: int = RESULT_LIMIT) -> bool:
    """Whether a simple condition holds. Raises ExpressionFailed, and ConditionNotBoolean for any other value."""
    return boolean(_leaf(condition, context, limit), condition)


def boolean(value: Any, condition: Expression) -> bool:
    """The value of a condition, which must be true or false: `'false'` and 0 mean different things to people."""
    if value is True or value is False:
        return value
    source = condition.source.strip()
    hint = f"Compare it with something: `{source} == …`." if condition.route else "Compare it with something."
    if value is None:
        hint = f"The field may be missing: `({source}) is defined`, or `({source}) | default(false)`."
    raise ConditionNotBoolean(
        f"A condition gives true or false, and `{_short(source)}` gave {describe(value)}. {hint}",
        extra=condition.origin.place(0, len(condition.run)),
    )


def _short(source: str) -> str:
    return source if len(source) <= 80 else f"{source[:77]}..."


def copied(value: Any) -> Any:
    """JSON that shares no list and no object with the original."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item) for item in value]
    return value


def _leaf(leaf: Expression | Template, context: Mapping[str, Any], limit: int) -> Any:
    global _engine
    if not leaf.is_simple:
        raise ValueError(f"`{_short(leaf.source)}` needs the guard: it uses {leaf.guarded_because}")
    try:
        if isinstance(leaf, Expression) and leaf.route is not None:
            return _followed(leaf, leaf.route, context, limit)
        roots = {root: view(context[root]) for root in leaf.roots if root in context}
        form = sandbox.EXPRESSION if isinstance(leaf, Expression) else sandbox.TEMPLATE
        return sandbox.evaluate(_engine, form, leaf.run, roots, limit)
    except Failure as failure:
        if failure.panicked:
            _engine = _small_environment()
        raise explained(failure.code, failure.message, failure.start, failure.end, leaf) from None


def _followed(leaf: Expression, route: tuple[str | int, ...], context: Mapping[str, Any], limit: int) -> Any:
    value, found = follow(context, route)
    if value is MISSING:
        if found >= len(route) - 1:
            return None
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in route[: found + 1])[1:]
        raise Failure(FAILED, sandbox.missing_sentence(path), 0, len(leaf.run))
    return plain(value, limit)


def explained(
    code: str, message: str, start: int | None, end: int | None, leaf: Expression | Template
) -> ExpressionFailed:
    """The error for one leaf, with its place in the text that was written; all of an expression if unknown."""
    if start is None and isinstance(leaf, Expression):
        start, end = 0, len(leaf.run)
    extra = {"expression": _short(leaf.source.strip()), **leaf.origin.place(start, end)}
    return failed(code, message, extra)


def _small_environment() -> Environment:
    environment = sandbox.make_environment()
    environment.pycompat = False
    for name in catalogue.FILTERS.keys() - catalogue.SIMPLE_FILTERS:
        environment.remove_filter(name)
    for name in catalogue.TESTS.keys() - catalogue.SIMPLE_TESTS:
        environment.remove_test(name)
    for name in catalogue.FUNCTIONS:
        environment.remove_global(name)
    return environment


_engine = _small_environment()

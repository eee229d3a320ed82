"""Finds every text in a definition that reads the context, compiles it, and says where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from weft.core.errors import Issue
from weft.domain.workflows.document import body_of
from weft.domain.workflows.kinds import KindRegistry, Spot, StepKind, Where, verbatim_of
from weft.domain.workflows.references import Level, Reading
from weft.expressions.compile import (
    Compiled,
    Expression,
    Template,
    compile_condition,
    compile_expression,
    compile_value,
)
from weft.expressions.errors import ExpressionInvalid
from weft.interpreter.conditions import check_condition

_PRESENCE = frozenset({"exists", "is_empty"})


@dataclass(slots=True)
class Collected:
    """What was found in one definition. `errors` are texts that cannot be compiled."""

    readings: list[Reading] = field(default_factory=list)
    errors: list[Issue] = field(default_factory=list)
    simple: int = 0
    guarded: int = 0


@dataclass(frozen=True, slots=True)
class Spotted:
    """Where a text stands, before it is compiled: everything of a `Reading` but the text and its paths."""

    who: str
    level: Level
    facts: int
    may_use_secrets: bool = False
    also: frozenset[str] = frozenset()
    after: str = ""

    def reading(self, at: Where, text: str, paths: frozenset[str], *, tolerates_missing: bool = False) -> Reading:
        return Reading(
            self.who, at, text, paths, self.level, self.facts, self.may_use_secrets, tolerates_missing, self.also,
            self.after,
        )  # fmt: skip


def collect_step(
    into: Collected, step: Mapping[str, Any], at: Where, level: Level, facts: int, kinds: KindRegistry,
    *, undoes: bool = False,
) -> None:  # fmt: skip
    """Everything in a step's config; the body of a for-each or a loop, and its conditions, belong to its own level."""
    kind = kinds.get(str(step.get("type")))
    config = step.get("config")
    if not isinstance(config, Mapping):
        return
    also = frozenset({"compensating"} if undoes else ()) | frozenset(getattr(kind, "condition_names", ()))
    place = Spotted(f"Step '{step.get('key')}'", level, facts, kind is not None and kind.may_use_secrets, also)
    skipped = {"body", "while", "until"} if body_of(step) is not None else set()
    skipped.update(verbatim_of(kind))
    special = dict(_special(kind, config))
    for name, value in config.items():
        if name not in skipped:
            _walk(into, place, value, (*at, "config", name), (name,), special)


def _special(kind: StepKind | None, config: Mapping[str, Any]) -> Iterator[tuple[Where, str]]:
    """The places in this config that the kind calls conditions or bare expressions."""
    if kind is None:
        return
    for word, spots in (("condition", kind.conditions), ("expression", kind.expressions)):
        for spot in spots:
            for path in _matching(config, spot):
                yield path, word


def _matching(value: Any, spot: Spot) -> Iterator[Where]:
    if not spot:
        yield ()
        return
    first, rest = spot[0], spot[1:]
    children: Iterator[tuple[str | int, Any]]
    if isinstance(value, Mapping):
        children = ((name, part) for name, part in value.items() if first in ("*", name))
    elif isinstance(value, list) and first == "*":
        children = iter(enumerate(value))
    else:
        return
    for name, part in children:
        for path in _matching(part, rest):
            yield (name, *path)


def _walk(into: Collected, place: Spotted, value: Any, at: Where, inside: Where, special: Mapping[Where, str]) -> None:
    word = special.get(inside)
    if word == "condition":
        collect_condition(into, place, value, at)
    elif isinstance(value, str):
        _text(into, place, value, at, bare=word == "expression")
    elif isinstance(value, Mapping):
        for name, part in value.items():
            _walk(into, place, part, (*at, name), (*inside, name), special)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _walk(into, place, part, (*at, index), (*inside, index), special)


def collect_value(into: Collected, place: Spotted, value: Any, at: Where) -> None:
    """Any value with expressions in its texts."""
    _walk(into, place, value, at, (), {})


def _text(into: Collected, place: Spotted, text: str, at: Where, *, bare: bool) -> None:
    has_braces = "{{" in text or "{%" in text
    if not has_braces and not bare:
        return
    try:
        compiled = compile_value(text, at) if has_braces else compile_expression(text)
    except ExpressionInvalid as refused:
        into.errors.extend(_placed(refused.issues, place.who, at))
        return
    for leaf in compiled.leaves():
        _count(into, leaf)
    into.readings.append(place.reading(at, text, _paths(compiled)))


def _paths(compiled: Compiled) -> frozenset[str]:
    """What is read, as far as it can be told: the compiler ends a path before an index, a plain path goes on."""
    if isinstance(compiled, Expression) and compiled.route is not None:
        return frozenset({".".join(map(str, compiled.route))})
    return compiled.paths


def _count(into: Collected, leaf: Expression | Template) -> None:
    if leaf.is_simple:
        into.simple += 1
    else:
        into.guarded += 1


def _placed(issues: Sequence[Issue], who: str, at: Where) -> Iterator[Issue]:
    """The expression's own complaint, with its step named; line and column inside the text stay in `extra`."""
    for issue in issues:
        yield replace(issue, message=f"{who}: {issue.message}", path=issue.path or at)


def collect_condition(into: Collected, place: Spotted, condition: Any, at: Where) -> None:
    """A structured condition with all that it reads, or an expression."""
    if not isinstance(condition, str):
        faults = check_condition(condition)
        if faults:
            into.errors.extend(
                replace(fault, message=f"{place.who}: {fault.message}", path=(*at, *fault.path)) for fault in faults
            )
            return
    _condition(into, place, condition, at)


def _condition(into: Collected, place: Spotted, condition: Any, at: Where) -> None:
    if isinstance(condition, str):
        try:
            compiled = compile_condition(condition)
        except ExpressionInvalid as refused:
            into.errors.extend(_placed(refused.issues, place.who, at))
            return
        _count(into, compiled)
        into.readings.append(place.reading(at, condition, _paths(compiled)))
    elif isinstance(condition, Mapping):
        for group in ("all", "any"):
            for index, member in enumerate(condition.get(group, ())):
                _condition(into, place, member, (*at, group, index))
        if "not" in condition:
            _condition(into, place, condition["not"], (*at, "not"))
        if "field" in condition:
            asks = condition.get("operator") in _PRESENCE
            path = str(condition["field"]).strip()
            into.readings.append(place.reading((*at, "field"), path, frozenset({path}), tolerates_missing=asks))
            into.simple += 1
            collect_value(into, place, condition.get("value"), (*at, "value"))

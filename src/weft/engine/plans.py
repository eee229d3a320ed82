"""A version, compiled once: the interpreter's graph, every expression, every condition. Cached by version."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import jsonschema_rs

from weft.core.errors import Invalid, Issue
from weft.db.database import Connection
from weft.domain.workflows.kinds import verbatim_of
from weft.domain.workflows.sentences import sentence
from weft.engine.kinds import Errand, Instant, StepKind
from weft.engine.registry import kind as find_kind
from weft.engine.secret_places import SecretPlaces, marked
from weft.expressions.compile import Compiled, Expression, Literal, Tree, compile_condition, compile_value
from weft.interpreter.compile import compile_definition
from weft.interpreter.conditions import condition_expressions, condition_fields
from weft.interpreter.definition import FOR_EACH, LOOP, Definition, Graph, Step, Transition


@dataclass(frozen=True, slots=True)
class Structured:
    """A condition written as `{field, operator, value}` or a group of such; expressions may stand among them."""

    written: Mapping[str, Any]
    expressions: Mapping[str, Expression]
    paths: frozenset[str]


Condition: TypeAlias = Expression | Structured

LOAD_PLAN = """/* weft:engine.plan */
select v.workflow_id, v.number, v.definition,
       (select jsonb_object_agg(s.key, s.id) from weft.workflow_steps s
         where s.tenant_id = $1 and s.version_id = v.id) as steps
  from weft.workflow_versions v
 where v.tenant_id = $1 and v.id = $2
"""


class InputInvalid(Invalid):
    code = "input_invalid"

    def __init__(self, workflow: str, issues: list[Issue]) -> None:
        first = issues[0]
        where = ".".join(str(part) for part in first.path) or "the input"
        more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
        super().__init__(
            f"The input does not fit the workflow '{workflow}': {where}: {first.message}{more}. "
            "Correct it and start again; nothing was started.",
            issues=issues,
        )


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step, ready to run. `guards` are the conditions of its outgoing transitions, by index."""

    step: Step
    kind: StepKind
    step_id: UUID | None
    config: Compiled
    raw: Mapping[str, Any]
    guards: tuple[Condition | None, ...]
    outgoing: tuple[Transition, ...]
    # Which of the two the kind is, is asked once: the question is slow, and a step runs often.
    instant: Instant | None
    errand: Errand | None
    # The conditions in its config, by the field in which each stands: a filter, what a loop asks.
    asks: Mapping[str, Condition]
    hears: bool  # waits for events
    secrets: SecretPlaces | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    version_id: UUID
    workflow_id: UUID
    number: int
    name: str
    definition: Definition
    steps: Mapping[str, StepPlan]
    output: Compiled | None
    reads: frozenset[str]  # keys of steps whose output some expression reads; "*" for all
    reads_number: bool
    hears: bool  # any of its steps waits for events
    validator: Any = field(repr=False)

    def check_input(self, value: Any) -> None:
        """Raise `InputInvalid`, with the field named, unless the input fits the workflow's schema."""
        if self.validator is None or self.validator.is_valid(value):
            return
        issues = [_issue(error) for _, error in zip(range(20), self.validator.iter_errors(value), strict=False)]
        raise InputInvalid(self.name, issues)


def _issue(error: jsonschema_rs.ValidationError) -> Issue:
    """A schema's complaint in words, with the field that it is about at the end of the path."""
    path = tuple(error.instance_path)
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            return Issue(f"the field '{name}' is missing", (*path, name), code="required")
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names) if names:
            return Issue(f"the field '{names[0]}' is not known here", (*path, names[0]), code="unknown_field")
        case _:
            said = sentence(error)
            return Issue(said[:1].lower() + said[1:].rstrip("."), path, code="schema")


def condition_of(when: Any) -> Condition | None:
    """A transition's `when` as something that can be evaluated."""
    if when is None:
        return None
    if isinstance(when, bool):
        return compile_condition("true" if when else "false")
    if isinstance(when, str):
        return compile_condition(when)
    expressions = {source: compile_condition(source) for source in condition_expressions(when)}
    paths = frozenset(condition_fields(when)).union(*(e.paths for e in expressions.values()))
    return Structured(when, expressions, paths)


def _walk(document: Mapping[str, Any], graph: Graph, ids: Mapping[str, UUID], plans: dict[str, StepPlan]) -> None:
    written = {step["key"]: step for step in document["steps"]}
    for key, step in graph.steps.items():
        raw = written[key].get("config") or {}
        transitions = _in_order(document.get("transitions") or [], key)
        outgoing = graph.outgoing.get(key, ())
        whens = [condition_of(transitions[t.index].get("when")) for t in outgoing]
        kind = find_kind(step.kind)
        config, secrets = evaluable(kind, raw), None
        if isinstance(kind, Errand) and getattr(kind, "may_use_secrets", False):
            config, secrets = marked(config)
        plans[step.path] = StepPlan(
            step=step,
            kind=kind,
            step_id=ids.get(step.path),
            config=compiled_config(kind, config),
            raw=raw,
            guards=tuple(whens),
            outgoing=outgoing,
            instant=None if isinstance(kind, Errand) else kind,
            errand=kind if isinstance(kind, Errand) else None,
            secrets=secrets,
            asks=_asks(kind, raw),
            hears=bool(getattr(kind, "hears", False)),
        )
        if step.body is not None:
            _walk(raw["body"], step.body, ids, plans)


def evaluable(kind: StepKind, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that is evaluated, with braces put where the kind says that a string is an expression."""
    config = dict(raw)
    if kind.name in (FOR_EACH, LOOP):
        config.pop("body", None)  # a graph of its own, not a value
    for name in _conditions(kind):
        config.pop(name, None)
    for spot in kind.expressions:
        _brace(config, spot)
    return config


def compiled_config(kind: StepKind, config: Mapping[str, Any]) -> Compiled:
    """A config with its expressions compiled, but for the fields that the kind wants as they are written."""
    kept = {name: config[name] for name in verbatim_of(kind) if name in config}
    if not kept:
        return compile_value(config)
    rest = compile_value({name: value for name, value in config.items() if name not in kept})
    if isinstance(rest, Tree) and isinstance(rest.children, dict):
        as_written = {name: Literal(value=value) for name, value in kept.items()}
        return Tree(children={**rest.children, **as_written}, is_simple=rest.is_simple, paths=rest.paths)
    return Literal(value=dict(config))


def _conditions(kind: StepKind) -> list[str]:
    return [spot[0] for spot in getattr(kind, "conditions", ()) if len(spot) == 1]


def _asks(kind: StepKind, raw: Mapping[str, Any]) -> dict[str, Condition]:
    """The conditions in a config, compiled; they are evaluated when somebody asks, not with the config."""
    compiled = {name: condition_of(raw.get(name)) for name in _conditions(kind)}
    return {name: condition for name, condition in compiled.items() if condition is not None}


def _brace(config: dict[str, Any], spot: Sequence[str]) -> None:
    """Put braces around a bare expression, if there is one in this place."""
    first, rest = spot[0], spot[1:]
    value = config.get(first)
    if rest and isinstance(value, Mapping):
        config[first] = dict(value)
        _brace(config[first], rest)
    elif not rest and isinstance(value, str) and "{{" not in value:
        config[first] = "{{ " + value + " }}"


def _in_order(transitions: list[Mapping[str, Any]], source: str) -> list[Mapping[str, Any]]:
    """A step's outgoing transitions in the order in which the interpreter numbers them."""
    own = [t for t in transitions if t["from"] == source]
    return [t for _, t in sorted(enumerate(own), key=lambda pair: (pair[1].get("order", pair[0]), pair[0]))]


def compile_plan(
    document: Mapping[str, Any],
    *,
    version_id: UUID,
    workflow_id: UUID,
    number: int,
    step_ids: Mapping[str, UUID],
) -> Plan:
    """A stored definition as something that runs. It was checked when it was saved; faults here are bugs."""
    definition = compile_definition(document)
    steps: dict[str, StepPlan] = {}
    _walk(document, definition.graph, step_ids, steps)
    output = compile_value(document["output"]) if document.get("output") is not None else None
    paths: set[str] = set(output.paths) if output is not None else set()
    for plan in steps.values():
        paths |= plan.config.paths
        for guard in plan.guards:
            paths |= guard.paths if guard is not None else frozenset()
        for condition in plan.asks.values():
            paths |= condition.paths
    parts = [path.split(".") for path in paths]
    schema = document.get("input")
    return Plan(
        version_id=version_id,
        workflow_id=workflow_id,
        number=number,
        name=str(document.get("name", "")),
        definition=definition,
        steps=steps,
        output=output,
        reads=frozenset(p[1] if len(p) > 1 else "*" for p in parts if p[0] == "steps"),
        reads_number=any(p[0] == "execution" and (len(p) == 1 or p[1] == "number") for p in parts),
        hears=any(plan.hears for plan in steps.values()),
        validator=jsonschema_rs.validator_for(schema, offline=True) if schema else None,
    )


class Plans:
    """Compiled versions, least recently used out first. Versions never change, so nothing is ever stale."""

    def __init__(self, *, keep: int = 512) -> None:
        self._keep = keep
        self._plans: OrderedDict[tuple[UUID, UUID], Plan] = OrderedDict()

    def known(self, tenant_id: UUID, version_id: UUID) -> Plan | None:
        plan = self._plans.get((tenant_id, version_id))
        if plan is not None:
            self._plans.move_to_end((tenant_id, version_id))
        return plan

    async def get(self, connection: Connection, tenant_id: UUID, version_id: UUID) -> Plan:
        """The plan, compiled now if it is not known, inside an open transaction of its tenant."""
        plan = self.known(tenant_id, version_id)
        if plan is None:
            row = await connection.fetchrow(LOAD_PLAN, tenant_id, version_id)
            plan = compile_plan(
                row["definition"],
                version_id=version_id,
                workflow_id=row["workflow_id"],
                number=row["number"],
                step_ids={key: UUID(value) for key, value in (row["steps"] or {}).items()},
            )
            self._plans[tenant_id, version_id] = plan
            while len(self._plans) > self._keep:
                self._plans.popitem(last=False)
        return plan

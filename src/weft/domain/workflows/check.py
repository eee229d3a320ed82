"""Is this definition fit to become a version? Everything that is wrong with it, at once, each with its mend.

From the outside in, and no further than what lies inside can still be trusted:

1. the shape (JSON Schema), the input's own schema, and each step's config under its kind's schema;
2. the graph: transitions to nothing, several starts, loops without bound (`interpreter.compile`), then what only
   shows when it is walked: joins that wait for ever, steps that are never reached (`interpreter.explore`);
3. the expressions: can they be read, is what they read there, and has it certainly happened by then.

Nothing here needs a database: `weft workflow check FILE` and the editor call the same function as the save.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from weft.core.errors import Issue
from weft.domain.workflows import readings, references, secret_check, validation
from weft.domain.workflows.certainty import analyse
from weft.domain.workflows.document import PlacedStep, each_step, each_transition, joined, levels
from weft.domain.workflows.kinds import KindRegistry, installed
from weft.domain.workflows.readings import Collected, Spotted
from weft.domain.workflows.references import Findings, Level, Surroundings
from weft.domain.workflows.schema import MAX_STEPS
from weft.domain.workflows.schema_paths import Known, Schema, look
from weft.domain.workflows.sentences import nearest_word
from weft.expressions.compile import Expression, compile_value
from weft.expressions.errors import ExpressionInvalid
from weft.interpreter.compile import DefinitionFault, compile_definition
from weft.interpreter.definition import LOOP, Definition
from weft.interpreter.explore import find_faults

MAX_ISSUES: Final = 200
EXPLORED_STATES: Final = 4_000
"""States that the walk through the graph looks at: some tenths of a second. What it finds is certain either way."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What the definition is made of. `simple` and `guarded` count its expressions."""

    steps: int = 0
    transitions: int = 0
    simple: int = 0
    guarded: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """`errors` keep a draft from becoming a version; `warnings` do not."""

    errors: tuple[Issue, ...] = ()
    warnings: tuple[Issue, ...] = ()
    stats: Stats = field(default_factory=Stats)

    @property
    def sound(self) -> bool:
        return not self.errors


def check(document: Mapping[str, Any], kinds: KindRegistry | None = None) -> Report:
    """Check a document that `document.accept` let in. Never raises for what is in it."""
    known = kinds or installed()
    shape = validation.shape_issues(document)
    count = sum(1 for _ in each_step(document))
    if count > MAX_STEPS:
        sentence = f"The definition has {count:,} steps; the limit is {MAX_STEPS:,}. Move parts to sub-workflows."
        shape = [Issue(sentence, ("steps",), "steps_exceeded"), *shape]
    stats = Stats(count, sum(1 for _ in each_transition(document)))
    if shape:
        return Report(_tidy(shape), (), stats)
    return _Check(document, known, stats).report()


class _Check:
    """One check of one document whose shape is right."""

    def __init__(self, document: Mapping[str, Any], kinds: KindRegistry, stats: Stats) -> None:
        self.document = document
        self.kinds = kinds
        self.stats = stats
        self.steps = {step.path: step for step in each_step(document)}
        self.findings = Findings()
        self.collected = Collected()

    def report(self) -> Report:
        findings, collected = self.findings, self.collected
        schema_issues = validation.input_schema_issues(self.document.get("input", True), ("input",))
        findings.errors.extend(schema_issues)
        findings.errors.extend(self._kind_issues())
        definition = self._compiled()
        self._read(definition, self._surroundings(usable=not schema_issues))
        findings.errors.extend(collected.errors)
        stats = replace(self.stats, simple=collected.simple, guarded=collected.guarded)
        return Report(_tidy(findings.errors), _tidy(findings.warnings), stats)

    def _kind_issues(self) -> Iterator[Issue]:
        for placed in self.steps.values():
            name = str(placed.step["type"])
            kind = self.kinds.get(name)
            who = f"Step '{placed.path}'"
            if kind is None:
                yield Issue(f"{who}: {_unknown_kind(name, self.kinds)}", (*placed.at, "type"), "step_kind_unknown")
                continue
            config: Mapping[str, Any] = placed.step.get("config", {})
            where = (*placed.at, "config")
            issues = validation.config_issues(kind, config, where)
            issues += secret_check.reference_issues(kind, config, where)
            for issue in issues or kind.check(config, where):
                yield issue if issue.message.startswith("Step '") else replace(issue, message=f"{who}: {issue.message}")

    # The graph

    def _compiled(self) -> Definition | None:
        try:
            definition = compile_definition(self.document)
        except DefinitionFault as fault:
            self.findings.errors.extend(fault.issues)
            return None
        for issue in find_faults(definition, EXPLORED_STATES):
            self.findings.errors.append(self._located(issue))
        return definition

    def _located(self, issue: Issue) -> Issue:
        """The explorer knows steps by path; people look for them in the document."""
        placed = self.steps.get(str(issue.extra.get("step", "")))
        return replace(issue, path=placed.at) if placed is not None else issue

    # The expressions

    def _surroundings(self, *, usable: bool) -> Surroundings:
        written: Schema | None = self.document.get("input")
        inner = {str(step.step["key"]): step.around for step in self.steps.values() if step.around}
        return Surroundings(
            input=written if usable else None,
            variables=references.variables_of([placed.step for placed in self.steps.values()]),
            inner_steps=inner,
        )

    def _read(self, definition: Definition | None, around: Surroundings) -> None:
        seen: dict[str, Level] = {}
        for graph, _, path in levels(self.document):
            level = self._level(graph, path, definition, seen, around)
            seen[path] = level
            for key in references.shadowed(level):
                placed = self.steps[joined(path, key)]
                sentence = f"Step '{placed.path}' hides the step '{key}' around it. Rename one of them."
                self.findings.warnings.append(Issue(sentence, (*placed.at, "key"), "step_key_hidden"))
        for placed in self.steps.values():
            level = seen[placed.around]
            facts = _facts(level, str(placed.step["key"]), before=True)
            undoes = definition is not None and not placed.around and key_of(placed) in definition.graph.handlers
            readings.collect_step(self.collected, placed.step, placed.at, level, facts, self.kinds, undoes=undoes)
            if placed.step["type"] == LOOP:
                self._read_loop(placed, seen[placed.path])
        self._read_transitions(seen)
        self._read_output(seen[""])
        for reading in self.collected.readings:
            references.judge(reading, around, self.findings)

    def _read_loop(self, placed: PlacedStep, level: Level) -> None:
        """A loop's conditions see its body: `until` after each turn, `while` also before the first."""
        for word in ("while", "until"):
            condition = placed.step["config"].get(word)
            if condition is not None:
                known = level.certainty.at_end if level.certainty is not None and word == "until" else 0
                place = Spotted(f"Step '{placed.path}'", level, known)
                readings.collect_condition(self.collected, place, condition, (*placed.at, "config", word))

    def _level(
        self,
        graph: Mapping[str, Any],
        path: str,
        definition: Definition | None,
        seen: Mapping[str, Level],
        around: Surroundings,
    ) -> Level:
        steps = [step for step in graph["steps"] if isinstance(step, Mapping)]
        certainty = analyse(definition.graphs[path]) if definition is not None else None
        outputs = {str(step["key"]): self._output_schema(step) for step in steps}
        keys = frozenset(outputs)
        if not path:
            return Level(path, keys, outputs, certainty)
        placed = self.steps[path]
        outer = seen[placed.around]
        facts = _facts(outer, str(placed.step["key"]), before=True)
        item = self._item_schema(placed, outer, around)
        return Level(path, keys, outputs, certainty, outer, facts, item, placed.step["type"] == LOOP)

    def _output_schema(self, step: Mapping[str, Any]) -> Schema | None:
        kind = self.kinds.get(str(step["type"]))
        return kind.outputs(step.get("config", {})) if kind is not None else None

    def _item_schema(self, placed: PlacedStep, outer: Level, around: Surroundings) -> Schema | None:
        """What one item is, when `items` is a plain path into something whose schema is known."""
        written = placed.step["config"].get("items")
        if not isinstance(written, str):
            return None
        try:
            compiled = compile_value(written if "{{" in written else "{{ " + written + " }}")
        except ExpressionInvalid:
            return None
        if not isinstance(compiled, Expression) or compiled.route is None:
            return None
        route = [str(part) for part in compiled.route]
        schema: Schema | None = None
        if route[0] == "input":
            schema, route = around.input, route[1:]
        elif route[0] == "steps" and route[2:3] == ["output"]:
            schema, route = outer.outputs.get(route[1]), route[3:]
        found = look(schema, [*route, "0"]) if schema is not None else None
        return found.schema if isinstance(found, Known) else None

    def _read_transitions(self, seen: Mapping[str, Level]) -> None:
        for arrow in each_transition(self.document):
            when = arrow.transition.get("when")
            if when is None:
                continue
            level = seen[arrow.around]
            source, target = arrow.transition["from"], arrow.transition["to"]
            facts = _facts(level, str(source), before=False)
            place = Spotted(f"The transition from '{source}' to '{target}'", level, facts, after=str(source))
            readings.collect_condition(self.collected, place, when, (*arrow.at, "when"))

    def _read_output(self, top: Level) -> None:
        facts = top.certainty.at_end if top.certainty is not None else 0
        place = Spotted("The workflow's output", top, facts)
        readings.collect_value(self.collected, place, self.document.get("output"), ("output",))


def key_of(placed: PlacedStep) -> str:
    return str(placed.step["key"])


def _facts(level: Level, key: str, *, before: bool) -> int:
    if level.certainty is None:
        return 0
    return (level.certainty.before if before else level.certainty.after).get(key, 0)


def _unknown_kind(name: str, kinds: KindRegistry) -> str:
    known = kinds.names()
    near = nearest_word(name, known)
    mend = f"Did you mean '{near}'?" if near else f"There are {', '.join(known)}."
    broken = kinds.broken.get(name)
    if broken is not None:
        return f"the plug-in that brings the type '{name}' cannot be loaded ({broken}). Reinstall it."
    return f"there is no type '{name}'. {mend}"


def _tidy(issues: list[Issue]) -> tuple[Issue, ...]:
    """In the order of the document, each once, and no more than anybody reads."""
    unique = {(issue.path, issue.message): issue for issue in issues}
    return tuple(sorted(unique.values(), key=_place)[:MAX_ISSUES])


def _place(issue: Issue) -> list[tuple[int, str]]:
    """Indexes by number, names by letters; neither can be compared with the other."""
    return [(part, "") if isinstance(part, int) else (-1, part) for part in issue.path]

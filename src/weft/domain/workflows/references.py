"""What the expressions of a definition read, and whether it can be there when they are evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from weft.core.errors import Issue
from weft.domain.workflows import schema_paths, secret_check
from weft.domain.workflows.certainty import Certainty, Fact
from weft.domain.workflows.kinds import Where
from weft.domain.workflows.schema_paths import Absent, Schema
from weft.domain.workflows.sentences import nearest_word

ROOTS: Final = ("input", "steps", "vars", "execution", "item", "index", "now", "secrets")
RESULT: Final = ("output", "status", "error")
EXECUTION: Final = (
    "id",
    "number",
    "workflow_id",
    "client_id",
    "correlation_id",
    "trigger",
    "started_at",
    "metadata",
)


MOST_PLACES: Final = 3
"""Places that an error proposes for a bare name."""


@dataclass(frozen=True, slots=True)
class Level:
    """One graph of the definition as its expressions see it. `around` is the level of the for-each that holds it.

    `certainty` is None when the graph could not be compiled; then only names are looked at.
    """

    path: str
    keys: frozenset[str]
    outputs: Mapping[str, Schema | None]
    certainty: Certainty | None = None
    around: Level | None = None
    facts_around: int = 0  # what is certain in `around` when the for-each begins
    item: Schema | None = None
    is_loop: bool = False  # the body of a loop: `index` and `last`, and the `item` of a for-each around it

    @property
    def is_body(self) -> bool:
        return self.around is not None

    @property
    def for_each(self) -> Level | None:
        """The innermost level that is the body of a for-each: `item` is its item."""
        here: Level | None = self
        while here is not None and (here.is_loop or not here.is_body):
            here = here.around
        return here

    @property
    def in_loop(self) -> bool:
        here: Level | None = self
        while here is not None and not here.is_loop:
            here = here.around
        return here is not None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all expressions of one definition share."""

    input: Schema | None
    variables: frozenset[str] | None  # None when a step sets names that only an expression knows
    inner_steps: Mapping[str, str] = field(default_factory=dict)  # key of a body step -> path of its for-each


@dataclass(frozen=True, slots=True)
class Reading:
    """One text that reads the context: an expression, a template, or the `field` of a condition."""

    who: str  # the beginning of a sentence: "Step 'pay'"
    at: Where
    text: str
    paths: frozenset[str]
    level: Level
    facts: int
    may_use_secrets: bool = False
    tolerates_missing: bool = False  # asks whether the field exists
    also: frozenset[str] = frozenset()  # names that only this place knows, such as `event`
    after: str = ""  # the key of the step whose transition it stands on


@dataclass(slots=True)
class Findings:
    errors: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)

    def add(self, reading: Reading, sentence: str, code: str, *, certain: bool = True, path: str = "") -> None:
        issue = Issue(f"{reading.who}: {sentence}", reading.at, code, {"reference": path} if path else {})
        (self.errors if certain else self.warnings).append(issue)


def judge(reading: Reading, around: Surroundings, findings: Findings) -> None:
    """Add what is wrong with each path that the text reads."""
    for path in sorted(reading.paths):
        root, *rest = path.split(".")
        match root:
            case "input":
                _judge_schema(reading, around.input, path, "input", rest, findings)
            case "steps":
                _judge_step(reading, around, path, rest, findings)
            case "vars":
                _judge_variable(reading, around, path, rest, findings)
            case "execution":
                _judge_execution(reading, path, rest, findings)
            case "item" | "index":
                _judge_item(reading, path, root, rest, findings)
            case "secrets":
                _judge_secret(reading, path, findings)
            case "now":
                pass
            case _ if root in reading.also:
                pass
            case "last":
                _judge_last(reading, path, findings)
            case "compensating":
                findings.add(
                    reading,
                    "`compensating` is known only in the config of a step that undoes another. Read the step itself.",
                    "compensating_misplaced",
                    path=path,
                )
            case _:
                _judge_unknown(reading, around, path, root, findings)


def _judge_unknown(reading: Reading, around: Surroundings, path: str, root: str, findings: Findings) -> None:
    if root in _all_keys(reading.level):
        mend = f"The output of the step is written `steps.{root}.output`."
    elif places := _places_of(reading.level, around, root):
        mend = f"Write {' or '.join(f'`{place}`' for place in places)}: names are written in full."
    elif near := nearest_word(root, ROOTS):
        mend = f"Did you mean `{near}`?"
    else:
        mend = f"Names are written in full, from where they stand: `input.{root}`, `vars.{root}`, or what a step gave, "
        mend += f"`steps.{_likely_giver(reading, root) or '<key>'}.output.{root}`."
    findings.add(reading, f"there is nothing called `{root}`. {mend}", "reference_unknown", path=path)


def _places_of(level: Level | None, around: Surroundings, name: str) -> list[str]:
    """Where something of that name is known to stand. A bare name is not looked up: a step that is added later, and
    gives the same name, would silently change what is meant."""
    found = []
    if isinstance(around.input, Mapping) and name in around.input.get("properties", {}):
        found.append(f"input.{name}")
    if around.variables and name in around.variables:
        found.append(f"vars.{name}")
    while level is not None:
        for key, schema in level.outputs.items():
            if isinstance(schema, Mapping) and name in schema.get("properties", {}):
                found.append(f"steps.{key}.output.{name}")
        level = level.around
    return list(dict.fromkeys(found))[:MOST_PLACES]


def _likely_giver(reading: Reading, name: str) -> str | None:
    """The step before a transition, unless its output cannot have the field."""
    schema = reading.level.outputs.get(reading.after) if reading.after else None
    absent = schema is not None and isinstance(schema_paths.look(schema, [name]), Absent)
    return None if absent else reading.after or None


def _judge_secret(reading: Reading, path: str, findings: Findings) -> None:
    if not reading.may_use_secrets:
        findings.add(reading, secret_check.MISPLACED, "secret_misplaced", path=path)
        return
    fault = secret_check.expression_fault(reading.text)
    if fault is not None:
        findings.add(reading, fault.message, fault.code, path=path)


def _judge_item(reading: Reading, path: str, root: str, rest: Sequence[str], findings: Findings) -> None:
    level = reading.level.for_each if root == "item" else reading.level
    if level is None or not level.is_body:
        findings.add(
            reading,
            f"`{root}` exists only inside the body of a for-each. Put the step into one, or read the list itself.",
            "item_outside_for_each",
            path=path,
        )
    elif root == "index" and rest:
        findings.add(reading, "`index` is a whole number and has no fields.", "field_unknown", path=path)
    elif root == "item":
        _judge_schema(reading, level.item, path, "item", rest, findings)


def _judge_last(reading: Reading, path: str, findings: Findings) -> None:
    if not reading.level.in_loop:
        findings.add(
            reading,
            "`last`, what the turn before gave, exists only in a loop. Put the step into one, or read a step.",
            "last_outside_loop",
            path=path,
        )


def _judge_execution(reading: Reading, path: str, rest: Sequence[str], findings: Findings) -> None:
    if rest and rest[0] not in EXECUTION:
        findings.add(
            reading,
            f"`execution` has no field `{rest[0]}`. {_meant(rest[0], EXECUTION, 'execution')}",
            "field_unknown",
            path=path,
        )


def _judge_variable(reading: Reading, around: Surroundings, path: str, rest: Sequence[str], findings: Findings) -> None:
    if not rest or around.variables is None or rest[0] in around.variables:
        return
    known = _meant(rest[0], sorted(around.variables), "vars") if around.variables else "Add a `set` step before it."
    findings.add(
        reading, f"no step sets the variable `{rest[0]}`. {known}", "variable_unknown", certain=False, path=path
    )


def _meant(name: str, names: Sequence[str], prefix: str) -> str:
    near = nearest_word(name, names)
    if near:
        return f"Did you mean `{prefix}.{near}`?"
    listed = ", ".join(f"`{one}`" for one in names[:12])
    return f"There are {listed}{', ...' if len(names) > 12 else ''}."


def _judge_schema(
    reading: Reading, schema: Schema | None, path: str, prefix: str, rest: Sequence[str], findings: Findings
) -> None:
    if schema is None:
        return
    found = schema_paths.look(schema, rest)
    if not isinstance(found, Absent):
        return
    parent = ".".join((prefix, *found.path))
    if found.because:
        sentence = f"`{parent}` has no field `{found.name}`: {found.because}."
    else:
        known = _meant(found.name, found.names, parent) if found.names else "Its schema allows no such field."
        sentence = f"`{parent}` has no field `{found.name}`. {known}"
    findings.add(reading, sentence, "field_unknown", certain=found.certain, path=path)


# --- steps ------------------------------------------------------------------------------------------------------


def _all_keys(level: Level | None) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    while level is not None:
        found |= level.keys
        level = level.around
    return found


def _home(level: Level, facts: int, key: str) -> tuple[Level, int] | None:
    """The nearest level that has the step, with what is certain there; inner steps hide outer ones."""
    here: Level | None = level
    while here is not None:
        if key in here.keys:
            return here, facts
        facts, here = here.facts_around, here.around
    return None


def _judge_step(reading: Reading, around: Surroundings, path: str, rest: Sequence[str], findings: Findings) -> None:
    if not rest:
        findings.add(
            reading,
            "which steps it reads cannot be seen in `steps[...]`. Write `steps.<key>.output`, so that it is checked.",
            "reference_unclear",
            certain=False,
            path=path,
        )
        return
    key, *inner = rest
    home = _home(reading.level, reading.facts, key)
    if home is None:
        _unknown_step(reading, around, path, key, findings)
        return
    if inner and inner[0] not in RESULT:
        findings.add(
            reading,
            f"`steps.{key}` has `output`, `status` and `error`, but no `{inner[0]}`. "
            f"Write `steps.{key}.output.{'.'.join(inner)}`.",
            "field_unknown",
            path=path,
        )
        return
    level, facts = home
    if level.certainty is not None and not _judge_order(reading, level, facts, path, key, inner, findings):
        return
    if inner[:1] == ["output"]:
        _judge_schema(reading, level.outputs.get(key), path, f"steps.{key}.output", inner[1:], findings)


def _unknown_step(reading: Reading, around: Surroundings, path: str, key: str, findings: Findings) -> None:
    holder = around.inner_steps.get(key)
    if holder is not None:
        mend = (
            f"It is in the body of the for-each '{holder}', which runs once for every item. "
            f"The results of all items are in `steps.{holder}.output`."
        )
        findings.add(reading, f"the step '{key}' cannot be read here. {mend}", "step_out_of_reach", path=path)
        return
    keys = sorted(_all_keys(reading.level))
    near = nearest_word(key, keys)
    mend = f"Did you mean `steps.{near}`?" if near else f"The steps are {', '.join(keys[:12])}."
    findings.add(reading, f"there is no step '{key}'. {mend}", "step_unknown", path=path)


def _judge_order(
    reading: Reading, level: Level, facts: int, path: str, key: str, inner: Sequence[str], findings: Findings
) -> bool:
    """Whether the step has certainly given an output by the time the text is evaluated, if the text reads it.

    `status` and `error` may be asked of any step at any time: they are null until it has run.
    """
    certainty = level.certainty
    if certainty is None or key not in certainty.places or inner[:1] != ["output"]:
        return True
    if certainty.knows(facts, key, Fact.gave):
        return True
    guarded = reading.tolerates_missing or _provides_for(reading.text, key)
    if certainty.knows(facts, key, Fact.passed):
        code, sentence = "step_may_be_skipped", f"the step '{key}' is not required, and it may have been skipped"
    elif certainty.knows(facts, key, Fact.ran):
        code, sentence = "step_may_have_failed", f"the step '{key}' may have failed on the way here"
    else:
        code, sentence = (
            "step_may_not_have_run",
            f"the step '{key}' may not have run when this is evaluated, because not every way here leads over it",
        )
    if guarded:
        sentence = f"{sentence}; the text provides for that."
    else:
        sentence = (
            f"{sentence}, and then `steps.{key}.output` is null. Lead every way over it, or provide for its absence: "
            f"`{path} | default(...)`, or `... if steps.{key}.status == 'COMPLETED' else ...`."
        )
    findings.add(reading, sentence, code, certain=not guarded and code != "step_may_be_skipped", path=path)
    return guarded or code == "step_may_be_skipped"


def _provides_for(text: str, key: str) -> bool:
    """Whether the text provides for the step's output being null: a default, a test, an alternative, its status."""
    step = rf"(?<![\w.])steps\s*\.\s*{re.escape(key)}\s*\.\s*"
    output = rf"{step}output(\s*\.\s*\w+)*"
    after = r"\s*(\|\s*(default|d)\b|\bis\b|\bor\b|\band\b|\belse\b)"
    return re.search(rf"{step}status\b|{output}{after}|\b(or|if|not)\s+{output}", text) is not None


def shadowed(level: Level) -> Iterator[str]:
    """Keys of a body that hide an outer step of the same key."""
    if level.around is not None:
        yield from sorted(level.keys & _all_keys(level.around))


def variables_of(steps: Sequence[Mapping[str, Any]]) -> frozenset[str] | None:
    """The names that `set` steps give, or None when one of them gives names by an expression."""
    names: set[str] = set()
    for step in steps:
        config = step.get("config")
        if step.get("type") != "set" or not isinstance(config, Mapping):
            continue
        given = config.get("vars")
        if not isinstance(given, Mapping):
            return None
        names.update(given)
    return frozenset(names)

"""The check at save against an oracle that tries everything, and against faults that were planted on purpose.

`WEFT_SOUNDNESS_EXAMPLES=20000` tries more than the few hundred of an ordinary run.
"""

from __future__ import annotations

import json
import os
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from tests.interpreter.definitions import sound_document, wild_document
from tests.interpreter.oracle import Oracle

from weft.core.errors import Issue
from weft.domain.workflows.check import EXPLORED_STATES
from weft.interpreter.compile import DefinitionFault, compile_definition
from weft.interpreter.explore import explore

many = settings(
    max_examples=int(os.environ.get("WEFT_SOUNDNESS_EXAMPLES", "80")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
Document = dict[str, Any]


def found(document: Document, budget: int = EXPLORED_STATES) -> list[Issue]:
    """Everything that is wrong with the graph."""
    try:
        return list(explore(compile_definition(document), budget).faults)
    except DefinitionFault as fault:
        return list(fault.issues)


# Against the oracle


@many
@given(wild_document(cycles=False))
def test_the_check_and_the_oracle_agree_on_small_graphs(document: Document) -> None:
    note(json.dumps(document))
    try:
        definition = compile_definition(document)
    except DefinitionFault:
        assume(False)
        raise
    findings = explore(definition, budget=200_000)
    verdict = Oracle(document).judge()
    assume(findings.complete and verdict.complete)
    starving = {issue.extra["step"] for issue in findings.faults if issue.code == "join_starves"}
    unreachable = {issue.extra["step"] for issue in findings.faults if issue.code == "step_unreachable"}
    assert starving == verdict.starved
    if not starving:
        assert unreachable == set(Oracle(document).steps) - verdict.entered
        assert bool(findings.faults) == bool(unreachable)


@many
@given(wild_document(most_visits=2))
def test_a_short_look_accuses_nobody_whom_a_long_look_acquits(document: Document) -> None:
    note(json.dumps(document))
    try:
        definition = compile_definition(document)
    except DefinitionFault:
        assume(False)
        raise
    long_look = explore(definition, budget=60_000)
    assume(long_look.complete)
    accused = {(issue.code, issue.extra["step"]) for issue in long_look.faults}
    for budget in (20, 100, 400):
        short_look = explore(definition, budget=budget)
        assert {(issue.code, issue.extra["step"]) for issue in short_look.faults} <= accused


# Planted faults


def _keys(document: Document) -> list[str]:
    return [step["key"] for step in document["steps"]]


def _first_of(document: Document) -> str:
    return compile_definition(document).graph.start


def _with(document: Document, *steps: Document, transitions: list[Document]) -> Document:
    changed = deepcopy(document)
    changed["steps"] += steps
    changed["transitions"] += transitions
    note(json.dumps(changed))
    return changed


def _end_of(document: Document) -> str:
    leading = {t["from"] for t in document["transitions"]}
    ends = [step for step in document["steps"] if step["key"] not in leading]
    (end,) = ends
    end["type"] = "set"  # an `end` may lead nowhere, and the plant goes on from here
    return str(end["key"])


@many
@given(sound_document())
def test_a_sound_definition_is_never_refused(document: Document) -> None:
    assert found(document) == []


@many
@given(sound_document(), st.integers(2, 4), st.booleans())
def test_a_planted_deadlock_is_found_and_named(document: Document, branches: int, inclusive: bool) -> None:
    """A join that waits for more branches than a choice gives."""
    last = _end_of(document)
    ways = [f"way{number}" for number in range(branches)]
    steps: list[Document] = [{"key": "fork", "type": "set", "split": "any" if inclusive else "one"}]
    steps += [{"key": way, "type": "set"} for way in ways]
    steps += [{"key": "trap", "type": "join", "join": {"at_least": 2}}, {"key": "after", "type": "set"}]
    arrows: list[Document] = [{"from": last, "to": "fork"}, {"from": "trap", "to": "after"}]
    arrows += [{"from": "fork", "to": way, "when": "input.x"} for way in ways[1:]]
    arrows += [{"from": "fork", "to": ways[0], "default": True}]
    arrows += [{"from": way, "to": "trap"} for way in ways]
    issues = found(_with(document, *steps, transitions=arrows))
    assert ("join_starves", "trap") in {(issue.code, issue.extra.get("step")) for issue in issues}


@many
@given(sound_document(), st.sampled_from(["behind a way that is never taken", "led to by nothing"]), st.data())
def test_a_planted_dead_step_is_found_and_named(document: Document, how: str, data: st.DataObject) -> None:
    dead: Document = {"key": "dead", "type": "set"}
    if how == "led to by nothing":
        onto = data.draw(st.sampled_from([key for key in _keys(document) if key != _first_of(document)] or ["dead"]))
        assume(onto != "dead")
        issues = found(_with(document, dead, transitions=[{"from": "dead", "to": onto}]))
        assert any("'dead'" in issue.message for issue in issues)
        return
    last = _end_of(document)
    on = {"key": "on", "type": "set"}
    arrows = [{"from": last, "to": "on"}, {"from": last, "to": "dead"}]
    issues = found(_with(document, on, dead, transitions=arrows))
    assert [issue.code for issue in issues] == ["transition_never_taken"]
    assert "'dead'" in issues[0].message


@many
@given(sound_document(loops=False), st.booleans())
def test_a_planted_endless_cycle_is_found_and_named(document: Document, bounded: bool) -> None:
    """Round and round without a bound; or with one that only ever fails."""
    last = _end_of(document)
    head: Document = {"key": "head", "type": "set", **({"max_visits": 3} if bounded else {})}
    back: Document = {"key": "back", "type": "set"}
    arrows = [{"from": last, "to": "head"}, {"from": "head", "to": "back"}, {"from": "back", "to": "head"}]
    issues = found(_with(document, head, back, transitions=arrows))
    codes = {issue.code for issue in issues}
    assert codes & ({"no_end"} if bounded else {"cycle_unbounded"})
    assert any("'head'" in issue.message or issue.extra.get("step") == "head" for issue in issues)


@many
@given(sound_document(), st.sampled_from(["no default", "end goes on", "twice into one visit"]))
def test_a_planted_improper_completion_is_found_and_named(document: Document, how: str) -> None:
    last = _end_of(document)
    one: Document = {"key": "one", "type": "set"}
    two: Document = {"key": "two", "type": "set"}
    if how == "no default":
        arrows = [{"from": last, "to": "one", "when": "input.x"}, {"from": last, "to": "two", "when": "input.y"}]
        issues = found(_with(document, one, two, transitions=arrows))
        assert {issue.code for issue in issues} == {"default_missing"}
        assert f"'{last}'" in issues[0].message
    elif how == "end goes on":
        stop: Document = {"key": "stop", "type": "end"}
        arrows = [{"from": last, "to": "stop"}, {"from": "stop", "to": "one"}]
        issues = found(_with(document, stop, one, transitions=arrows))
        assert [issue.code for issue in issues] == ["end_continues"]
    else:
        fork: Document = {"key": "fork", "type": "parallel"}
        once: Document = {"key": "once", "type": "set", "max_visits": 1}
        arrows = [{"from": last, "to": "fork"}]
        arrows += [{"from": "fork", "to": key} for key in ("one", "two")]
        arrows += [{"from": key, "to": "once"} for key in ("one", "two")]
        issues = found(_with(document, fork, one, two, once, transitions=arrows))
        assert ("no_end", "once") in {(issue.code, issue.extra.get("step")) for issue in issues}

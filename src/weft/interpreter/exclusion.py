"""Mutual exclusion within an execution: of the steps that name the same `exclusive`, one at a time.

A visit holds the name from the order to run it until it leaves the step, between two attempts too. Others that arrive
meanwhile are *queued*: they are live, nothing is ordered for them, and the oldest goes on when the name is free. Names
are the execution's own, whatever items of for-each steps the visits belong to.

Nobody queues for ever: a visit waits for a name while it holds another only where it is an item of a for-each that
holds one, and the compiler refuses definitions in which that could go in a circle (`circles`).
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.interpreter import graphs
from weft.interpreter.definition import Definition, Graph, Step
from weft.interpreter.state import Phase, Visit
from weft.interpreter.work import Work


def circles(definition: Definition) -> Iterator[tuple[Step, str]]:
    """For-each steps that hold a name while their items wait for one (the second) that may wait for the first."""
    holders = [step for step in definition.all_steps() if step.exclusive is not None and step.body is not None]
    edges: dict[str, list[str]] = {}
    for step in holders:
        if step.exclusive is not None and step.body is not None:
            edges.setdefault(step.exclusive, []).extend(_names_within(step.body))
    names = list(dict.fromkeys([*edges, *(name for inner in edges.values() for name in inner)]))
    for group in graphs.cycles(names, edges):
        for step in holders:
            if step.exclusive in group and step.body is not None:
                yield from ((step, name) for name in _names_within(step.body) if name in group)


def _names_within(graph: Graph) -> Iterator[str]:
    """Every `exclusive` of a body's steps, however deep."""
    for step in graph.steps.values():
        if step.exclusive is not None:
            yield step.exclusive
        if step.body is not None:
            yield from _names_within(step.body)


def is_taken(work: Work, visit: Visit, name: str) -> bool:
    """Does another visit hold this name, or has it waited for it longer? A visit lets go when it leaves its step."""
    return any(
        other.number != visit.number
        and (other.phase is not Phase.queued or other.number < visit.number)
        and work.step_of(other).exclusive == name
        for other in work.visits.values()
    )


def next_in_line(work: Work) -> Visit | None:
    """The oldest queued visit whose name is free."""
    for number in sorted(number for number, visit in work.visits.items() if visit.phase is Phase.queued):
        visit = work.visits[number]
        name = work.step_of(visit).exclusive
        if name is None or not is_taken(work, visit, name):
            return visit
    return None

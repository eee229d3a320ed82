"""Beginning in the middle: the state of a new execution that begins at a step of an older one.

The older execution's history is not touched. Of its steps, those are *kept* that do not come after the step at which
the new one begins: their results stand where expressions look for them, and they do not run again. What comes after is
run anew. Turns of a loop are not followed backwards: in a loop, what came before in the same turn is kept.

A join downstream that waits for all fires as ever, when nothing more can arrive. One that waits for so many arrivals
counts those branches that are kept and had led to it, but never so many that it would fire without the new one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from weft.interpreter import graphs
from weft.interpreter.definition import FAIL, Definition, Graph, JoinKind
from weft.interpreter.state import ROOT, Frame, Phase, State, Visit


def downstream(graph: Graph, step: str) -> frozenset[str]:
    """The step and all that comes after it in the same turn, along transitions and error routes."""
    edges: dict[str, list[str]] = {}
    for key, one in graph.steps.items():
        targets = [transition.target for transition in graph.outgoing[key]]
        if one.on_error is not None and one.kind != FAIL:
            targets.append(one.on_error)
        edges[key] = [target for target in targets if (key, target) not in graph.back]
    return graphs.reachable((step,), edges)


def begin_at(
    definition: Definition, step: str, kept: Mapping[str, int], *, done: Collection[str], at: datetime, seed: int
) -> State:
    """A state that nobody has taken up yet: `Started` goes on at `step`, one of the workflow's own.

    `kept` are the visits whose results stay readable, by step; `done` are the steps that the older execution had
    completed or skipped, whether they are kept or not.
    """
    graph = definition.graph
    number = max(kept.values(), default=0) + 1
    counts = {step: 1} if graph.steps[step].max_visits is not None else {}
    frame = Frame(ROOT, ROOT, arrived=_arrived(graph, step, kept, done), last=dict(kept), visits=counts)
    visit = Visit(number, step, ROOT, 1, Phase.held, at)
    return State(seed=seed, next_visit=number + 1, visits={number: visit}, frames={ROOT: frame})


def _arrived(graph: Graph, step: str, kept: Mapping[str, int], done: Collection[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key in downstream(graph, step) - {step}:
        join = graph.steps[key].join
        if join.kind is not JoinKind.at_least:
            continue
        came = [
            source
            for source in graph.feeders[key]
            if source in kept and source in done and (key in done or _surely_leads(graph, source, key))
        ]
        if came[: join.count - 1]:
            found[key] = tuple(came[: join.count - 1])
    return found


def _surely_leads(graph: Graph, source: str, target: str) -> bool:
    return any(
        transition.target == target and not transition.conditional and not transition.default
        for transition in graph.outgoing[source]
    )

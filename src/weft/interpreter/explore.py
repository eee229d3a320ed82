"""Soundness: can this workflow get stuck, starve, or contain a step that never runs?

Two ways of looking, on each level by itself (an item's frame shares nothing with others, so a for-each is one step
on its own level, and its body a workflow of its own):

- *Structure*: is every step reached, and can an end be reached from it. Fast, for any size. (Joins that wait for
  each other in a circle need no look: see `joins`.)
- *Exploration* (`walk`): the interpreter itself runs with abstract outcomes.

Exploration that would become too long stops at a budget, and says so (`Findings.complete`). A join that starves was
then still really seen; that a step is never reached is claimed only when nothing was left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from weft.core.errors import Issue
from weft.interpreter import graphs
from weft.interpreter.definition import FAIL, Definition, Graph, Step
from weft.interpreter.walk import Met, walk

BUDGET: Final = 50_000
"""Moves of one definition, over all its levels: well below a second."""


@dataclass(frozen=True, slots=True)
class Findings:
    """`faults` make a definition unfit to be saved.

    `complete`: on every level every order of news was tried, with loops followed for two turns.
    """

    faults: tuple[Issue, ...]
    complete: bool
    states: int


def find_faults(definition: Definition, budget: int = BUDGET) -> list[Issue]:
    """What would go wrong at run time, each naming the step and how to mend it. Empty for a sound definition."""
    return list(explore(definition, budget).faults)


def explore(definition: Definition, budget: int = BUDGET) -> Findings:
    """The same, and how sure that is."""
    faults: list[Issue] = []
    complete, left, states = True, budget, 0
    for graph in definition.graphs.values():
        found = list(_structural_faults(graph))
        if not found:
            met = walk(graph, left)
            left -= min(left, met.effort)
            states += met.states
            complete = complete and met.complete
            found = list(_judge(graph, met))
        faults.extend(found)
    places = definition.places()
    return Findings(tuple(replace(fault, path=places[str(fault.extra["step"])]) for fault in faults), complete, states)


def _judge(graph: Graph, met: Met) -> Iterator[Issue]:
    for key, step in graph.steps.items():
        if key in graph.handlers:
            continue
        if key in met.starved:
            yield _issue(
                step,
                "join_starves",
                f"The join '{step.path}' waits for at least {step.join.count} arrivals, but there are ways on which "
                "fewer come; lower the number, or use 'join: all', which waits only for branches that can still come.",
            )
        elif met.settled and key not in met.entered:
            yield _unreachable(step)
        elif key in met.failing and not met.starved:
            yield _issue(
                step,
                "no_end",
                f"From step '{step.path}' on, every way fails with '{met.failing[key]}'; allow more visits, or join "
                "the branches before it.",
            )


# Structure


def _structural_faults(graph: Graph) -> Iterator[Issue]:
    """What the graph alone shows, along transitions and error routes. Paths are left to `explore`."""
    edges = _edges(graph)
    reached = graphs.reachable((graph.start,), edges)
    ends = [key for key, targets in edges.items() if not targets]
    leads_out = graphs.reachable(ends, graphs.reversed_edges(graph.steps, edges))
    for step in graph.steps.values():
        if step.key in graph.handlers:
            continue  # they run when other steps are undone
        if step.key not in reached:
            yield _unreachable(step)
        elif step.key not in leads_out:
            yield _issue(
                step,
                "no_end",
                f"No end can be reached from step '{step.path}'; lead a transition out of its loop to an end.",
            )


def _edges(graph: Graph) -> dict[str, list[str]]:
    edges = {key: [transition.target for transition in arrows] for key, arrows in graph.outgoing.items()}
    for key, step in graph.steps.items():
        if step.on_error is not None and step.kind != FAIL:
            edges[key].append(step.on_error)
    return edges


def _unreachable(step: Step) -> Issue:
    return _issue(
        step,
        "step_unreachable",
        f"Step '{step.path}' is never reached; check the conditions and joins before it, or remove it.",
    )


def _issue(step: Step, code: str, message: str) -> Issue:
    return Issue(message, (), code, {"step": step.path})

"""The graph that is interpreted: what follows what, and under which rules.

A `Definition` holds *shapes* only. What a step does (`config`) and what a condition says are opaque here:
the engine runs steps and evaluates conditions, and tells the interpreter what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

REVISION = 1
"""The interpreter's own version. A definition keeps the revision it was published under (`house.md`)."""

FOR_EACH = "for_each"
LOOP = "loop"
COMPENSATE = "compensate"
END = "end"
FAIL = "fail"


class Compensation(StrEnum):
    """At which ends of an execution its completed steps are undone."""

    never = "never"
    on_failure = "on_failure"
    on_cancel = "on_cancel"
    both = "both"


class Split(StrEnum):
    """Which outgoing transitions are followed when several hold."""

    one = "one"  # the first that holds, in order; else the default
    any = "any"  # every one that holds; else the default
    all = "all"  # every one that holds, at once (a transition without a condition always holds)


class JoinKind(StrEnum):
    each = "each"  # no `join` written: every arrival enters the step again
    all = "all"  # once, when every branch that can still arrive has arrived
    any = "any"  # once, at the first arrival; later arrivals of the same wave are swallowed
    at_least = "at_least"  # once, at the n-th arrival; later arrivals of the same wave are swallowed


@dataclass(frozen=True, slots=True)
class Join:
    kind: JoinKind = JoinKind.each
    count: int = 1


class Backoff(StrEnum):
    fixed = "fixed"
    linear = "linear"
    exponential = "exponential"


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed attempt is tried again. Times in seconds.

    `on` names the error kinds that are retried (`timeout`, `rate_limit`, `connection`, `http_5xx`, ...);
    empty means every error that says of itself that it is retryable.
    """

    attempts: int = 1
    backoff: Backoff = Backoff.exponential
    initial: float = 1.0
    max: float = 300.0
    jitter: bool = True
    on: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Transition:
    """`index` is the transition's place among the outgoing ones of its step, in the order they are tried."""

    source: str
    target: str
    index: int
    conditional: bool = False
    default: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step's shape.

    `key` is unique within its graph. `path` is unique within the definition: the key of a body step is
    qualified by the for-each step around it (`lines.price`).

    `cancels` are keys of the same level: when this step completes, tokens at them are withdrawn. Of the steps that name
    the same `exclusive`, at most one is under way in an execution at any time; others queue in order of arrival.

    `max_turns`, `asks_first` and `ends_well` are a loop's: how many turns it makes at most, whether it is asked before
    the first, and whether it completes when they are used up. `compensate` is the key of the step that undoes this one;
    `undoes` are the keys that a step of the kind `compensate` has undone, empty for all.
    """

    key: str
    kind: str
    path: str
    split: Split = Split.one
    join: Join = Join()
    required: bool = True
    retry: Retry = Retry()
    timeout: float | None = None
    on_error: str | None = None
    max_visits: int | None = None
    cancels: tuple[str, ...] = ()
    exclusive: str | None = None
    body: Graph | None = None
    concurrency: int = 1
    enough: int | None = None  # so many items of a for-each that come to a good end; the others are then cancelled
    max_turns: int = 0
    asks_first: bool = False
    ends_well: bool = False
    compensate: str | None = None
    undoes: tuple[str, ...] = ()
    # for-each only: an item that fails is passed over, and the others go on
    passes_items: bool = False

    @property
    def joins(self) -> bool:
        """Does it wait for several arrivals, or is it entered by each?"""
        return self.join.kind is not JoinKind.each


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps and transitions of one level: the whole workflow, or the body of a for-each."""

    start: str
    steps: Mapping[str, Step]
    outgoing: Mapping[str, tuple[Transition, ...]]
    incoming: Mapping[str, tuple[Transition, ...]]
    # join step (in the order of the definition) -> source step of a forward incoming transition -> steps (the
    # source included) from which that transition can still be reached in the same wave: without passing the join,
    # and without beginning another turn of a loop that contains the join. Filled for joins other than `each`.
    feeders: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    # (source, target) of transitions that begin another turn of a loop: they are never joined, they enter again.
    # Without them (and without error routes among them) the graph has no cycle.
    back: frozenset[tuple[str, str]] = frozenset()
    # Steps that undo others: no transition leads to them or from them.
    handlers: frozenset[str] = frozenset()

    @property
    def withdrawable(self) -> frozenset[str]:
        """Steps from which another step may take the tokens away."""
        return frozenset(key for step in self.steps.values() for key in step.cancels)


@dataclass(frozen=True, slots=True)
class Definition:
    """`graphs` finds every level by path: `""` is the workflow, otherwise the path of the for-each around it."""

    graph: Graph
    revision: int = REVISION
    document: Mapping[str, Any] = field(default_factory=dict)
    graphs: Mapping[str, Graph] = field(default_factory=dict, compare=False)
    queues: bool = field(default=False, compare=False)  # does any step name an `exclusive`?
    compensation: Compensation = Compensation.never

    def __post_init__(self) -> None:
        if not self.graphs:
            object.__setattr__(self, "graphs", _levels(self.graph))
        object.__setattr__(self, "queues", any(step.exclusive is not None for step in self.all_steps()))

    def __repr__(self) -> str:
        """Short: a definition turns up in error reports, and its document may be of any size."""
        return f"Definition({', '.join(step.path for step in self.all_steps())})"

    def step(self, path: str) -> Step:
        """The step at this path (`lines.price`), as commands name it. Raises `KeyError` when there is none."""
        level, _, key = path.rpartition(".")
        return self.graphs[level].steps[key]

    def places(self) -> dict[str, tuple[str | int, ...]]:
        """Where each step stands in the document, by its path."""
        found: dict[str, tuple[str | int, ...]] = {}
        for level, graph in self.graphs.items():
            within = (*found[level], "config", "body") if level else ()
            for place, step in enumerate(graph.steps.values()):
                found[step.path] = (*within, "steps", place)
        return found

    def all_steps(self) -> Iterator[Step]:
        """Every step of every level, the workflow's own first."""
        for graph in self.graphs.values():
            yield from graph.steps.values()


def _levels(root: Graph) -> dict[str, Graph]:
    found: dict[str, Graph] = {}
    waiting = [("", root)]
    while waiting:
        path, graph = waiting.pop(0)
        found[path] = graph
        waiting.extend((step.path, step.body) for step in graph.steps.values() if step.body is not None)
    return found

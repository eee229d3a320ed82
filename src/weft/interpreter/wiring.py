"""One level's transitions: read, checked, and put in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from weft.core.errors import Issue
from weft.interpreter import graphs, handlers
from weft.interpreter.definition import END, FAIL, Graph, JoinKind, Split, Step, Transition

Path = tuple[str | int, ...]

EVERY_OTHER: Final = "all"
"""What `cancels` says instead of a list of keys."""


class Written(NamedTuple):
    """A step and where it stands in the document."""

    step: Step
    where: Path


class Arrow(NamedTuple):
    """A transition as written. `order` sorts it among the outgoing ones of its step."""

    source: str
    target: str
    conditional: bool
    default: bool
    order: tuple[float, int]
    where: Path


def wire(
    written: Sequence[Written],
    transitions: Sequence[Mapping[str, Any]],
    where: Path,
    issues: list[Issue],
    *,
    unreadable: bool,
) -> Graph | None:
    """The level's graph, or None with the reasons in `issues`. `unreadable`: some steps had faults already."""
    steps = {step.key: step for step, _ in written}
    places = {step.key: place for step, place in written}
    level = _Level(steps, places, where, issues)
    before = len(issues)
    level.read(transitions)
    level.check_error_routes()
    level.check_handlers()
    level.check_cancels()
    if unreadable or len(issues) > before:
        return None
    level.check_splits()
    start = level.find_start()
    if start is None:
        return None
    graph = level.graph(start)
    level.check_joins(graph)
    level.check_cycles()
    return graph if len(issues) == before else None


class _Level:
    def __init__(self, steps: dict[str, Step], places: Mapping[str, Path], where: Path, issues: list[Issue]) -> None:
        self.steps = steps
        self.places = places
        self.where = where
        self.issues = issues
        self.outgoing: dict[str, list[Arrow]] = {key: [] for key in steps}
        self.handlers = frozenset(step.compensate for step in steps.values() if step.compensate is not None)

    def _fault(self, message: str, where: Path, code: str) -> None:
        self.issues.append(Issue(message, where, code))

    # Reading

    def read(self, transitions: Sequence[Mapping[str, Any]]) -> None:
        seen: set[tuple[str, str]] = set()
        for place, entry in enumerate(transitions):
            arrow = self._arrow(entry, place)
            if arrow is None:
                continue
            pair = (arrow.source, arrow.target)
            if pair in seen:
                self._fault(
                    f"Two transitions lead from '{arrow.source}' to '{arrow.target}'; keep one, and combine their "
                    "conditions with 'any'.",
                    arrow.where,
                    "transition_repeated",
                )
            seen.add(pair)
            self.outgoing[arrow.source].append(arrow)
        for arrows in self.outgoing.values():
            arrows.sort(key=lambda arrow: arrow.order)

    def _arrow(self, entry: Mapping[str, Any], place: int) -> Arrow | None:
        where = (*self.where, "transitions", place)
        source, target = entry.get("from"), entry.get("to")
        known = True
        if not isinstance(source, str) or source not in self.steps:
            self._fault(
                f"A transition to '{target}' comes from '{source}', which is no step here; name an existing step.",
                (*where, "from"),
                "transition_source_unknown",
            )
            known = False
        if not isinstance(target, str) or target not in self.steps:
            self._fault(
                f"A transition from '{source}' leads to '{target}', which is no step here; name an existing step.",
                (*where, "to"),
                "transition_target_unknown",
            )
            known = False
        if not known or not isinstance(source, str) or not isinstance(target, str):
            return None
        if source == target:
            self._fault(
                f"Step '{source}' leads to itself; use its retry policy to repeat it after a failure, or lead through "
                "another step to make a loop.",
                where,
                "transition_to_itself",
            )
            return None
        order = entry.get("order")
        rank = float(order) if isinstance(order, int | float) and not isinstance(order, bool) else float(place)
        default = entry.get("default") is True
        return Arrow(source, target, entry.get("when") is not None, default, (rank, place), where)

    # Checks

    def check_error_routes(self) -> None:
        for key, step in self.steps.items():
            if step.on_error is None:
                continue
            where = (*self.places[key], "on_error")
            if step.on_error not in self.steps:
                self._fault(
                    f"Step '{key}' goes on an error to '{step.on_error}', which is no step; name an existing step.",
                    where,
                    "error_target_unknown",
                )
            elif step.on_error == key:
                self._fault(
                    f"Step '{key}' goes to itself on an error; use its retry policy to repeat it.",
                    where,
                    "error_target_itself",
                )

    def check_handlers(self) -> None:
        for key, step in self.steps.items():
            for sentence, code in handlers.faults(step, self.steps, self._led()):
                self._fault(sentence, (*self.places[key], *(("compensate",) if step.compensate else ())), code)

    def _led(self) -> frozenset[str]:
        """Steps at either end of a transition, or at the end of an error route."""
        arrows = [arrow for outgoing in self.outgoing.values() for arrow in outgoing]
        ends = {arrow.source for arrow in arrows} | {arrow.target for arrow in arrows}
        return frozenset(ends | {step.on_error for step in self.steps.values() if step.on_error is not None})

    def check_cancels(self) -> None:
        for key, step in list(self.steps.items()):
            if step.cancels == (EVERY_OTHER,):
                self.steps[key] = replace(
                    step, cancels=tuple(other for other in self.steps if other != key and other not in self.handlers)
                )
                continue
            for place, other in enumerate(step.cancels):
                where = (*self.places[key], "cancels", place)
                if other not in self.steps:
                    self._fault(
                        f"Step '{key}' cancels '{other}', which is no step here; name an existing step.",
                        where,
                        "cancels_unknown",
                    )
                elif other == key:
                    self._fault(
                        f"Step '{key}' cancels itself; it is over by then, so remove it from the list.",
                        where,
                        "cancels_itself",
                    )

    def check_splits(self) -> None:
        for key, arrows in self.outgoing.items():
            step = self.steps[key]
            if step.kind in (END, FAIL) and arrows:
                self._fault(
                    f"Step '{key}' is of type '{step.kind}' and ends its branch; remove the transition to "
                    f"'{arrows[0].target}'.",
                    arrows[0].where,
                    "end_continues",
                )
            elif arrows:
                self._check_defaults(step, arrows)
                self._check_choice(step, arrows)

    def _check_defaults(self, step: Step, arrows: Sequence[Arrow]) -> None:
        defaults = [arrow for arrow in arrows if arrow.default]
        for arrow in defaults[1:]:
            self._fault(
                f"Step '{step.key}' has two default transitions, to '{defaults[0].target}' and to '{arrow.target}'; "
                "keep one.",
                arrow.where,
                "default_repeated",
            )
        for arrow in defaults:
            if arrow.conditional:
                self._fault(
                    f"The default transition from '{step.key}' to '{arrow.target}' has a condition; a default is taken "
                    "when nothing else holds, so remove one of the two.",
                    arrow.where,
                    "default_conditional",
                )

    def _check_choice(self, step: Step, arrows: Sequence[Arrow]) -> None:
        """Can something always be followed, and can everything be followed sometimes?"""
        always = [arrow for arrow in arrows if not arrow.conditional and not arrow.default]
        defaults = [arrow for arrow in arrows if arrow.default]
        if not always and not defaults and step.split is not Split.all:
            self._fault(
                f"Step '{step.key}' leads on only under conditions, and none may hold; add a default transition.",
                self.places[step.key],
                "default_missing",
            )
        if not always:
            return
        hidden = defaults
        if step.split is Split.one:
            place = arrows.index(always[0])
            hidden = [arrow for arrow in arrows if arrow in arrows[place + 1 :] or arrow.default]
        for arrow in hidden:
            self._fault(
                f"The transition from '{step.key}' to '{arrow.target}' is never taken, because the one to "
                f"'{always[0].target}' has no condition and always holds; give that one a condition or make it the "
                f"default, or write 'split: all' at '{step.key}' to follow both.",
                arrow.where,
                "transition_never_taken",
            )

    def edges(self) -> dict[str, list[str]]:
        """Where each step can lead to, error routes last."""
        found = {key: [arrow.target for arrow in arrows] for key, arrows in self.outgoing.items()}
        for key, step in self.steps.items():
            if step.on_error is not None and step.kind != FAIL and step.on_error not in found[key]:
                found[key].append(step.on_error)
        return found

    def find_start(self) -> str | None:
        firsts = graphs.entrances([key for key in self.steps if key not in self.handlers], self.edges())
        if len(firsts) == 1:
            return firsts[0]
        if not firsts:
            self._fault("There is no step to start with; add a step.", (*self.where, "steps"), "start_missing")
        for key in firsts[1:]:
            self._fault(
                f"Nothing leads to '{key}', and '{firsts[0]}' is the start already; add a transition to '{key}', or "
                "remove it.",
                self.places[key],
                "start_ambiguous",
            )
        return None

    def check_joins(self, graph: Graph) -> None:
        for key, feeders in graph.feeders.items():
            join = graph.steps[key].join
            if join.kind is JoinKind.at_least and join.count > max(len(feeders), 1):
                self._fault(
                    f"Step '{key}' waits for at least {join.count} arrivals, but only {len(feeders)} transitions lead "
                    "to it (ways back in a loop do not count); lower the number or add transitions.",
                    (*self.places[key], "join"),
                    "join_count_impossible",
                )

    def check_cycles(self) -> None:
        """Every cycle needs a step that counts its visits, left by another way than its error route.

        A step that has used up its visits fails and takes its error route: a cycle along that route goes on.
        """
        edges: dict[str, list[str]] = {}
        for key, targets in self.edges().items():
            step = self.steps[key]
            edges[key] = [target for target in targets if step.max_visits is None or target == step.on_error]
        for group in graphs.cycles(list(self.steps), edges):
            names = ", ".join(f"'{key}'" for key in group)
            self._fault(
                f"The steps {names} form a loop that nothing ends; set max_visits on '{group[0]}', and lead its "
                "on_error out of the loop.",
                self.places[group[0]],
                "cycle_unbounded",
            )

    # Building

    def graph(self, start: str) -> Graph:
        edges = self.edges()
        back = graphs.back_edges(start, edges)
        outgoing = {key: tuple(self._transitions(arrows)) for key, arrows in self.outgoing.items()}
        incoming: dict[str, list[Transition]] = {key: [] for key in self.steps}
        for arrows in outgoing.values():
            for transition in arrows:
                incoming[transition.target].append(transition)
        reverse = graphs.reversed_edges(self.steps, edges)
        loops = graphs.loops(back, reverse)
        return Graph(
            start=start,
            steps=dict(self.steps),
            outgoing=outgoing,
            incoming={key: tuple(arrows) for key, arrows in incoming.items()},
            feeders={
                key: graphs.feeders(
                    key, [a.source for a in incoming[key] if (a.source, key) not in back], reverse, loops
                )
                for key, step in self.steps.items()
                if step.joins
            },
            back=back,
            handlers=self.handlers,
        )

    def _transitions(self, arrows: Sequence[Arrow]) -> Iterator[Transition]:
        for index, arrow in enumerate(arrows):
            yield Transition(arrow.source, arrow.target, index, arrow.conditional, arrow.default)

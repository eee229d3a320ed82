"""Moving an execution to another version of its workflow: the same tokens, on another graph.

A mapping says which step of the old version becomes which of the new one; steps that it does not name keep their path
(a body step keeps its key, in whatever its for-each becomes). A step that is mapped to nothing is left out, which is
possible where no token stands. Everything moves or nothing does: the answer is a state, or every reason why not, in
words.

Visits keep their numbers and attempts, so errands that are under way are answered as ever, and results stay readable
under the step's new name. Nothing is decided here: whether a join can fire now is found out by `VersionChanged`, which
the caller sends next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from weft.interpreter.definition import COMPENSATE, Compensation, Definition, Graph, JoinKind, Step
from weft.interpreter.state import Ending, Frame, Phase, State, Status, Visit

StepMapping = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Move:
    """So many tokens that stand at `step` will stand at `target`; None when they cannot be moved."""

    step: str
    target: str | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Migration:
    """`state` is None when there are `problems`."""

    state: State | None
    moves: tuple[Move, ...] = ()
    problems: tuple[str, ...] = ()


def counterpart(path: str, mapping: StepMapping) -> str | None:
    """The path that a step has in the new version; None when it is left out. It need not exist."""
    if path in mapping:
        return mapping[path]
    level, _, key = path.rpartition(".")
    if not level:
        return path
    outer = counterpart(level, mapping)
    return None if outer is None else f"{outer}.{key}"


def mapping_problems(old: Definition, new: Definition, mapping: StepMapping) -> tuple[str, ...]:
    """What is wrong with a mapping whatever execution it is for."""
    before = {step.path for step in old.all_steps()}
    after = {step.path for step in new.all_steps()}
    found = []
    for path, target in mapping.items():
        if path not in before:
            found.append(f"'{path}' is no step of the old version.")
        elif target is not None and target not in after:
            found.append(f"'{path}' is mapped to '{target}', which is no step of the new version.")
        elif target is not None and _level(target) != counterpart(_level(path), mapping):
            found.append(f"'{path}' is mapped to '{target}': a step cannot move into or out of a for-each.")
    return tuple(found)


def migrate(old: Definition, new: Definition, state: State, mapping: StepMapping) -> Migration:
    """The state on the new definition, or why it cannot be. A completed or cancelled execution stays where it is."""
    if state.status in (Status.completed, Status.cancelled):
        return Migration(None, problems=(f"It has ended as {state.status.value}.",))
    return _Mover(old, new, state, mapping).move()


def _level(path: str) -> str:
    return path.rpartition(".")[0]


def _ever_undoes(definition: Definition) -> bool:
    """Whether completed steps are undone at some end, or in the midst of the workflow."""
    return definition.compensation is not Compensation.never or any(
        step.kind == COMPENSATE for step in definition.graph.steps.values()
    )


class _Mover:
    def __init__(self, old: Definition, new: Definition, state: State, mapping: StepMapping) -> None:
        self.old = old
        self.new = new
        self.state = state
        self.mapping = mapping
        self.problems: dict[str, None] = {}
        self.moves: Counter[tuple[str, str | None]] = Counter()

    def move(self) -> Migration:
        state = self.state
        visits = {number: self._visit(visit) for number, visit in state.visits.items()}
        interrupted = tuple(self._visit(visit) for visit in state.interrupted)
        undo = self._undo()
        frames = {} if self.problems else {key: self._frame(frame) for key, frame in state.frames.items()}
        moves = tuple(Move(step, target, tokens) for (step, target), tokens in self.moves.items())
        if self.problems:
            return Migration(None, moves, tuple(self.problems))
        moved = replace(
            state, visits=visits, interrupted=interrupted, frames=frames, undo=undo, ending=self._ending(state.ending)
        )
        return Migration(moved, moves)

    def _refuse(self, problem: str) -> None:
        self.problems[problem] = None

    # Tokens

    def _visit(self, visit: Visit) -> Visit:
        level = self.state.frames[visit.frame].graph
        step = self.old.graphs[level].steps[visit.step]
        target = self._target(step, visit)
        self.moves[step.path, target.path if target is not None else None] += 1
        if target is None:
            return visit
        ordered_as = visit.ordered_as
        if visit.phase is Phase.running and not ordered_as:
            ordered_as = step.path
        return replace(visit, step=target.key, ordered_as="" if ordered_as == target.path else ordered_as)

    def _target(self, step: Step, visit: Visit) -> Step | None:
        path = counterpart(step.path, self.mapping)
        target = self._step(path)
        if path is None:
            self._refuse(f"A token stands at '{step.path}', which the mapping leaves out; map it to a step.")
        elif target is None:
            self._refuse(
                f"A token stands at '{step.path}', which has no counterpart in the new version; map it to a step of "
                f"the type '{step.kind}'."
            )
        elif target.kind != step.kind:
            self._refuse(
                f"A token stands at '{step.path}' of the type '{step.kind}', but '{path}' is of the type "
                f"'{target.kind}'; map it to a step of its own type."
            )
            return None
        elif visit.phase is Phase.choosing and not self.new.graphs[_level(target.path)].outgoing[target.key]:
            self._refuse(f"The step '{step.path}' is done and its way on is not chosen, but '{path}' leads nowhere.")
            return None
        elif not self._is_in_its_role(step, visit, target):
            return None
        return target

    def _is_in_its_role(self, step: Step, visit: Visit, target: Step) -> bool:
        """A token that undoes stays at a step that undoes the same; any other at one that others lead to."""
        undone = next((key for number, key in self.state.undo if number == visit.undoes), None)
        if undone is None:
            if target.key in self.new.graphs[_level(target.path)].handlers:
                self._refuse(f"A token stands at '{step.path}', but '{target.path}' only undoes other steps.")
                return False
            return True
        source = self._step(counterpart(undone, self.mapping))
        if source is not None and source.compensate is not None and source.compensate != target.key:
            self._refuse(
                f"'{step.path}' is undoing '{undone}', but in the new version '{source.key}' is undone by "
                f"'{source.compensate}'; map '{step.path}' to that."
            )
            return False
        return True

    def _step(self, path: str | None) -> Step | None:
        if path is None:
            return None
        graph = self.new.graphs.get(_level(path))
        return graph.steps.get(path.rpartition(".")[2]) if graph is not None else None

    # What is to be undone

    def _undo(self) -> tuple[tuple[int, str], ...]:
        """The completed visits that can be undone, under their new names, as long as the new version can undo them."""
        found = []
        for number, key in self.state.undo:
            path = counterpart(key, self.mapping)
            target = self._step(path)
            if target is not None and target.compensate is not None:
                found.append((number, target.key))
            elif _ever_undoes(self.old):
                lacks = (
                    f"it has no counterpart there; map '{key}' to a step with `compensate`"
                    if path is None or target is None
                    else f"'{path}' has no `compensate`"
                )
                self._refuse(f"What '{key}' has done could not be undone by the new version: {lacks}.")
        return tuple(found)

    def _ending(self, ending: Ending | None) -> Ending | None:
        """What could not be undone is named as the new version does; what it does not have keeps its name."""
        if ending is None:
            return None
        moved = [(key, self._step(counterpart(key, self.mapping))) for key in ending.unsettled]
        return replace(ending, unsettled=tuple(key if target is None else target.key for key, target in moved))

    # Frames: only when every token has its place

    def _frame(self, frame: Frame) -> Frame:
        path = counterpart(frame.graph, self.mapping) if frame.graph else ""
        graph = self.new.graphs.get(path) if path is not None else None
        if path is None or graph is None:
            self._refuse(f"Items of '{frame.graph}' are under way, and the new version has no body for them.")
            return frame
        return replace(
            frame,
            graph=path,
            arrived=self._arrived(frame, graph),
            fired=self._fired(frame, graph),
            last=self._last(frame, graph),
            visits=self._counts(frame, graph),
        )

    def _key(self, frame: Frame, key: str, graph: Graph) -> str | None:
        """What a key of the old level is called on the new one; None when it is not there."""
        path = counterpart(f"{frame.graph}.{key}" if frame.graph else key, self.mapping)
        moved = path.rpartition(".")[2] if path is not None else None
        return moved if moved in graph.steps else None

    def _arrived(self, frame: Frame, graph: Graph) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for key, sources in frame.arrived.items():
            join = self._key(frame, key, graph)
            if join is None or not graph.steps[join].joins:
                self._refuse(f"Tokens have arrived at the join '{key}', which has no counterpart that joins.")
                continue
            moved = [self._key(frame, source, graph) for source in sources]
            for source, now in zip(sources, moved, strict=True):
                if now not in graph.feeders[join]:
                    self._refuse(
                        f"A token has arrived at the join '{key}' from '{source}', which no longer leads to '{join}'."
                    )
            found[join] = (*found.get(join, ()), *(now for now in moved if now is not None))
        return found

    def _fired(self, frame: Frame, graph: Graph) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, waves in frame.fired.items():
            join = self._key(frame, key, graph)
            if join is None:
                continue  # with arrivals of a wave that has fired it was refused above
            if graph.steps[join].join.kind is JoinKind.all:
                self._refuse(f"The join '{key}' has fired already, but '{join}' would wait for the rest of that wave.")
            found[join] = found.get(join, 0) + waves
        return found

    def _last(self, frame: Frame, graph: Graph) -> dict[str, int]:
        """Where two steps become one, the newer result is its result."""
        found: dict[str, int] = {}
        for key, visit in frame.last.items():
            moved = self._key(frame, key, graph)
            if moved is not None:
                found[moved] = max(visit, found.get(moved, 0))
        return found

    def _counts(self, frame: Frame, graph: Graph) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, count in frame.visits.items():
            moved = self._key(frame, key, graph)
            if moved is not None and graph.steps[moved].max_visits is not None:
                found[moved] = found.get(moved, 0) + count
        return found

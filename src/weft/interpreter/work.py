"""A private, mutable copy of a state, for the length of one `advance`.

Frozen values are what the outside sees; inside, one event may move many tokens, and copying everything for each
would cost more than the moves. Frames are copied when they are first touched, and their tables when written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from weft.interpreter.commands import Command, Settle, Settlement
from weft.interpreter.definition import Definition, Graph, Step
from weft.interpreter.state import Ending, Frame, Phase, State, Status, Visit


class Entry(NamedTuple):
    """A token on its way to a step; `source` is None when it does not come by a transition."""

    frame: str
    step: str
    source: str | None


class Trouble(NamedTuple):
    """A visit, or (without one) a whole frame, that cannot go on for a reason of the graph: `step` is where."""

    frame: str
    visit: int | None
    reason: str
    step: str = ""


class FrameDraft:
    """A frame that is being changed. Its tables are shared with the old frame: replace them, never write to them."""

    __slots__ = ("arrived", "ended", "fired", "graph", "id", "last", "path", "result", "visits")

    def __init__(self, frame: Frame, graph: Graph) -> None:
        self.id = frame.id
        self.path = frame.graph
        self.graph = graph
        self.arrived: Mapping[str, tuple[str, ...]] = frame.arrived
        self.fired: Mapping[str, int] = frame.fired
        self.last: Mapping[str, int] = frame.last
        self.visits: Mapping[str, int] = frame.visits
        self.result = frame.result
        self.ended = False  # a token left a step of this frame: it may have been the last

    def freeze(self) -> Frame:
        return Frame(self.id, self.path, self.arrived, self.fired, self.last, self.visits, self.result)


class Work:
    """One event's effects so far: the state in the making, the commands, and what is still to be looked at."""

    __slots__ = (
        "agenda",
        "at",
        "commands",
        "compensated",
        "definition",
        "drafts",
        "ending",
        "frames",
        "interrupted",
        "next_visit",
        "over",
        "overdue",
        "reason",
        "seed",
        "status",
        "troubles",
        "undo",
        "undo_due",
        "visits",
    )

    def __init__(self, definition: Definition, state: State, at: datetime) -> None:
        self.definition = definition
        self.at = at
        self.status = state.status
        self.seed = state.seed
        self.next_visit = state.next_visit
        self.visits = dict(state.visits)
        self.frames = dict(state.frames)
        self.interrupted = state.interrupted
        self.reason = state.reason
        self.overdue = state.overdue
        self.undo = state.undo
        self.ending: Ending | None = state.ending
        self.compensated = state.compensated
        self.drafts: dict[str, FrameDraft] = {}
        self.commands: list[Command] = []
        self.agenda: deque[Entry] = deque()
        self.troubles: deque[Trouble] = deque()
        self.undo_due: deque[int] = deque()  # owners whose next handler may run, see `compensation`
        self.over = False  # the execution has ended: nothing is looked at any more

    # Frames

    def frame(self, frame_id: str) -> FrameDraft:
        draft = self.drafts.get(frame_id)
        if draft is None:
            frame = self.frames[frame_id]
            draft = self.drafts[frame_id] = FrameDraft(frame, self.definition.graphs[frame.graph])
        return draft

    def add_frame(self, frame_id: str, path: str) -> None:
        self.frames[frame_id] = Frame(frame_id, path)

    def drop_frame(self, frame_id: str) -> None:
        del self.frames[frame_id]
        self.drafts.pop(frame_id, None)

    def put_away(self, frame_id: str) -> None:
        """Keep the frame as it is, and look at it no more in this `advance`."""
        draft = self.drafts.pop(frame_id, None)
        if draft is not None:
            self.frames[frame_id] = draft.freeze()

    def rename_frame(self, old: str, new: str) -> FrameDraft:
        """The same frame under the name of another visit."""
        draft = self.frame(old)
        if old != new:
            self.drop_frame(old)
            draft.id = new
            self.frames[new] = draft.freeze()
            self.drafts[new] = draft
        return draft

    def is_live(self, frame_id: str) -> bool:
        """Does a token stay in this frame?"""
        for visit in self.visits.values():  # noqa: SIM110  asked after every step: a generator costs more than the answer
            if visit.frame == frame_id:
                return True
        return False

    # Visits

    def step_of(self, visit: Visit) -> Step:
        return self.definition.graphs[self.frames[visit.frame].graph].steps[visit.step]

    def take_number(self) -> int:
        number = self.next_visit
        self.next_visit = number + 1
        return number

    def put(self, visit: Visit) -> None:
        self.visits[visit.number] = visit

    # Commands

    def settle(
        self,
        visit: Visit,
        step: Step,
        how: Settlement,
        *,
        taken: tuple[str, ...] = (),
        reason: str = "",
        retry_at: datetime | None = None,
    ) -> None:
        """Order the journal row of this attempt, unless it is written already."""
        if not visit.settled:
            self.commands.append(
                Settle(
                    visit.number,
                    visit.attempt,
                    step.path,
                    visit.frame,
                    how,
                    visit.entered_at,
                    self.at,
                    retry_at,
                    taken,
                    reason,
                )
            )

    # The end

    def freeze(self) -> tuple[State, tuple[Command, ...]]:
        frames = self.frames
        for frame_id, draft in self.drafts.items():
            frames[frame_id] = draft.freeze()
        status = self.status
        if status is Status.running or status is Status.waiting:
            status = self._liveness()
        overdue = self.overdue if status is Status.paused else ()
        state = State(
            status,
            self.seed,
            self.next_visit,
            self.visits,
            frames,
            self.interrupted,
            self.reason,
            overdue,
            self.undo,
            self.ending,
            self.compensated,
        )
        return state, tuple(self.commands)

    def _liveness(self) -> Status:
        """Waiting when every live visit waits. A for-each whose items run counts by its items."""
        waits = False
        for visit in self.visits.values():
            phase = visit.phase
            if phase is Phase.waiting or phase is Phase.retrying:
                waits = True
            elif phase is not Phase.iterating and phase is not Phase.queued:
                return Status.running
        return Status.waiting if waits else Status.running

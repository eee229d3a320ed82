"""Plays the engine's part at random: answers every order in any sequence, and watches what must always hold."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import assert_never

from tests.interpreter.running import NOON

from weft.interpreter.advance import advance
from weft.interpreter.codec import dump_state, load_state
from weft.interpreter.commands import (
    BeginUndo,
    CancelStep,
    Choose,
    Collect,
    Command,
    Conclude,
    Finish,
    HoldStep,
    ItemEnded,
    Judge,
    RunStep,
    Settle,
    Settlement,
    StartTimer,
)
from weft.interpreter.definition import COMPENSATE, FAIL, FOR_EACH, LOOP, Definition
from weft.interpreter.events import (
    Abandoned,
    CancelRequested,
    Event,
    ItemsFound,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Started,
    StepFailed,
    StepSucceeded,
    StepWaiting,
    TimerFired,
    TransitionsChosen,
    TurnDecided,
    UndoRequested,
)
from weft.interpreter.state import NEW, ROOT, Phase, State, Status, item_of


@dataclass(frozen=True)
class Chances:
    """In percent: how often an attempt fails, waits first, is overdue or heard of twice, and a failed end retried.

    `pauses`: how often the execution is paused or resumed between two answers.
    """

    fails: int = 0
    waits: int = 20
    repeats: int = 0
    retries: int = 0
    timeouts: int = 30
    pauses: int = 0
    most_items: int = 3


class Engine:
    """`todo` holds what has been ordered and not answered; any of it may be answered next."""

    def __init__(self, definition: Definition, seed: int, chances: Chances) -> None:
        self.definition = definition
        self.random = Random(seed)
        self.chances = chances
        self.state: State = NEW
        self.at: datetime = NOON
        self.events: list[Event] = []
        self.states: list[State] = [NEW]
        self.commands: list[Command] = []
        self.results: Counter[tuple[int, int]] = Counter()  # origin -> items whose result was named
        self.todo: list[RunStep | Choose | Collect | Judge | Conclude | StartTimer] = []
        self.places: dict[int, tuple[str, str]] = {}  # visit -> (frame, step path)
        self.retries = 0

    def send(self, event: Event) -> None:
        before = self.state
        self.state, fresh = advance(self.definition, before, event)
        self.events.append(event)
        self.states.append(self.state)
        self.commands.extend(fresh)
        for command in fresh:
            match command:
                case RunStep():
                    self.places[command.visit] = (command.frame, command.step)
                    self.todo.append(command)
                case Collect():
                    assert self.results[command.origin] == command.count - command.failed
                    self.todo.append(command)
                case ItemEnded():
                    self.results[command.origin] += 1
                case Choose() | Judge() | Conclude() | StartTimer():
                    self.todo.append(command)
                case CancelStep() | HoldStep() | Settle() | BeginUndo() | Finish():
                    pass
                case _:
                    assert_never(command)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def run(self, most: int = 4_000) -> None:
        """Until the execution has ended and nobody asks it to go on."""
        if self.chance(self.chances.pauses):
            self.send(PauseRequested(self.at))
        self.send(Started(self.at, seed=self.random.randrange(2**32)))
        while len(self.events) < most:
            if self.chance(self.chances.pauses):
                self.pause_or_resume()
            if self.state.status is Status.failed and self.retries < 3 and self.chance(self.chances.retries):
                self.retries += 1
                self.send(RetryRequested(self.at))
            elif self.state.status.is_final:
                return
            elif not self.step():
                if self.state.status is not Status.paused:
                    return
                self.pause_or_resume()
            if self.chance(self.chances.repeats):
                self.repeat()
        raise AssertionError(f"no end after {most} events")

    def pause_or_resume(self) -> None:
        paused = self.state.status is Status.paused
        self.send(ResumeRequested(self.at) if paused else PauseRequested(self.at))

    def step(self) -> bool:
        """Answer one order. False when there is none."""
        if not self.todo:
            return False
        order = self.todo.pop(self.random.randrange(len(self.todo)))
        self.at += timedelta(seconds=1)
        match order:
            case RunStep():
                self.answer(order)
            case Collect() | Conclude():
                self.conclude(order.visit, order.attempt)
            case Judge():
                self.judge(order.visit, order.attempt, order.turn)
            case Choose():
                self.choose(order)
            case StartTimer():
                if order.purpose == "retry" or self.chance(self.chances.timeouts):
                    self.at = max(self.at, order.at)
                    self.send(TimerFired(self.at, order.visit, order.attempt, order.purpose))
            case _:
                assert_never(order)
        return True

    def answer(self, order: RunStep) -> None:
        step = self.definition.step(order.step)
        if step.kind == FAIL:
            self.send(StepFailed(self.at, order.visit, order.attempt, FAIL, retryable=False))
        elif step.kind == LOOP:
            self.enter(order.visit, order.attempt)
        elif step.kind == COMPENSATE:
            self.send(UndoRequested(self.at, order.visit, order.attempt))
        elif self.chance(self.chances.waits) and step.kind != FOR_EACH:
            self.send(StepWaiting(self.at, order.visit, order.attempt))
            self.todo.append(Collect(order.visit, order.attempt, order.step, order.frame, (order.visit, 0), 0))
        elif step.kind == FOR_EACH and not self.chance(self.chances.fails):
            count = Random(f"{self.item(order.frame)}{order.step}").randint(0, self.chances.most_items)
            self.send(ItemsFound(self.at, order.visit, order.attempt, count))
        else:
            self.conclude(order.visit, order.attempt)

    def enter(self, number: int, attempt: int) -> None:
        """A loop begins, or goes on where it was interrupted."""
        visit = self.state.visits.get(number)
        if visit is not None:
            again = visit.resumes > 0 or self.chance(80)
            self.send(TurnDecided(self.at, number, attempt, visit.done, again))

    def judge(self, visit: int, attempt: int, turn: int) -> None:
        self.send(TurnDecided(self.at, visit, attempt, turn, self.chance(60)))

    def conclude(self, visit: int, attempt: int) -> None:
        if self.chance(self.chances.fails):
            kind = self.random.choice(["broken", "timeout"])
            self.send(StepFailed(self.at, visit, attempt, kind, self.chance(70)))
        else:
            self.send(StepSucceeded(self.at, visit, attempt))

    def choose(self, order: Choose) -> None:
        level, _, key = order.step.rpartition(".")
        arrows = self.definition.graphs[level].outgoing[key]
        holding = tuple(arrow.index for arrow in arrows if not arrow.default and self.chance(50))
        self.send(TransitionsChosen(self.at, order.visit, holding))

    def repeat(self) -> None:
        """Something that was said before is heard again, now or much later: it must change nothing."""
        event = self.random.choice(self.events)
        commands_of_people = RetryRequested | CancelRequested | PauseRequested | ResumeRequested
        if isinstance(event, commands_of_people | Abandoned) or self.is_asked_again(event):
            return
        state, commands = advance(self.definition, self.state, event)
        assert state is self.state, event
        assert commands == ()

    def is_asked_again(self, event: Event) -> bool:
        """A choice that an interruption prevented is asked for under the same number: any answer is an answer."""
        if not isinstance(event, TransitionsChosen):
            return False
        visit = self.state.visits.get(event.visit)
        return visit is not None and visit.settled

    def item(self, frame: str) -> str:
        """Which item of which item this frame is, whatever visits it has had."""
        if frame == ROOT:
            return ""
        visit, index = item_of(frame)
        outer, step = self.places[visit]
        return f"{self.item(outer)}/{step}[{index}]"

    # What must hold

    def check_end(self) -> None:
        """After the end: nothing is live, and every attempt that was ordered has one journal row."""
        assert self.state.status.is_final
        assert self.state.visits == {}
        ordered = Counter((c.visit, c.attempt) for c in self.commands if isinstance(c, RunStep))
        settled = Counter((c.visit, c.attempt) for c in self.commands if isinstance(c, Settle))
        assert max(ordered.values(), default=1) == 1
        assert max(settled.values(), default=1) == 1
        assert ordered.keys() <= settled.keys()
        exhausted = {
            (c.visit, c.attempt) for c in self.commands if isinstance(c, Settle) and c.reason == "visits_exhausted"
        }
        assert settled.keys() - ordered.keys() <= exhausted
        assert self.commands
        assert isinstance(self.commands[-1], Finish)
        assert self.commands[-1].status is self.state.status
        if self.state.status is Status.completed:
            assert self.state.frames.keys() == {ROOT}
            assert self.state.interrupted == ()
            assert not self.state.frames[ROOT].arrived
            assert not self.state.frames[ROOT].fired

    def check_state(self) -> None:
        """At any moment: every token stays in a frame that exists, and every item belongs to a visit."""
        state = self.state
        if state.status not in (Status.paused, Status.pending):
            assert all(visit.phase is not Phase.held for visit in state.visits.values())
            assert state.overdue == ()
        known = state.visits.keys() | {visit.number for visit in state.interrupted}
        known |= {visit.resumes for visit in (*state.visits.values(), *state.interrupted)}
        most = sum(step.concurrency for step in self.definition.all_steps()) ** 3 + 1
        assert len(state.frames) <= most, "the state grows with what is live, not with the number of items"
        for number, visit in state.visits.items():
            if visit.origin[0]:
                assert visit.failed <= visit.done <= visit.next_item <= visit.count
            assert number == visit.number < state.next_visit
            assert visit.frame in state.frames
        for frame_id, frame in state.frames.items():
            assert frame_id == frame.id
            assert frame_id == ROOT or item_of(frame_id)[0] in known
        assert load_state(json.loads(json.dumps(dump_state(state)))) == state

    def completions(self) -> Counter[str]:
        """How often each step of each item was completed."""
        return Counter(
            f"{self.item(command.frame)}/{command.step}"
            for command in self.commands
            if isinstance(command, Settle) and command.how is Settlement.completed
        )

"""The interpreter: one event in, the next state and the orders that follow from it out.

Theory of operation. A workflow is a graph, and an execution is a set of tokens on it; a token that stays at a step
is a *visit*. News about a visit moves its token: to the next steps, to several of them, to a join that collects
tokens, or out of the graph. A for-each stays where it is while its items run in *frames* of their own, each a small
execution of the body. The execution has ended when the root frame holds no token any more.

`advance` is total and deterministic: every event is accepted in every state, and what is late, repeated or about
somebody else changes nothing and gives the very same state back. So delivery may be at least once, and a history
replays to the same state for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, assert_never

from weft.interpreter.commands import Command, Finish
from weft.interpreter.compensation import begin_step
from weft.interpreter.compensation import go_on as undo_next
from weft.interpreter.definition import COMPENSATE, LOOP, Definition
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
    VersionChanged,
)
from weft.interpreter.failure import Failure, abandon, cancel_all, fail, go_on, resolve, stop_timed_out
from weft.interpreter.flow import RETRY, TIMEOUT, choose, complete, enter, run_again, run_queued, wait
from weft.interpreter.items import finish_item, found
from weft.interpreter.joins import fire_next
from weft.interpreter.loops import decided, finish_turn
from weft.interpreter.pausing import follow, order_held, pause
from weft.interpreter.state import NEW, ROOT, Phase, State, Status, Visit, item_of
from weft.interpreter.work import Entry, FrameDraft, Work

Advance = tuple[State, tuple[Command, ...]]
_OfTheWhole = CancelRequested | RetryRequested | Abandoned | PauseRequested | ResumeRequested | VersionChanged
"""Events that are about the execution, not about one visit."""

_RUNNING: Final = frozenset({Phase.running})
_MAY_SUCCEED: Final = frozenset({Phase.running, Phase.waiting, Phase.collecting})
_MAY_FAIL: Final = frozenset({Phase.running, Phase.waiting, Phase.iterating, Phase.collecting, Phase.judging})
_JUDGED: Final = frozenset({Phase.running, Phase.judging})
_RETRYING: Final = frozenset({Phase.retrying})


def advance(definition: Definition, state: State, event: Event) -> Advance:
    """Apply one event. Late or repeated news changes nothing: the same state object and no command come back."""
    work = _apply(definition, state, event)
    if work is None:
        return state, ()
    _settle(work)
    return work.freeze()


def replay(definition: Definition, events: Iterable[Event], state: State = NEW) -> State:
    """The state after these events."""
    for event in events:
        state, _ = advance(definition, state, event)
    return state


def _apply(definition: Definition, state: State, event: Event) -> Work | None:
    """The event's own effect; None when it has none."""
    move: Callable[[Work, Visit], None]
    match event:
        case StepSucceeded():
            visit = _awaited(state, event.visit, event.attempt, _MAY_SUCCEED)
            move = complete
        case TransitionsChosen() | TurnDecided() | UndoRequested():
            return _answered(definition, state, event)
        case StepFailed():
            return _failed(definition, state, event)
        case StepWaiting():
            visit = _awaited(state, event.visit, event.attempt, _RUNNING)
            move = wait
        case TimerFired():
            return _fired(definition, state, event)
        case ItemsFound():
            return _found(definition, state, event)
        case Started():
            return _started(definition, state, event)
        case (
            CancelRequested() | RetryRequested() | Abandoned() | PauseRequested() | ResumeRequested() | VersionChanged()
        ):
            return _commanded(definition, state, event)
        case _:
            assert_never(event)
    if visit is None:
        return None
    work = Work(definition, state, event.at)
    move(work, visit)
    return work


def _commanded(definition: Definition, state: State, event: _OfTheWhole) -> Work | None:
    match event:
        case CancelRequested():
            return _cancelled(definition, state, event)
        case RetryRequested():
            return _retried(definition, state, event)
        case Abandoned():
            return _abandoned(definition, state, event)
        case PauseRequested():
            return _paused(definition, state, event)
        case ResumeRequested():
            return _resumed(definition, state, event)
        case VersionChanged():
            return _looked_again(definition, state, event)
        case _:
            assert_never(event)


def _awaited(state: State, number: int, attempt: int, phases: frozenset[Phase]) -> Visit | None:
    """The live visit this news is about; None when nobody waits for it (any more)."""
    visit = state.visits.get(number)
    return visit if visit is not None and visit.attempt == attempt and visit.phase in phases else None


def _answered(
    definition: Definition, state: State, event: TransitionsChosen | TurnDecided | UndoRequested
) -> Work | None:
    """What the interpreter had asked about a choice, a loop or what is to be undone."""
    match event:
        case TransitionsChosen():
            return _chosen(definition, state, event)
        case TurnDecided():
            return _decided(definition, state, event)
        case UndoRequested():
            return _undone(definition, state, event)


def _chosen(definition: Definition, state: State, event: TransitionsChosen) -> Work | None:
    visit = state.visits.get(event.visit)
    if visit is None or visit.phase is not Phase.choosing:
        return None
    work = Work(definition, state, event.at)
    choose(work, visit, event.holding)
    return work


def _failed(definition: Definition, state: State, event: StepFailed) -> Work | None:
    visit = _awaited(state, event.visit, event.attempt, _MAY_FAIL)
    if visit is None:
        return None
    work = Work(definition, state, event.at)
    fail(work, visit, Failure(event.kind, event.retryable, event.retry_after))
    return work


def _fired(definition: Definition, state: State, event: TimerFired) -> Work | None:
    if event.purpose == RETRY:
        visit = _awaited(state, event.visit, event.attempt - 1, _RETRYING)
        if visit is None:
            return None
        work = Work(definition, state, event.at)
        run_again(work, visit)
        return work
    visit = _awaited(state, event.visit, event.attempt, _MAY_FAIL)
    if visit is None or event.purpose != TIMEOUT:
        return None
    timer = (visit.number, visit.attempt)
    if state.status is Status.paused and timer in state.overdue:
        return None
    work = Work(definition, state, event.at)
    if state.status is Status.paused:  # it counts when the execution goes on, if nothing else comes of it meanwhile
        work.overdue = (*state.overdue, timer)
        return work
    stop_timed_out(work, visit, Failure(TIMEOUT))
    return work


def _found(definition: Definition, state: State, event: ItemsFound) -> Work | None:
    visit = _awaited(state, event.visit, event.attempt, _RUNNING)
    if visit is None:
        return None
    work = Work(definition, state, event.at)
    if work.step_of(visit).body is None or work.step_of(visit).kind == LOOP:
        return None
    found(work, visit, max(event.count, 0))
    return work


def _decided(definition: Definition, state: State, event: TurnDecided) -> Work | None:
    visit = _awaited(state, event.visit, event.attempt, _JUDGED)
    if visit is None or visit.done != event.turn:
        return None
    work = Work(definition, state, event.at)
    if work.step_of(visit).kind != LOOP:
        return None
    decided(work, visit, again=event.again)
    return work


def _undone(definition: Definition, state: State, event: UndoRequested) -> Work | None:
    visit = _awaited(state, event.visit, event.attempt, _RUNNING)
    if visit is None:
        return None
    work = Work(definition, state, event.at)
    if work.step_of(visit).kind != COMPENSATE:
        return None
    begin_step(work, visit)
    return work


def _started(definition: Definition, state: State, event: Started) -> Work | None:
    if state.status is not Status.pending and (state.status is not Status.paused or ROOT in state.frames):
        return None
    work = Work(definition, state, event.at)
    work.seed = event.seed
    if ROOT in state.frames:  # it was laid out to begin elsewhere (`begin_at`)
        work.status = Status.running
        order_held(work)
    else:
        _begin(work, definition)
    return work


def _begin(work: Work, definition: Definition) -> None:
    if work.status is not Status.paused:
        work.status = Status.running
    work.add_frame(ROOT, ROOT)
    work.agenda.append(Entry(ROOT, definition.graph.start, None))


def _cancelled(definition: Definition, state: State, event: CancelRequested) -> Work | None:
    if state.status.is_final or state.ending is not None:
        return None
    work = Work(definition, state, event.at)
    cancel_all(work, event.reason)
    return work


def _retried(definition: Definition, state: State, event: RetryRequested) -> Work | None:
    if state.status is not Status.failed or state.compensated:
        return None
    work = Work(definition, state, event.at)
    if ROOT in state.frames:
        go_on(work)
    else:  # it failed before it was ever taken up
        _begin(work, definition)
    return work


def _abandoned(definition: Definition, state: State, event: Abandoned) -> Work | None:
    if state.status.is_final:
        return None
    work = Work(definition, state, event.at)
    abandon(work, event.reason)
    return work


def _paused(definition: Definition, state: State, event: PauseRequested) -> Work | None:
    if state.status.is_final or state.status is Status.paused:
        return None
    work = Work(definition, state, event.at)
    pause(work, event.reason)
    return work


def _resumed(definition: Definition, state: State, event: ResumeRequested) -> Work | None:
    """What timed out meanwhile comes first: it may end the execution, and then nothing new must begin."""
    if state.status is not Status.paused:
        return None
    work = Work(definition, state, event.at)
    work.status = Status.running if ROOT in state.frames else Status.pending
    work.reason = ""
    for number, attempt in state.overdue:
        visit = work.visits.get(number)
        if visit is not None and visit.attempt == attempt and visit.phase in _MAY_FAIL:
            stop_timed_out(work, visit, Failure(TIMEOUT))
            _settle(work)
        if work.over:
            return work
    order_held(work)
    follow(work, held=False)
    return work


def _is_under_way(state: State, frame_id: str) -> bool:
    """Whether anything may move in this frame. Those of an interrupted for-each or loop wait until it goes on."""
    if frame_id == ROOT:
        return True
    owner = state.visits.get(item_of(frame_id)[0])
    return owner is not None and owner.phase is Phase.iterating


def _looked_again(definition: Definition, state: State, event: VersionChanged) -> Work | None:
    if state.status.is_final or ROOT not in state.frames:
        return None
    work = Work(definition, state, event.at)
    for frame_id in state.frames:
        if _is_under_way(state, frame_id):
            work.frame(frame_id).ended = True
    while run_queued(work):  # the name that it waited for may be no name any more
        pass
    return work


# What follows from it: until nothing moves any more.


def _settle(work: Work) -> None:
    while not work.over:
        if work.troubles:
            resolve(work, work.troubles.popleft())
        elif work.agenda:
            enter(work, work.agenda.popleft())
        elif work.undo_due:
            undo_next(work, work.undo_due.popleft())
        elif not _progress(work):
            return


def _progress(work: Work) -> bool:
    """Let the next join fire or the next frame end. False when everything waits for news."""
    for draft in work.drafts.values():
        if (draft.arrived and fire_next(work, draft)) or (draft.ended and _end(work, draft)):
            return True  # at once: what happened may have changed which frames there are
    return work.definition.queues and run_queued(work)


def _end(work: Work, draft: FrameDraft) -> bool:
    """The frame is over when its last token has ended (then no join waits either). False when it is not."""
    if work.is_live(draft.id):
        draft.ended = False
        return False
    if draft.id == ROOT:
        work.status = Status.completed
        work.over = True
        work.interrupted = ()
        work.undo = ()
        work.commands.append(Finish(Status.completed, work.at, result=draft.result))
    elif work.step_of(work.visits[item_of(draft.id)[0]]).kind == LOOP:
        finish_turn(work, draft)
    else:
        finish_item(work, draft)
    return True

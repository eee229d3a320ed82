"""Undoing: when an execution fails or is cancelled, its completed steps are undone by their handlers, the last first.

A step names its handler by `compensate`. Handlers run one after the other, in reverse order of completion, each an
ordinary visit at the workflow's own level, with its journal row, retries and timeout. One that fails for good is noted,
and the others still run. When all have ended, so does the execution, as it would have without them; it cannot be
retried any more, because what it had done is undone.

A step of the kind `compensate` does the same in the midst of a workflow: it undoes all steps, or those that it names,
and then goes on; meanwhile other branches run. Whoever wants a handler is its visit's `owner`, 0 for the ending.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from weft.interpreter.commands import BeginUndo, Conclude, Finish, Settlement
from weft.interpreter.definition import Compensation, Step
from weft.interpreter.flow import run
from weft.interpreter.state import ROOT, Ending, Phase, Status, Visit
from weft.interpreter.undone import note_undone
from weft.interpreter.work import Work

_WHEN: Final = {
    Status.failed: (Compensation.on_failure, Compensation.both),
    Status.cancelled: (Compensation.on_cancel, Compensation.both),
}


def begin_end(work: Work, status: Status, reason: str, visit: int | None = None, step: str = "") -> bool:
    """Whether there is something to undo before the execution ends like this. Nothing is live any more."""
    if not work.undo or work.definition.compensation not in _WHEN[status]:
        return False
    work.ending = Ending(status, reason, visit)
    if status is Status.cancelled or work.status is not Status.paused:
        work.status = Status.running  # what fails while it is paused is undone when it goes on
    work.interrupted = ()
    work.visits.clear()
    work.agenda.clear()
    work.troubles.clear()
    for frame_id in [frame_id for frame_id in work.frames if frame_id != ROOT]:
        work.drop_frame(frame_id)
    draft = work.frame(ROOT)
    draft.arrived, draft.fired = {}, {}
    work.commands.append(BeginUndo(status, work.at, visit, reason, len(work.undo), step))
    work.undo_due.append(0)
    return True


def begin_step(work: Work, visit: Visit) -> None:
    """A `compensate` step: its handlers may run."""
    work.put(replace(visit, phase=Phase.undoing, count=0, done=0))
    work.undo_due.append(visit.number)


def go_on(work: Work, owner: int) -> None:
    """Run the owner's next handler; when there is none, its work is done."""
    if owner:
        visit = work.visits.get(owner)
        if visit is None or visit.phase is not Phase.undoing:
            return  # it was interrupted or withdrawn
        step = work.step_of(visit)
        if not _run_next(work, owner, step.undoes):
            work.put(replace(visit, phase=Phase.collecting))
            work.commands.append(Conclude(owner, visit.attempt, step.path, visit.done, visit.count))
    elif work.ending is not None and not _run_next(work, 0, ()):
        _finish(work, work.ending)


def _run_next(work: Work, owner: int, keys: tuple[str, ...]) -> bool:
    """Begin the handler of the visit that completed last, unless one is under way. False when none is left."""
    busy = {visit.undoes for visit in work.visits.values() if visit.undoes}
    for number, key in reversed(work.undo):
        if number in busy or (keys and key not in keys):
            continue
        draft = work.frame(ROOT)
        handler = draft.graph.steps[draft.graph.steps[key].compensate or ""]
        visit = Visit(work.take_number(), handler.key, ROOT, 1, Phase.running, work.at, undoes=number, owner=owner)
        work.put(visit)
        run(work, visit, handler)
        return True
    return False


def fail_handler(work: Work, visit: Visit, step: Step, reason: str) -> None:
    """The handler has failed for good: that is noted, and the others still run."""
    draft = work.frame(visit.frame)
    work.settle(visit, step, Settlement.failed, reason=reason)
    del work.visits[visit.number]
    draft.last = {**draft.last, step.key: visit.number}
    note_undone(work, visit, failed=True)


def give_up(work: Work, reason: str) -> None:
    """The engine could not go on with the handler that runs: it has failed."""
    for number in sorted(work.visits):
        visit = work.visits[number]
        fail_handler(work, visit, work.step_of(visit), reason)


def _finish(work: Work, ending: Ending) -> None:
    """Everything has been undone that can be: the execution ends as it would have."""
    work.status = ending.status
    work.reason = ending.reason
    work.ending = None
    work.compensated = True
    work.over = True
    work.commands.append(
        Finish(ending.status, work.at, visit=ending.visit, reason=ending.reason, unsettled=ending.unsettled)
    )

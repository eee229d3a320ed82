"""The bad way through the graph: another attempt, passing over, the error route, or the end.

A failure looks for somebody to deal with it: the step itself, else the for-each around it, and so on outwards. When
nobody does, the execution fails, and keeps what was live so that it can go on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from weft.interpreter.backoff import delay
from weft.interpreter.commands import CancelStep, Finish, Settlement, StartTimer
from weft.interpreter.compensation import begin_end, fail_handler, give_up
from weft.interpreter.definition import FAIL, Step
from weft.interpreter.dropping import cancel, drop_items, interrupt, suspend_items
from weft.interpreter.flow import RETRY, complete
from weft.interpreter.items import pass_over_item, reenter, resumed
from weft.interpreter.state import ROOT, Phase, Status, Visit, item_of
from weft.interpreter.work import Entry, Trouble, Work

_NO_VISIT: Final[tuple[Visit, ...]] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong. `wish` is the other side's `Retry-After` in seconds; `step` is where, when no visit tells."""

    kind: str
    retryable: bool = True
    wish: float | None = None
    step: str = ""


def fail(work: Work, visit: Visit, failure: Failure) -> None:
    """An attempt has failed."""
    step = work.step_of(visit)
    if step.kind != FAIL and _deal(work, visit, step, failure, ()):
        return
    if visit.undoes:
        fail_handler(work, visit, step, failure.kind)
        return
    _give_up(work, (visit,), visit.frame, failure)


def stop_timed_out(work: Work, visit: Visit, failure: Failure) -> None:
    """The attempt took too long: it is stopped, and has failed."""
    step = work.step_of(visit)
    work.commands.append(CancelStep(visit.number, visit.attempt, step.path))
    fail(work, visit, failure)


def resolve(work: Work, trouble: Trouble) -> None:
    """A fault of the graph. Trying again or passing over would lead to the same place: only the error route helps."""
    failure = Failure(trouble.reason, retryable=False, step=trouble.step)
    if trouble.visit is None:
        _give_up(work, _NO_VISIT, trouble.frame, failure)
        return
    visit = work.visits[trouble.visit]
    step = work.step_of(visit)
    if step.kind != FAIL and step.on_error is not None:
        _take_error_route(work, visit, step, step.on_error, failure)
    else:
        _give_up(work, (visit,), visit.frame, failure)


def _deal(work: Work, visit: Visit, step: Step, failure: Failure, failed: tuple[Visit, ...]) -> bool:
    """Can this step deal with the failure (its own, or that of the visits inside it which `failed`)?"""
    policy = step.retry
    again = visit.attempt < policy.attempts and (failure.kind in policy.on if policy.on else failure.retryable)
    if not again and step.required and step.on_error is None:
        return False
    if again:
        suspend_items(work, visit, failed, failure.kind)
        _try_again(work, visit, step, failure)
        return True
    drop_items(work, visit, failed, failure.kind)
    if not step.required:
        complete(work, replace(visit, resumes=0), failure.kind or "failed")
    elif step.on_error is not None:
        _take_error_route(work, visit, step, step.on_error, failure)
    return True


def _try_again(work: Work, visit: Visit, step: Step, failure: Failure) -> None:
    """A for-each keeps what its items have reached: the next attempt runs the unfinished ones only."""
    seconds = delay(step.retry, visit.attempt, seed=work.seed, visit=visit.number, wish=failure.wish)
    at = work.at + timedelta(seconds=seconds)
    work.settle(visit, step, Settlement.failed, reason=failure.kind, retry_at=at)
    work.commands.append(StartTimer(visit.number, visit.attempt + 1, at, RETRY))
    work.put(replace(visit, phase=Phase.retrying, resumes=resumed(visit)))


def _take_error_route(work: Work, visit: Visit, step: Step, target: str, failure: Failure) -> None:
    draft = work.frame(visit.frame)
    work.settle(visit, step, Settlement.failed, taken=(target,), reason=failure.kind)
    del work.visits[visit.number]
    draft.last = {**draft.last, step.key: visit.number}
    draft.ended = True
    work.agenda.append(Entry(draft.id, target, None))


def _give_up(work: Work, failed: tuple[Visit, ...], frame_id: str, failure: Failure) -> None:
    """The frame fails: the for-each around it has a failed item, or the execution has failed."""
    while frame_id != ROOT:
        owner = work.visits[item_of(frame_id)[0]]
        step = work.step_of(owner)
        if step.passes_items:
            pass_over_item(work, owner, frame_id, failed, failure.kind)
            return
        if _deal(work, owner, step, replace(failure, wish=None), failed):
            return
        failed = (*failed, owner)
        frame_id = owner.frame
    _end_failed(work, failed, failure)


def _end_failed(work: Work, failed: tuple[Visit, ...], failure: Failure, *, undoes: bool = True) -> None:
    """The execution fails. Its frames stay, so that a retry goes on in them, unless its steps are undone."""
    interrupt(work, failed, failure.kind)
    visit = failed[0].number if failed else None
    if undoes and begin_end(work, Status.failed, failure.kind, visit, failure.step):
        return
    end(work, Status.failed, failure.kind)
    work.commands.append(Finish(Status.failed, work.at, visit=visit, reason=failure.kind, step=failure.step))


def abandon(work: Work, reason: str) -> None:
    """The execution fails for a reason that lies outside of it: nothing is undone, as a retry may mend it."""
    if work.ending is not None:
        give_up(work, reason)
    else:
        _end_failed(work, _NO_VISIT, Failure(reason, retryable=False), undoes=False)


def end(work: Work, status: Status, reason: str) -> None:
    """Nothing is live any more."""
    work.status = status
    work.over = True
    work.reason = reason
    work.visits.clear()
    work.agenda.clear()
    work.troubles.clear()


def cancel_all(work: Work, reason: str) -> None:
    """The execution is cancelled: unlike a failed one it cannot go on, so only the workflow's own frame stays."""
    for number in sorted(work.visits):
        cancel(work, work.visits[number])
    for frame_id in [frame_id for frame_id in work.frames if frame_id != ROOT]:
        work.drop_frame(frame_id)
    work.interrupted = ()
    if begin_end(work, Status.cancelled, reason):
        return
    end(work, Status.cancelled, reason)
    work.commands.append(Finish(Status.cancelled, work.at, reason=reason))


def go_on(work: Work) -> None:
    """A failed execution is retried: enter again what was interrupted at the workflow's own level.

    What was interrupted inside a for-each follows when that for-each has found its items again.
    """
    stopped = [visit for visit in work.interrupted if visit.frame == ROOT]
    work.interrupted = tuple(visit for visit in work.interrupted if visit.frame != ROOT)
    work.status = Status.running
    work.reason = ""
    for visit in stopped:
        reenter(work, visit, ROOT)
    work.frame(ROOT).ended = True

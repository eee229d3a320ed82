"""A loop: its body again and again, one turn at a time, each in a frame of its own.

The frame of a turn stays until it is decided whether there is another, so that the condition sees what the turn's steps
gave; then it is dropped. Of all turns only their number and the output of the last one are kept: the state does not
grow with them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from weft.interpreter.commands import Conclude, Judge
from weft.interpreter.failure import Failure, fail
from weft.interpreter.items import take_over
from weft.interpreter.state import Phase, Visit, item_frame, item_of
from weft.interpreter.work import Entry, FrameDraft, Work

ITERATIONS_EXHAUSTED: Final = "iterations_exhausted"


def decided(work: Work, visit: Visit, *, again: bool) -> None:
    """Make another turn or not; a loop that was interrupted goes on in the turn that it was in."""
    if visit.phase is Phase.running and visit.resumes:
        _go_on(work, visit)
        return
    if visit.phase is Phase.judging:
        work.drop_frame(item_frame(visit.number, visit.done - 1))
    if not again:
        _conclude(work, visit)
    elif visit.done < work.step_of(visit).max_turns:
        _open(work, visit)
    elif work.step_of(visit).ends_well:
        _conclude(work, visit)
    else:
        spent = replace(visit, phase=Phase.running, done=0, next_item=0, last=0)  # another attempt begins anew
        work.put(spent)
        fail(work, spent, Failure(ITERATIONS_EXHAUSTED, retryable=False))


def _open(work: Work, visit: Visit) -> None:
    step = work.step_of(visit)
    frame_id = item_frame(visit.number, visit.done)
    work.put(replace(visit, phase=Phase.iterating, next_item=visit.done + 1, resumes=0))
    if step.body is not None:
        work.add_frame(frame_id, step.path)
        work.agenda.append(Entry(frame_id, step.body.start, None))


def finish_turn(work: Work, draft: FrameDraft) -> None:
    """The turn's last token has ended: ask whether there is another."""
    draft.ended = False
    visit = work.visits[item_of(draft.id)[0]]
    if visit.phase is Phase.iterating:
        again = replace(visit, phase=Phase.judging, done=visit.done + 1, last=draft.result or 0)
        work.put(again)
        _judge(work, again)


def _judge(work: Work, visit: Visit) -> None:
    step = work.step_of(visit)
    work.commands.append(Judge(visit.number, visit.attempt, step.path, visit.frame, visit.done, visit.last or None))


def _conclude(work: Work, visit: Visit) -> None:
    work.put(replace(visit, phase=Phase.collecting, resumes=0))
    step = work.step_of(visit)
    work.commands.append(Conclude(visit.number, visit.attempt, step.path, visit.done, last=visit.last or None))


def _go_on(work: Work, visit: Visit) -> None:
    """Take over what the interrupted visit left: a turn under way, one that is to be judged, or the end."""
    take_over(work, visit)
    goes_on = replace(visit, phase=Phase.iterating, resumes=0)
    if item_frame(visit.number, visit.done) in work.frames:
        work.put(goes_on)
    elif item_frame(visit.number, visit.done - 1) in work.frames:
        work.put(replace(goes_on, phase=Phase.judging))
        _judge(work, goes_on)
    else:
        _conclude(work, goes_on)

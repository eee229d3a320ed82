"""The items of a for-each: one frame each, so many at a time."""

from __future__ import annotations

from dataclasses import replace

from weft.interpreter.commands import Choose, Collect, ItemEnded
from weft.interpreter.definition import Step
from weft.interpreter.dropping import drop_item, drop_items
from weft.interpreter.flow import run
from weft.interpreter.state import Phase, Visit, item_frame, item_of
from weft.interpreter.work import Entry, FrameDraft, Work


def found(work: Work, visit: Visit, count: int) -> None:
    """The for-each knows its items: open the first ones, or go on where an interrupted visit stopped.

    Going on needs the same number of items as then; otherwise they are others, and all run anew.
    """
    if visit.resumes and count == visit.count:
        take_over(work, visit)
        begun = replace(visit, phase=Phase.iterating, resumes=0)
    else:
        if visit.resumes:
            drop_items(work, visit)
        origin = (visit.number, visit.attempt)
        begun = replace(
            visit, phase=Phase.iterating, count=count, next_item=0, done=0, failed=0, origin=origin, resumes=0
        )
    open_items(work, begun, done=begun.done, failed=begun.failed)


def open_items(work: Work, visit: Visit, *, done: int, failed: int) -> None:
    """Open as many items as the concurrency allows; when all are done, have their results collected."""
    step = work.step_of(visit)
    body = step.body
    next_item = visit.next_item
    while body is not None and next_item < visit.count and next_item - done < step.concurrency:
        frame_id = item_frame(visit.number, next_item)
        work.add_frame(frame_id, step.path)
        work.agenda.append(Entry(frame_id, body.start, None))
        next_item += 1
    phase = visit.phase
    if done >= visit.count:
        phase = Phase.collecting
        _collect(work, visit, step, done, failed)
    work.put(replace(visit, phase=phase, next_item=next_item, done=done, failed=failed))


def _collect(work: Work, visit: Visit, step: Step, done: int, failed: int) -> None:
    """Have the results gathered. What was left out because enough were done has none."""
    left = visit.count - done
    work.commands.append(
        Collect(visit.number, visit.attempt, step.path, visit.frame, visit.origin, visit.count, failed, left)
    )


def finish_item(work: Work, draft: FrameDraft) -> None:
    """The item's last token has ended: say what its result is, forget its frame, open the next."""
    number, index = item_of(draft.id)
    visit = work.visits[number]
    if draft.result is not None:
        work.commands.append(ItemEnded(draft.path, visit.origin, index, draft.result))
    work.drop_frame(draft.id)
    done, step = visit.done + 1, work.step_of(visit)
    if step.enough is not None and done - visit.failed >= step.enough and done < visit.count:
        drop_items(work, visit)
        work.put(replace(visit, phase=Phase.collecting, done=done))
        _collect(work, visit, step, done, visit.failed)
    else:
        open_items(work, visit, done=done, failed=visit.failed)


def pass_over_item(work: Work, owner: Visit, frame_id: str, failed: tuple[Visit, ...], kind: str) -> None:
    """The item has failed, and the for-each goes on without it."""
    drop_item(work, frame_id, failed, kind)
    open_items(work, owner, done=owner.done + 1, failed=owner.failed + 1)


def reenter(work: Work, visit: Visit, frame_id: str) -> None:
    """Go on where this visit was interrupted: under a new number, but for one whose work was done already.

    Nothing that completed runs again: a visit whose choice of transitions was pending chooses now, and a for-each
    that had found its items asks for them and takes over the unfinished ones.
    """
    step = work.definition.graphs[work.frames[frame_id].graph].steps[visit.step]
    if visit.phase is Phase.choosing:
        work.put(replace(visit, frame=frame_id, settled=True))
        work.commands.append(Choose(visit.number, step.path, frame_id))
        return
    again = replace(
        visit,
        number=work.take_number(),
        frame=frame_id,
        attempt=1,
        phase=Phase.running,
        entered_at=work.at,
        resumes=resumed(visit),
        ordered_as="",
    )
    work.put(again)
    run(work, again, step)


def resumed(visit: Visit) -> int:
    """Whose items the next attempt takes over: this visit's, once it had found them."""
    begun = (Phase.iterating, Phase.collecting, Phase.judging)
    return visit.number if visit.phase in begun else visit.resumes


def take_over(work: Work, visit: Visit) -> None:
    """Give the frames of the interrupted for-each to this visit, and go on in each."""
    prefix = f"{visit.resumes}."
    for index in sorted(item_of(frame_id)[1] for frame_id in work.frames if frame_id.startswith(prefix)):
        old, new = item_frame(visit.resumes, index), item_frame(visit.number, index)
        work.rename_frame(old, new).ended = True
        stopped = [inner for inner in work.interrupted if inner.frame == old]
        work.interrupted = tuple(inner for inner in work.interrupted if inner.frame != old)
        for inner in stopped:
            reenter(work, inner, new)

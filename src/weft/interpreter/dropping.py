"""Visits that are no longer awaited: for good, or until their work is taken up again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from weft.interpreter.commands import CancelStep, Settlement
from weft.interpreter.state import ROOT, Phase, Visit, item_of
from weft.interpreter.undone import note_completed
from weft.interpreter.work import Work


def cancel(work: Work, visit: Visit, reason: str = "") -> None:
    """Order that the visit be stopped and its journal row closed. The caller removes it from the state."""
    step = work.step_of(visit)
    match visit.phase:
        case Phase.running | Phase.waiting:
            work.commands.append(CancelStep(visit.number, visit.attempt, step.path))
            work.settle(visit, step, Settlement.cancelled, reason=reason)
        case Phase.iterating | Phase.collecting | Phase.judging | Phase.undoing:
            work.settle(visit, step, Settlement.cancelled, reason=reason)
        case Phase.choosing:  # its work is done, and stays done
            how = Settlement.skipped if visit.reason else Settlement.completed
            work.settle(visit, step, how, reason=visit.reason)
            if step.compensate is not None and not visit.reason and not visit.settled:
                note_completed(work, visit)
        case Phase.retrying | Phase.queued:  # the failed attempt has its row, and the next one never began
            pass
        case Phase.held:  # this attempt never began
            pass


def interrupt(work: Work, failed: tuple[Visit, ...], kind: str, frames: Iterable[str] | None = None) -> None:
    """Stop what is live (in these frames, or everywhere) and remember it, so that it can be entered again.

    `failed` are visits that failed, the others are cancelled for their sake.
    """
    within = work.frames.keys() if frames is None else set(frames)
    live = [work.visits[number] for number in sorted(work.visits) if work.visits[number].frame in within]
    numbers = {visit.number for visit in failed}
    for visit in failed:
        draft = work.frame(visit.frame)
        work.settle(visit, work.step_of(visit), Settlement.failed, reason=kind)
        draft.last = {**draft.last, visit.step: visit.number}
    remembered = list(work.interrupted)
    for visit in live:
        if visit.number not in numbers:
            cancel(work, visit)
        del work.visits[visit.number]
        if visit.undoes:
            continue  # whoever wants it will order it anew
        # A visit that failed for want of a transition runs again, with perhaps another output.
        stranded = visit.number in numbers and visit.phase is Phase.choosing and not visit.settled
        begins_anew = stranded or visit.phase is Phase.held
        remembered.append(replace(visit, phase=Phase.running) if begins_anew else visit)
    work.interrupted = tuple(sorted(remembered, key=lambda visit: visit.number))


def suspend_items(work: Work, visit: Visit, failed: tuple[Visit, ...], kind: str) -> None:
    """Stop everything inside a for-each's visit until it has found its items again."""
    frames = inside(work, visit)
    interrupt(work, failed, kind, frames)
    _forget_plans(work, frames)
    for frame_id in frames:
        work.put_away(frame_id)


def drop_items(work: Work, visit: Visit, failed: tuple[Visit, ...] = (), kind: str = "") -> None:
    """End everything inside a for-each's visit, however deep, and forget its frames."""
    _drop(work, inside(work, visit), failed, kind)


def drop_item(work: Work, frame_id: str, failed: tuple[Visit, ...], kind: str) -> None:
    """End everything inside one item of a for-each, and forget it."""
    frames = {frame_id}
    for inner in (*work.visits.values(), *work.interrupted):
        if inner.frame == frame_id:
            frames |= inside(work, inner)
    _drop(work, frames, failed, kind)


def _drop(work: Work, frames: set[str], failed: tuple[Visit, ...], kind: str) -> None:
    for inner in failed:
        work.settle(inner, work.step_of(inner), Settlement.failed, reason=kind)
    numbers = {inner.number for inner in failed}
    for number in sorted(number for number, inner in work.visits.items() if inner.frame in frames):
        if number not in numbers:
            cancel(work, work.visits[number])
        del work.visits[number]
    work.interrupted = tuple(inner for inner in work.interrupted if inner.frame not in frames)
    _forget_plans(work, frames)
    for frame_id in frames:
        work.drop_frame(frame_id)


def _forget_plans(work: Work, frames: set[str]) -> None:
    if frames:
        work.agenda = deque(entry for entry in work.agenda if entry.frame not in frames)
        work.troubles = deque(trouble for trouble in work.troubles if trouble.frame not in frames)


def inside(work: Work, visit: Visit) -> set[str]:
    """The frames within this visit, those of for-each steps within them included."""
    frames: set[str] = set()
    owners = {visit.number, visit.resumes} - {0} if visit.next_item or visit.resumes else set()
    rest = [frame_id for frame_id in work.frames if frame_id != ROOT] if owners else []
    while True:
        found = {frame_id for frame_id in rest if item_of(frame_id)[0] in owners}
        if not found:
            return frames
        frames |= found
        rest = [frame_id for frame_id in rest if frame_id not in found]
        for inner in (*work.visits.values(), *work.interrupted):
            if inner.frame in found:
                owners.update({inner.number, inner.resumes} - {0})

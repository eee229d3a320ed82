"""The good way through the graph: a step is done, its transitions are chosen, the next steps are entered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Final

from weft.interpreter.commands import Choose, RunStep, Settlement, StartTimer
from weft.interpreter.definition import Split, Step, Transition
from weft.interpreter.dropping import drop_items
from weft.interpreter.exclusion import is_taken, next_in_line
from weft.interpreter.state import Phase, Status, Visit
from weft.interpreter.undone import note_completed, note_undone
from weft.interpreter.withdrawal import withdraw
from weft.interpreter.work import Entry, FrameDraft, Trouble, Work

NO_TRANSITION: Final = "no_transition"
VISITS_EXHAUSTED: Final = "visits_exhausted"
TIMEOUT: Final = "timeout"
RETRY: Final = "retry"


def complete(work: Work, visit: Visit, reason: str = "") -> None:
    """The step is done, or (with a reason) passed over: go on from it."""
    draft = work.frame(visit.frame)
    outgoing = draft.graph.outgoing[visit.step]
    if visit.resumes:
        drop_items(work, visit)
    if not outgoing:
        leave(work, draft, visit, (), reason)
    elif len(outgoing) == 1 and not outgoing[0].conditional:
        leave(work, draft, visit, (outgoing[0].target,), reason)
    elif any(transition.conditional for transition in outgoing):
        step = draft.graph.steps[visit.step]
        work.put(
            Visit(visit.number, visit.step, visit.frame, visit.attempt, Phase.choosing, visit.entered_at, reason=reason)
        )
        work.commands.append(Choose(visit.number, step.path, visit.frame))
    else:
        leave(work, draft, visit, follow(draft.graph.steps[visit.step].split, outgoing, ()), reason)


def choose(work: Work, visit: Visit, holding: Collection[int]) -> None:
    """The conditions are evaluated: follow what the split rule makes of them."""
    draft = work.frame(visit.frame)
    targets = follow(draft.graph.steps[visit.step].split, draft.graph.outgoing[visit.step], holding)
    if targets:
        leave(work, draft, visit, targets, visit.reason)
    else:
        work.troubles.append(Trouble(visit.frame, visit.number, NO_TRANSITION))


def follow(split: Split, outgoing: tuple[Transition, ...], holding: Collection[int]) -> tuple[str, ...]:
    """The steps that come next. What has no condition holds; the default is taken when nothing does."""
    held = [
        transition.target
        for transition in outgoing
        if not transition.default and (not transition.conditional or transition.index in holding)
    ]
    if split is Split.one:
        del held[1:]
    return tuple(held) or tuple(transition.target for transition in outgoing if transition.default)


def leave(work: Work, draft: FrameDraft, visit: Visit, targets: tuple[str, ...], reason: str = "") -> None:
    """The visit is over: completed, or skipped for a reason. Its tokens set out for the targets."""
    key = visit.step
    step = draft.graph.steps[key]
    how = Settlement.skipped if reason else Settlement.completed
    work.settle(visit, step, how, taken=targets, reason=reason)
    del work.visits[visit.number]
    draft.last = {**draft.last, key: visit.number}
    draft.ended = True
    if step.cancels and not reason:
        withdraw(work, draft, step)
    for target in targets:
        work.agenda.append(Entry(draft.id, target, key))
    if step.compensate is not None and not reason and not visit.settled:
        note_completed(work, visit)
    if visit.undoes:
        note_undone(work, visit)
    elif not targets:
        draft.result = visit.number


def enter(work: Work, entry: Entry) -> None:
    """A token arrives: it begins a visit, or is counted at a join."""
    draft = work.frame(entry.frame)
    step = draft.graph.steps[entry.step]
    source = entry.source
    if source is not None and step.joins and (source, step.key) not in draft.graph.back:
        draft.arrived = {**draft.arrived, step.key: (*draft.arrived.get(step.key, ()), source)}
        draft.ended = True
    else:
        begin(work, draft, step)


def begin(work: Work, draft: FrameDraft, step: Step) -> None:
    """A new visit. A step that has used up its visits fails without having run."""
    number = work.take_number()
    visit = Visit(number, step.key, draft.id, 1, Phase.running, work.at)
    work.visits[number] = visit
    if step.max_visits is not None:
        count = draft.visits.get(step.key, 0)
        if count >= step.max_visits:
            work.troubles.append(Trouble(draft.id, number, VISITS_EXHAUSTED))
            return
        draft.visits = {**draft.visits, step.key: count + 1}
    run(work, visit, step)


def run(work: Work, visit: Visit, step: Step) -> None:
    """Order an attempt. A for-each or a loop is timed from here; other steps by their worker until they wait.

    While the execution is paused nothing is ordered: the visit is held, and holds its name, until it goes on.
    """
    if step.exclusive is not None and is_taken(work, visit, step.exclusive):
        work.visits[visit.number] = replace(visit, phase=Phase.queued)
        return
    if work.status is Status.paused:
        work.put(replace(visit, phase=Phase.held))
        return
    work.commands.append(RunStep(visit.number, visit.attempt, step.path, visit.frame))
    if step.body is not None:
        start_timeout(work, visit, step)


def run_queued(work: Work) -> bool:
    """Let the oldest visit run whose turn it is. False when there is none."""
    visit = next_in_line(work)
    if visit is None:
        return False
    again = replace(visit, phase=Phase.running, entered_at=work.at)
    work.visits[visit.number] = again
    run(work, again, work.step_of(again))
    return True


def start_timeout(work: Work, visit: Visit, step: Step) -> None:
    """The time of an attempt counts from when it began, whatever it does meanwhile."""
    if step.timeout is not None:
        at = visit.entered_at + timedelta(seconds=step.timeout)
        work.commands.append(StartTimer(visit.number, visit.attempt, at, TIMEOUT))


def run_again(work: Work, visit: Visit) -> None:
    """The retry timer is due: the next attempt."""
    again = replace(visit, attempt=visit.attempt + 1, phase=Phase.running, entered_at=work.at, ordered_as="")
    work.put(again)
    run(work, again, work.step_of(again))


def wait(work: Work, visit: Visit) -> None:
    work.put(replace(visit, phase=Phase.waiting))
    start_timeout(work, visit, work.step_of(visit))

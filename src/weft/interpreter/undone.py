"""The list of what can be undone: completed visits whose steps name a handler, in order of completion.

A visit stays on the list until its handler has come to an end, so that a handler which was interrupted runs again and
one that has ended never does.
"""

from __future__ import annotations

from dataclasses import replace

from weft.interpreter.definition import Definition
from weft.interpreter.state import Phase, State, Visit
from weft.interpreter.work import Work


def note_completed(work: Work, visit: Visit) -> None:
    """The visit has completed, and can be undone."""
    work.undo = (*work.undo, (visit.number, visit.step))


def note_undone(work: Work, handler: Visit, *, failed: bool = False) -> None:
    """The handler has come to an end: whoever wanted it looks for the next."""
    step = next((step for number, step in work.undo if number == handler.undoes), "")
    work.undo = tuple(entry for entry in work.undo if entry[0] != handler.undoes)
    owner = work.visits.get(handler.owner)
    if owner is not None:
        again = replace(owner, count=owner.count + 1) if failed else replace(owner, done=owner.done + 1)
        work.put(again)
    elif failed and work.ending is not None:
        work.ending = replace(work.ending, unsettled=(*work.ending.unsettled, step))
    work.undo_due.append(handler.owner)


def can_be_undone(state: State, number: int) -> bool:
    """Whether what this completed visit did stands, and can be undone."""
    return any(visit == number for visit, _ in state.undo)


def is_being_undone(definition: Definition, state: State, number: int) -> bool:
    """Whether its handler runs, or is about to: because the execution ends, or for a `compensate` step."""
    step = next((step for visit, step in state.undo if visit == number), None)
    if step is None or state.ending is not None:
        return step is not None
    for visit in state.visits.values():
        if visit.undoes == number:
            return True
        if visit.phase is Phase.undoing:
            wanted = definition.graphs[state.frames[visit.frame].graph].steps[visit.step].undoes
            if not wanted or step in wanted:
                return True
    return False

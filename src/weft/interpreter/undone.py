"""The list of what can be undone: completed visits whose steps name a handler, in order of completion.

A visit stays on the list until its handler has come to an end, so that a handler which was interrupted runs again and
one that has ended never does.
"""

from __future__ import annotations

from dataclasses import replace

from weft.interpreter.state import Visit
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

"""A step that completes takes tokens away from other steps: deferred choice, cancelling joins, explicit termination.

Withdrawn are the visits at the named steps of the same frame (with all items of a for-each), tokens on their way to
one, and arrivals at a join that is named. What a withdrawn visit had begun in the outside world is told to stop where
that is possible; its journal row says CANCELLED. The execution goes on with what is left.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from weft.interpreter.definition import Step
from weft.interpreter.dropping import cancel, drop_items
from weft.interpreter.work import FrameDraft, Work

WITHDRAWN: Final = "withdrawn"


def withdraw(work: Work, draft: FrameDraft, step: Step) -> None:
    """`step` has completed in this frame."""
    named = frozenset(step.cancels)
    numbers = [number for number, visit in work.visits.items() if visit.frame == draft.id and visit.step in named]
    for number in sorted(numbers):
        visit = work.visits[number]
        drop_items(work, visit)
        cancel(work, visit, WITHDRAWN)
        del work.visits[number]
    gone = set(numbers)
    work.agenda = deque(entry for entry in work.agenda if entry.frame != draft.id or entry.step not in named)
    work.troubles = deque(trouble for trouble in work.troubles if trouble.visit not in gone)
    draft.arrived = {join: sources for join, sources in draft.arrived.items() if join not in named}
    draft.fired = {join: waves for join, waves in draft.fired.items() if join not in named}

"""Pausing: nothing new is ordered, everything else goes on as ever.

A paused execution hears all news and draws every conclusion from it: attempts are settled, transitions chosen, joins
fire, items are opened. Only where an attempt would be ordered (`flow.run`) its visit is held instead. So tokens get the
same numbers and stand at the same steps as if nobody had paused, and going on means to order what is held.

The one thing that is put off is a timeout: time that passes while nothing may happen is nobody's fault. It is
remembered and counts when the execution goes on, unless the visit has come to its end by then.
"""

from __future__ import annotations

from dataclasses import replace

from weft.interpreter.commands import HoldStep
from weft.interpreter.flow import run
from weft.interpreter.state import Phase, Status
from weft.interpreter.work import Work


def pause(work: Work, reason: str) -> None:
    """From here on nothing is ordered."""
    work.status = Status.paused
    work.reason = reason
    follow(work, held=True)


def order_held(work: Work) -> None:
    """Order every attempt that was held, the oldest visit first."""
    for number in sorted(work.visits):
        visit = work.visits[number]
        if visit.phase is Phase.held:
            begun = replace(visit, phase=Phase.running, entered_at=work.at)
            work.put(begun)
            run(work, begun, work.step_of(begun))


def follow(work: Work, *, held: bool) -> None:
    """Tell what is waited for (sub-workflows, above all) that the execution is paused, or goes on."""
    for number in sorted(work.visits):
        visit = work.visits[number]
        if visit.phase is Phase.waiting:
            work.commands.append(HoldStep(number, visit.attempt, work.step_of(visit).path, held))

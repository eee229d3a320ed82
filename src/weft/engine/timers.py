"""A timer is due: what an attempt's timeout means, and when it counts.

Some waits are content with getting nothing (`on_timeout: continue`): they complete where others fail. The interpreter
does not know which, so their timeout becomes news of success before it is asked. While the execution is paused no
timeout counts, as it may have its answer before the execution goes on; what is left then counts at that moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.engine.outcomes import Done
from weft.interpreter.events import ResumeRequested, TimerFired
from weft.interpreter.flow import TIMEOUT
from weft.interpreter.state import Phase, Status

if TYPE_CHECKING:
    from weft.engine.turn import Turn


async def fire(turn: Turn, visit: int, attempt: int, purpose: str) -> None:
    """Let the turn hear of a timer that is due."""
    counts = purpose == TIMEOUT and turn.run.state.status is not Status.paused
    if not (counts and await _pass_over(turn, visit, attempt)):
        await turn.hear(TimerFired(turn.now, visit, attempt, purpose))


async def resume(turn: Turn) -> bool:
    """Let a paused execution go on, with the timeouts that fell due meanwhile. False when it is not paused."""
    if turn.run.state.status is not Status.paused:
        return False
    for visit, attempt in turn.run.state.overdue:
        await _pass_over(turn, visit, attempt)
    await turn.hear(ResumeRequested(turn.now))  # changes nothing where what was passed over was the last step
    return True


async def _pass_over(turn: Turn, visit: int, attempt: int) -> bool:
    """A wait whose time is over, and that is content with that, completes with nothing. False for all others."""
    run = turn.run
    live = run.state.visits.get(visit)
    if live is None or live.phase is not Phase.waiting or not run.awaits(visit, attempt):
        return False
    step = run.plan.steps[run.path_of(live)]
    if not step.hears or step.raw.get("on_timeout") != "continue":
        return False
    done = Done(None, message="Nothing came in time.")
    await turn.hear(turn.news_of(visit, attempt, done), done)
    return True

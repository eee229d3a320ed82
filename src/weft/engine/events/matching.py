"""Whether an event is what a waiting step waits for, and what the step then puts out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from weft.engine.evaluate import Evaluator
from weft.engine.outcomes import Heard
from weft.engine.run import Run

FILTER = "filter"


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """An event as expressions and outputs have it."""
    return {
        "id": str(row["id"]),
        "type": row["type"],
        "correlation": row["correlation"] or None,
        "payload": row["payload"],
        "received_at": row["received_at"].isoformat().replace("+00:00", "Z"),
    }


async def heard(
    evaluator: Evaluator, run: Run, visit: int, attempt: int, event: Mapping[str, Any], now: datetime
) -> Heard | None:
    """What the event means for a visit of this run: its outcome, or None when it waits for something else."""
    if not run.awaits(visit, attempt):
        return None
    live = run.state.visits[visit]
    step = run.plan.steps[run.path_of(live)]
    said = shown(event)
    condition = step.asks.get(FILTER)
    if condition is not None:
        own = (step.step.key, visit)
        if not await evaluator.holds(run, live.frame, condition, now, [], own, extra={"event": said}):
            return None
    if step.step.kind == "question":
        return Heard(said["payload"], event=event["id"])
    return Heard(said, event=event["id"])

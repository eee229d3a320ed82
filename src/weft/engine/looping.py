"""What a loop asks before and after its turns, and what it and a `compensate` step put out in the end."""

from __future__ import annotations

from datetime import datetime

from weft.engine.evaluate import Evaluator
from weft.engine.outcomes import Done, Failed
from weft.engine.plans import StepPlan
from weft.engine.run import Run
from weft.interpreter.commands import Conclude
from weft.interpreter.definition import LOOP


async def asks(
    evaluator: Evaluator,
    run: Run,
    visit: int,
    frame: str,
    step: StepPlan,
    now: datetime,
    turn: int = 0,
    last: int | None = None,
) -> bool:
    """Whether the loop's condition wants another turn. `turn`: how many it has made, the last of them in `frame`."""
    said: list[str] = []
    output = await evaluator.output(run, last) if last is not None else None
    word = "while" if step.step.asks_first else "until"
    extra = {"index": turn, "last": output}
    holds = await evaluator.holds(run, frame, step.asks[word], now, said, extra=extra)
    if said:
        run.messages[visit] = "Conditions: " + "; ".join(dict.fromkeys(said)) + "."
    return holds == step.step.asks_first


async def conclusion(evaluator: Evaluator, run: Run, command: Conclude, step: StepPlan) -> Done | Failed:
    """What the step's own visit comes to."""
    if step.step.kind == LOOP:
        last = await evaluator.output(run, command.last) if command.last is not None else None
        return Done({"iterations": command.count, "last": last})
    if command.failed:
        message = f"{command.failed} of the steps could not be undone. The journal says why."
        return Failed("compensation_failed", message, retryable=False)
    return Done({"undone": command.count})

"""`join`: several ways become one. Who is waited for is the interpreter's business; the step itself does nothing."""

from __future__ import annotations

from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps.base import NOTHING, InstantStep, config_of
from weft.interpreter.definition import Join, JoinKind


class JoinStep(InstantStep):
    name = "join"
    title = "Join"
    description = "Waits until every branch that can still arrive has arrived, then goes on once."
    config_schema = config_of()
    outputs_schema = NOTHING
    join = Join(JoinKind.all)

    def answer(self, call: Call) -> Outcome:
        del call
        return Done()


STEP = JoinStep()

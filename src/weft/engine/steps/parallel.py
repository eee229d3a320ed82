"""`parallel`: several ways at once. What follows is the interpreter's business; the step itself does nothing."""

from __future__ import annotations

from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps.base import NOTHING, InstantStep, config_of
from weft.interpreter.definition import Split


class Parallel(InstantStep):
    name = "parallel"
    title = "Parallel"
    description = "Follows every outgoing transition that holds, at the same time."
    config_schema = config_of()
    outputs_schema = NOTHING
    split = Split.all

    def answer(self, call: Call) -> Outcome:
        del call
        return Done()


STEP = Parallel()

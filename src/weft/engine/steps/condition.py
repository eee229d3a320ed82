"""`condition`: one way or the other. The conditions stand on the transitions; the step itself does nothing."""

from __future__ import annotations

from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps.base import NOTHING, InstantStep, config_of
from weft.interpreter.definition import Split


class Condition(InstantStep):
    name = "condition"
    title = "Condition"
    description = "Chooses one way: the first outgoing transition that holds is taken, else the default."
    config_schema = config_of()
    outputs_schema = NOTHING
    split = Split.one

    def answer(self, call: Call) -> Outcome:
        del call
        return Done()


STEP = Condition()

"""`compensate`: undo what was done, in the midst of a workflow. Running the handlers is the interpreter's business."""

from __future__ import annotations

from weft.engine.kinds import Call
from weft.engine.outcomes import Outcome, Undo
from weft.engine.steps.base import InstantStep, config_of, output_of
from weft.interpreter.definition import COMPENSATE


class Compensate(InstantStep):
    name = COMPENSATE
    title = "Compensate"
    description = "Undoes completed steps by the steps that their `compensate` names, the last one first; then goes on."
    config_schema = config_of(
        {
            "steps": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1_000,
                "uniqueItems": True,
                "items": {"type": "string", "minLength": 1},
                "description": "Keys of the steps to undo; without them, all that have completed.",
            }
        }
    )
    outputs_schema = output_of({"undone": {"type": "integer", "description": "How many visits were undone."}})

    def answer(self, call: Call) -> Outcome:
        del call
        return Undo()


STEP = Compensate()

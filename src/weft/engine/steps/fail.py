"""`fail`: the workflow has found that it cannot succeed."""

from __future__ import annotations

from weft.engine.kinds import Call
from weft.engine.outcomes import Failed, Outcome
from weft.engine.steps.base import NOTHING, InstantStep, config_of
from weft.engine.steps.values import text
from weft.interpreter.definition import FAIL


class Fail(InstantStep):
    name = FAIL
    title = "Fail"
    description = "Ends the flow as failed, with a message for people and data for programs; it is never retried."
    config_schema = config_of(
        {
            "message": {"type": "string", "minLength": 1, "description": "What went wrong, and what to do next."},
            "data": {"description": "Anything that helps whoever looks into it."},
        },
        required=("message",),
    )
    outputs_schema = NOTHING

    def answer(self, call: Call) -> Outcome:
        return Failed(kind="fail", message=text(call.config, "message"), retryable=False, data=call.config.get("data"))


STEP = Fail()

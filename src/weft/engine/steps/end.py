"""`end`: the workflow is over, and this is its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps.base import NOTHING, InstantStep, config_of
from weft.interpreter.definition import END


class End(InstantStep):
    name = END
    title = "End"
    description = "Ends the flow. What it puts out can be the execution's output."
    config_schema = config_of(
        {"output": {"description": "What the execution answers with: usually an object with expressions in it."}}
    )

    def outputs(self, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return None if "output" in config else NOTHING

    def answer(self, call: Call) -> Outcome:
        return Done(output=call.config.get("output"))


STEP = End()

"""`sub_workflow`: run another workflow, and go on when it has ended."""

from __future__ import annotations

from weft.engine.kinds import Call
from weft.engine.outcomes import Outcome, StartChild
from weft.engine.steps.base import ConfigWrong, InstantStep, config_of
from weft.engine.steps.values import integer, text

_LARGEST_VERSION = 2**31 - 1


class SubWorkflow(InstantStep):
    name = "sub_workflow"
    title = "Sub-workflow"
    description = "Runs another workflow of the tenant; its output is that workflow's output."
    config_schema = config_of(
        {
            "workflow": {"type": "string", "minLength": 1, "maxLength": 4096, "description": "Its name or its id."},
            "input": {"description": "The input it is started with; an empty object when there is none."},
            "version": {
                "type": "integer",
                "minimum": 1,
                "maximum": _LARGEST_VERSION,
                "description": "A version to hold on to; without it the one that is current when the step runs.",
            },
        },
        required=("workflow",),
    )

    def answer(self, call: Call) -> Outcome:
        workflow = text(call.config, "workflow").strip()
        if not workflow:
            raise ConfigWrong("config.workflow is empty; it must be the name or the id of a workflow.")
        version = integer(call.config, "version", default=None, low=1, high=_LARGEST_VERSION)
        return StartChild(workflow, call.config.get("input", {}), version)


STEP = SubWorkflow()

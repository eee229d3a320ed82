"""`wait_until`: go on at a point in time. Nothing holds a process or a connection meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.core.errors import Issue
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call
from weft.engine.outcomes import Outcome
from weft.engine.steps.base import InstantStep, config_of
from weft.engine.steps.delay import OUTPUT, UNTIL, fault_of_moment, until, waiting
from weft.engine.steps.values import is_expression


class WaitUntil(InstantStep):
    name = "wait_until"
    title = "Wait until"
    description = "Waits until a point in time; one that has passed is no wait at all."
    config_schema = config_of({"until": UNTIL}, required=("until",))
    outputs_schema = OUTPUT

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        fault = None if is_expression(config.get("until")) else fault_of_moment(config.get("until"))
        return [Issue(fault, (*where, "until"), "config_invalid")] if fault else []

    def answer(self, call: Call) -> Outcome:
        return waiting(call, until(call))


STEP = WaitUntil()

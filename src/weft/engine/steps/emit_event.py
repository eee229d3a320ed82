"""`emit_event`: say that something happened. The event is stored with the step, so it is said once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.core.errors import Issue
from weft.domain.events import rules
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call
from weft.engine.outcomes import Emit, Outcome
from weft.engine.steps.base import ConfigWrong, InstantStep, config_of, output_of
from weft.engine.steps.hearing import CORRELATION, correlation_of
from weft.engine.steps.values import is_expression, text


class EmitEvent(InstantStep):
    name = "emit_event"
    title = "Emit event"
    description = "Tells steps that wait and triggers that something happened; it is stored together with the step."
    config_schema = config_of(
        {
            "event": {
                "type": "string",
                "minLength": 1,
                "description": "Its type: words with dots between them, such as `invoice.approved`.",
            },
            "correlation": CORRELATION,
            "payload": {"description": "Any value, with expressions in it."},
        },
        required=("event",),
    )
    outputs_schema = output_of(
        {
            "id": {"type": "string", "description": "The event's id."},
            "type": {"type": "string", "description": "Its type."},
            "correlation": {"type": ["string", "null"], "description": "What it is about."},
        }
    )

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        written = config.get("event")
        fault = None if is_expression(written) else _fault(str(written))
        return [Issue(fault, (*where, "event"), "config_invalid")] if fault else []

    def answer(self, call: Call) -> Outcome:
        kind = text(call.config, "event")
        fault = _fault(kind)
        if fault:
            raise ConfigWrong(f"config.event: {fault}")
        return Emit(kind, correlation_of(call), call.config.get("payload"))


def _fault(kind: str) -> str | None:
    if rules.is_reserved(kind):
        return f"'{kind}' is one of weft's own types of event. Choose one that does not begin with that word."
    return rules.unlike(kind)


STEP = EmitEvent()

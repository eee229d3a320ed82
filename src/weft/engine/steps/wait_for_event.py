"""`wait_for_event`: go on when something happens. Who waits is a row; who is woken is found by an index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.core.errors import Issue
from weft.domain.events import rules
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome, WaitForEvent
from weft.engine.simulation.draws import Draws
from weft.engine.simulation.samples import sample
from weft.engine.steps.base import InstantStep, config_of, output_of
from weft.engine.steps.hearing import CORRELATION, ON_TIMEOUT, correlation_of
from weft.engine.steps.values import text

_TYPE = {"type": "string", "minLength": 1, "maxLength": rules.MAX_TYPE}


class WaitFor(InstantStep):
    name = "wait_for_event"
    title = "Wait for event"
    description = "Waits for an event, however long it takes; the step's `timeout` is the end of its patience."
    config_schema = config_of(
        {
            "event": {
                "anyOf": [_TYPE, {"type": "array", "minItems": 1, "maxItems": rules.MAX_TYPES, "items": _TYPE}],
                "description": "The type of event, such as `order.paid`, or a list: the first that comes counts.",
            },
            "correlation": CORRELATION,
            "filter": {
                "type": ["string", "object"],
                "description": "A condition over `event` (`id`, `type`, `correlation`, `payload`, `received_at`): "
                "events for which it does not hold are passed over.",
            },
            "from": {
                "enum": ["start", "now"],
                "default": "start",
                "description": "`start`: an event that came since the execution began counts, though it came before "
                "the step; `now`: only those that come while it waits.",
            },
            "on_timeout": ON_TIMEOUT,
        },
        required=("event",),
    )
    outputs_schema: Mapping[str, Any] | None = output_of(
        {
            "id": {"type": "string", "description": "The event's id."},
            "type": {"type": "string", "description": "Its type."},
            "correlation": {"type": ["string", "null"], "description": "What it is about."},
            "payload": {"description": "What was sent."},
            "received_at": {"type": "string", "format": "date-time", "description": "When it came, UTC."},
        }
    )
    conditions = (("filter",),)
    condition_names = ("event",)
    hears = True

    def outputs(self, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The event; null when it may go on without one."""
        return None if config.get("on_timeout") == "continue" else self.outputs_schema

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        fault = rules.unlike(config.get("event"))
        return [Issue(fault, (*where, "event"), "config_invalid")] if fault else []

    def answer(self, call: Call) -> Outcome:
        return WaitForEvent(_types(call), correlation_of(call), from_now=text(call.config, "from", "start") == "now")

    def rehearse(self, call: Call, draws: Draws) -> Done:
        """An event of a type that is waited for, about what it waits for. What was sent with it nobody can know."""
        return Done(
            {
                "id": sample({"type": "string", "format": "uuid"}, draws),
                "type": draws.one_of(_types(call)),
                "correlation": correlation_of(call) or None,
                "payload": {},
                "received_at": call.now.isoformat(),
            }
        )


def _types(call: Call) -> tuple[str, ...]:
    written = call.config["event"]
    return tuple(dict.fromkeys([written] if isinstance(written, str) else written))


STEP = WaitFor()

"""`delay`: go on later. Nothing holds a process or a connection meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from weft.core.errors import Issue
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome, WaitUntil
from weft.engine.steps.base import ConfigWrong, InstantStep, config_of, output_of
from weft.engine.steps.values import DURATION, is_expression, moment, parse_moment, seconds
from weft.interpreter.durations import DurationTooLong, DurationUnclear, parse_duration

LONGEST: Final = timedelta(days=366)
"""A year, leap or not. A longer wait is almost always a wrong unit."""


UNTIL: Final[Mapping[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "description": "When: a time with its zone (ISO 8601), such as `2030-12-24T18:00:00Z`; at most a year ahead.",
}
OUTPUT: Final = output_of(
    {"until": {"type": "string", "format": "date-time", "description": "The end of the wait, UTC."}}
)


class Delay(InstantStep):
    name = "delay"
    title = "Delay"
    description = "Waits for a length of time, or until a point in time; one that has passed is no wait at all."
    config_schema = config_of(
        {
            "for": {
                **DURATION,
                "description": "How long: seconds, or text such as `30s`, `1h30m`, `2d`; at most a year.",
            },
            "until": UNTIL,
        }
    )
    outputs_schema = OUTPUT

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        given = [name for name in ("for", "until") if name in config]
        if len(given) != 1:
            found = "has both" if given else "has neither"
            return [Issue(f"A delay needs either `for` or `until`; this one {found}.", where, "config_invalid")]
        name, value = given[0], config[given[0]]
        if is_expression(value):
            return []
        fault = _fault_of_length(value) if name == "for" else fault_of_moment(value)
        return [Issue(fault, (*where, name), "config_invalid")] if fault else []

    def answer(self, call: Call) -> Outcome:
        return waiting(call, self._end(call))

    def _end(self, call: Call) -> datetime:
        given = [name for name in ("for", "until") if call.config.get(name) is not None]
        if len(given) != 1:
            raise ConfigWrong("A delay needs exactly one of config.for and config.until.")
        if given[0] == "until":
            return until(call)
        written = call.config.get("for")
        if isinstance(written, (int, float)) and written < 0:  # the rest of a wait that is over already
            return call.now
        try:
            length = seconds(call.config, "for")
        except ConfigWrong as wrong:
            if isinstance(wrong.__cause__, DurationTooLong):
                raise ConfigWrong("config.for is more than a year. Check the unit.") from wrong
            raise
        if length > LONGEST.total_seconds():
            raise ConfigWrong(f"config.for is {length:,.0f} seconds, more than a year. Check the unit.")
        return call.now.astimezone(UTC) + timedelta(seconds=length)


def until(call: Call) -> datetime:
    """The point in time in `config.until`; raises `ConfigWrong` when it is none, or too far ahead."""
    end = moment(call.config, "until").astimezone(UTC)
    if end - call.now > LONGEST:
        raise ConfigWrong(f"config.until is {end.isoformat()}, more than a year ahead.")
    return end


def waiting(call: Call, end: datetime) -> Outcome:
    """Wait until then; a time that has passed is no wait at all."""
    output = {"until": end.isoformat().replace("+00:00", "Z")}
    return Done(output=output) if end <= call.now else WaitUntil(end, output)


def _fault_of_length(value: object) -> str | None:
    try:
        if parse_duration(value) <= LONGEST.total_seconds():
            return None
    except DurationTooLong:
        pass
    except DurationUnclear:
        return None  # the schema has said so
    return "A delay lasts at most a year. Check the unit."


def fault_of_moment(value: object) -> str | None:
    if not isinstance(value, str) or parse_moment(value) is not None:
        return None
    return f"'{value}' is not a time with its zone. Write it as 2030-12-24T18:00:00Z or with +01:00."


STEP = Delay()

"""What steps that wait for events or emit them have in common: types, correlations, and what happens in the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from weft.domain.events import rules
from weft.engine.kinds import Call
from weft.engine.steps.base import ConfigWrong
from weft.engine.steps.values import wrong

CORRELATION: Final[Mapping[str, Any]] = {
    "type": ["string", "number"],
    "minLength": 1,
    "description": "What the event is about, such as an order's number: an expression that gives text.",
}
ON_TIMEOUT: Final[Mapping[str, Any]] = {
    "enum": ["fail", "continue"],
    "default": "fail",
    "description": "When the step's `timeout` is over: `fail` (and take `on_error`), or `continue` with null.",
}


def correlation_of(call: Call) -> str:
    """Text; a number counts as its digits. Empty when none is configured."""
    if "correlation" not in call.config:
        return ""
    value = call.config["correlation"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if not isinstance(value, str) or not value.strip():
        raise wrong("correlation", "text that is not empty", value)
    if len(value) > rules.MAX_CORRELATION:
        raise ConfigWrong(
            f"config.correlation has {len(value):,} characters; at most {rules.MAX_CORRELATION} are kept."
        )
    return value

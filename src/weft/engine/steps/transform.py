"""`transform`: make one value out of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.core.errors import Issue
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps.base import ConfigWrong, InstantStep, config_of, output_of


class Transform(InstantStep):
    name = "transform"
    title = "Transform"
    description = "Makes a value out of what the execution knows; its output is that value."
    config_schema = config_of(
        {
            "output": {
                "description": "The value: an object or a list with expressions in it, or one expression. "
                "A string that is exactly one `{{ … }}` keeps the type of what it gives."
            },
            "values": {
                "type": "object",
                "description": "Another word for `output`, for objects only; give one of the two.",
            },
        }
    )

    def outputs(self, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The names of a literal object are known at save; what an expression gives is not."""
        shape = config.get("output", config.get("values"))
        return _schema_of(shape)

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        given = [name for name in ("output", "values") if name in config]
        if len(given) == 1:
            return []
        found = "has both" if given else "has neither"
        return [Issue(f"A transform needs either `output` or `values`; this one {found}.", where, "config_invalid")]

    def answer(self, call: Call) -> Outcome:
        if "output" in call.config:
            return Done(output=call.config["output"])
        if "values" in call.config:
            return Done(output=call.config["values"])
        raise ConfigWrong("A transform needs `output` or `values` in its config; this one has neither.")


def _schema_of(shape: object, depth: int = 0) -> dict[str, Any] | None:
    if not isinstance(shape, Mapping) or depth > 8:
        return None
    return output_of({name: _schema_of(value, depth + 1) or {} for name, value in shape.items()})


STEP = Transform()

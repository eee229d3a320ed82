"""`set`: remember values for later steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.domain.workflows.schema import KEY_PATTERN
from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps.base import InstantStep, config_of, output_of
from weft.engine.steps.values import mapping


class Set(InstantStep):
    name = "set"
    title = "Set variables"
    description = "Remembers values under names; later steps read them as `vars.<name>`."
    config_schema = config_of(
        {
            "vars": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": KEY_PATTERN},
                "description": "Names and their values; an expression may stand for a value or for all of them. "
                "A name that exists already gets the new value.",
            }
        },
        required=("vars",),
    )
    outputs_schema: Mapping[str, Any] | None = {"type": "object", "description": "The values that were set, by name."}

    def outputs(self, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        variables = config.get("vars")
        if not isinstance(variables, Mapping):
            return self.outputs_schema
        return output_of({name: {} for name in variables})

    def answer(self, call: Call) -> Outcome:
        variables = dict(mapping(call.config, "vars"))
        return Done(output=variables, variables=variables)


STEP = Set()

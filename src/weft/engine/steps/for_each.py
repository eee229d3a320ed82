"""`for_each`: its body once for every item of a list. Running the bodies is the interpreter's business."""

from __future__ import annotations

from typing import Final

from weft.engine.kinds import Call
from weft.engine.outcomes import Items, Outcome
from weft.engine.steps.base import ConfigWrong, InstantStep, config_of
from weft.engine.steps.values import wrong
from weft.interpreter.definition import FOR_EACH

MAX_ITEMS: Final = 10_000
"""More than this would make the execution's state too large to be saved often; page through them instead."""


_RESULTS: Final = {"type": "array", "description": "One output of the body for every item, in the items' order."}


class ForEach(InstantStep):
    name = FOR_EACH
    title = "For each"
    description = "Runs its body once for every item of a list; inside, `item` and `index` are known."
    config_schema = config_of(
        {
            "items": {
                "type": ["array", "string"],
                "minLength": 1,
                "maxItems": MAX_ITEMS,
                "description": f"The list: an expression such as `input.lines`, or a literal; at most {MAX_ITEMS:,}.",
            },
            "concurrency": {
                "type": "integer",
                "minimum": 1,
                "maximum": 100,
                "default": 1,
                "description": "How many items are worked on at the same time.",
            },
            "body": {
                "type": "object",
                "description": "`steps` and `transitions` that every item goes through, written like a workflow's.",
            },
        },
        required=("items", "body"),
    )
    outputs_schema = _RESULTS
    expressions = (("items",),)

    def answer(self, call: Call) -> Outcome:
        items = call.config.get("items")
        if not isinstance(items, (list, tuple)):
            raise wrong("items", "a list", items)
        if len(items) > MAX_ITEMS:
            raise ConfigWrong(
                f"config.items has {len(items):,} items; at most {MAX_ITEMS:,} fit into one for-each. "
                "Cut the list into batches and give each to a sub-workflow."
            )
        return Items(list(items))


STEP = ForEach()

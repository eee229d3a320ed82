"""`for_each`: its body once for every item of a list. Running the bodies is the interpreter's business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from weft.engine.kinds import Call
from weft.engine.outcomes import Items, Outcome
from weft.engine.steps.base import ConfigWrong, InstantStep, config_of, output_of
from weft.engine.steps.values import wrong
from weft.interpreter.definition import FOR_EACH

MOST: Final = 1_000_000
"""What the setting `WEFT_MAX_ITEMS` may allow."""

_COUNTED: Final = output_of({"count": {"type": "integer"}, "failed": {"type": "integer"}})
_SOME: Final = output_of({name: {"type": "integer"} for name in ("count", "failed", "left")})
_NUMBER: Final = {"type": "integer", "description": "How many items came to their end."}
_RESULTS: Final = {
    "type": "array",
    "description": "One output of the body for every item, in the items' order; null for an item that failed. "
    "With `collect: none` it is `{count, failed}`, with `collect: count` the number of items that came to their end.",
}


class ForEach(InstantStep):
    name = FOR_EACH
    title = "For each"
    description = "Runs its body once for every item of a list; inside, `item` and `index` are known."
    config_schema = config_of(
        {
            "items": {
                "type": ["array", "string", "object"],
                "minLength": 1,
                "maxItems": MOST,
                "properties": {"count": {"type": ["integer", "string"], "minimum": 0, "minLength": 1}},
                "required": ["count"],
                "additionalProperties": False,
                "description": "The list: an expression such as `input.lines`, or a literal; or `{count: 12}`, whose "
                "items are the numbers from 0. At most 100,000 (`WEFT_MAX_ITEMS`).",
            },
            "concurrency": {
                "type": "integer",
                "minimum": 1,
                "maximum": 100,
                "default": 1,
                "description": "How many items are worked on at the same time.",
            },
            "collect": {
                "enum": ["all", "none", "count"],
                "default": "all",
                "description": "What the output is: the outputs of all items, only how many there were and how many "
                "failed, or the number of items that came to their end.",
            },
            "on_item_error": {
                "enum": ["fail", "continue"],
                "default": "fail",
                "description": "What becomes of the others when an item fails: they stop and the step fails, or they "
                "go on and the item's result is null.",
            },
            "enough": {
                "type": "integer",
                "minimum": 1,
                "description": "So many items that come to a good end are enough: the others are cancelled, and their "
                "results are null.",
            },
            "body": {
                "type": "object",
                "description": "`steps` and `transitions` that every item goes through, written like a workflow's.",
            },
        },
        required=("items", "body"),
    )
    outputs_schema = _RESULTS
    expressions = (("items",), ("items", "count"))

    def outputs(self, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        match config.get("collect", "all"):
            case "none":
                return _SOME if "enough" in config else _COUNTED
            case "count":
                return _NUMBER
            case _:
                return self.outputs_schema

    def answer(self, call: Call) -> Outcome:
        items = call.config.get("items")
        if isinstance(items, Mapping) and items.keys() == {"count"}:
            return Items(range(_whole(items["count"])))
        if not isinstance(items, (list, tuple)):
            raise wrong("items", "a list", items)
        return Items(list(items))


def _whole(count: Any) -> int:
    """A number of runs. JSON knows `3.0`, which is as good as 3."""
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise wrong("items.count", "a whole number, 0 or more", count)
    if count > MOST:
        raise ConfigWrong(f"config.items.count is {count:.6g}; at most {MOST:,} runs fit into one for-each.")
    return count


STEP = ForEach()

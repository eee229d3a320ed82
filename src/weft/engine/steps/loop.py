"""`loop`: its body again and again. Making the turns is the interpreter's business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from weft.core.errors import Issue
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call
from weft.engine.outcomes import Outcome, Repeat
from weft.engine.steps.base import InstantStep, config_of, output_of
from weft.interpreter.definition import LOOP

MAX_TURNS: Final = 10_000

_CONDITION: Final = {"type": ["string", "object"]}


class Loop(InstantStep):
    name = LOOP
    title = "Loop"
    description = "Runs its body again and again, while a condition holds or until one does."
    config_schema = config_of(
        {
            "while": {
                **_CONDITION,
                "description": "Asked before each turn: another one while it holds. Give this or `until`.",
            },
            "until": {**_CONDITION, "description": "Asked after each turn: another one until it holds."},
            "max_iterations": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_TURNS,
                "description": f"How many turns it makes at most; no more than {MAX_TURNS:,}.",
            },
            "on_max": {
                "enum": ["fail", "continue"],
                "default": "fail",
                "description": "When they are used up: `fail` with the kind `iterations_exhausted`, or `continue`.",
            },
            "body": {
                "type": "object",
                "description": "`steps` and `transitions` of one turn, written like a workflow's.",
            },
        },
        required=("max_iterations", "body"),
    )
    outputs_schema = output_of(
        {
            "iterations": {"type": "integer", "description": "How many turns there were."},
            "last": {"description": "What the last turn gave; null when there was none."},
        }
    )
    conditions = (("while",), ("until",))

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        given = [name for name in ("while", "until") if name in config]
        if len(given) == 1:
            return []
        found = "has both" if given else "has neither"
        return [Issue(f"A loop needs either `while` or `until`; this one {found}.", where, "config_invalid")]

    def answer(self, call: Call) -> Outcome:
        del call
        return Repeat()


STEP = Loop()

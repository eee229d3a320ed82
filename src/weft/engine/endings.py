"""The error that an execution ends with, in words."""

from __future__ import annotations

from typing import Any

from weft.interpreter.commands import BeginUndo, Finish


def cancelled(command: Finish | BeginUndo) -> dict[str, Any]:
    return {"kind": "cancelled", "message": command.reason or "The execution was cancelled."}


def unsettled(error: dict[str, Any], steps: tuple[str, ...]) -> dict[str, Any]:
    """The error of an execution whose steps were undone, or some of them not."""
    if not steps:
        return error
    names = ", ".join(f"'{step}'" for step in dict.fromkeys(steps))
    message = f"{error.get('message', '')} What {names} did could not be undone; the journal says why."
    return {
        **error,
        "kind": "compensation_failed",
        "message": message.strip(),
        "cause": error,
        "not_undone": list(steps),
    }


REASONS = {
    "iterations_exhausted": "The loop made as many turns as max_iterations allows, and its condition wanted another.",
    "no_transition": "No transition's condition held and there is no default. Add a default transition.",
    "visits_exhausted": "The step was entered more often than its max_visits allows.",
    "join_starved": "A join could no longer reach the number of arrivals that it waits for.",
    "withdrawn": "Another step that completed has cancelled it.",
    "timeout": "The step took longer than its timeout.",
}

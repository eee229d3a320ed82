"""A dead job in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

PURPOSES: Final[Mapping[str, str]] = {
    "start": "take up a new execution",
    "retry": "let a failed execution go on",
    "step": "run a step",
    "delay": "end a delay",
    "timer": "see to a time limit or a retry that was due",
    "child": "start a sub-workflow",
    "child_done": "tell an execution that its sub-workflow had ended",
    "cancel_child": "cancel a sub-workflow whose execution had ended",
}


def purpose(kind: str) -> str:
    """What such a job is for, to be read after 'to'."""
    return PURPOSES.get(kind, f"do something that this version of weft does not know ('{kind}')")


def on_retry(execution_status: str | None, kind: str) -> str:
    """What happens when it is retried."""
    if execution_status is None:
        return "There is no execution any more: the job is taken out and nothing else happens."
    if execution_status == "FAILED":
        return "The execution goes on from where it failed; completed steps stay completed. The dead job is gone then."
    if execution_status in ("COMPLETED", "CANCELLED"):
        return f"The execution has ended as {execution_status}: the job is delivered once more and changes nothing."
    if kind not in PURPOSES:
        return "The job is queued again. It needs a worker whose version knows it."
    return "The job is queued again, as if it had never been tried. If nobody waits for it any more, nothing happens."


def explanation(job: Mapping[str, Any], *, workflow: str | None, status: str | None) -> str:
    """The whole story as a person would tell it."""
    whose = f" of the workflow '{workflow}'" if workflow else ""
    tried = _tried(int(job["claims"]), int(job["lapses"]))
    said = f" The last error was: {str(job['last_error']).rstrip('.')}." if job["last_error"] else ""
    died: datetime = job["died_at"]
    ended = f" The execution is {status}." if status else " Its execution is not there any more."
    return (
        f"A job was to {purpose(str(job['kind']))}{whose}. {tried}{said} It was set aside on "
        f"{died.isoformat(sep=' ', timespec='seconds')}.{ended} On a retry: {on_retry(status, str(job['kind']))}"
    )


def _tried(claims: int, lapses: int) -> str:
    tries = max(0, claims - 1)
    if tries == 0:
        return "It could not be tried at all."
    times = "once" if tries == 1 else f"{tries} times"
    if lapses <= 0:
        return f"It was tried {times}, and failed each time in the hands of a worker that lived on."
    if lapses >= tries:
        return f"It was tried {times}, and its worker died or stood still each time."
    return f"It was tried {times}; {lapses} of them ended with a worker that died or stood still."

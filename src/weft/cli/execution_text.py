"""Executions as people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

COLUMNS: Final = {
    "number": "number",
    "workflow": "workflow",
    "status": "status",
    "created": "created",
    "took": "took",
    "trigger": "trigger",
    "id": "id",
}
LOG_COLUMNS: Final = {
    "at": "at",
    "step": "step",
    "attempt": "attempt",
    "status": "status",
    "took": "took",
    "message": "message",
}
_LONGEST: Final = 100  # characters of a message in a table

Row = Mapping[str, Any]


def started(row: Row, workflow: str) -> str:
    return f"{_named(row, workflow)} was started.\n`weft execution show {row['id']}` tells how far it has come."


def outcome(row: Row, workflow: str) -> str:
    """The status, and what the execution gave."""
    lines = [f"{row['status']}  {_named(row, workflow)}  {row['id']}"]
    if row["status"] == "COMPLETED":
        hidden = row.get("payloads", {}).get("output")
        lines.append(large(row["id"], hidden) if hidden else document(row["output"]))
    elif row["error"]:
        lines.append(failure(row["error"]))
    return "\n".join(lines)


def headline(row: Row) -> str:
    return f"{row['status']}  {_named(row, row['workflow_name'])}  {row['id']}"


def _named(row: Row, workflow: str) -> str:
    return f"Execution {row['number']} of '{row.get('workflow_name', workflow)}'"


def summary(row: Row) -> dict[str, Any]:
    return {
        "number": row["number"],
        "workflow": row["workflow_name"],
        "status": row["status"],
        "created": moment(row["created_at"]),
        "took": length(row["duration_ms"]),
        "trigger": row["trigger"].lower() + (", simulated" if row["simulation"] else ""),
        "id": row["id"],
    }


def log(row: Row) -> dict[str, Any]:
    message = (row["error"] or {}).get("message") or row["message"] or ""
    if row["payload"] and not message:
        message = f"{row['payload']['size']:,} bytes, payload {row['payload']['id']}"
    item = row["frame"].partition(".")[2]
    return {
        "at": moment(row["started_at"], precise=True),
        "step": (row["step"] or "(execution)") + (f" [{item}]" if item else ""),
        "attempt": row["attempt"] or None,
        "status": row["status"],
        "took": length(row["duration_ms"]),
        "message": message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…",
    }


def detail(row: Row) -> str:
    lines = [
        headline(row),
        f"version {row['version']}, started by {row['trigger'].lower()}, correlation id {row['correlation_id']}",
        _times(row),
    ]
    if row["trigger"] == "REPLAY":
        lines.append(repeated(row["metadata"]["replay"]))
    if row["simulation"]:
        lines.append("simulated: nothing outside was reached, and it took its time on a clock of its own")
    if row["journal_gone"]:
        lines.append("its journal has gone (`weft retention show`): it can be started anew, but not retried")
    if row["waits_for"]:
        lines.append(row["waits_for"])
    if row["steps"]:
        lines += ["", "stands at"]
        lines += [f"  {_live(step)}" for step in row["steps"]]
        hidden = row["live_steps"] - len(row["steps"])
        lines += [f"  and {hidden} more"] if hidden > 0 else []
    if row["error"]:
        lines += ["", "error", _indented(failure(row["error"]))]
    if row["retry_resumes"]:
        lines += [f"  A retry goes on from: {', '.join(row['retry_resumes'])}."]
    for part in ("input", "output", "metadata"):
        if row[part] not in (None, {}):
            lines += ["", part, _indented(document(row[part]))]
        elif hidden_part := row["payloads"].get(part):
            lines += ["", part, f"  {large(row['id'], hidden_part)}"]
    return "\n".join(lines)


def repeated(replay: Row) -> str:
    """What a replay repeats, of `metadata.replay`."""
    how = f"from step '{replay['from']}'" if replay["before"] == "keep" else "from the start"
    kept = ", ".join(effect["step"] for effect in replay.get("not_undone", ()))
    return f"repeats execution {replay['number']} ({replay['of']}) {how}" + (f"; does not undo {kept}" if kept else "")


def _live(step: Row) -> str:
    parts = [f"{step['step']}: {step['phase']} since {moment(step['since'])}, attempt {step['attempt']}"]
    if step["item"] is not None:
        parts.append(f"item {step['item']}")
    if step["items"] is not None:
        parts.append(f"{step['items_done']} of {step['items']} items done")
    if step["resumes_at"]:
        parts.append(f"goes on {moment(step['resumes_at'])}")
    if step["times_out_at"]:
        parts.append(f"times out {moment(step['times_out_at'])}")
    return ", ".join(parts)


def failure(error: Mapping[str, Any]) -> str:
    place = f"at step '{error['step']}'" if error.get("step") else "as a whole"
    said = f"Failed {place} ({error.get('kind', 'failed')}): {error.get('message', '')}"
    data = error.get("data")
    cause = data.get("cause") if isinstance(data, Mapping) and error.get("kind") == "sub_workflow" else None
    if isinstance(cause, Mapping) and cause.get("execution_id"):
        at = f", at step '{cause['step']}'" if cause.get("step") else ""
        said += f"\nThe cause is in execution {cause['execution_id']}{at}."
    return said


def large(execution_id: str, payload: Row) -> str:
    """Where a value is that is not shown."""
    return f"{payload['size']:,} bytes: weft execution payload {execution_id} {payload['id']}"


def document(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def moment(text: str | None, *, precise: bool = False) -> str:
    """A time of the API in the zone of this machine."""
    if text is None:
        return "-"
    local = datetime.fromisoformat(text).astimezone()
    return local.isoformat(sep=" ", timespec="milliseconds" if precise else "seconds").partition("+")[0]


def _times(row: Row) -> str:
    said = [f"created {moment(row['created_at'])}"]
    for word, milliseconds in (("waited", row["queued_ms"]), ("took", row["duration_ms"])):
        if milliseconds is not None:
            said.append(f"{word} {length(milliseconds)}")
    return ", ".join(said)


def length(milliseconds: int | None) -> str | None:
    """`350 ms`, `1.2 s`, `2 m 5 s`, `3 h 20 m`; None for what is not over."""
    if milliseconds is None:
        return None
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.1f} s"
    minutes, seconds = divmod(milliseconds // 1_000, 60)
    if minutes < 60:
        return f"{minutes} m {seconds} s"
    return f"{minutes // 60} h {minutes % 60} m"

"""An execution as it is drawn while it is watched: what has been told of it, and how that looks.

`Board` only remembers; `lines` is what a pipe gets, `drawn` what a terminal shows. Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from weft.cli.event_stream import Event
from weft.cli.execution_text import length, moment

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "COMPLETED": ("✓", "green"),
    "FAILED": ("✗", "red"),
    "SKIPPED": ("↷", "yellow"),
    "CANCELLED": ("■", "yellow"),
    "RUNNING": ("●", "cyan"),
    "WAITING": ("◷", "blue"),
    "PENDING": ("○", "dim"),
    "PAUSED": ("‖", "yellow"),
}
MOST: Final = 30
"""Steps on the screen: the newest; the others are counted."""
MOST_ITEMS: Final = 8
"""Items of loops that are shown while they run."""
KEPT: Final = 2_000
"""Steps that are remembered at most."""

Row = Mapping[str, Any]


class Board:
    """What has been told of one execution."""

    def __init__(self) -> None:
        self.execution: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        self.lost: str | None = None
        self.forgotten = 0
        self._steps: dict[tuple[int, str], dict[str, Any]] = {}  # by visit: the newest attempt

    def hear(self, event: Event) -> None:
        self.lost = None
        match event.name:
            case "step":
                self._keep(event.data)
            case "execution":
                self.execution = event.data
            case "end":
                self.end = event.data
            case _:
                pass  # a later version tells more than this one draws

    def _keep(self, row: dict[str, Any]) -> None:
        key = (row["visit"], "" if row["visit"] else row["id"])
        known = self._steps.get(key)
        if known is None or known["attempt"] <= row["attempt"]:
            self._steps[key] = row
        while len(self._steps) > KEPT:
            oldest = next((k for k, one in self._steps.items() if one["completed_at"]), next(iter(self._steps)))
            del self._steps[oldest]
            self.forgotten += 1

    @property
    def status(self) -> str:
        return str((self.end or self.execution).get("status", "PENDING"))

    def live(self) -> dict[int, Row]:
        """Where it stands now, by visit."""
        return {} if self.end else {step["visit"]: step for step in self.execution.get("steps", ())}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Outer steps in the order of their visits, and of items only those that still run or have failed."""
        items = 0
        for _, row in sorted(self._steps.items(), key=lambda pair: (pair[1]["started_at"], pair[0])):
            if row["frame"]:
                if row["status"] not in ("RUNNING", "FAILED") or items >= MOST_ITEMS:
                    continue
                items += 1
            yield row


def line(row: Row) -> str:
    """One change of a step, for a pipe."""
    sign, _ = SIGNS.get(row["status"], ("·", ""))
    parts = [moment(row["completed_at"] or row["started_at"], precise=True), sign, _name(row), row["status"]]
    if row["completed_at"]:
        parts.append(length(row["duration_ms"]) or "")
    if row["attempt"] > 1:
        parts.append(f"attempt {row['attempt']}")
    if said := _said(row):
        parts.append(said)
    return "  ".join(part for part in parts if part)


def _name(row: Row) -> str:
    item = row["frame"].partition(".")[2]
    return (row["step"] or "(execution)") + (f" [{item}]" if item else "")


def _said(row: Row) -> str:
    said = (row["error"] or {}).get("message") or row["message"] or ""
    return " ".join(str(said).split())[:160]


def drawn(board: Board, now: datetime) -> Group:
    """Everything for a terminal, as of now."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_head(board, now)]
    rows = list(board.rows())
    hidden = board.forgotten + max(0, len(rows) - MOST)
    if hidden or board.execution.get("earlier"):
        parts.append(Text(f"     {hidden or 'some'} earlier steps", style="dim"))
    parts.append(_steps(rows[-MOST:], board.live(), now))
    more = board.execution.get("live_steps", 0) - len(board.live())
    if more > 0 and board.end is None:
        parts.append(Text(f"     and {more} more at work", style="dim"))
    if board.lost is not None:
        parts.append(Text("  The connection is lost. Connecting again ...", style="yellow"))
    return Group(*parts)


def _head(board: Board, now: datetime) -> RenderableType:
    from rich.text import Text

    if not board.execution:
        return Text("Connecting ...", style="dim")
    told = board.execution
    sign, style = SIGNS.get(board.status, ("·", ""))
    head = Text()
    head.append(f"{sign} {board.status}", style=f"bold {style}")
    head.append(f"  {told['workflow_name']} {told['number']}", style="bold")
    if told["started_at"]:
        until = (board.end or told)["completed_at"]
        head.append(f"  {_took(told['started_at'], until, now)}")
    head.append(f"  {told['id']}", style="dim")
    return head


def _steps(rows: Sequence[Row], live: Mapping[int, Row], now: datetime) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for row in rows:
        sign, style = SIGNS.get(_status(row, live), ("·", ""))
        where = live.get(row["visit"])
        name = Text(("  " if row["frame"] else "") + _name(row))
        took = _took(row["started_at"], row["completed_at"], now)
        table.add_row(Text(f"  {sign}", style=style), name, Text(took, style="dim"), _note(row, where, now))
    return table


def _status(row: Row, live: Mapping[int, Row]) -> str:
    where = live.get(row["visit"])
    waits = row["status"] == "RUNNING" and where is not None and where["phase"] in ("waiting", "retrying")
    return "WAITING" if waits else str(row["status"])


def _note(row: Row, where: Row | None, now: datetime) -> RenderableType:
    """What there is to say beside a step: how far a loop is, what is waited for, what went wrong."""
    from rich.table import Table
    from rich.text import Text

    attempt = f"attempt {row['attempt']}  " if row["attempt"] > 1 else ""
    if where is not None and where["items"] and row["status"] == "RUNNING":
        from rich.progress_bar import ProgressBar

        bar = Table.grid(padding=(0, 1))
        done = f"{where['items_done']} of {where['items']}"
        bar.add_row(ProgressBar(total=where["items"], completed=where["items_done"], width=24), Text(done))
        return bar
    note = Text(attempt, style="dim")
    if where is not None and row["status"] == "RUNNING":
        note.append(_waiting(where, now), style="blue")
    elif where is not None and where["resumes_at"]:
        note.append(f"tried again {_until(where['resumes_at'], now)}", style="yellow")
    if said := _said(row):
        note.append(("  " if len(note) > len(attempt) else "") + said, style="red" if row["error"] else "dim")
    return note


def _waiting(where: Row, now: datetime) -> str:
    if where["resumes_at"]:
        return f"goes on {_until(where['resumes_at'], now)}"
    if where["times_out_at"]:
        return f"{'waits, ' if where['phase'] == 'waiting' else ''}times out {_until(where['times_out_at'], now)}"
    return "waits" if where["phase"] == "waiting" else ""


def _until(text: str, now: datetime) -> str:
    left = round((datetime.fromisoformat(text) - now).total_seconds() * 1000)
    return f"in {length(left)}" if left > 0 else "now"


def _took(began: str, ended: str | None, now: datetime) -> str:
    until = datetime.fromisoformat(ended) if ended else now
    milliseconds = max(0, round((until - datetime.fromisoformat(began)).total_seconds() * 1000))
    if ended is None:
        milliseconds -= milliseconds % 1000  # a running clock counts seconds
        return (length(milliseconds) or "") if milliseconds else ""
    return length(milliseconds) or ""

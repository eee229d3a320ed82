"""`weft execution watch`: against a real server, and how what it is told looks."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from rich.console import Console
from tests.cli.conftest import Weft
from tests.cli.test_execution import EngineServer
from tests.conftest import TestDatabase
from tests.factories import executions, identity
from tests.factories.executions import CALL, FAIL, SET

from weft.cli import event_stream, watch, watch_view
from weft.cli.client import Client, ConnectionLost, NothingListens
from weft.cli.event_stream import Event, follow, parsed
from weft.cli.watch_view import Board
from weft.core.actor import Actor
from weft.core.errors import NotFound, WeftError
from weft.db.database import Database
from weft.engine.outcomes import Failed

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOT_FOUND = 5


@pytest.fixture
async def actor(
    test_database: TestDatabase, database: Database, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Actor]:
    """Somebody whose API key the commands use."""
    owner = await identity.tenant(database, "acme")
    token = await identity.api_key(database, owner)
    with EngineServer(test_database.app) as server:
        monkeypatch.setenv("WEFT_URL", server.url)
        monkeypatch.setenv("WEFT_API_KEY", token)
        # The server shares our standard output here, where only the commands' own words belong.
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        yield await identity.actor(database, owner)
    structlog.reset_defaults()


async def test_each_change_is_a_line_until_the_end(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Pay", steps=[SET, CALL])
    async with executions.engine(database, answers=False) as engine:
        watching = asyncio.create_task(asyncio.to_thread(weft, "execution", "start", "pay", "--watch"))
        execution_id: UUID = (await executions.stored(engine, actor))["id"]
        await executions.take_up(engine, actor, execution_id)
        refused = Failed("http_4xx", "The account is closed.", retryable=False)
        await executions.settle(engine, actor, execution_id, refused, visit=2)
        said = await watching
    assert said.code == 1
    lines = [line.split()[2:] for line in said.out.splitlines()[:-2]]
    assert ["✓", "answer", "COMPLETED", "0", "ms"] in lines
    assert lines[-1][:3] == ["✗", "call", "FAILED"]
    assert said.out.splitlines()[-2:] == [
        f"FAILED  Execution 1 of 'Pay'  {execution_id}",
        "Failed at step 'call' (http_4xx): The account is closed.",
    ]


async def test_programs_get_the_events(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Invoice", output={"total": "{{ input.amount }}"})
    started = weft("execution", "start", "Invoice", "--wait", "2m", "--input", '{"amount": 7}', "--json").json()
    said = weft("execution", "watch", started["id"], "--json")
    events = [json.loads(line) for line in said.out.splitlines()]
    assert (said.code, [event["event"] for event in events]) == (0, ["step", "execution", "end"])
    assert events[-1]["data"]["status"] == "COMPLETED"
    assert '"total": 7' in weft("execution", "watch", started["id"]).out


async def test_what_cannot_be_watched(database: Database, actor: Actor, weft: Weft) -> None:
    await executions.workflow(database, actor, name="Refuse", steps=[FAIL])
    both = weft("execution", "start", "Refuse", "--watch", "--wait", "1s")
    assert (both.code, "--wait or --watch" in both.err) == (2, True)
    assert weft("execution", "list", "--json").json() == []
    assert weft("execution", "watch", str(uuid4())).code == NOT_FOUND
    assert weft("execution", "watch", "refuse").code == 2


async def test_whoever_stops_watching_is_told_how_to_go_on(
    database: Database, actor: Actor, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Iterator[Event]:
        yield Event("execution", "1", {"status": "RUNNING"})
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "follow", interrupted)
    said = weft("execution", "watch", "018f0000-0000-7000-8000-000000000000")
    assert said.code == 8
    assert "`weft execution watch 018f0000-0000-7000-8000-000000000000` follows it again." in said.err


# -- following ---------------------------------------------------------------------------------------------


class Scripted(Client):
    """An API that answers each connection with the next part of a script: lines, or what is raised."""

    def __init__(self, *script: list[bytes] | WeftError) -> None:
        super().__init__("http://weft.test")
        self.script = list(script)
        self.asked: list[str | None] = []

    def opened(self, path: str, *, headers: Any, timeout: float) -> Any:
        self.asked.append(headers.get("Last-Event-ID"))
        part = self.script.pop(0)
        if isinstance(part, WeftError):
            raise part
        return io.BytesIO(b"".join(part))


def written(name: str, event_id: str | None, **data: Any) -> bytes:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def test_it_connects_again_and_goes_on_after_the_last_event() -> None:
    lost: list[str] = []
    pauses: list[float] = []
    api = Scripted(
        [b"retry: 1000\n\n", written("step", "2.aa"), b": still here\n\n", b"id: 3\nevent: step\nda"],
        NothingListens("http://weft.test", "refused"),
        ConnectionLost("http://weft.test", "reset"),
        [],
        [written("execution", "3"), written("end", "3.end")],
    )
    events = list(follow(api, "x", lost=lambda error: lost.append(error.code), sleep=pauses.append))
    assert [event.id for event in events] == ["2.aa", "3", "3.end"]
    assert api.asked == [None, "2.aa", "2.aa", "2.aa", "2.aa"]
    assert lost == ["nothing_listens", "connection_lost"]
    assert pauses == sorted(pauses)


def test_what_is_refused_at_once_is_said_at_once() -> None:
    with pytest.raises(NothingListens):
        list(follow(Scripted(NothingListens("http://weft.test", "refused")), "x"))


def test_what_is_refused_for_good_ends_it() -> None:
    api = Scripted([written("step", "2.aa")], NotFound("There is none."))
    with pytest.raises(NotFound):
        list(follow(api, "x", sleep=lambda _: None))


def test_an_api_that_stays_away_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "PATIENCE", -1.0)
    api = Scripted([written("step", "2.aa")], NothingListens("http://weft.test", "refused"))
    with pytest.raises(NothingListens):
        list(follow(api, "x", sleep=lambda _: None))


def test_lines_become_events() -> None:
    lines = iter(
        [b"\n", b": comment\n", b"\n", b"event:end\r\n", b'data:{"a": 1}\r\n', b"id\r\n", b"\r\n", b"event: x\n", b"\n"]
    )
    assert list(parsed(lines)) == [Event("end", "", {"a": 1})]


# -- how it looks ------------------------------------------------------------------------------------------


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def row(visit: int, step: str, status: str = "RUNNING", **more: Any) -> Event:
    done = status != "RUNNING"
    data = {
        "id": str(visit), "step": step, "frame": "", "visit": visit, "attempt": 1, "status": status, "message": None,
        "error": None, "started_at": at(0), "completed_at": at(1.25) if done else None,
        "duration_ms": 1250 if done else None,
    }  # fmt: skip
    return Event("step", f"1.{visit}", data | more)


def standing(*steps: dict[str, Any], **more: Any) -> Event:
    data = {
        "id": "018f", "number": 7, "workflow_name": "Invoice [bold]", "status": "RUNNING", "started_at": at(0),
        "completed_at": None, "live_steps": len(steps), "earlier": False, "steps": list(steps),
    }  # fmt: skip
    return Event("execution", "1", data | more)


def live(visit: int, phase: str = "running", **more: Any) -> dict[str, Any]:
    empty = {"resumes_at": None, "times_out_at": None, "item": None, "items": None, "items_done": None}
    return {"visit": visit, "phase": phase, "attempt": 1} | empty | more


def picture(*events: Event, after: float = 5, lost: bool = False) -> list[str]:
    board = Board()
    for event in events:
        board.hear(event)
    board.lost = "x" if lost else None
    console = Console(file=io.StringIO(), width=100, record=True, force_terminal=True)
    console.print(watch_view.drawn(board, NOW + timedelta(seconds=after)))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_steps_show_how_they_stand() -> None:
    lines = picture(
        row(1, "extract", "COMPLETED"),
        row(2, "score", "FAILED", attempt=2, error={"message": "No\nanswer."}),
        row(3, "rest"),
        row(4, "pay"),
        standing(live(3, "waiting", resumes_at=at(65)), live(4, times_out_at=at(8)), live_steps=5),
    )
    assert lines == [
        "● RUNNING  Invoice [bold] 7  5.0 s  018f",
        "  ✓  extract  1.2 s",
        "  ✗  score    1.2 s  attempt 2  No answer.",
        "  ◷  rest     5.0 s  goes on in 1 m 0 s",
        "  ●  pay      5.0 s  times out in 3.0 s",
        "     and 3 more at work",
    ]


def test_loops_show_how_far_they_are_and_hide_items_that_are_done() -> None:
    items = [row(10 + n, "each.nap", "COMPLETED" if n < 3 else "RUNNING", frame=f"1.{n}") for n in range(20)]
    lines = picture(row(1, "each"), *items, standing(live(1, "iterating", items=20, items_done=3)))
    assert lines[1].endswith("3 of 20")
    assert [line.split()[1:3] for line in lines[2:]] == [
        ["each.nap", f"[{n}]"] for n in range(3, 3 + watch_view.MOST_ITEMS)
    ]


def test_an_attempt_that_is_tried_again_says_when() -> None:
    failed = row(1, "pay", "FAILED", error={"message": "No."})
    again = standing(live(1, "retrying", resumes_at=at(7)))
    assert picture(failed, again)[1] == "  ✗  pay  1.2 s  tried again in 2.0 s  No."
    assert picture(failed, again, row(1, "pay", attempt=2))[1].startswith("  ◷  pay  5.0 s  attempt 2")


def test_only_so_many_steps_are_on_the_screen() -> None:
    lines = picture(*(row(n, f"step{n}", "COMPLETED") for n in range(1, 100)), standing())
    assert len(lines) == 2 + watch_view.MOST
    assert lines[1].strip() == f"{99 - watch_view.MOST} earlier steps"
    assert "step99" in lines[-1]


def test_only_so_many_steps_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_view, "KEPT", 5)
    lines = picture(row(1, "first"), *(row(n, f"step{n}", "COMPLETED") for n in range(2, 20)), standing())
    assert (lines[1].strip(), "first" in lines[2]) == ("14 earlier steps", True)
    assert len(lines) == 2 + 5


def test_a_lost_connection_is_shown_and_forgotten() -> None:
    assert "Connecting again" in picture(standing(), lost=True)[-1]
    board = Board()
    board.lost = "x"
    board.hear(standing())
    assert board.lost is None


def test_the_end_stops_every_clock() -> None:
    end = Event("end", "2.end", {"status": "FAILED", "error": None, "completed_at": at(2), "started_at": at(0)})
    assert picture(standing(live(1)), end, after=500)[0] == "✗ FAILED  Invoice [bold] 7  2.0 s  018f"
    assert picture()[0] == "Connecting ..."

"""`weft execution watch`: follow an execution until it has ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from weft.cli import execution_text, output, watch_view
from weft.cli.client import Client, connect
from weft.cli.common import TenantName, Url
from weft.cli.event_stream import Event, follow
from weft.cli.watch_view import Board
from weft.core.errors import WeftError

app = typer.Typer(add_completion=False, no_args_is_help=True)

FAILED: Final = 1
GOES_ON: Final = 8
"""Exit codes, as those of `weft execution start --wait`."""


@app.command()
def watch(
    which: Annotated[str, typer.Argument(metavar="EXECUTION", help="The execution's id.")],
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Watch an execution until it has ended: its steps, what it waits for, how far its loops are.

    In a terminal it is drawn, elsewhere each change is a line; with --json each line is one event as the API sends it.
    The exit code is 0 if it completed, 1 if it failed or was cancelled, and 8 if you stopped watching first.
    """
    from weft.cli.execution import identified

    watched(connect(url, tenant), identified(which))


def watched(api: Client, execution_id: str) -> None:
    """Follow an execution to its end, and exit with the code of its outcome."""
    board = Board()
    try:
        with _shown(board) as show:
            for event in follow(api, execution_id, lost=lambda error: _say_lost(board, error)):
                board.hear(event)
                show(event)
    except KeyboardInterrupt:
        output.note(f"\nIt goes on. `weft execution watch {execution_id}` follows it again.")
        raise typer.Exit(GOES_ON) from None
    if not output.as_json():
        _say_end(api, execution_id)
    if board.status != "COMPLETED":
        raise typer.Exit(FAILED)


def _say_end(api: Client, execution_id: str) -> None:
    ended: dict[str, Any] = api.get(f"/executions/{execution_id}")
    sys.stdout.write(execution_text.outcome(ended, ended["workflow_name"]) + "\n")


def _say_lost(board: Board, error: WeftError) -> None:
    if board.lost is None and not _is_drawn():
        output.note(f"{error.message} Connecting again ...")
    board.lost = error.message


def _is_drawn() -> bool:
    return sys.stdout.isatty() and not output.as_json()


@contextmanager
def _shown(board: Board) -> Iterator[Callable[[Event], None]]:
    """What to do with each event, after the board has heard it."""
    if _is_drawn():
        with _live(board) as show:
            yield show
    else:
        yield _written


def _written(event: Event) -> None:
    if output.as_json():
        text = json.dumps({"event": event.name, "id": event.id, "data": event.data}, ensure_ascii=False)
    elif event.name == "step":
        text = watch_view.line(event.data)
    else:
        return
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def _live(board: Board) -> Iterator[Callable[[Event], None]]:
    """Drawn anew four times a second: times count on while nothing is told."""
    from rich.live import Live

    def draw() -> Any:
        return watch_view.drawn(board, datetime.now(UTC))

    with Live(get_renderable=draw, refresh_per_second=4) as live:
        yield lambda _event: live.refresh()
        live.refresh()

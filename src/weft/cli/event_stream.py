"""Following an execution's events over HTTP: connects again by itself and goes on after the last event that came.

for event in follow(client, execution_id):
    ...                             # ends after the event `end`
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from weft.cli.client import Client, ConnectionLost
from weft.core.errors import Exhausted, Unavailable, WeftError

SILENCE: Final = 45.0
"""Seconds without a byte after which a connection counts as lost; the API sends a heartbeat every 15."""
PATIENCE: Final = 300.0
"""Seconds that an API may be away before the following ends."""
_PAUSES: Final = (0.2, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is `step`, `execution` or `end`; `data` is as the API's document says."""

    name: str
    id: str | None
    data: dict[str, Any]


def follow(
    client: Client,
    execution_id: str,
    *,
    last: str | None = None,
    lost: Callable[[WeftError], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Every event until the execution has ended. `lost` is told of each connection that broke or was refused for now.

    Raises what the API refuses for good or at the very beginning, and what it said last when it was away for too long.
    """
    failures = 0
    since = time.monotonic()
    begun = False
    while True:
        try:
            for event in _connection(client, execution_id, last):
                failures, since, begun = 0, time.monotonic(), True
                last = event.id or last
                yield event
                if event.name == "end":
                    return
        except (Unavailable, Exhausted) as error:
            if not begun or time.monotonic() - since > PATIENCE:
                raise
            lost(error)
        sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
        failures += 1


def _connection(client: Client, execution_id: str, last: str | None) -> Iterator[Event]:
    """The events of one connection, until the API closes it."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last is not None else {})
    with closing(client.opened(f"/executions/{execution_id}/events", headers=headers, timeout=SILENCE)) as answer:
        try:
            yield from parsed(answer)
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionLost(client.url, str(error) or type(error).__name__) from error


def parsed(lines: Iterator[bytes] | http.client.HTTPResponse) -> Iterator[Event]:
    """Events from the lines of a stream. Comments and what is not complete are left out."""
    fields: dict[str, str] = {}
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line:
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
        elif fields:
            if "event" in fields and "data" in fields:
                yield Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
            fields = {}

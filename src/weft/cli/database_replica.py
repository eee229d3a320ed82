"""`weft db replica`: how the replica stands, and what is read there."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import typer

from weft.cli import output
from weft.core.errors import Conflict

app = typer.Typer(add_completion=False, no_args_is_help=True)


class ReplicaNotAsked(Conflict):
    code = "replica_not_asked"

    def __init__(self) -> None:
        super().__init__("The replica is not asked as it stands; see above. The primary answers everything meanwhile.")


@app.command()
def replica() -> None:
    """Show how far the replica is behind, what the server keeps for it, and what is read there."""
    from weft.db.replica import State
    from weft.ops.installation import reach
    from weft.ops.scale.replica import ReplicaMissing, status
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    chosen = settings.database
    if chosen.replica_url is None:
        raise ReplicaMissing
    with reach(settings) as addresses:
        found = asyncio.run(
            status(
                addresses.app,
                chosen.replica_url,
                max_lag=chosen.replica_max_lag_seconds,
                reads=reads_there(),
            )
        )
    document = found.as_json()
    output.result(document, lambda: _text(document))
    if found.state is not State.ready:
        raise ReplicaNotAsked


def reads_there() -> list[str]:
    """The API's addresses that a replica may answer, from the routes themselves."""
    from fastapi.routing import APIRoute

    from weft.api.app import PREFIX
    from weft.api.routers import ROUTERS
    from weft.http.scope import may_lag

    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return sorted(f"GET {PREFIX}{route.path}" for route in routes if may_lag(route.dependant))


def _text(document: dict[str, Any]) -> str:
    lines = [
        f"replica   {document['address']}",
        f"state     {document['state']}: {document['sentence']}",
    ]
    if document["lag_bytes"] is not None:
        seconds = document["lag_seconds"]
        lines.append(
            f"lag       {document['lag_bytes']} bytes, {'-' if seconds is None else f'{seconds:.1f}'} s; "
            f"replayed until {document['replayed_until'] or '-'}"
        )
    for slot in document["slots"]:
        kept = "-" if slot["kept_bytes"] is None else f"{slot['kept_bytes']} bytes of log kept for it"
        lines.append(f"slot      {slot['name']}: {'in use' if slot['active'] else 'unused'}, {kept}")
    if document["feedback"] is False:
        lines.append("advice    hot_standby_feedback is off there: long reads may be broken off, and asked again here")
    lines += [f"reads     {address}" for address in document["reads"]]
    return "\n".join(lines)

"""`weft event`: tell of something that happened, and see what came of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import connect
from weft.cli.common import Everything, Limit, TenantName, Url, card, identified
from weft.cli.execution import read_input

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def send(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="Words with dots between them: order.paid.")],
    payload: Annotated[
        str | None, typer.Option("--payload", "-p", metavar="FILE|-|JSON", help="Any JSON; - for standard input.")
    ] = None,
    correlation: Annotated[str | None, typer.Option("--correlation", "-c", help="What it is about.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Your own id: sent again, it is the same event.")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Tell of something that happened: steps that wait for it go on, triggers start their workflows."""
    body: dict[str, Any] = {"type": kind, "payload": read_input(payload, "--payload")}
    if correlation is not None:
        body["correlation"] = correlation
    if id_ is not None:
        body["id"] = id_
    sent = connect(url, tenant).post("/events", body)
    word = "It was sent before" if sent["repeated"] else "Sent"
    output.result(sent, f"{word}: event {sent['id']}. `weft event show {sent['id']}` tells what came of it.")


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Option("--type", help="Only this type.")] = None,
    correlation: Annotated[str | None, typer.Option("--correlation", "-c", help="Only about this.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="From this time on, with a time zone.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this time, with a time zone.")] = None,
    limit: Limit = 50,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List events, newest first."""
    rows = connect(url, tenant).listed(
        "/events",
        limit=None if everything else limit,
        type=kind,
        correlation=correlation,
        received_from=since,
        received_to=until,
    )
    columns = ["received_at", "type", "correlation", "source", "delivered_at", "id"]
    output.rows(rows, columns, empty="No events. `weft event send` sends one.")


@app.command()
def show(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's id.")],
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Show an event, and what came of it: who was woken, what was started, what was refused and why."""
    found = connect(url, tenant).get(f"/events/{identified(event, 'an event', 'weft event list')}")
    output.result(found, lambda: card(found))

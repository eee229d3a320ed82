"""`weft audit`: what was changed, by whom, from where."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import connect, segment
from weft.cli.common import Everything, Limit, TenantName, Url, card

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command("list")
def list_(
    resource: Annotated[str | None, typer.Option(help="A sort of thing: clients, workflows, sessions, ...")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="One thing, by its id.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who did it, by id.")] = None,
    action: Annotated[str | None, typer.Option(help="insert, update, delete, session.created, ...")] = None,
    correlation: Annotated[str | None, typer.Option(help="One request, by its correlation id.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="From this time on, with a time zone.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this time, with a time zone.")] = None,
    limit: Limit = 50,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List changes and events, newest first."""
    query: dict[str, Any] = {
        "resource_type": resource,
        "resource_id": id_,
        "actor_id": actor,
        "action": action,
        "correlation_id": correlation,
        "from": since,
        "to": until,
    }
    rows = connect(url, tenant).listed("/audit", limit=None if everything else limit, **query)
    output.rows(
        rows,
        {
            "at": "at",
            "actor_name": "who",
            "action": "action",
            "resource_type": "what",
            "resource_id": "which",
            "ip": "from",
            "id": "entry",
        },
        empty="No such entries.",
    )


@app.command()
def show(
    entry: Annotated[str, typer.Argument(help="As the list shows it.")], url: Url = None, tenant: TenantName = None
) -> None:
    """Show one entry with what was before and after."""
    found = connect(url, tenant).get(f"/audit/{segment(entry)}")
    output.result(found, lambda: _entry(found))


def _entry(found: dict[str, Any]) -> str:
    head = {name: value for name, value in found.items() if name not in ("before", "after")}
    before, after = found["before"] or {}, found["after"] or {}
    changes = [f"  {name}: {_json(before.get(name))} -> {_json(after.get(name))}" for name in sorted({*before, *after})]
    return "\n".join([card(head), *changes])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

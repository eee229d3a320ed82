"""`weft limit`: how many executions at once, how urgent they are, and how often steps may call a target."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import Client, connect
from weft.cli.common import Everything, Limit, ReferenceMissing, TenantName, Url, Yes, card, confirm
from weft.cli.workflow_names import find

app = typer.Typer(add_completion=False, no_args_is_help=True)

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name or id.")]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="A host, '*.example.com', or '*' for all others.")]


def priority_from(said: str | None) -> int | str | None:
    """`high` as it is, `50` as a number."""
    if said is None:
        return None
    try:
        return int(said)
    except ValueError:
        return said.lower()


@app.command()
def show(
    workflow: Annotated[str | None, typer.Argument(metavar="[WORKFLOW]", help="Name or id; else the tenant.")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Show the limits of a workflow, or of the tenant, and how much of them is used."""
    api = connect(url, tenant)
    found = api.get("/limits" if workflow is None else _path(api, workflow))
    output.result(found, lambda: card(found))


@app.command("list")
def list_(limit: Limit = 50, everything: Everything = False, url: Url = None, tenant: TenantName = None) -> None:
    """List the workflows that have limits, and how much of them is used."""
    rows = connect(url, tenant).listed("/limits/workflows", limit=None if everything else limit)
    columns = {
        "workflow_name": "workflow", "concurrent": "at once", "in_use": "in use", "waiting": "waiting",
        "key": "for each", "when_full": "when full", "priority": "priority",
    }  # fmt: skip
    output.rows(rows, columns, empty="No workflow has limits. `weft limit set WORKFLOW` sets some.")


@app.command("set")
def set_(
    workflow: Workflow,
    concurrent: Annotated[
        int | None, typer.Option("--concurrent", min=1, help="Executions under way at once; without it any number.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="An expression over the input: so many for each value, e.g. input.customer.id.")
    ] = None,
    when_full: Annotated[str, typer.Option(help="queue: starts wait; refuse: they are turned away.")] = "queue",
    priority: Annotated[str, typer.Option(help="low, normal, high, or -100 to 100.")] = "normal",
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Set the limits of a workflow. It replaces all that was set before."""
    body = {
        "concurrent": concurrent,
        "key": key,
        "when_full": when_full.lower(),
        "priority": priority_from(priority),
    }
    api = connect(url, tenant)
    now = api.put(_path(api, workflow), body)
    output.result(now, lambda: card(now))


@app.command()
def clear(workflow: Workflow, url: Url = None, tenant: TenantName = None) -> None:
    """Take all limits of a workflow away; what waits for a place goes on."""
    api = connect(url, tenant)
    api.delete(_path(api, workflow))
    output.result({"workflow": workflow}, f"'{workflow}' has no limits of its own any more.")


@app.command()
def rates(limit: Limit = 50, everything: Everything = False, url: Url = None, tenant: TenantName = None) -> None:
    """List the rate limits of targets."""
    rows = connect(url, tenant).listed("/rate-limits", limit=None if everything else limit)
    columns = {"target": "target", "calls": "calls", "seconds": "in seconds", "burst": "burst", "id": "id"}
    output.rows(rows, columns, empty="No target has a rate limit. `weft limit rate TARGET --calls N` sets one.")


@app.command()
def rate(
    target: Target,
    calls: Annotated[int, typer.Option(min=1, help="So many calls ...")],
    seconds: Annotated[int, typer.Option(min=1, help="... in so many seconds, evenly spaced.")] = 1,
    burst: Annotated[int, typer.Option(min=1, help="How many of them may come at once after a quiet time.")] = 1,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Say how often steps may call a target."""
    body = {"target": target, "calls": calls, "seconds": seconds, "burst": burst}
    now = connect(url, tenant).put("/rate-limits", body)
    output.result(now, lambda: f"{now['target']}: {calls} calls in {seconds} s, {burst} at once.")


@app.command()
def unrate(target: Target, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """Take the rate limit of a target away; what waits for its turn goes at once."""
    api = connect(url, tenant)
    row = _rate(api, target)
    confirm(f"Let steps call {row['target']} as often as they like?", yes=yes)
    api.delete(f"/rate-limits/{row['id']}")
    output.result({"target": row["target"]}, f"{row['target']} has no rate limit any more.")


def _rate(api: Client, target: str) -> dict[str, Any]:
    for row in api.listed("/rate-limits"):
        if target.strip().lower() in (row["target"], row["id"]):
            return row
    raise ReferenceMissing("rate limit", target, listing="weft limit rates")


def _path(api: Client, workflow: str) -> str:
    return f"/workflows/{find(api, workflow)['id']}/limits"

"""`weft workflow trigger`: the addresses that start a workflow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import Client, connect
from weft.cli.common import ReferenceAmbiguous, ReferenceMissing, TenantName, Url, Yes, card, confirm, is_id
from weft.cli.workflow_names import find

app = typer.Typer(add_completion=False, no_args_is_help=True)

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name or id.")]
Which = Annotated[str, typer.Argument(metavar="TRIGGER", help="Name or id.")]
Verify = Annotated[str | None, typer.Option(help="standard, github or none: how a call proves who sent it.")]
Respond = Annotated[str | None, typer.Option(help="async, or sync to answer with the execution's output.")]
Wait = Annotated[float | None, typer.Option(help="Seconds that a sync answer waits at most (30).")]


@app.command("list")
def list_(workflow: Workflow, url: Url = None, tenant: TenantName = None) -> None:
    """List the triggers of a workflow."""
    api = connect(url, tenant)
    rows = api.listed(_path(api, workflow))
    output.rows(rows, ["name", "kind", "enabled", "config", "id"], empty="No triggers. `trigger create` makes one.")


@app.command()
def create(
    workflow: Workflow,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    verify: Verify = None,
    respond: Respond = None,
    wait: Wait = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Make a webhook. Its address and its signing secret are shown this once."""
    api = connect(url, tenant)
    body = {"kind": "WEBHOOK", "name": name, "config": _config(verify, respond, wait)}
    made = api.post(_path(api, workflow), body)
    output.result(made, lambda: _shown_once(api, made))


@app.command()
def update(
    workflow: Workflow,
    which: Which,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    verify: Verify = None,
    respond: Respond = None,
    wait: Wait = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Change what is said; everything else stays."""
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    change: dict[str, Any] = {} if name is None else {"name": name}
    said = _config(verify, respond, wait)
    if said:
        change["config"] = {**found["config"], **said}
    done = api.patch(f"{path}/{found['id']}", change, expected=found["row_version"])
    output.result(done, lambda: card(done))


@app.command()
def enable(workflow: Workflow, which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Let calls start the workflow again."""
    _switch(workflow, which, url, tenant, enabled=True)


@app.command()
def disable(workflow: Workflow, which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Refuse calls, keeping the address."""
    _switch(workflow, which, url, tenant, enabled=False)


@app.command("rotate-token")
def rotate_token(
    workflow: Workflow, which: Which, yes: Yes = False, url: Url = None, tenant: TenantName = None
) -> None:
    """Give it a new address; the old one stops working at once."""
    _rotate(workflow, which, "token", "address", url, tenant, yes=yes)


@app.command("rotate-secret")
def rotate_secret(
    workflow: Workflow, which: Which, yes: Yes = False, url: Url = None, tenant: TenantName = None
) -> None:
    """Give it a new signing secret; calls signed with the old one are refused at once."""
    _rotate(workflow, which, "secret", "signing secret", url, tenant, yes=yes)


@app.command()
def delete(workflow: Workflow, which: Which, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """Take a trigger away for good."""
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    confirm(f"Delete the trigger '{found['name'] or found['id']}' for good?", yes=yes)
    api.delete(f"{path}/{found['id']}")
    output.result({"id": found["id"], "deleted": True}, f"The trigger '{found['name'] or found['id']}' is deleted.")


def _config(verify: str | None, respond: str | None, wait: float | None) -> dict[str, Any]:
    said = {"verify": verify, "respond": respond, "wait_seconds": wait}
    return {name: value for name, value in said.items() if value is not None}


def _path(api: Client, workflow: str) -> str:
    return f"/workflows/{find(api, workflow)['id']}/triggers"


def _trigger(api: Client, workflow: str, which: str) -> tuple[str, dict[str, Any]]:
    """Where the workflow's triggers are, and the one that is meant."""
    path = _path(api, workflow)
    if is_id(which):
        return path, dict(api.get(f"{path}/{which}"))
    same = [row for row in api.listed(path) if row["name"] == which]
    if not same:
        raise ReferenceMissing("trigger", which)
    if len(same) > 1:
        raise ReferenceAmbiguous("trigger", which, [row["id"] for row in same])
    return path, same[0]


def _switch(workflow: str, which: str, url: str | None, tenant: str | None, *, enabled: bool) -> None:
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    done = api.patch(f"{path}/{found['id']}", {"enabled": enabled})
    output.result(done, f"The trigger '{done['name'] or done['id']}' is {'enabled' if enabled else 'disabled'}.")


def _rotate(
    workflow: str, which: str, what: str, called: str, url: str | None, tenant: str | None, *, yes: bool
) -> None:
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    confirm(f"Replace the {called} of '{found['name'] or found['id']}'? The old one stops working at once.", yes=yes)
    done = api.post(f"{path}/{found['id']}/rotate-{what}")
    output.result(done, lambda: _shown_once(api, done))


def _shown_once(api: Client, made: dict[str, Any]) -> str:
    lines = [f"Trigger '{made['name'] or made['id']}'. Note this now, it is not shown again:"]
    if made.get("path"):
        lines.append(f"  address         {api.url}{made['path']}")
    if made.get("signing_secret"):
        lines.append(f"  signing secret  {made['signing_secret']}")
    return "\n".join(lines)

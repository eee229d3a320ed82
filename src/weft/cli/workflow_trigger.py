"""`weft workflow trigger`: the addresses and schedules that start a workflow."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli import trigger_schedules as scheduled
from weft.cli.client import Client, connect
from weft.cli.common import (
    Everything,
    Limit,
    ReferenceAmbiguous,
    ReferenceMissing,
    TenantName,
    Url,
    Yes,
    card,
    confirm,
    is_id,
)
from weft.cli.execution import read_input
from weft.cli.workflow_names import find

app = typer.Typer(add_completion=False, no_args_is_help=True)

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name or id.")]
Which = Annotated[str, typer.Argument(metavar="TRIGGER", help="Name or id.")]
Verify = Annotated[str | None, typer.Option(help="standard, github or none: how a call proves who sent it.")]
Respond = Annotated[str | None, typer.Option(help="async, or sync to answer with the execution's output.")]
Wait = Annotated[float | None, typer.Option(help="Seconds that a sync answer waits at most (30).")]

Tolerance = Annotated[str | None, typer.Option(help="How old a signed message may be: 5m, at most 1h.")]
KeepBody = Annotated[
    bool | None, typer.Option("--keep-body/--no-keep-body", help="Keep the body byte for byte.", show_default=False)
]
Grace = Annotated[str | None, typer.Option(help="How long the old one goes on working: 1h, at most 30d.")]


@app.command("list")
def list_(workflow: Workflow, url: Url = None, tenant: TenantName = None) -> None:
    """List the triggers of a workflow."""
    api = connect(url, tenant)
    rows = api.listed(_path(api, workflow))
    columns = ["name", "kind", "enabled", "next_run_at", "config", "id"]
    output.rows(rows, columns, empty="No triggers. `weft workflow trigger create` makes one.")


@app.command()
def create(
    workflow: Workflow,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    cron: scheduled.Cron = None,
    every: scheduled.Every = None,
    rrule: scheduled.Rule = None,
    timezone: scheduled.Zone = None,
    anchor: scheduled.Anchor = None,
    starts_at: scheduled.Starts = None,
    ends_at: scheduled.Ends = None,
    overlap: scheduled.Overlapping = None,
    catch_up: scheduled.CatchingUp = None,
    mapping: scheduled.Mapping_ = None,
    verify: Verify = None,
    respond: Respond = None,
    wait: Wait = None,
    tolerance: Tolerance = None,
    keep_body: KeepBody = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Make a schedule (--cron, --every or --rrule), or else a webhook, whose address and secret are shown this once."""
    schedule = scheduled.config(
        cron=cron, every=every, rrule=rrule, timezone=timezone, anchor=anchor, starts_at=starts_at, ends_at=ends_at,
        overlap=overlap, catch_up=catch_up,
    )  # fmt: skip
    webhook = _config(verify, respond, wait, tolerance, keep_body)
    if schedule and webhook:
        raise scheduled.KindsMixed
    body = {
        "kind": "SCHEDULE" if schedule else "WEBHOOK",
        "name": name,
        "config": {**schedule, **webhook, **scheduled.mapping(mapping)},
    }
    api = connect(url, tenant)
    made = api.post(_path(api, workflow), body)
    output.result(made, lambda: scheduled.shown_made(made) if schedule else _shown_once(api, made))


@app.command("create-event")
def create_event(
    workflow: Workflow,
    event: Annotated[list[str], typer.Option("--event", "-e", help="The type of event to follow; may be repeated.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    filter_: Annotated[str | None, typer.Option("--filter", help="A condition over `event`.")] = None,
    correlation: Annotated[str | None, typer.Option(help="Only events with this correlation.")] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="JSON with expressions over `event`; else the payload is the input.")
    ] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Start the workflow whenever an event of these types comes."""
    api = connect(url, tenant)
    config: dict[str, Any] = {"event": event}
    if filter_ is not None:
        config["filter"] = filter_
    if correlation is not None:
        config["correlation"] = correlation
    if input_ is not None:
        config["input"] = read_input(input_)
    made = api.post(_path(api, workflow), {"kind": "EVENT", "name": name, "config": config})
    output.result(made, f"The trigger '{made['name'] or made['id']}' follows {', '.join(event)}.")


@app.command()
def update(
    workflow: Workflow,
    which: Which,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    cron: scheduled.Cron = None,
    every: scheduled.Every = None,
    rrule: scheduled.Rule = None,
    timezone: scheduled.Zone = None,
    anchor: scheduled.Anchor = None,
    starts_at: scheduled.Starts = None,
    ends_at: scheduled.Ends = None,
    overlap: scheduled.Overlapping = None,
    catch_up: scheduled.CatchingUp = None,
    mapping: scheduled.Mapping_ = None,
    verify: Verify = None,
    respond: Respond = None,
    wait: Wait = None,
    tolerance: Tolerance = None,
    keep_body: KeepBody = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Change what is said; everything else stays."""
    schedule = scheduled.config(
        cron=cron, every=every, rrule=rrule, timezone=timezone, anchor=anchor, starts_at=starts_at, ends_at=ends_at,
        overlap=overlap, catch_up=catch_up,
    )  # fmt: skip
    webhook = _config(verify, respond, wait, tolerance, keep_body)
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    if (webhook and found["kind"] == "SCHEDULE") or (schedule and found["kind"] != "SCHEDULE"):
        raise scheduled.KindsMixed
    change: dict[str, Any] = {} if name is None else {"name": name}
    said = {**schedule, **webhook, **scheduled.mapping(mapping)}
    if said:
        change["config"] = scheduled.changed(found["config"], said)
    done = api.patch(f"{path}/{found['id']}", change, expected=found["row_version"])
    output.result(done, lambda: card(done))


@app.command()
def preview(
    workflow: Annotated[str | None, typer.Argument(metavar="[WORKFLOW]", help="Name or id.")] = None,
    which: Annotated[str | None, typer.Argument(metavar="[TRIGGER]", help="Name or id.")] = None,
    cron: scheduled.Cron = None,
    every: scheduled.Every = None,
    rrule: scheduled.Rule = None,
    timezone: scheduled.Zone = None,
    anchor: scheduled.Anchor = None,
    starts_at: scheduled.Starts = None,
    ends_at: scheduled.Ends = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many due times.")] = 10,
    start: Annotated[str | None, typer.Option("--from", help="Due times after this one (ISO 8601).")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Show when a schedule is due: one that exists, or, without a server, the one that the options say."""
    said = scheduled.config(
        cron=cron, every=every, rrule=rrule, timezone=timezone, anchor=anchor, starts_at=starts_at, ends_at=ends_at,
        overlap=None, catch_up=None,
    )  # fmt: skip
    begin = scheduled.moment(start)
    if workflow is None or which is None:
        return scheduled.show_preview(scheduled.preview_here(said, begin, count))
    if said:
        raise scheduled.KindsMixed
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    asked: dict[str, Any] = {"from": begin.isoformat()} if begin is not None else {}
    return scheduled.show_preview(dict(api.get(f"{path}/{found['id']}/preview", count=count, **asked)))


@app.command()
def runs(
    workflow: Workflow,
    which: Which,
    status: Annotated[str | None, typer.Option(help="STARTED, SKIPPED, QUEUED, MISSED or FAILED.")] = None,
    limit: Limit = 20,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Show what became of a schedule's due times, the newest first."""
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    asked = {} if status is None else {"status": status.upper()}
    scheduled.show_runs(api.listed(f"{path}/{found['id']}/runs", limit=None if everything else limit, **asked))


@app.command()
def enable(workflow: Workflow, which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Let calls start the workflow again, or let a schedule go on from now."""
    _switch(workflow, which, url, tenant, enabled=True)


@app.command()
def disable(workflow: Workflow, which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Refuse calls, keeping the address; pause a schedule."""
    _switch(workflow, which, url, tenant, enabled=False)


@app.command("rotate-token")
def rotate_token(
    workflow: Workflow,
    which: Which,
    grace: Grace = None,
    yes: Yes = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Give it a new address; the old one stops working at once, or after --grace."""
    _rotate(workflow, which, "token", "address", grace, url, tenant, yes=yes)


@app.command("rotate-secret")
def rotate_secret(
    workflow: Workflow,
    which: Which,
    grace: Grace = None,
    yes: Yes = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Give it a new signing secret; calls signed with the old one are refused at once, or after --grace."""
    _rotate(workflow, which, "secret", "signing secret", grace, url, tenant, yes=yes)


@app.command()
def delete(workflow: Workflow, which: Which, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """Take a trigger away for good."""
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    confirm(f"Delete the trigger '{found['name'] or found['id']}' for good?", yes=yes)
    api.delete(f"{path}/{found['id']}")
    output.result({"id": found["id"], "deleted": True}, f"The trigger '{found['name'] or found['id']}' is deleted.")


def _config(
    verify: str | None, respond: str | None, wait: float | None, tolerance: str | None, keep_body: bool | None
) -> dict[str, Any]:
    said = {
        "verify": verify, "respond": respond, "wait_seconds": wait, "tolerance": tolerance, "keep_body": keep_body,
    }  # fmt: skip
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
        raise ReferenceMissing("trigger", which, listing=f"weft workflow trigger list {shlex.quote(workflow)}")
    if len(same) > 1:
        raise ReferenceAmbiguous("trigger", which, [row["id"] for row in same])
    return path, same[0]


def _switch(workflow: str, which: str, url: str | None, tenant: str | None, *, enabled: bool) -> None:
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    done = api.patch(f"{path}/{found['id']}", {"enabled": enabled})
    output.result(done, f"The trigger '{done['name'] or done['id']}' is {'enabled' if enabled else 'disabled'}.")


def _rotate(
    workflow: str,
    which: str,
    what: str,
    called: str,
    grace: str | None,
    url: str | None,
    tenant: str | None,
    *,
    yes: bool,
) -> None:
    api = connect(url, tenant)
    path, found = _trigger(api, workflow, which)
    ends = "at once" if grace is None else f"in {grace}"
    confirm(f"Replace the {called} of '{found['name'] or found['id']}'? The old one stops working {ends}.", yes=yes)
    done = api.post(f"{path}/{found['id']}/rotate-{what}", {} if grace is None else {"grace": grace})
    output.result(done, lambda: _shown_once(api, done))


def _shown_once(api: Client, made: dict[str, Any]) -> str:
    lines = [f"Trigger '{made['name'] or made['id']}'. Note this now, it is not shown again:"]
    if made.get("path"):
        lines.append(f"  address         {api.url}{made['path']}")
    if made.get("signing_secret"):
        lines.append(f"  signing secret  {made['signing_secret']}")
    return "\n".join(lines)

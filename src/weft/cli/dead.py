"""`weft dead`: jobs that were given up. Look at them, try them again, or drop them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import Client, connect
from weft.cli.common import Everything, Limit, TenantName, Url, Yes, confirm, identified
from weft.cli.execution import identified as execution_id
from weft.cli.execution_text import moment
from weft.cli.workflow_names import find
from weft.core.errors import Invalid

app = typer.Typer(add_completion=False, no_args_is_help=True)

Which = Annotated[str | None, typer.Argument(metavar="[JOB]", help="The dead job's id; without it: those that fit.")]
Kind = Annotated[str | None, typer.Option(help="Only jobs of this kind: start, step, timer, child, ...")]
Workflow = Annotated[str | None, typer.Option("--workflow", "-w", help="Only those of this workflow.")]
Execution = Annotated[str | None, typer.Option("--execution", help="Only those of this execution.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell how many there are.")]


class DeadJobsUnnamed(Invalid):
    code = "dead_jobs_unnamed"

    def __init__(self) -> None:
        super().__init__("Say which: a dead job's id, --kind, --workflow or --execution, or --all for every one.")


@app.command("list")
def list_(
    kind: Kind = None,
    workflow: Workflow = None,
    execution: Execution = None,
    limit: Limit = 20,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List dead jobs, the newest first."""
    api = connect(url, tenant)
    query = _filters(api, kind, workflow, execution)
    rows = api.listed("/dead-jobs", limit=None if everything else limit, **query)
    shown = (
        rows
        if output.as_json()
        else [row | {"died": moment(row["died_at"]), "tried": max(0, row["claims"] - 1)} for row in rows]
    )
    columns = {
        "kind": "kind", "workflow_name": "workflow", "execution_status": "execution", "tried": "tried", "died": "died",
        "last_error": "last error", "id": "id",
    }  # fmt: skip
    output.rows(shown, columns, empty="No dead jobs.")


@app.command()
def show(
    which: Annotated[str, typer.Argument(metavar="JOB", help="The dead job's id.")],
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Tell what a dead job was to do, what happened, and what a retry would do."""
    found = connect(url, tenant).get(f"/dead-jobs/{_identified(which)}")
    lines = [found["explanation"], "", f"execution  {found['execution_id']}", f"reason     {found['reason']}"]
    output.result(found, "\n".join(lines))


@app.command()
def retry(
    which: Which = None,
    kind: Kind = None,
    workflow: Workflow = None,
    execution: Execution = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Try dead jobs again; a failed execution goes on from where it failed."""
    api = connect(url, tenant)
    if which is not None:
        if dry_run:
            _would(api, which, "tried again")
            return
        api.post(f"/dead-jobs/{_identified(which)}/retry")
        output.result({"done": 1}, "It is tried again.")
        return
    body = _chosen(api, kind, workflow, execution, everything=everything)
    done = _all(api, "/dead-jobs/retry", body, dry_run=dry_run)
    output.result(done, lambda: _told(done, "tried again", dry_run=dry_run))


@app.command()
def drop(
    which: Which = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the audit log.")] = "",
    kind: Kind = None,
    workflow: Workflow = None,
    execution: Execution = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Forget dead jobs. Their executions stay as they are."""
    if not reason and not dry_run:
        raise Invalid("Say why with --reason; the audit log keeps it.")
    api = connect(url, tenant)
    if which is not None:
        if dry_run:
            _would(api, which, "dropped")
            return
        confirm("Forget this dead job?", yes=yes)
        api.post(f"/dead-jobs/{_identified(which)}/drop", {"reason": reason})
        output.result({"done": 1}, "It is dropped.")
        return
    body = _chosen(api, kind, workflow, execution, everything=everything) | {"reason": reason or "dry run"}
    if not dry_run:
        found = api.post("/dead-jobs/drop", body | {"dry_run": True})
        confirm(f"Forget {found['matched']}{' or more' if found['more'] else ''} dead jobs?", yes=yes)
    done = _all(api, "/dead-jobs/drop", body, dry_run=dry_run)
    output.result(done, lambda: _told(done, "dropped", dry_run=dry_run))


def _would(api: Client, which: str, what: str) -> None:
    """The dry run of one: it must be there, and nothing happens to it."""
    api.get(f"/dead-jobs/{_identified(which)}")
    output.result({"matched": 1, "done": 0}, f"It would be {what}.")


def _identified(which: str) -> str:
    return identified(which, "a dead job", "weft dead list")


def _filters(api: Client, kind: str | None, workflow: str | None, execution: str | None) -> dict[str, Any]:
    said = {
        "kind": kind,
        "workflow_id": find(api, workflow)["id"] if workflow is not None else None,
        "execution_id": execution_id(execution) if execution is not None else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _chosen(
    api: Client, kind: str | None, workflow: str | None, execution: str | None, *, everything: bool
) -> dict[str, Any]:
    body = _filters(api, kind, workflow, execution)
    if not body and not everything:
        raise DeadJobsUnnamed
    return body


def _all(api: Client, path: str, body: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """Ask again until all are done: one request takes so many at most. What was refused is not asked for again."""
    total: dict[str, Any] = {"matched": 0, "done": 0, "more": False, "refused": []}
    while True:
        answer = api.post(path, body | {"dry_run": dry_run}, timeout=300)
        total = {
            "matched": total["matched"] + answer["matched"],
            "done": total["done"] + answer["done"],
            "more": answer["more"],
            "refused": total["refused"] + answer["refused"],
        }
        if dry_run or not answer["more"] or answer["refused"] or not answer["done"]:
            return total


def _told(done: dict[str, Any], what: str, *, dry_run: bool) -> str:
    more = " and there are more" if done["more"] else ""
    if dry_run:
        return f"{done['matched']} dead jobs would be {what}{more}."
    lines = [f"{done['done']} dead jobs were {what}{more}."]
    return "\n".join([*lines, *(f"{row['id']}: {row['message']}" for row in done["refused"])])

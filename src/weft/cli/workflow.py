"""`weft workflow`: definitions as files, their versions, and what may be started."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output, workflow_files, workflow_trigger
from weft.cli.client import Client, connect
from weft.cli.common import Everything, Limit, TenantName, Url, Yes, card, client_id, confirm, is_id
from weft.cli.workflow_names import find
from weft.core.errors import Invalid, Issue

app = typer.Typer(add_completion=False, no_args_is_help=True)
app.add_typer(workflow_trigger.app, name="trigger", help="What starts a workflow: webhooks.")

Which = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name or id.")]
Side = Annotated[str, typer.Argument(help="A file, WORKFLOW, WORKFLOW@3 or WORKFLOW@draft.")]
Note = Annotated[str, typer.Option("--note", "-m", help="Why, for the history.")]
UNSOUND = 2
"""Exit code of a definition with faults: that of every other invalid input."""


@app.command("list")
def list_(
    status: Annotated[
        list[str] | None, typer.Option(help="DRAFT, ACTIVE, INACTIVE or ARCHIVED; may be repeated.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    client: Annotated[str | None, typer.Option(help="Only those of the client with this id.")] = None,
    search: Annotated[str | None, typer.Option(help="The beginning of the name.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that can be restored.")] = False,
    limit: Limit = 50,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List workflows, newest first."""
    api = connect(url, tenant)
    rows = api.listed(
        "/workflows",
        limit=None if everything else limit,
        status=[word.upper() for word in status or ()],
        tag=tag,
        client_id=client_id(client),
        name=search,
        deleted=deleted or None,
    )
    columns = ["name", "status", "version", "tags", "updated_at", "id"]
    output.rows(rows, columns, empty="No workflows. `weft workflow apply FILE` makes one.")


@app.command()
def show(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Show one workflow."""
    workflow = find(connect(url, tenant), which, whole=True)
    output.result(workflow, lambda: card(workflow))


@app.command()
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="YAML or JSON; - for standard input.")],
) -> None:
    """Say everything that is wrong with definitions, by file and line. Needs no server."""
    results = [_checked(file) for file in files]
    if output.as_json():
        output.result(results if len(results) > 1 else results[0])
    if not all(result["sound"] for result in results):
        raise typer.Exit(UNSOUND)


def _checked(file: str) -> dict[str, Any]:
    from weft.domain.workflows.errors import DocumentUnreadable

    try:
        source = workflow_files.read(file)
        report = workflow_files.check(source)
    except DocumentUnreadable as unreadable:
        found = [
            {"file": file, "line": unreadable.line, "severity": "error", **issue.as_json()}
            for issue in unreadable.issues
        ]
        _say(found)
        return {"file": file, "sound": False, "errors": found, "warnings": [], "stats": None}
    errors = workflow_files.located(source, report.errors, "error")
    warnings = workflow_files.located(source, report.warnings, "warning")
    stats = {
        "steps": report.stats.steps,
        "transitions": report.stats.transitions,
        "simple": report.stats.simple,
        "guarded": report.stats.guarded,
    }
    _say([*errors, *warnings])
    if report.sound and not output.as_json():
        expressions = stats["simple"] + stats["guarded"]
        typer.echo(f"{source.name}: sound ({stats['steps']} steps, {expressions} expressions)")
    return {"file": source.name, "sound": report.sound, "errors": errors, "warnings": warnings, "stats": stats}


def _say(found: list[dict[str, Any]]) -> None:
    """Faults are the answer of a check, and so go to standard output."""
    if not output.as_json():
        for line in workflow_files.lines(found):
            typer.echo(line)


@app.command()
def apply(
    file: Annotated[str, typer.Argument(help="YAML or JSON; - for standard input.")],
    workflow: Annotated[
        str | None, typer.Option(help="Name or id of the workflow, if the file gives it a new name.")
    ] = None,
    client: Annotated[str | None, typer.Option(help="Id of the client it belongs to.")] = None,
    note: Note = "",
    activate: Annotated[bool, typer.Option("--activate/--no-activate", help="Let it be started.")] = True,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Make a file the current version of the workflow of its name, or a new workflow, and activate it."""
    source = workflow_files.read(file)
    api = connect(url, tenant)
    target = find(api, workflow)["id"] if workflow is not None else None
    query = {"workflow_id": target, "client_id": client_id(client), "note": note or None}
    try:
        done = api.post("/workflows/import", source.parsed.document, query=query)
    except Invalid as refused:
        raise _pointed(refused, source) from refused
    found = done["workflow"]
    if activate and found["status"] != "ACTIVE":
        found = done["workflow"] = api.post(f"/workflows/{found['id']}/activate")
    for warning in done["warnings"]:
        issue = Issue(warning["message"], tuple(warning["path"]), warning["code"])
        workflow_files.show(workflow_files.located(source, [issue], "warning"))
    output.result(done, lambda: _said(done, found))


def _pointed(refused: Invalid, source: workflow_files.Source) -> Invalid:
    """What the server refused, with the lines of the file."""
    if not output.as_json() and refused.issues:
        workflow_files.show(workflow_files.located(source, refused.issues, "error"))
        raise typer.Exit(UNSOUND)
    return refused


def _said(done: dict[str, Any], workflow: dict[str, Any]) -> str:
    words = {"created": "Created", "updated": "Updated", "unchanged": "Nothing differs in"}
    head = f"{words[done['outcome']]} '{workflow['name']}': version {done['version']['number']}, {workflow['status']}."
    return "\n".join([head, *(f"  {line}" for line in done["changes"])])


@app.command()
def export(
    which: Which,
    version: Annotated[int | None, typer.Option(help="Its number; default: the current version.")] = None,
    draft: Annotated[bool, typer.Option("--draft", help="The draft instead of a version.")] = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Write a definition to standard output: YAML, or JSON with --json."""
    from weft.domain.workflows.document import write

    document = _definition(connect(url, tenant), which, "draft" if draft else version)
    typer.echo(write(document, "json" if output.as_json() else "yaml"), nl=False)


@app.command()
def versions(
    which: Which, limit: Limit = 50, everything: Everything = False, url: Url = None, tenant: TenantName = None
) -> None:
    """List the versions of a workflow, newest first."""
    api = connect(url, tenant)
    found = find(api, which)
    rows = api.listed(f"/workflows/{found['id']}/versions", limit=None if everything else limit)
    columns = ["number", "created_at", "note", "content_hash", "id"]
    output.rows(rows, columns, empty="No versions. `weft workflow apply FILE` makes one.")


@app.command()
def diff(a: Side, b: Side, url: Url = None, tenant: TenantName = None) -> None:
    """Say what changed from A to B: added +, removed -, changed ~, renamed >."""
    from dataclasses import asdict

    from weft.domain.workflows.diff import compare, lines

    before, after = [_side(side, url, tenant) for side in (a, b)]
    changes = compare(before, after)
    output.result([asdict(change) for change in changes], lambda: "\n".join(lines(changes)) or "No difference.")


def _side(text: str, url: str | None, tenant: str | None) -> dict[str, Any]:
    from pathlib import Path

    from weft.domain.workflows.document import accept

    if text == "-" or Path(text).is_file():
        return accept(workflow_files.read(text).parsed.document)
    name, at, number = text.rpartition("@")
    if not at or not (number == "draft" or number.isdecimal()):
        name, number = text, ""
    version = "draft" if number == "draft" else int(number) if number else None
    return accept(_definition(connect(url, tenant), name, version))


@app.command()
def rollback(
    which: Which,
    number: Annotated[int, typer.Argument(help="The version whose content becomes the next version.")],
    note: Note = "",
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Make the content of an old version the current one. Nothing of the history is lost."""
    api = connect(url, tenant)
    found = find(api, which)
    done = api.post(f"/workflows/{found['id']}/rollback", {"number": number, "note": note})
    current = done["version"]["number"]
    said = f"Version {current} of '{found['name']}' has the content of version {number}."
    output.result(done, said if done["created"] else f"Version {current} has that content already.")


@app.command()
def activate(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Let a workflow be started."""
    _move(which, "activate", url, tenant)


@app.command()
def deactivate(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Start no more of it; executions that run go on."""
    _move(which, "deactivate", url, tenant)


@app.command()
def archive(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Make a workflow read-only."""
    _move(which, "archive", url, tenant)


@app.command()
def unarchive(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Bring an archived workflow back, inactive."""
    _move(which, "unarchive", url, tenant)


def _move(which: str, verb: str, url: str | None, tenant: str | None) -> None:
    api = connect(url, tenant)
    found = find(api, which)
    done = api.post(f"/workflows/{found['id']}/{verb}")
    output.result(done, f"'{done['name']}' is {done['status']}.")


@app.command()
def delete(which: Which, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """Put a workflow away: nothing starts it any more. It can be restored."""
    api = connect(url, tenant)
    found = find(api, which)
    confirm(f"Delete the workflow '{found['name']}' (version {found['version']}, {found['status']})?", yes=yes)
    api.delete(f"/workflows/{found['id']}")
    said = f"'{found['name']}' is deleted. `weft workflow restore {found['id']}` brings it back."
    output.result({"id": found["id"], "deleted": True}, said)


@app.command()
def restore(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Bring a deleted workflow back, inactive."""
    api = connect(url, tenant)
    workflow_id = which if is_id(which) else find(api, which, deleted=True)["id"]
    done = api.post(f"/workflows/{workflow_id}/restore")
    output.result(done, f"'{done['name']}' is {done['status']}.")


@app.command()
def schema() -> None:
    """Write the JSON Schema of definitions, with the step kinds of this machine, to standard output."""
    import json

    from weft.domain.workflows.kinds import installed
    from weft.domain.workflows.schema import with_kinds
    from weft.engine import registry

    registry.kinds()
    typer.echo(json.dumps(with_kinds(installed().all()), indent=2, ensure_ascii=False))


def _definition(api: Client, which: str, version: int | str | None) -> dict[str, Any]:
    """A version's definition, or the draft's; of a workflow without a version the draft's."""
    found = find(api, which)
    number = version if version is not None else found["version"] or "draft"
    path = "draft" if number == "draft" else f"versions/{number}"
    return dict(api.get(f"/workflows/{found['id']}/{path}")["definition"])

"""`weft execution pause | resume | replay | migrate`: commands on executions that are under way, or over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from weft.cli import execution_text, output
from weft.cli.client import Client, connect
from weft.cli.common import TenantName, Url, Yes, confirm
from weft.cli.execution import Which, identified, read_input
from weft.cli.workflow_names import find
from weft.core.errors import Invalid

app = typer.Typer(add_completion=False, no_args_is_help=True)

Reason = Annotated[str, typer.Option("--reason", "-m", help="Why.")]
_PAGE: Final = 200
_COLUMNS: Final = {"executions": "executions", "places": "stands at -> becomes", "problems": "why it stays"}


@app.command()
def pause(which: Which, reason: Reason = "", url: Url = None, tenant: TenantName = None) -> None:
    """Let nothing new begin in an execution and its sub-workflows. What is under way ends, and counts."""
    paused = connect(url, tenant).post(f"/executions/{identified(which)}/pause", {"reason": reason})
    output.result(paused, lambda: execution_text.headline(paused))


@app.command()
def resume(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Let a paused execution go on."""
    resumed = connect(url, tenant).post(f"/executions/{identified(which)}/resume")
    output.result(resumed, lambda: execution_text.headline(resumed))


@app.command()
def replay(
    which: Which,
    step: Annotated[str, typer.Option("--from", metavar="STEP", help="The step at which the new execution begins.")],
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Run all again from the start instead of keeping what came before.")
    ] = False,
    version: Annotated[int | None, typer.Option(min=1, help="Another version of the workflow.")] = None,
    given: Annotated[
        str | None, typer.Option("--input", "-i", metavar="FILE|-|JSON", help="Another input; - for standard input.")
    ] = None,
    reason: Reason = "",
    key: Annotated[
        str | None, typer.Option("--idempotency-key", help="Say it again, and the same execution answers.")
    ] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Run an execution again, as a new one: from a step on, with the results of what came before."""
    body: dict[str, Any] = {"from": step, "before": "recompute" if recompute else "keep", "reason": reason}
    if version is not None:
        body["version"] = version
    if given is not None:
        body["input"] = read_input(given)
    headers = {"Idempotency-Key": key} if key is not None else {}
    api = connect(url, tenant)
    started = api.post(f"/executions/{identified(which)}/replay", body, headers=headers)
    output.result(started, lambda: replayed(started, step, recompute=recompute))


def replayed(started: Mapping[str, Any], step: str, *, recompute: bool) -> str:
    """What the command says of the new execution."""
    how = "from the start" if recompute else f"from step '{step}'"
    kept = ", ".join(started["not_undone"])
    said = f"If it fails, it will not undo what {kept} did: that is up to the execution that did it.\n" if kept else ""
    return (
        f"Execution {started['number']} repeats it {how}.\n{said}"
        f"`weft execution show {started['id']}` tells how far it has come."
    )


@app.command()
def migrate(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name or id.")],
    old: Annotated[int, typer.Option("--from", min=1, metavar="VERSION", help="The version they run.")],
    new: Annotated[int, typer.Option("--to", min=1, metavar="VERSION", help="The version they move to.")],
    mapped: Annotated[
        list[str] | None, typer.Option("--map", metavar="OLD=NEW", help="A step that has another name there.")
    ] = None,
    dropped: Annotated[
        list[str] | None, typer.Option("--drop", metavar="STEP", help="A step that is left out.")
    ] = None,
    named: Annotated[
        list[str] | None, typer.Option("--execution", metavar="ID", help="Only this one; may be said again.")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="Only these; FAILED ones come along only when they are named here.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would become of them.")] = False,
    yes: Yes = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Move running executions to another version: shows what becomes of each, and asks before it does so."""
    api = connect(url, tenant)
    path = f"/workflows/{find(api, workflow)['id']}/migrations"
    body: dict[str, Any] = {"from_version": old, "to_version": new, "mapping": _mapping(mapped, dropped)}
    if named:
        body["executions"] = [identified(one) for one in named]
    if status:
        body["status"] = [one.upper() for one in status]
    preview = _considered(api, path, {**body, "dry_run": True})
    if dry_run or not preview["movable"]:
        output.result(preview, lambda: "")
        _show(preview)
        return
    if not yes:
        _show(preview)
        confirm(f"Move {_count(preview['movable'])} to version {new}?", yes=False)
    done = _considered(api, path, {**body, "dry_run": False})
    output.result(done, lambda: f"Moved {_count(done['moved'])} to version {new}; {done['refused']} stayed.")
    if done["refused"]:
        _show({**done, "groups": [group for group in done["groups"] if group["problems"]]})


def _mapping(mapped: Sequence[str] | None, dropped: Sequence[str] | None) -> dict[str, str | None]:
    found: dict[str, str | None] = dict.fromkeys(dropped or ())
    for pair in mapped or ():
        old, separator, new = pair.partition("=")
        if not (old and separator and new):
            raise Invalid(f"--map '{pair}': write the old and the new step as OLD=NEW.")
        found[old.strip()] = new.strip()
    return found


def _considered(api: Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """All pages as one."""
    whole: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    after = None
    while True:
        page = api.post(path, {**body, "limit": _PAGE, "after": after})
        for group in page["groups"]:
            key = repr((group["steps"], group["problems"]))
            groups.setdefault(key, {**group, "executions": 0})["executions"] += group["executions"]
        counts = {name: page[name] + whole.get(name, 0) for name in ("movable", "refused", "moved")}
        whole = {**page, **counts, "items": [*whole.get("items", ()), *page["items"]]}
        after = page["next"]
        if after is None:
            return {**whole, "groups": list(groups.values())}


def _show(found: Mapping[str, Any]) -> None:
    if output.as_json():
        return
    rows = [
        {
            "executions": group["executions"],
            "places": ", ".join(_place(step) for step in group["steps"]) or "(not taken up yet)",
            "problems": " ".join(group["problems"]) or None,
        }
        for group in found["groups"]
    ]
    output.rows(rows, _COLUMNS, empty="No execution of that version is under way.")


def _place(step: Mapping[str, Any]) -> str:
    return f"{step['step']} -> {step['target'] or '?'}"


def _count(number: int) -> str:
    return f"{number} execution" if number == 1 else f"{number} executions"

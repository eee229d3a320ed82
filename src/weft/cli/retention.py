"""`weft retention`: how long this tenant keeps its finished executions and their journals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import connect
from weft.cli.common import TenantName, Url, Yes, confirm, given
from weft.cli.execution_text import moment
from weft.core.errors import Invalid

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def show(url: Url = None, tenant: TenantName = None) -> None:
    """Show how long executions are kept, and who says so."""
    found = connect(url, tenant).get("/retention")
    output.result(found, lambda: _policy(found))


@app.command("set")
def set_(
    executions: Annotated[
        str | None,
        typer.Option("--executions", metavar="DAYS|forever|default", help="Days after its end that one is kept."),
    ] = None,
    journal: Annotated[
        str | None,
        typer.Option(
            "--journal",
            metavar="DAYS|forever|default",
            help="Days after its end that an execution keeps its journal, if that shall go before it.",
        ),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option("--archive", metavar="yes|no|default", help="Whether they are archived before they go."),
    ] = None,
    yes: Yes = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Say how long executions are kept. What is not named stays as it is."""
    given(executions=executions, journal=journal, archive=archive)
    client = connect(url, tenant)
    now = client.get("/retention")
    wanted: dict[str, Any] = {name: now[name] for name in ("executions_days", "journal_days", "archive")}
    if executions is not None:
        wanted["executions_days"] = _days("--executions", executions)
    if journal is not None:
        wanted["journal_days"] = _days("--journal", journal)
    if archive is not None:
        wanted["archive"] = _choice(archive)
    if wanted["archive"] is False and now["effective"]["archive"]:
        confirm("Executions will be deleted without an archive: nobody can bring them back. Go on?", yes=yes)
    changed = client.put("/retention", wanted)
    output.result(changed, lambda: _policy(changed))


@app.command()
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Archive and delete this tenant's old executions now, instead of waiting for the worker.

    Works on the database itself, where the archive directory is; --dry-run needs neither.
    """
    client = connect(url, tenant)
    if dry_run:
        due = client.get("/retention/due")
        output.result(due, lambda: _due(due))
        return
    from weft.cli.database_retention import report_text, sweep
    from weft.settings import load_settings

    report = sweep(load_settings(os.environ), only=str(client.get("/tenant")["id"]))
    output.result(report, lambda: report_text(report))


def _days(option: str, text: str) -> int | str | None:
    if text in ("default", "forever"):
        return None if text == "default" else text
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise Invalid(f"{option} '{text[:40]}': write a number of days from 1 on, forever, or default.")
    return int(text)


def _choice(text: str) -> bool | None:
    choices = {"yes": True, "no": False, "default": None}
    if text not in choices:
        raise Invalid(f"--archive '{text[:40]}': write yes, no, or default.")
    return choices[text]


def _policy(found: Mapping[str, Any]) -> str:
    holds, installed = found["effective"], found["installation"]
    days = holds["executions_days"]
    if days is None:
        lines = ["Finished executions are kept for ever."]
    else:
        after = "are archived and deleted" if holds["archive"] else "are deleted, without an archive,"
        lines = [f"Finished executions {after} {days} day{'s' if days != 1 else ''} after their end."]
    journal = holds["journal_days"]
    if journal is not None:
        after = "are archived and deleted" if holds["archive"] else "are deleted, without an archive,"
        lines.append(f"Their journals {after} {journal} day{'s' if journal != 1 else ''} after their end.")
    elif isinstance(found["journal_days"], int) and days is not None:
        lines.append(f"Their journals go with them: {found['journal_days']} days are not fewer.")
    said = found["executions_days"]
    origin = "The installation says so" if said is None else f"The tenant says so ({said})"
    if said is not None and said != days and not (said == "forever" and days is None):
        origin = f"The tenant says {said}, but the installation's bounds come first"
    longest = f", at most {installed['longest_days']}" if installed["longest_days"] is not None else ""
    lines.append(f"{origin}; days may be at least {installed['shortest_days']}{longest}.")
    return "\n".join(lines)


def _due(due: Mapping[str, Any]) -> str:
    return "\n".join([_executions_due(due), *_journals_due(due)])


def _journals_due(due: Mapping[str, Any]) -> list[str]:
    if due["journal_cutoff"] is None:
        return []
    before = moment(due["journal_cutoff"])
    if not due["journals"] and not due["journals_is_more"]:
        return [f"No journal would go: none is there of an execution that had ended before {before}."]
    least = "At least " if due["journals_is_more"] else ""
    return [f"{least}{due['journals']} executions that had ended before {before} would lose their journals."]


def _executions_due(due: Mapping[str, Any]) -> str:
    if due["cutoff"] is None:
        return "No execution would go: they are kept for ever. `weft retention set --executions DAYS` changes that."
    if not due["executions"]:
        return f"No execution would go: none had ended before {moment(due['cutoff'])}."
    count = f"More than {due['executions']}" if due["is_more"] else str(due["executions"])
    return (
        f"{count} executions, and their sub-workflows, had ended before {moment(due['cutoff'])} and would go. "
        f"The oldest was created {moment(due['oldest'])}."
    )

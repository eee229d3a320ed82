"""`weft archive`: the files that hold executions which have left the database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from weft.cli import output
from weft.cli.client import connect
from weft.cli.common import Everything, Limit, TenantName, Url
from weft.cli.execution_text import document, moment

app = typer.Typer(add_completion=False, no_args_is_help=True)

File = Annotated[str, typer.Argument(metavar="FILE", help="A path, or the name that the list shows.")]


@app.command("list")
def list_(limit: Limit = 20, everything: Everything = False, url: Url = None, tenant: TenantName = None) -> None:
    """List this tenant's archives, newest first."""
    rows = connect(url, tenant).listed("/archives", limit=None if everything else limit)
    shown = rows if output.as_json() else [_row(row) for row in rows]
    output.rows(
        shown,
        ["written", "kind", "executions", "rows", "from", "to", "bytes", "file"],
        empty="No archives: no execution has been too old yet. `weft retention show` tells how long they are kept.",
    )


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "written": moment(row["created_at"]),
        "kind": row["kind"].lower(),
        "executions": row["executions"],
        "rows": row["rows"],
        "from": moment(row["period_from"]),
        "to": moment(row["period_to"]),
        "bytes": row["bytes"],
        "file": row["file"] or "(deleted without an archive)",
    }


@app.command()
def verify(
    file: File,
    sha256: Annotated[
        str | None, typer.Option(help="The checksum to expect, as `weft archive list --json` has it.")
    ] = None,
) -> None:
    """Read a whole archive and compare it with its checksum. Works on the file, without a server."""
    from weft.ops import archives

    path = _found(file)
    found = archives.verify(path, sha256)
    facts = {
        "file": str(path),
        "executions": found.executions,
        "rows": found.rows,
        "bytes": found.bytes,
        "sha256": found.sha256,
    }
    output.result(facts, f"{path} is whole: {found.executions} executions, {found.rows} rows with them.")


@app.command()
def show(
    file: File,
    execution: Annotated[UUID | None, typer.Argument(metavar="[EXECUTION]", help="Its id; else all.")] = None,
) -> None:
    """Show one execution of an archive whole, or list which it holds. Works on the file, without a server."""
    from weft.ops import archives

    path = _found(file)
    if execution is not None:
        found = archives.execution_in(path, execution)
        output.result(found, lambda: document(found))
        return
    output.rows(
        [
            {"id": line["id"], "number": line["number"], "status": line["status"], "created": line["created_at"]}
            for line in (one["execution"] for one in archives.lines(path))
        ],
        ["number", "status", "created", "id"],
        empty="It holds no execution.",
    )


def _found(file: str) -> Path:
    from weft.ops.archives import find_file
    from weft.settings import load_settings

    return find_file(file, load_settings(os.environ).archives)

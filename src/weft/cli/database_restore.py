"""`weft db restore`: the whole database, or one tenant of it, from a backup."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output
from weft.cli.common import Yes, confirm
from weft.cli.database_backup import Identity, Named
from weft.cli.database_progress import shown, size

if TYPE_CHECKING:
    from pathlib import Path

    from weft.ops.backup.restoring import Found, Replaced
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def restore(
    backup: Named,
    replace: Annotated[
        bool, typer.Option("--replace", help="Over what is there; the old database is kept under another name.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="With --replace: do not keep the old database.")] = False,
    identity: Identity = None,
    yes: Yes = False,
) -> None:
    """Restore the whole database. The new one is proved before it takes the place of the old."""
    from weft.ops.backup import catalogue
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    name = catalogue.named(settings, backup)
    _whole(settings, name, replace=replace, dry_run=dry_run, drop_old=drop_old, identity=identity, yes=yes)


def _whole(
    settings: Settings, name: str, *, replace: bool, dry_run: bool, drop_old: bool, identity: Path | None, yes: bool
) -> None:
    from weft.ops.backup import restoring
    from weft.ops.installation import reach

    with reach(settings) as addresses:
        found = restoring.look(settings, addresses, name, identity=identity)
        if dry_run:
            output.result(_plan(found), lambda: _plan_text(found))
            return
        if found.tenants and not replace:
            raise restoring.DatabaseNotEmpty(found.database, found.tenants)
        if found.tenants:
            output.note(_plan_text(found))
            confirm(f"Put {name} in the place of the present database?", yes=yes)
        with shown() as tell:
            done = restoring.restore(
                settings, addresses, name, replace=replace, drop_old=drop_old, identity=identity, tell=tell
            )
    output.result(done.as_json(), lambda: _done_text(done))


def _plan(found: Found) -> dict[str, Any]:
    return {
        "backup": found.backup.id,
        "at": found.backup.started_at,
        "database": found.database,
        "tenants_replaced": found.tenants,
        "rows": found.backup.rows,
        "tables": {name: count.rows for name, count in found.backup.tables.items() if count.rows},
        "revision": found.backup.revision,
    }


def _plan_text(found: Found) -> str:
    made = found.backup
    said = (
        f"{made.id} is the database {made.database} of {made.started_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{made.rows} rows, {size(made.bytes)}, revision {made.revision}."
    )
    if not found.tenants:
        return said
    return (
        f"{said}\nThe present database {found.database} with its {found.tenants} tenants goes out of use and is kept "
        "under another name. Its connections are ended for a moment; what happened since the backup is not in the new one."
    )


def _done_text(done: Replaced) -> str:
    lines = [
        f"{done.database} is {done.backup} now: all {done.rows} rows of {done.tables} tables agree ({done.seconds:.1f} s)."
    ]
    if done.kept is not None:
        lines.append(
            f"The database that was there is kept as {done.kept}, until somebody drops it; `--drop-old` does so at once."
        )
    if done.pending:
        lines.append("It is older than this version of weft: run `weft db migrate`.")
    return "\n".join(lines)

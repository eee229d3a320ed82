"""`weft db`: migrate, status, rollback, check."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from weft.cli import output
from weft.core.errors import Conflict, Invalid

app = typer.Typer(add_completion=False, no_args_is_help=True)


class SchemaDrifted(Conflict):
    code = "schema_drifted"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"The schema differs in {count} place{'s' if count != 1 else ''} from what the migrations make; see above. "
            "`weft db check --sql` prints what repairs it; read it before you run it."
        )


class RollbackRefused(Invalid):
    code = "rollback_refused"

    def __init__(self) -> None:
        super().__init__("Nothing was changed. Say --yes to roll back without being asked.")


class ProductionProtected(Conflict):
    code = "production_protected"

    def __init__(self) -> None:
        super().__init__(
            "In the production profile a rollback that drops tables is refused. Restore a backup instead, or run it "
            "with WEFT_PROFILE=staging if you are certain."
        )


@app.command("migrate")
def migrate_(
    to: Annotated[str, typer.Option(help="The revision to stop at.")] = "head",
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")] = False,
) -> None:
    """Apply every revision that the database does not have yet. Safe to repeat, and to run twice at once."""
    from weft.db import migrate
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        before = asyncio.run(migrate.current(addresses.app if addresses.owner is None else addresses.owner))
        if sql:
            output.result({"sql": (text := migrate.offline_sql(before or "base", to))}, text)
            return
        owner = addresses.require_owner()
        pending = [r for r in asyncio.run(migrate.status(owner)) if not r.applied]
        for revision in pending:
            output.note(f"applying {revision.id} ({revision.kind}): {revision.title}")
        asyncio.run(migrate.upgrade(owner, to))
        after = asyncio.run(migrate.current(owner))
    said = f"The database is at revision {after}." if after != before else f"Nothing to do: revision {after} is there."
    output.result({"before": before, "after": after, "applied": [r.id for r in pending]}, said)


@app.command()
def status() -> None:
    """Show every revision, and which of them the database has."""
    from weft.db import migrate
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        revisions = asyncio.run(migrate.status(addresses.owner or addresses.app))
    output.rows(
        [
            {"revision": r.id, "kind": r.kind, "applied": "yes" if r.applied else "no", "title": r.title}
            for r in revisions
        ],
        ["revision", "kind", "applied", "title"],
        empty="This version has no migrations.",
    )


@app.command()
def rollback(
    to: Annotated[
        str, typer.Option(help="The revision to go back to; -1 is one back, base is an empty database.")
    ] = "-1",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take back revisions. Their tables and everything in them go: make a backup first."""
    from weft.db import migrate
    from weft.ops.installation import reach
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    if settings.profile == "production":
        raise ProductionProtected
    with reach(settings) as addresses:
        owner = addresses.require_owner()
        before = asyncio.run(migrate.current(owner))
        goes = [r for r in asyncio.run(migrate.status(owner)) if r.applied]
        output.note(f"This takes back revisions from {before} down to {to}, with all data in their tables:")
        for revision in reversed(goes):
            output.note(f"  {revision.id}  {revision.title}")
        if not yes and not (typer.confirm("Go on?", default=False, err=True)):
            raise RollbackRefused
        asyncio.run(migrate.downgrade(owner, to))
        after = asyncio.run(migrate.current(owner))
    output.result({"before": before, "after": after}, f"The database is at revision {after or 'base'}.")


@app.command()
def check(
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that repairs it instead.")] = False,
) -> None:
    """Compare the live schema with what the migrations make: policies, triggers, functions, grants, indexes, roles."""
    from weft.ops.drift import comparison
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        found = comparison(addresses.owner or addresses.app)
    clean = "-- " if sql else ""
    said = found.script() if sql else "\n".join(found.sentences())
    output.result(found.as_json(), said or f"{clean}The schema is exactly what the migrations make.")
    if found.differences:
        raise SchemaDrifted(len(found.differences))

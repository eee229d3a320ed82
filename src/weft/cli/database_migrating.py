"""`weft db validate`, `rollback`, `reset` and `instances`."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli import output
from weft.cli.common import NotConfirmed, Yes, confirm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weft.ops.migrating.rollback import Way
    from weft.ops.migrating.rollback_losses import Loss

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def validate() -> None:
    """Check the revisions themselves: one chain, ways up and down, clean SQL, and models that say the same.

    Blocking (some seconds): every revision goes up, down and up again on a throw-away server.
    """
    from weft.ops.migrating import validate as validating
    from weft.ops.migrating.run import directories_of
    from weft.settings import load_settings

    found = validating.validate(directories_of(load_settings(os.environ)), tell=output.note)
    output.result([check.as_json() for check in found], lambda: "\n".join(check.text() for check in found))
    wrong = [check.name for check in found if check.problems]
    if wrong:
        raise validating.RevisionsInvalid(wrong)


@app.command()
def rollback(
    to: Annotated[str, typer.Option(help="The revision to go back to; -1 is one back, base an empty database.")] = "-1",
    yes: Yes = False,
) -> None:
    """Take back revisions, with everything in their tables and columns. Contract revisions want a restore instead.

    Refused while processes of weft work on what would be dropped. The first revision goes only with --to base.
    """
    from weft.cli.database_text import Ticker
    from weft.ops.installation import reach
    from weft.ops.migrating import rollback as going_back
    from weft.ops.migrating import rollback_losses
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    with reach(settings) as addresses:
        owner = addresses.require_owner()
        way = asyncio.run(going_back.way(settings, owner, to))
        if not way.returns:
            output.result({"before": way.at, "after": way.at, "taken": []}, "Nothing to take back.")
            return
        _say_what_goes(way, asyncio.run(rollback_losses.losses(owner, way)))
        asyncio.run(rollback_losses.allow(owner, way))
        going_back.allow(way, lambda: confirm("Go on?", yes=yes))
        with Ticker() as ticker:
            taken, after = asyncio.run(going_back.take_back(settings, owner, way, tell=ticker.tell))
    output.result(
        {"before": way.at, "after": after, "taken": [revision.id for revision in taken]},
        f"The database is at revision {after or 'base'}.",
    )


def _say_what_goes(way: Way, lost: Sequence[Loss]) -> None:
    """All of it: whoever is asked has to know what the answer costs."""
    from weft.ops.migrating import rollback_losses

    output.note(f"This takes back revisions from {way.at} down to {rollback_losses.target(way)}:")
    for one in way.returns:
        output.note(f"  {one.revision.id}  {one.revision.kind}  {one.revision.title}")
        for drop in one.drops:
            if not rollback_losses.tables_of(drop):
                output.note(f"      {drop}")
    filled, empty = [loss for loss in lost if loss.rows], [loss.table for loss in lost if not loss.rows]
    if filled:
        output.note("These tables go, with what is in them:")
        for loss in filled:
            output.note(f"      {loss.table}: about {loss.rows:,} rows")
    if empty:
        output.note("These tables go, which seem to be empty:")
        output.note(textwrap.fill(", ".join(empty), 100, initial_indent=" " * 6, subsequent_indent=" " * 6))


@app.command()
def reset(yes: Yes = False) -> None:
    """Drop everything, migrate and seed again. In the development profile only."""
    from weft.ops import environments, profiles
    from weft.ops.installation import reach
    from weft.ops.migrating.reset import reset as begin_again
    from weft.settings import load_settings

    settings = load_settings(os.environ)

    def ask() -> None:
        if not yes:
            output.note("This drops every tenant, workflow and execution of this installation's database.")
            if not sys.stdin.isatty() or not typer.confirm("Drop everything?", default=False, err=True):
                raise NotConfirmed

    environments.require(settings.profile, environments.Action.reset)  # before a server is started for it
    with reach(settings) as addresses:
        profile = asyncio.run(profiles.in_force(addresses.require_owner(), settings.profile))
        environments.require(profile, environments.Action.reset, ask)
        report = asyncio.run(begin_again(settings, addresses))
    output.result(
        {"revision": report.revision, "seed": report.seeded.as_json()},
        f"The database is new, at revision {report.revision}; {len(report.seeded.made)} things were seeded.",
    )


@app.command()
def instances() -> None:
    """List the processes of weft that work on this database, with their versions."""
    from weft.ops.connections import connect
    from weft.ops.installation import reach
    from weft.ops.migrating.instances import Instance, listed
    from weft.settings import load_settings

    async def ask(dsn: str) -> list[Instance]:
        connection = await connect(dsn, application="weft db instances")
        try:
            return await listed(connection)
        finally:
            await connection.close()

    with reach(load_settings(os.environ)) as addresses:
        found = asyncio.run(ask(addresses.owner or addresses.app))
    output.rows(
        [asdict(one) for one in found],
        {
            "kind": "kind",
            "host": "host",
            "version": "version",
            "revision": "revision",
            "is_live": "live",
            "started_at": "started at",
            "seen_at": "seen at",
        },
        empty="No process of weft works on this database.",
    )

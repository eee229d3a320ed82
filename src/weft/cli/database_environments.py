"""`weft db environments`: what each profile allows, what the database is kept as, and making that milder."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli import output
from weft.cli.common import Yes, confirm

if TYPE_CHECKING:
    from weft.ops.profiles import Kept
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)
environments = typer.Typer(add_completion=False)
app.add_typer(environments, name="environments")


@app.callback()
def _group() -> None:
    """A single command would otherwise take the place of its group."""


@environments.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """Show what development, staging and production each allow; the one that counts here is marked.

    It is the stricter of WEFT_PROFILE and of what the database is kept as: the strictest profile that ever served or
    migrated it.
    """
    if context.invoked_subcommand is not None:
        return
    from weft.core.errors import WeftError
    from weft.ops import environments as rules
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    kept = None
    try:
        kept = _kept(settings)
    except WeftError as error:
        output.note(f"The database could not be asked what it is kept as: {error.message}")
    here = rules.stricter(settings.profile, kept.profile if kept else None)
    table = rules.table()
    if output.as_json():
        database = {"profile": kept.profile, "since": kept.since} if kept else None
        output.result(
            {"profile": here, "configured": settings.profile, "database": database, "actions": table},
        )
        return
    heads = {"action": "action"}
    heads |= {profile: f"{profile} *" if profile == here else profile for profile in rules.PROFILES}
    output.rows(table, {**heads, "means": "what it is"})
    output.note(f"WEFT_PROFILE: {settings.profile}")
    output.note(f"the database: {f'{kept.profile}, since {kept.since:%Y-%m-%d %H:%M} UTC' if kept else 'nothing yet'}")


@environments.command()
def lower(
    profile: Annotated[str, typer.Argument(help="What the database is kept as from now on: a milder profile.")],
    yes: Yes = False,
) -> None:
    """Keep the database as a milder profile, after saying what that allows and asking. Everything must be stopped.

    For a copy of production's data on a machine for trying, or what was served as production by mistake.
    """
    from weft.ops.installation import reach
    from weft.ops.migrating import lowering
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    with reach(settings) as addresses:
        owner = addresses.require_owner()
        kept = asyncio.run(lowering.require_lowerable(owner, settings.profile, profile))
        output.note(f"This database has been kept as {kept.profile} since {kept.since:%Y-%m-%d %H:%M} UTC.")
        output.note(f"As {profile} it changes what this and every later command may do to it:")
        for line in lowering.gains(kept.profile, profile):
            output.note(f"  {line}")
        confirm(f"Keep it as {profile}?", yes=yes)
        asyncio.run(lowering.lower(owner, settings.profile, profile))
    output.result({"before": kept.profile, "after": profile}, f"The database is kept as {profile}.")


def _kept(settings: Settings) -> Kept | None:
    """What the database is kept as; no embedded server is made only to be asked."""
    from weft.ops import profiles
    from weft.ops.home import Home
    from weft.ops.installation import reach

    if settings.database.url is None and not (Home(settings.home).data / "PG_VERSION").exists():
        return None
    with reach(settings) as addresses:
        return asyncio.run(profiles.kept(addresses.owner or addresses.app))

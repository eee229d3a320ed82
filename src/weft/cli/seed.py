"""`weft db seed`: first content for an installation."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from weft.cli import output

app = typer.Typer(add_completion=False)


@app.callback()
def _group() -> None:
    """A single command would otherwise take the place of its group."""


@app.command()
def seed(
    profile: Annotated[
        str | None, typer.Option(help="development, staging or production; default: the installation's.")
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option("--system", help="One system's content; repeat it for more. Default: all.")
    ] = None,
) -> None:
    """Make what an installation begins with. Safe to repeat: what exists is left alone."""
    from weft.ops import keys
    from weft.ops import seed as seeding
    from weft.ops.installation import reach
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    wanted = profile or settings.profile
    seeding.choose(wanted, system, settings.profile)  # refused before a server is started for it
    with reach(settings) as addresses:
        report = asyncio.run(
            seeding.run(
                addresses.app,
                wanted,
                system,
                installation=settings.profile,
                master_key=keys.master_key(settings),
                echo=output.note,
            )
        )
    nothing = f"The {wanted} profile has nothing to seed. Make a tenant with `weft tenant create`."
    done = f"{len(report.made)} made, {len(report.kept)} kept as they were."
    output.result(report.as_json(), done if report.systems else nothing)

"""`weft db init`: make the roles and the database on a PostgreSQL of your own."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Annotated

import typer

from weft.cli import output

app = typer.Typer(add_completion=False)


@app.command()
def init(
    admin_url: Annotated[
        str | None,
        typer.Option(
            help="An administrator's address (CREATEROLE and CREATEDB, or a superuser); WEFT_DATABASE_ADMIN_URL."
        ),
    ] = None,
    database: Annotated[str, typer.Option(help="The database to make.")] = "weft",
    keep_passwords: Annotated[
        bool, typer.Option("--keep-passwords", help="Make new passwords only for roles that are made now.")
    ] = False,
) -> None:
    """Make weft's database roles and its database, and print the addresses to use. Safe to repeat.

    Both login roles get new passwords, shown this once, unless --keep-passwords.
    """
    from weft.ops.connections import with_database, with_role
    from weft.ops.roles import APP, OWNER, bootstrap, existing_roles
    from weft.settings import load_settings

    address = admin_url or load_settings(os.environ).database.admin_url
    if address is None:
        raise typer.BadParameter("Name the administrator's address with --admin-url or WEFT_DATABASE_ADMIN_URL.")

    there = asyncio.run(existing_roles(address)) if keep_passwords else frozenset()
    passwords = {role: secrets.token_urlsafe(32) for role in (OWNER, APP) if role not in there}
    report = asyncio.run(bootstrap(address, database, passwords))

    place = with_database(address, database)
    shown = {role: with_role(place, role, passwords.get(role, "PASSWORD")) for role in (APP, OWNER)}
    facts = {
        "database": database,
        "server_version": report.server_version,
        "created": report.created,
        "database_url": shown[APP],
        "database_owner_url": shown[OWNER],
    }
    made = f"Made: {', '.join(report.created)}." if report.created else "Everything was there already."
    output.result(
        facts,
        f"{made}\n\n"
        "Keep these where only weft reads them; they are not shown again:\n"
        f"  WEFT_DATABASE_URL={shown[APP]}\n"
        f"  WEFT_DATABASE_OWNER_URL={shown[OWNER]}\n\n"
        "Next: set both and run `weft db migrate`.",
    )

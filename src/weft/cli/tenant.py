"""`weft tenant`: an operator makes and lists tenants on the database itself; members look at and change their own."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import connect
from weft.cli.common import TenantName, Url, card, given, secret_from_stdin
from weft.core.errors import Invalid

if TYPE_CHECKING:
    from weft.domain.identity.service.tenants import NewTenant

app = typer.Typer(add_completion=False, no_args_is_help=True)

_LIST = """
select t.id::text as id, t.slug, t.name, t.tier, t.created_at,
       (select count(*) from weft.tenant_users m where m.tenant_id = t.id) as members
  from weft.tenants t where t.deleted_at is null order by t.slug"""


class OwnerNeeded(Invalid):
    code = "owner_needed"

    def __init__(self) -> None:
        super().__init__(
            "Only the database's owner sees all tenants. Set WEFT_DATABASE_OWNER_URL (role 'weft_owner'), or use "
            "`weft whoami`, which lists the tenants that you belong to."
        )


@app.command("list")
def list_() -> None:
    """List every tenant of this installation. Works on the database, as its owner."""
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        if addresses.owner is None:
            raise OwnerNeeded
        rows = asyncio.run(_all(addresses.owner))
    output.rows(
        rows, ["slug", "name", "tier", "members", "created_at", "id"], empty="No tenants yet: weft tenant create."
    )


@app.command()
def create(
    slug: Annotated[str, typer.Argument(help="Its short name in addresses: a-z, 0-9 and hyphens.")],
    owner_email: Annotated[str, typer.Option(help="The first OWNER; an existing account keeps its password.")],
    name: Annotated[str | None, typer.Option(help="Its full name; default: the slug.")] = None,
    owner_name: Annotated[str | None, typer.Option(help="Default: the address.")] = None,
    tier: Annotated[str, typer.Option(help="FREE, PRO or ENTERPRISE.")] = "FREE",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the owner's password from a pipe; else one is made up.")
    ] = False,
) -> None:
    """Make a tenant with the built-in roles and its first OWNER. Works on the database, for operators."""
    from weft.domain.identity.models import Tier
    from weft.ops.installation import reach
    from weft.settings import load_settings

    if tier.upper() not in list(Tier):
        raise typer.BadParameter(f"'{tier}' is none of {', '.join(Tier)}.")
    password = secret_from_stdin("password") if password_stdin else None
    with reach(load_settings(os.environ)) as addresses:
        made = asyncio.run(
            _create(
                addresses.app,
                slug=slug,
                name=name or slug,
                owner_email=owner_email,
                owner_name=owner_name or owner_email,
                owner_password=password,
                tier=Tier(tier.upper()),
            )
        )
    facts = {
        "id": str(made.tenant_id),
        "slug": made.slug,
        "owner_email": owner_email,
        "owner_is_new": made.owner_is_new,
        "password": made.password,
    }
    output.result(facts, lambda: _welcome(made, owner_email))


@app.command()
def show(url: Url = None, tenant: TenantName = None) -> None:
    """Show the tenant that you are in."""
    found = connect(url, tenant).get("/tenant")
    output.result(found, lambda: card(found))


@app.command()
def usage(url: Url = None, tenant: TenantName = None) -> None:
    """Show how much room the tenant's large values take, and how much they may."""
    found = connect(url, tenant).get("/usage/storage")
    output.result(found, lambda: _room(found))


@app.command()
def update(
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    settings: Annotated[str | None, typer.Option(help="All settings, as a JSON object.")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Change the tenant that you are in."""
    client = connect(url, tenant)
    change = given(name=name, settings=None if settings is None else _object(settings))
    changed = client.patch("/tenant", change)
    output.result(changed, lambda: card(changed))


async def _all(owner: str) -> list[dict[str, Any]]:
    from weft.ops.connections import connect as open_connection

    connection = await open_connection(owner, application="weft tenant list")
    try:
        async with connection.transaction(readonly=True):
            await connection.execute("set local app.maintenance = 'on'")
            return [dict(row) for row in await connection.fetch(_LIST)]
    finally:
        await connection.close()


async def _create(dsn: str, **fields: Any) -> NewTenant:
    from weft.db.database import Database
    from weft.domain.identity.service import tenants

    database = await Database.open(dsn, application_name="weft tenant create", size=1, hot_size=1)
    try:
        return await tenants.create(database, **fields)
    finally:
        await database.close()


def _welcome(made: NewTenant, email: str) -> str:
    lines = [f"Tenant {made.slug} is there, with {email} as its OWNER."]
    if made.password is not None:
        lines.append(f"Password, shown this once: {made.password}")
    elif not made.owner_is_new:
        lines.append("The account existed already and keeps its password.")
    return "\n".join([*lines, f"Next: weft login --email {email} --tenant {made.slug}"])


def _room(found: dict[str, int]) -> str:
    quota = found["quota"]
    share = f" ({found['stored_size'] / quota:.0%})" if quota else ""
    return (
        f"{found['payloads']:,} values above 256 KB, {found['size']:,} bytes as JSON.\n"
        f"They take {found['stored_size']:,} of {quota:,} bytes{share}."
    )


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--settings is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter('--settings is one JSON object, such as \'{"week_starts": "monday"}\'.')
    return value

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
    from weft.domain.identity.models import Tier
    from weft.domain.identity.service.tenants import NewTenant

app = typer.Typer(add_completion=False, no_args_is_help=True)


class OwnerNeeded(Invalid):
    code = "owner_needed"

    def __init__(self) -> None:
        super().__init__(
            "Only the database's owner sees all tenants. Set WEFT_DATABASE_OWNER_URL (role 'weft_owner'), or use "
            "`weft whoami`, which lists the tenants that you belong to."
        )


def tier_of(written: str) -> Tier:
    """Raises `BadParameter`."""
    from weft.domain.identity.models import Tier

    if written.upper() not in list(Tier):
        raise typer.BadParameter(f"'{written}' is none of {', '.join(Tier)}.")
    return Tier(written.upper())


@app.command("list")
def list_(
    deleted: Annotated[bool, typer.Option("--deleted", help="Only those that can be restored.")] = False,
) -> None:
    """List every tenant of this installation. Works on the database, as its owner."""
    from weft.ops import tenants
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        if addresses.owner is None:
            raise OwnerNeeded
        rows = asyncio.run(tenants.listed(addresses.owner, deleted=deleted))
    when = "deleted_at" if deleted else "created_at"
    empty = "No tenant was deleted." if deleted else "No tenants yet: weft tenant create."
    output.rows(rows, ["slug", "name", "tier", "members", when, "id"], empty=empty)


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
    from weft.ops.installation import reach
    from weft.settings import load_settings

    chosen = tier_of(tier)
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
                tier=chosen,
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
    feature_flags: Annotated[
        str | None, typer.Option(help="All feature flags, as a JSON object of true and false.")
    ] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Change the tenant that you are in."""
    client = connect(url, tenant)
    change = given(
        name=name,
        settings=None if settings is None else _object("--settings", settings, '{"week_starts": "monday"}'),
        feature_flags=None if feature_flags is None else _object("--feature-flags", feature_flags, '{"beta": true}'),
    )
    changed = client.patch("/tenant", change)
    output.result(changed, lambda: card(changed))


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


def _object(option: str, text: str, example: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option} is one JSON object, such as '{example}'.")
    return value

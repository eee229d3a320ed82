"""`weft tenant limits`: what an operator allows a tenant. Works on the database itself: members cannot raise it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output
from weft.cli.common import card
from weft.core.errors import Invalid

if TYPE_CHECKING:
    from weft.domain.limits.schemas import TenantLimitsRead

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def limits(
    slug: Annotated[str, typer.Argument(help="The tenant's slug.")],
    concurrent_executions: Annotated[
        str | None, typer.Option(help="Executions under way at once (1 to 10000), or none for any number.")
    ] = None,
    concurrent_jobs: Annotated[
        str | None, typer.Option(help="Jobs in workers' hands at once (1 to 100000), or none for any number.")
    ] = None,
    payload_bytes: Annotated[
        str | None, typer.Option(help="Bytes of large values it may keep, or none for what the setting says.")
    ] = None,
    weight: Annotated[
        int | None, typer.Option(min=1, max=100, help="Its part of the workers' time; 1 unless said otherwise.")
    ] = None,
) -> None:
    """Show or set what a tenant may use. Works on the database, for operators."""
    from weft.ops.installation import reach
    from weft.settings import load_settings

    change: dict[str, Any] = {
        name: _number(name, said)
        for name, said in (
            ("concurrent_executions", concurrent_executions),
            ("concurrent_jobs", concurrent_jobs),
            ("payload_bytes", payload_bytes),
        )
        if said is not None
    }
    if weight is not None:
        change["weight"] = weight
    with reach(load_settings(os.environ)) as addresses:
        now = asyncio.run(_apply(addresses.app, slug, change))
    shown = now.model_dump(mode="json")
    output.result(shown, lambda: card(shown))


def _number(name: str, said: str) -> int | None:
    if said.lower() == "none":
        return None
    if not said.isascii() or not said.isdecimal():
        raise Invalid(f"--{name.replace('_', '-')} is a whole number, or none for any number, not '{said[:40]}'.")
    return int(said)


async def _apply(dsn: str, slug: str, change: dict[str, Any]) -> TenantLimitsRead:
    from pydantic import ValidationError

    from weft.cli.database_retention import TenantUnknown
    from weft.core.actor import system_actor
    from weft.db.database import Database
    from weft.db.scope import enter
    from weft.domain.identity.service import tenants
    from weft.domain.limits.schemas import TenantLimitsWrite
    from weft.domain.limits.service import tenants as limits_of

    try:
        wanted = TenantLimitsWrite(**change)
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(f"{str(first['loc'][0]).replace('_', ' ')}: {first['msg']}.") from error
    database = await Database.open(dsn, application_name="weft tenant limits", size=1, hot_size=1)
    try:
        tenant_id = await tenants.find(database, slug)
        if tenant_id is None:
            raise TenantUnknown(slug)
        async with enter(database, system_actor(tenant_id, "operator"), read_only=not change) as scope:
            return await limits_of.set_limits(scope, wanted) if change else await limits_of.get(scope)
    finally:
        await database.close()

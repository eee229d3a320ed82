"""`weft tenant tier`, `delete` and `restore`: what an operator does to a whole tenant, on the database itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from weft.cli import output
from weft.cli.common import Yes, confirm
from weft.cli.tenant import OwnerNeeded, tier_of

if TYPE_CHECKING:
    from weft.db.database import Database

app = typer.Typer(add_completion=False, no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The tenant's slug.")]
T = TypeVar("T")


@app.command()
def tier(slug: Slug, tier: Annotated[str, typer.Argument(help="FREE, PRO or ENTERPRISE.")]) -> None:
    """Set a tenant's tier. Works on the database, for operators."""
    from weft.ops import tenants
    from weft.ops.installation import reach
    from weft.settings import load_settings

    chosen = tier_of(tier)
    with reach(load_settings(os.environ)) as addresses:
        asyncio.run(_within(addresses.app, lambda database: tenants.set_tier(database, slug, chosen)))
    output.result({"slug": slug, "tier": chosen.value}, f"{slug} is {chosen.value} now.")


@app.command()
def delete(slug: Slug, yes: Yes = False) -> None:
    """Delete a tenant: nobody comes in and nothing starts, but its rows stay. Works on the database, for operators."""
    from weft.ops import tenants
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        confirm(f"Delete the tenant {slug}? Its members and API keys are refused from then on.", yes=yes)
        gone = asyncio.run(_within(addresses.app, lambda database: tenants.delete(database, slug)))
    output.result(
        {"id": str(gone.tenant_id), "slug": slug, "workflows_deactivated": gone.workflows},
        f"{slug} is deleted, and {gone.workflows} of its workflows deactivated; executions that run go on. "
        f"`weft tenant restore {gone.tenant_id}` brings it back.",
    )


@app.command()
def restore(reference: Annotated[str, typer.Argument(metavar="SLUG|ID", help="The tenant's slug, or its id.")]) -> None:
    """Bring a deleted tenant back; its workflows stay inactive. Works on the database, as its owner."""
    from weft.ops import tenants
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        owner = addresses.owner
        if owner is None:
            raise OwnerNeeded
        back = asyncio.run(_within(addresses.app, lambda database: tenants.restore(database, owner, reference)))
    output.result(
        {"id": str(back.tenant_id), "slug": back.slug},
        f"{back.slug} is back. Its workflows are inactive: `weft workflow activate` starts those that should run.",
    )


async def _within(dsn: str, act: Callable[[Database], Awaitable[T]]) -> T:
    from weft.db.database import Database

    database = await Database.open(dsn, application_name="weft tenant", size=1, hot_size=1)
    try:
        return await act(database)
    finally:
        await database.close()

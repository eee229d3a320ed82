"""`weft key`: API keys for programs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import Client, connect
from weft.cli.common import (
    Everything,
    Limit,
    ReferenceAmbiguous,
    ReferenceMissing,
    TenantName,
    Url,
    Yes,
    confirm,
    is_id,
)
from weft.core.errors import Invalid

app = typer.Typer(add_completion=False, no_args_is_help=True)

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class ExpiryUnreadable(Invalid):
    code = "expiry_unreadable"

    def __init__(self, text: str) -> None:
        super().__init__(f"'{text}' is no expiry. Write a time from now (90d, 12h, 30m, 2w) or a date (2030-12-31).")


@app.command("list")
def list_(
    revoked: Annotated[bool, typer.Option("--revoked", help="Show revoked keys too.")] = False,
    limit: Limit = 50,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List the keys of the tenant, newest first. The keys themselves are never shown again."""
    client = connect(url, tenant)
    rows = client.listed("/keys", limit=None if everything else limit, include_revoked=revoked or None)
    columns = ["name", "user_name", "scopes", "expires_at", "last_used_at", "id"]
    output.rows(rows, columns + (["revoked_at"] if revoked else []), empty="No keys. `weft key create` makes one.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", "-s", help="A permission (resource:action); repeat it for more.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="90d, 12h, 30m, 2w or a date; default: never.")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Make a key that acts for you within its scopes. It is shown this once."""
    if not scope:
        raise Invalid("Say what the key may do: --scope workflows:read, for example. `weft whoami` lists yours.")
    client = connect(url, tenant)
    body = {"name": name, "scopes": scope, "expires_at": None if expires is None else _moment(expires)}
    made = client.post("/keys", body)
    output.result(made, lambda: f"Key '{name}', shown this once:\n{made['token']}\nUse it as WEFT_API_KEY.")


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="KEY", help="Name, id or the key itself.")],
    yes: Yes = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Revoke a key for good. Its next request is refused."""
    client = connect(url, tenant)
    key = _key(client, which)
    confirm(f"Revoke the key '{key['name']}' of {key['user_name']} for good?", yes=yes)
    revoked = client.delete(f"/keys/{key['id']}")
    output.result(revoked, f"The key '{key['name']}' is revoked.")


def _key(client: Client, which: str) -> dict[str, Any]:
    """By id, by name, or by the key that somebody found where it should not be."""
    if is_id(which):
        return dict(client.get(f"/keys/{which}"))
    rows = [row for row in client.listed("/keys") if which == row["name"] or which.startswith(f"{row['prefix']}_")]
    if not rows:
        raise ReferenceMissing("key", which[:20])
    if len(rows) > 1:
        raise ReferenceAmbiguous("key", which, [row["id"] for row in rows])
    return dict(rows[0])


def _moment(text: str) -> str:
    from datetime import UTC, datetime, timedelta

    from weft.core.clock import utc_now

    number, unit = text[:-1], text[-1:]
    try:
        if unit in _UNITS and number.isdigit():
            return (utc_now() + timedelta(**{_UNITS[unit]: int(number)})).isoformat()
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ExpiryUnreadable(text) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()

"""`weft client`: the customers of the tenant."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import Client, connect
from weft.cli.common import (
    Everything,
    Limit,
    ReferenceAmbiguous,
    TenantName,
    Url,
    Yes,
    card,
    confirm,
    found,
    given,
    is_id,
)

app = typer.Typer(add_completion=False, no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="CLIENT", help="Name or id.")]
Email = Annotated[str | None, typer.Option(help="E-mail address.")]
Phone = Annotated[str | None, typer.Option(help="Telephone number.")]
Address = Annotated[str | None, typer.Option(help="Postal address.")]
Company = Annotated[str | None, typer.Option(help="Company.")]
Notes = Annotated[str | None, typer.Option(help="Whatever should be known.")]
Active = Annotated[bool | None, typer.Option("--active/--inactive", help="Whether business goes on.")]


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Option(help="The beginning of the name.")] = None,
    active: Active = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Show deleted ones instead.")] = False,
    limit: Limit = 50,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List clients, newest first."""
    client = connect(url, tenant)
    rows = client.listed(
        "/clients", limit=None if everything else limit, name=name, is_active=active, deleted=deleted or None
    )
    columns = {"name": "name", "company": "company", "email": "e-mail", "is_active": "active", "id": "id"}
    output.rows(rows, columns, empty="No such clients. `weft client create` makes one.")


@app.command()
def show(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Show everything about one client."""
    one = _client(connect(url, tenant), which)
    output.result(one, lambda: card(one))


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name.")],
    email: Email = None,
    phone: Phone = None,
    address: Address = None,
    company: Company = None,
    notes: Notes = None,
    active: Active = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Make a client."""
    body = given(name=name, email=email, phone=phone, address=address, company=company, notes=notes, is_active=active)
    made = connect(url, tenant).post("/clients", body)
    output.result(made, lambda: card(made))


@app.command()
def update(
    which: Which,
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    email: Email = None,
    phone: Phone = None,
    address: Address = None,
    company: Company = None,
    notes: Notes = None,
    active: Active = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Change a client. An empty text (--phone '') empties the field."""
    texts = {"email": email, "phone": phone, "address": address, "company": company, "notes": notes}
    change = given(name=name, is_active=active, **texts)
    change |= {field: None for field, text in texts.items() if text == ""}
    client = connect(url, tenant)
    one = _client(client, which)
    changed = client.patch(f"/clients/{one['id']}", change, expected=one["row_version"])
    output.result(changed, lambda: card(changed))


@app.command()
def delete(which: Which, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """Put a client away. `weft client restore` brings it back."""
    client = connect(url, tenant)
    one = _client(client, which)
    confirm(f"Delete the client '{one['name']}'?", yes=yes)
    client.delete(f"/clients/{one['id']}", expected=one["row_version"])
    output.result({"deleted": one["id"]}, f"'{one['name']}' is deleted. Back again: weft client restore {one['id']}")


@app.command()
def restore(
    client_id: Annotated[str, typer.Argument(metavar="ID", help="`weft client list --deleted` shows it.")],
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Bring a deleted client back as it was."""
    if not is_id(client_id):
        raise typer.BadParameter("name the client by its id: `weft client list --deleted` shows it.")
    restored = connect(url, tenant).post(f"/clients/{client_id}/restore")
    output.result(restored, lambda: card(restored))


def _client(client: Client, which: str) -> dict[str, Any]:
    """By id or by the whole name, in any letter case; the list itself goes by its beginning."""
    if is_id(which):
        return found(client, "client", "/clients", which)
    rows = [row for row in client.listed("/clients", name=which) if row["name"].casefold() == which.casefold()]
    if len(rows) > 1:
        raise ReferenceAmbiguous("client", which, [row["id"] for row in rows])
    return dict(rows[0]) if rows else found(client, "client", "/clients", which, name=which)

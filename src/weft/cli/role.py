"""`weft role`: what members may do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import Client, connect
from weft.cli.common import TenantName, Url, Yes, card, confirm, found, given

app = typer.Typer(add_completion=False, no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="ROLE", help="Name or id.")]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", "-a", help="A permission (resource:action); repeat it for more.")
]
Description = Annotated[str | None, typer.Option(help="What the role is for.")]


@app.command("list")
def list_(url: Url = None, tenant: TenantName = None) -> None:
    """List roles, the built-in ones and the tenant's own."""
    rows = connect(url, tenant).listed("/roles", order="asc")
    if output.as_json():
        output.result(rows)
        return
    shown = [{**row, "permissions": len(row["permissions"])} for row in rows]
    output.rows(shown, {"name": "name", "is_builtin": "built in", "permissions": "permissions", "description": "for"})


@app.command()
def show(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Show one role with everything that it allows."""
    role = _role(connect(url, tenant), which)
    output.result(role, lambda: card(role))


@app.command()
def permissions(url: Url = None, tenant: TenantName = None) -> None:
    """List everything that can be allowed."""
    output.rows(connect(url, tenant).get("/permissions"), ["permission", "description"])


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name.")],
    allow: Allow = None,
    description: Description = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Make a role of the tenant's own, with at most what you may do yourself."""
    body = {"name": name, "description": description or "", "permissions": allow or []}
    made = connect(url, tenant).post("/roles", body)
    output.result(made, lambda: card(made))


@app.command()
def update(
    which: Which,
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    description: Description = None,
    allow: Allow = None,
    withdraw: Annotated[
        list[str] | None, typer.Option("--withdraw", "-w", help="A permission to take away; repeat it for more.")
    ] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Change a role of the tenant's own: --allow adds permissions, --withdraw takes some away."""
    client = connect(url, tenant)
    role = _role(client, which)
    wanted = None
    if allow or withdraw:
        wanted = sorted((set(role["permissions"]) | set(allow or [])) - set(withdraw or []))
    change = given(name=name, description=description, permissions=wanted)
    changed = client.patch(f"/roles/{role['id']}", change, expected=role["row_version"])
    output.result(changed, lambda: card(changed))


@app.command()
def delete(which: Which, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """Delete a role of the tenant's own that nobody has any more."""
    client = connect(url, tenant)
    role = _role(client, which)
    confirm(f"Delete the role '{role['name']}'?", yes=yes)
    client.delete(f"/roles/{role['id']}", expected=role["row_version"])
    output.result({"deleted": role["id"]}, f"The role '{role['name']}' is gone.")


def _role(client: Client, which: str) -> dict[str, Any]:
    return found(client, "role", "/roles", which, name=which)

"""`weft member`: who belongs to the tenant, with which role and which direct permissions."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import Client, connect, segment
from weft.cli.common import Everything, Limit, TenantName, Url, Yes, card, confirm, found, given, secret_from_stdin

app = typer.Typer(add_completion=False, no_args_is_help=True)

Who = Annotated[str, typer.Argument(metavar="MEMBER", help="E-mail address or id.")]
Permission = Annotated[str, typer.Argument(help="As resource:action; `weft role permissions` lists them.")]
_COLUMNS = ["name", "email", "role", "status", "id"]


@app.command("list")
def list_(
    role: Annotated[str | None, typer.Option(help="Only this role.")] = None,
    status: Annotated[str | None, typer.Option(help="ACTIVE, INACTIVE, INVITED or SUSPENDED.")] = None,
    limit: Limit = 50,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List members, newest first."""
    client = connect(url, tenant)
    wanted = None if status is None else status.upper()
    rows = client.listed("/members", limit=None if everything else limit, role=role, status=wanted)
    output.rows(rows, _COLUMNS, empty="No such members. `weft member add` makes one.")


@app.command()
def show(who: Who, url: Url = None, tenant: TenantName = None) -> None:
    """Show one member with its direct permissions."""
    client = connect(url, tenant)
    member = _member(client, who)
    member["direct_permissions"] = {
        grant["permission"]: grant["effect"] for grant in client.get(f"/members/{member['id']}/permissions")
    }
    output.result(member, lambda: card(member))


@app.command()
def add(
    email: Annotated[str, typer.Argument(help="Their e-mail address.")],
    name: Annotated[str | None, typer.Option(help="Default: the address.")] = None,
    role: Annotated[str, typer.Option(help="`weft role list` shows them.")] = "MEMBER",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from a pipe; else one is made up.")
    ] = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Make somebody a member. A password that weft makes up is shown this once."""
    client = connect(url, tenant)
    body: dict[str, Any] = {"email": email, "name": name or email, "role": role}
    if password_stdin:
        body["password"] = secret_from_stdin("password")
    made = client.post("/members", body)
    output.result(made, lambda: _welcome(made))


@app.command()
def update(
    who: Who,
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    role: Annotated[str | None, typer.Option(help="The new role.")] = None,
    status: Annotated[str | None, typer.Option(help="ACTIVE, INACTIVE or SUSPENDED.")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Change a member's name, role or status. It counts with their next request."""
    client = connect(url, tenant)
    change = given(name=name, role=role, status=None if status is None else status.upper())
    member = _member(client, who)
    changed = client.patch(f"/members/{member['id']}", change, expected=member["row_version"])
    output.result(changed, lambda: card(changed))


@app.command()
def remove(who: Who, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """End a membership, with its sessions, API keys and direct permissions."""
    client = connect(url, tenant)
    member = _member(client, who)
    confirm(f"Remove {member['name']} <{member['email']}> with their sessions and API keys?", yes=yes)
    client.delete(f"/members/{member['id']}", expected=member["row_version"])
    output.result({"removed": member["id"]}, f"{member['email']} is no member any more.")


@app.command()
def allow(who: Who, permission: Permission, url: Url = None, tenant: TenantName = None) -> None:
    """Grant one permission directly, beside the role."""
    _put(connect(url, tenant), who, permission, "ALLOW")


@app.command()
def deny(who: Who, permission: Permission, url: Url = None, tenant: TenantName = None) -> None:
    """Deny one permission, whatever the role says."""
    _put(connect(url, tenant), who, permission, "DENY")


@app.command()
def reset(who: Who, permission: Permission, url: Url = None, tenant: TenantName = None) -> None:
    """Take a direct grant or denial back, so that the role alone decides."""
    client = connect(url, tenant)
    member = _member(client, who)
    client.delete(f"/members/{member['id']}/permissions/{segment(permission)}")
    output.result(
        {"member": member["id"], "permission": permission, "effect": None},
        f"{member['email']}: the role decides about {permission} again.",
    )


def _put(client: Client, who: str, permission: str, effect: str) -> None:
    member = _member(client, who)
    grant = client.put(f"/members/{member['id']}/permissions/{segment(permission)}", {"effect": effect})
    output.result({"member": member["id"], **grant}, f"{member['email']}: {permission} {effect}.")


def _member(client: Client, who: str) -> dict[str, Any]:
    return found(client, "member", "/members", who, email=who)


def _welcome(made: dict[str, Any]) -> str:
    lines = [f"{made['email']} is a member now, as {made['role']}."]
    if made["password"] is not None:
        lines.append(f"Password, shown this once: {made['password']}")
    elif not made["is_new_account"]:
        lines.append("The account existed already and keeps its password.")
    return "\n".join(lines)

"""`weft login`, `logout`, `whoami`, `switch`: who commands act as."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from weft.cli import output, sign_ins
from weft.cli.client import NotSignedIn, address_of, connect
from weft.cli.common import TenantName, Url, secret_from_stdin
from weft.cli.sign_ins import SignIn
from weft.core.errors import Invalid, Unauthenticated, Unavailable

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def login(
    email: Annotated[str | None, typer.Option(help="Your e-mail address; asked for if left out.")] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from a pipe.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Slug or id; default: your oldest membership.")] = None,
    url: Url = None,
) -> None:
    """Sign in and remember it for this address. Programs use an API key instead: WEFT_API_KEY."""
    client = connect(url, signed_in=False)
    client.token = client.tenant = None
    if email is None or not password_stdin:
        _require_terminal()
    email = email or str(typer.prompt("E-mail", err=True))
    password = secret_from_stdin("password") if password_stdin else str(_ask_password())
    made = client.post("/auth/login", {"email": email, "password": password, "tenant": tenant})
    path = sign_ins.remember(client.url, SignIn(made["token"], email, made["tenant_slug"], made["expires_at"]))
    facts = {"url": client.url, "email": email, "tenant": made["tenant_slug"], "expires_at": made["expires_at"]}
    output.result(
        facts, f"Signed in at {client.url} as {email}, tenant {made['tenant_slug']}. Kept in {path} until {_day(made)}."
    )


@app.command()
def logout(url: Url = None) -> None:
    """End the remembered session and forget it."""
    address = address_of(url)
    found = sign_ins.remembered(address)
    if found is None:
        raise NotSignedIn(address)
    client = connect(address, signed_in=False)
    client.token, client.tenant = found.token, None
    sign_ins.forget(address)
    try:
        client.post("/auth/logout")
    except Unauthenticated:
        pass  # it was over already
    except Unavailable as error:
        output.note(f"The sign-in is forgotten here, but the session could not be ended there: {error.message}")
    output.result({"url": address, "signed_in": False}, f"Signed out at {address}.")


@app.command()
def whoami(url: Url = None, tenant: TenantName = None) -> None:
    """Show who commands act as, in which tenant, and what that allows."""
    client = connect(url, tenant)
    me = client.get("/me")
    output.result({"url": client.url, **me}, lambda: _profile(client.url, me))


@app.command()
def switch(
    tenant: Annotated[str, typer.Argument(help="Slug or id of another tenant of yours.")], url: Url = None
) -> None:
    """Move the remembered session to another tenant. For one command, `--tenant` is enough."""
    address = address_of(url)
    found = sign_ins.remembered(address)
    if found is None:
        raise NotSignedIn(address)
    client = connect(address)
    client.token, client.tenant = found.token, None
    made = client.post("/auth/switch", {"tenant": tenant})
    sign_ins.remember(address, SignIn(made["token"], found.email, made["tenant_slug"], made["expires_at"]))
    facts = {"url": address, "email": found.email, "tenant": made["tenant_slug"], "expires_at": made["expires_at"]}
    output.result(facts, f"You are in tenant {made['tenant_slug']} now.")


def _require_terminal() -> None:
    if not sys.stdin.isatty():
        raise Invalid("Nobody can be asked here: give --email and pipe the password in with --password-stdin.")


def _ask_password() -> str:
    return str(typer.prompt("Password", hide_input=True, err=True))


def _day(made: dict[str, Any]) -> str:
    return str(made["expires_at"])[:10]


def _profile(url: str, me: dict[str, Any]) -> str:
    others = [m["tenant"]["slug"] for m in me["memberships"] if m["tenant"]["id"] != me["tenant"]["id"]]
    how = "an API key" if me["credential"] == "api_key" else "a session"
    lines = [
        f"{me['user']['name']} <{me['user']['email']}>",
        f"at       {url}, with {how}",
        f"tenant   {me['tenant']['slug']} ({me['tenant']['name']}), as {me['role']}",
        f"may      {', '.join(me['permissions']) or 'nothing'}",
    ]
    return "\n".join([*lines, f"also in  {', '.join(others)}"] if others else lines)

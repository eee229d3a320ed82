"""`weft secret`: values that steps hand to other systems."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import connect, segment
from weft.cli.common import Everything, Limit, TenantName, Url, Yes, card, confirm
from weft.core.errors import Invalid

app = typer.Typer(add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="As definitions write it: secret://NAME.")]
_LARGEST = 40_000
"""Characters that are read at most: more than any value may have."""


@app.command("list")
def list_(limit: Limit = 50, everything: Everything = False, url: Url = None, tenant: TenantName = None) -> None:
    """List the secrets of the tenant by name. Their values are never shown."""
    client = connect(url, tenant)
    rows = client.listed("/secrets", limit=None if everything else limit, order="asc")
    columns = ["name", "description", "version", "rotated_at"]
    output.rows(rows, columns, empty="No secrets. `weft secret set NAME` makes one.")


@app.command("set")
def set_(
    name: Name,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Take the value from this file instead of asking.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Set a secret: asked for without an echo, or read from a pipe or a file. One line's end after it is dropped.

    The value is never an argument, because other users of a machine can see those.
    """
    client = connect(url, tenant)
    body: dict[str, Any] = {"value": _value(name, file)}
    if description is not None:
        body["description"] = description
    secret = client.put(f"/secrets/{segment(name)}", body)
    done = "is set" if secret["version"] == 1 else f"has its value number {secret['version']}"
    output.result(secret, f"'{secret['name']}' {done}. Steps refer to it as secret://{secret['name']}.")


@app.command()
def show(name: Name, url: Url = None, tenant: TenantName = None) -> None:
    """Show what is known of a secret, which is everything but its value."""
    secret = connect(url, tenant).get(f"/secrets/{segment(name)}")
    output.result(secret, lambda: card(secret))


@app.command()
def delete(name: Name, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """Take a secret away for good. Steps that refer to it fail from then on."""
    client = connect(url, tenant)
    secret = client.get(f"/secrets/{segment(name)}")
    confirm(f"Delete the secret '{name}'? Its value cannot be brought back.", yes=yes)
    client.delete(f"/secrets/{segment(name)}", expected=secret["row_version"])
    output.result({"deleted": name}, f"'{name}' is deleted.")


def _value(name: str, file: Path | None) -> str:
    if file is None and sys.stdin.isatty():
        return str(typer.prompt(f"Value of '{name}'", hide_input=True, confirmation_prompt=True, err=True))
    try:
        text = sys.stdin.read(_LARGEST) if file is None else _read(file)
    except UnicodeDecodeError as error:
        raise Invalid("The value is not UTF-8 text. Write binary values as base64.") from error
    if not text:
        raise Invalid("Nothing came in: write the secret's value to standard input, or name a file with --file.")
    return text.removesuffix("\n").removesuffix("\r")


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return opened.read(_LARGEST)
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.") from error

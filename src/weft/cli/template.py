"""`weft template`: texts that notifications send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import connect, segment
from weft.cli.common import Everything, Limit, TenantName, Url, Yes, card, confirm
from weft.core.errors import Invalid

app = typer.Typer(add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="As a step's config has it: template: NAME.")]
Version = Annotated[int | None, typer.Option("--version", min=1, help="One version; default: the newest.")]


@app.command("list")
def list_(limit: Limit = 50, everything: Everything = False, url: Url = None, tenant: TenantName = None) -> None:
    """List the message templates of the tenant by name."""
    client = connect(url, tenant)
    rows = client.listed("/templates", limit=None if everything else limit, order="asc")
    columns = ["name", "version", "subject", "description", "created_at"]
    output.rows(rows, columns, empty="No message templates. `weft template set NAME --text FILE` makes one.")


@app.command()
def show(name: Name, version: Version = None, url: Url = None, tenant: TenantName = None) -> None:
    """Show a template with its texts."""
    template = connect(url, tenant).get(f"/templates/{segment(name)}", version=version)
    output.result(template, lambda: card(template))


@app.command()
def versions(
    name: Name, limit: Limit = 50, everything: Everything = False, url: Url = None, tenant: TenantName = None
) -> None:
    """List the versions of a template, newest first."""
    rows = connect(url, tenant).listed(f"/templates/{segment(name)}/versions", limit=None if everything else limit)
    output.rows(rows, ["version", "subject", "created_at"], empty="No versions.")


@app.command("set")
def set_(
    name: Name,
    text: Annotated[Path, typer.Option("--text", "-t", help="A file with the plain text.")],
    subject: Annotated[str, typer.Option("--subject", "-s", help="The subject; mail needs one.")] = "",
    html: Annotated[Path | None, typer.Option("--html", help="A file with the message as HTML.")] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Set a template from files: a new version, used from now on by steps that name no version.

    The texts read what the step gives as {{ data... }}; values are escaped in HTML.
    """
    body: dict[str, Any] = {"text": _read(text), "subject": subject, "description": description}
    if html is not None:
        body["html"] = _read(html)
    made = connect(url, tenant).put(f"/templates/{segment(name)}", body)
    output.result(made, f"'{made['name']}' is at version {made['version']}.")


@app.command()
def delete(name: Name, yes: Yes = False, url: Url = None, tenant: TenantName = None) -> None:
    """Take a template away with all its versions. Steps that name it fail from then on."""
    client = connect(url, tenant)
    client.get(f"/templates/{segment(name)}")
    confirm(f"Delete the template '{name}' with all its versions?", yes=yes)
    client.delete(f"/templates/{segment(name)}")
    output.result({"deleted": name}, f"'{name}' is deleted.")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not UTF-8 text.") from error

"""`weft db studio`: look at the tables in a browser."""

from __future__ import annotations

import asyncio
import getpass
import os
from typing import Annotated

import typer

from weft.cli import output

app = typer.Typer(add_completion=False)


@app.callback()
def _group() -> None:
    """A single command would otherwise take the place of its group."""


@app.command()
def studio(
    tenant: Annotated[
        str | None, typer.Option(help="Look into this tenant only, by its slug; default: choose in the browser.")
    ] = None,
    eyes: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="EMAIL|ROLE", help="See what this member, or a role, of the tenant may see, and no more."
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Rows can be changed; every change is audited.")] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Default: 5555 (WEFT_STUDIO_PORT); 0: any free one.")
    ] = None,
    host: Annotated[str, typer.Option(help="An address of this machine that no other one reaches.")] = "127.0.0.1",
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Browse the tables in a browser, one tenant at a time, under row security. Ctrl-C ends it."""
    from weft.ops.installation import reach
    from weft.settings import load_settings
    from weft.studio.frame import Bounds
    from weft.studio.serve import Wish, listen, serve

    settings = load_settings(os.environ)
    bounds = Bounds(seconds=settings.studio.statement_seconds, export_rows=settings.studio.export_rows)
    email, role = (eyes, None) if eyes is None or "@" in eyes else (None, eyes)
    wish = Wish(tenant=tenant, email=email, role=role, writes=write, operator=_operator(), bounds=bounds)
    with listen(host, settings.studio.port if port is None else port) as listener, reach(settings) as addresses:
        asyncio.run(serve(addresses, listener, wish, opened=lambda url: _show(url, open_), announce=_again))


def _show(url: str, in_browser: bool) -> None:
    output.result({"url": url}, f"The studio is open at\n\n  {url}\n\nThe address works once. Ctrl-C ends the studio.")
    _flush()
    if in_browser:
        import webbrowser

        webbrowser.open(url)


def _again(url: str) -> None:
    output.note(f"Somebody came in by that address. For another browser:  {url}", now=True)


def _flush() -> None:
    """Whoever reads by a pipe waits for the address."""
    import sys

    sys.stdout.flush()


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"

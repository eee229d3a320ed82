"""`weft up`, `serve`, `worker`, `version`: run an installation, or one process of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli import output

if TYPE_CHECKING:
    from weft.ops.up import Ready
    from weft.settings import Settings

app = typer.Typer(add_completion=False)

Host = Annotated[str | None, typer.Option(help="Address to listen on (WEFT_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port of the API (WEFT_PORT); 0 takes a free one.", min=0, max=65535)]


@app.command()
def up(
    host: Host = None,
    port: Port = None,
    profile: Annotated[str | None, typer.Option(help="development, staging or production (WEFT_PROFILE).")] = None,
    seed: Annotated[bool, typer.Option(help="Make the development profile's sign-ins and sample workflow.")] = True,
) -> None:
    """Start everything here: PostgreSQL (unless WEFT_DATABASE_URL names one), API and worker.

    Ctrl-C stops it; the data stays.
    """
    from weft.cli.process_log import sayer
    from weft.ops.up import up as run_everything

    settings = _settings(WEFT_HOST=host, WEFT_PORT=port, WEFT_PROFILE=profile)
    run_everything(settings, seed=seed, say=sayer("weft.up", "weft", settings.log.format), ready=_announce)


@app.command()
def serve(host: Host = None, port: Port = None) -> int:
    """Run the API process alone, against a migrated database."""
    settings = _settings(WEFT_HOST=host, WEFT_PORT=port)
    from weft.api import serve as api

    return api.run(settings)


@app.command()
def worker() -> int:
    """Run one worker process; start as many as the work needs."""
    settings = _settings()
    from weft.worker import run as work

    return work.run(settings)


@app.command()
def version() -> None:
    """Show the version of weft, of Python and of the embedded PostgreSQL."""
    import platform

    from weft import __version__
    from weft.ops.postgres_files import Programs, ServerProgramsMissing

    try:
        postgresql: int | None = Programs.embedded().major()
    except ServerProgramsMissing:
        postgresql = None
    facts = {"weft": __version__, "python": platform.python_version(), "postgresql": postgresql}
    embedded = f"embedded PostgreSQL {postgresql}" if postgresql else "no embedded PostgreSQL"
    output.result(facts, f"weft {__version__} (Python {platform.python_version()}, {embedded})")


def _settings(**overrides: str | int | None) -> Settings:
    """The environment's settings; what stands on the command line wins."""
    from weft.settings import load_settings

    given = {name: str(value) for name, value in overrides.items() if value is not None}
    return load_settings({**os.environ, **given})


def _announce(ready: Ready) -> None:
    command = "./weft" if Path("weft").is_file() else "weft"
    output.result(ready.as_json(), lambda: ready.as_text(command))
    sys.stdout.flush()

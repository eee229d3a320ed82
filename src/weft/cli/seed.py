"""`weft db seed`: first content for an installation."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output, workflow_files

if TYPE_CHECKING:
    from weft.ops.seeds.errors import SeedInvalid
    from weft.ops.seeds.report import SeedReport

app = typer.Typer(add_completion=False)


@app.callback()
def _group() -> None:
    """A single command would otherwise take the place of its group."""


@app.command()
def seed(
    profile: Annotated[
        str | None, typer.Option(help="development, staging or production; default: the installation's.")
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option("--system", help="One system's content; repeat it for more. Default: all.")
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", help="A seed file of your own; repeat it for more. Then only systems that are named."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the systems, and what each makes.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Write the JSON Schema of seed files.")] = False,
) -> None:
    """Make what an installation begins with. Safe to repeat: what exists is left alone."""
    if list_:
        _list()
    elif schema:
        _schema()
    else:
        _seed(profile, system, file or [], dry_run=dry_run)


def _seed(profile: str | None, system: list[str] | None, files: list[str], *, dry_run: bool) -> None:
    from weft.ops import keys
    from weft.ops import seed as seeding
    from weft.ops.installation import reach
    from weft.ops.seeds.errors import SeedInvalid
    from weft.ops.seeds.reading import load
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    wanted = profile or settings.profile
    seeding.choose(wanted, [] if files else system, settings.profile)  # refused before a server is started for it
    try:
        for path in files:
            load(path)
        with reach(settings) as addresses:
            report = asyncio.run(
                seeding.run(
                    addresses.app,
                    wanted,
                    system,
                    files=files,
                    installation=settings.profile,
                    owner=addresses.owner,
                    master_key=keys.master_key(settings),
                    echo=_say,
                    dry=dry_run,
                )
            )
    except SeedInvalid as error:
        raise _with_lines(error) from error
    output.result(report.as_json(), lambda: _summary(report))


def _say(line: str) -> None:
    """For people beside the answer. What is shown once is part of the answer when a program reads it."""
    if not (output.as_json() and line.startswith("shown this once")):
        output.note(line)


def _with_lines(error: SeedInvalid) -> SeedInvalid:
    """For people and editors each fault by file and line; for programs the error has them all."""
    from weft.ops.seeds.errors import SeedInvalid

    if output.as_json():
        return error
    found: list[dict[str, Any]] = [{**issue.as_json(), "severity": "error"} for issue in error.issues]
    workflow_files.show(found)
    shown = SeedInvalid("", ())
    shown.message = error.message
    return shown


def _summary(report: SeedReport) -> str:
    if not (report.systems or report.files):
        return f"The {report.profile} profile has nothing to seed. Make a tenant with `weft tenant create`."
    made = f"{len(report.made)} {'would be ' if report.is_dry else ''}made"
    skipped = f", {len(report.skipped)} skipped" if report.skipped else ""
    later = f" {len(report.later)} parts come with later releases." if report.later else ""
    shown = " Note what was shown: it is stored nowhere." if report.shown else ""
    return f"{made}, {len(report.kept)} kept as they were{skipped}.{later}{shown}"


def _list() -> None:
    from weft.ops.seeds.systems import SYSTEMS

    rows = [system.as_json() for system in SYSTEMS.values()]
    if not output.as_json():
        rows = [{**row, "later": "; ".join(row["later"]) or None} for row in rows]
    output.rows(rows, ["system", "profiles", "makes", "later"])


def _schema() -> None:
    import json

    from weft.ops.seeds.reference import schema

    document = schema()
    output.result(document, json.dumps(document, indent=2, ensure_ascii=False))

"""`weft db docs`: the schema as pages and pictures, from the live catalogue."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from weft.cli import output
from weft.core.errors import Conflict

app = typer.Typer(add_completion=False, no_args_is_help=True)

_CLONE = Path(__file__).resolve().parents[3]


class SchemaPagesOutdated(Conflict):
    code = "schema_pages_outdated"

    def __init__(self, place: str, names: list[str]) -> None:
        super().__init__(
            f"{len(names)} file{'s' if len(names) != 1 else ''} in {place} {'are' if len(names) != 1 else 'is'} not of "
            f"this schema: {', '.join(names)}. Write them again: weft db docs."
        )


@app.command()
def docs(
    to: Annotated[
        Path | None, typer.Option(help="The directory; default: docs/reference/schema in a clone, else ./schema.")
    ] = None,
    dot: Annotated[bool, typer.Option("--dot", help="Write the sources of the pictures too, for Graphviz.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; say whether it is current.")] = False,
) -> None:
    """Write what tables there are and how they belong together: Markdown, and a picture for each room."""
    from weft.ops.installation import reach
    from weft.ops.schema_docs import writing
    from weft.settings import load_settings

    place = to or (_CLONE / "docs/reference/schema" if (_CLONE / "docs/reference").is_dir() else Path("schema"))
    with reach(load_settings(os.environ)) as addresses:
        found = asyncio.run(writing.read(addresses.owner or addresses.app))
    if check:
        wrong = writing.outdated(found, place)
        if wrong:
            raise SchemaPagesOutdated(str(place), wrong)
        output.result({"outdated": []}, f"The pages in {place} are of this schema.")
        return
    written = writing.write(found, place, dot=dot)
    output.result(
        written.as_json(), f"{written.tables} tables are described in {place}: begin with {place / 'README.md'}."
    )
    if written.missing is not None:
        raise written.missing

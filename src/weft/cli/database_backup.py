"""`weft db backup`, `weft db backups`, `weft db verify`: making, listing, pruning and proving backups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output
from weft.cli.database_progress import shown, size

if TYPE_CHECKING:
    from weft.ops.backup.making import Made

app = typer.Typer(add_completion=False, no_args_is_help=True)

Identity = Annotated[
    Path | None, typer.Option("--identity", help="The file with the key that opens backups; else the home's.")
]
Named = Annotated[str, typer.Argument(metavar="BACKUP", help="Its name, the beginning of it, or `latest`.")]


@app.command()
def backup(
    reason: Annotated[str, typer.Option(help="Why it is made; the list shows it.")] = "manual",
    verify_: Annotated[bool, typer.Option("--verify", help="Prove it at once by a restore.")] = False,
    identity: Identity = None,
) -> None:
    """Back up the whole database: one moment of it, encrypted, signed, and copied to every place."""
    from weft.ops.backup.making import make
    from weft.ops.installation import reach
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    with reach(settings) as addresses, shown() as tell:
        made = make(settings, addresses, reason=reason, prove=verify_, identity=identity, tell=tell)
    output.result(made.as_json(), lambda: _made_text(made))


def _made_text(made: Made) -> str:
    lines = [
        f"{made.path}",
        f"  {made.rows} rows of {made.tables} tables, {size(made.bytes)}, {made.seconds:.1f} s, revision {made.revision}",
        f"  {'proved by a restore' if made.verified else f'not proved yet: weft db verify {made.id}'}",
    ]
    for copy in made.copies:
        lines.append(f"  copied to {copy.place}" if copy.failure is None else f"  NOT copied: {copy.failure}")
    if made.new_identity is not None:
        lines += [
            "",
            f"A key that opens backups was made: {made.new_identity}",
            "Keep a copy of it offline, apart from the backups. Without it no backup can be restored; whoever has it",
            "and a backup can read everything but the tenants' secrets, which need the master key as well.",
        ]
    return "\n".join(lines)


@app.command()
def verify(backup: Named = "latest", identity: Identity = None) -> None:
    """Restore a backup into a throw-away server and compare every table with what went in."""
    from weft.ops.backup import catalogue, proving
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    name = catalogue.named(settings, backup)
    with shown() as tell:
        proof = proving.prove(settings, name, identity=identity, tell=tell)
    output.result(
        proof.as_json() | {"seconds": round(proof.seconds, 3)},
        f"{name} is whole: {proof.tables} tables, {proof.rows} rows and the schema came out as they went in "
        f"({proof.seconds:.1f} s). Master key: {proof.master_key}.",
    )

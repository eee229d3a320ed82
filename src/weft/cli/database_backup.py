"""`weft db backup`, `weft db backups`, `weft db verify`: making, listing, pruning and proving backups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output
from weft.cli.common import Yes, confirm
from weft.cli.database_progress import age, shown, size

if TYPE_CHECKING:
    from datetime import datetime

    from weft.ops.backup.catalogue import Listed
    from weft.ops.backup.making import Made
    from weft.ops.backup.scheduling import Done
    from weft.ops.backup.upkeep import Pruned
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)

Identity = Annotated[
    Path | None, typer.Option("--identity", help="The file with the key that opens backups; else the home's.")
]
Place = Annotated[
    str | None,
    typer.Option("--place", help="The place to take it from, as the list writes it; else the first with it."),
]
Named = Annotated[str, typer.Argument(metavar="BACKUP", help="Its name, the beginning of it, or `latest`.")]


@app.command()
def backup(
    reason: Annotated[str, typer.Option(help="Why it is made; the list shows it.")] = "manual",
    verify_: Annotated[bool, typer.Option("--verify", help="Prove it at once by a restore.")] = False,
    identity: Identity = None,
    due: Annotated[
        bool, typer.Option("--due", help="Only if WEFT_BACKUP_SCHEDULE says so; for timers. Proves and prunes as well.")
    ] = False,
) -> None:
    """Back up the whole database: one moment of it, encrypted, signed, and copied to every place."""
    from weft.ops.backup.making import make
    from weft.ops.installation import reach
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    if due:
        _due(settings)
        return
    with reach(settings) as addresses, shown() as tell:
        made = make(settings, addresses, reason=reason, prove=verify_, identity=identity, tell=tell)
    output.result(made.as_json(), lambda: _made_text(made))


def _due(settings: Settings) -> None:
    from weft.core.clock import utc_now
    from weft.ops.backup import scheduling
    from weft.ops.installation import reach

    waiting = scheduling.waiting(settings, utc_now())
    if waiting is not None:  # nothing to do: no server is started for that
        output.result(waiting.as_json(), lambda: _due_text(waiting))
        return
    with reach(settings) as addresses, shown() as tell:
        done = scheduling.run_due(settings, addresses, tell=tell)
    for warning in done.warnings:
        output.note(warning)
    output.result(done.as_json(), lambda: _due_text(done))


def _due_text(done: Done) -> str:
    lines = [_made_text(done.made)] if done.made is not None else []
    if done.pruned is not None and done.pruned.backups:
        lines.append(f"Deleted what nothing keeps any more: {', '.join(done.pruned.backups)}.")
    lines.append(f"The next is due {done.next_at:%Y-%m-%d %H:%M} UTC." if done.next_at else "No other is due.")
    return "\n".join(lines)


def _made_text(made: Made) -> str:
    lines = [
        f"{made.path}",
        f"  {made.rows} rows of {made.tables} tables, {size(made.bytes)}, {made.seconds:.1f} s",
        f"  {'proved by a restore' if made.verified else f'not proved yet: weft db verify {made.id}'}",
    ]
    lines += [f"  copied to {c.place}" if c.failure is None else f"  NOT copied: {c.failure}" for c in made.copies]
    lines.append(f"  signed with {made.signer}")
    if made.new_identity is not None:
        lines += [
            "",
            f"A key that opens backups was made: {made.new_identity}",
            "Keep a copy of it offline, apart from the backups. Without it no backup can be restored; whoever has it",
            "and a backup can read everything but the tenants' secrets, which need the master key as well.",
        ]
    return "\n".join(lines)


@app.command()
def backups(
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what the settings do not keep, in every place.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --prune: only say what would go.")] = False,
    identity: Identity = None,
    yes: Yes = False,
) -> None:
    """List the backups, where they lie, when a restore proved them, and what each is kept as."""
    from weft.core.clock import utc_now
    from weft.ops.backup import upkeep
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    if prune or dry_run:
        _prune(settings, dry_run=dry_run, yes=yes)
        return
    found, now = upkeep.listed(settings, identity, say=output.note), utc_now()
    rows = [one.as_json() for one in found] if output.as_json() else [_row(one, now) for one in found]
    output.rows(
        rows,
        ["backup", "age", "kind", "size", "rows", "verified", "kept as", "places", "reason"],
        empty="There is no backup yet. Make one: weft db backup",
    )


def _row(one: Listed, now: datetime) -> dict[str, Any]:
    known = one.manifest
    agreed = f"{age(now - one.verified_at)} ago" if one.verified_at else None
    verified = f"FAILED (agreed {agreed})" if one.failure and agreed else "FAILED" if one.failure else agreed or "never"
    return {
        "backup": one.id,
        "age": age(now - one.at) if one.at else None,
        "kind": known.kind if known else "?",
        "size": size(known.bytes) if known else None,
        "rows": known.rows if known else None,
        "verified": verified,
        "kept as": ", ".join(one.keeps) or "(goes with --prune)",
        "places": one.places,
        "reason": known.reason if known else one.problem,
    }


def _prune(settings: Settings, *, dry_run: bool, yes: bool) -> None:
    from weft.core.clock import utc_now
    from weft.ops.backup import upkeep

    would = upkeep.prune(settings, utc_now(), dry_run=True)
    if dry_run or not would.backups:
        output.result(would.as_json() | {"dry_run": True}, lambda: _pruned_text(would, "would be"))
        return
    output.note(_pruned_text(would, "will be"))
    confirm("Delete them, in every place?", yes=yes)
    done = upkeep.prune(settings, utc_now())
    _tell_database(settings)
    for failure in done.failures:
        output.note(failure)
    output.result(done.as_json() | {"dry_run": False}, lambda: _pruned_text(done, "were"))


def _pruned_text(pruned: Pruned, word: str) -> str:
    if not pruned.backups:
        return f"Nothing goes. Kept: {pruned.kept}."
    lines = [f"{len(pruned.backups)} backups ({size(pruned.bytes)}) {word} deleted, {pruned.kept} stay:"]
    return "\n".join(lines + [f"  {backup}" for backup in pruned.backups])


def _tell_database(settings: Settings, identity: Path | None = None) -> None:
    """Health asks the database what the places know. A machine that only verifies has none."""
    import asyncio

    from weft.core.errors import WeftError
    from weft.ops.backup import catalogue, records
    from weft.ops.backup.counting import full_access
    from weft.ops.home import Home
    from weft.ops.installation import reach

    if settings.database.url is None and not (Home(settings.home).data / "PG_VERSION").exists():
        return
    try:
        with reach(settings) as addresses:
            asyncio.run(records.save(asyncio.run(full_access(addresses)), catalogue.listed(settings, identity)))
    except WeftError as error:
        output.note(f"The database was not told of it: {error.message}")


@app.command()
def verify(backup: Named = "latest", place: Place = None, identity: Identity = None) -> None:
    """Restore a backup into a throw-away server and compare every table with what went in."""
    from weft.ops.backup import catalogue, proving
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    name = catalogue.named(settings, backup, place, say=output.note)
    with shown() as tell:
        target = catalogue.find(settings, name, place)
        try:
            proof = proving.prove(settings, name, target=target, identity=identity, tell=tell)
        finally:
            _tell_database(settings, identity)
    output.result(
        proof.as_json() | {"seconds": round(proof.seconds, 3)},
        f"{name} is whole: {proof.tables} tables, {proof.rows} rows and the schema came out as they went in "
        f"({proof.seconds:.1f} s). Master key: {proof.master_key}.",
    )

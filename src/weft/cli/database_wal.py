"""`weft db wal`: keep the write-ahead log, make base backups, and see which moments can be reached."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output
from weft.cli.common import Yes, confirm

if TYPE_CHECKING:
    from weft.ops.recovery.plan import Base
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)
wal = typer.Typer(no_args_is_help=True, help="Keep the write-ahead log, for restores to any moment.")
app.add_typer(wal, name="wal")


@app.callback()
def _group() -> None:
    """A single command would otherwise take the place of its group."""


Place = Annotated[
    str | None,
    typer.Option("--place", help="One of the places of backups; default: the first that answers."),
]
System = Annotated[str | None, typer.Option("--system", help="The cluster, where the place holds several.")]
Identity = Annotated[Path | None, typer.Option("--identity", help="The file with the key that opens backups.")]


@wal.command()
def start() -> None:
    """Make ready: check the server, make the replication slot and a first base backup, and say what runs next."""
    from weft.ops.recovery import base, status, vault
    from weft.ops.recovery.source import require_archivable

    settings = _settings()
    with _server(settings) as (source, facts):
        require_archivable(facts)
        made_slot = source.ensure_slot(settings.wal.slot)
        vaults = vault.writing(settings, facts.system)
        _tell_key(vaults[0].makers)
        there = [] if made_slot else [one for one in vaults[0].bases() if one.timeline == facts.timeline]
        if there:
            made, is_new = there[-1], False
        else:
            with _progress("base backup") as progress:
                made, is_new = base.make(
                    source, facts, vaults, status.directory(settings.home),
                    incremental=False, progress=progress, say=output.note,
                ), True  # fmt: skip
    runs = "set WEFT_WAL_ARCHIVE=true, and `weft up` does it" if source.embedded else "let a service run it"
    first = "is the first base backup" if is_new else "is the newest base backup; nothing was made anew"
    output.result(
        {
            "system": facts.system,
            "slot": settings.wal.slot,
            "slot_made": made_slot,
            "base": made.as_json(),
            "base_made": is_new,
        },
        f"The slot '{settings.wal.slot}' keeps the WAL, and {made.id} {first}.\n"
        f"Now `weft db wal run` has to run: {runs}. Until it does, the server keeps its WAL, and its disk fills.",
    )


@wal.command()
def run() -> None:
    """Receive the WAL and bring it to the targets until a signal says stop. `weft up` does it with WEFT_WAL_ARCHIVE."""
    from weft.cli.process_log import sayer
    from weft.ops.backup.targets import targets_of
    from weft.ops.recovery.keeping import keep
    from weft.ops.supervisor import Signals

    settings = _settings()
    say = sayer("weft.wal", "weft wal", settings.log.format)
    places = ", ".join(target.address for target in targets_of(settings))
    say(f"bringing the WAL that the slot '{settings.wal.slot}' keeps to {places}, until a signal says stop")
    with Signals() as signals:
        keep(settings, signals, say)


@wal.command()
def status() -> None:
    """Show whether the WAL arrives, how much waits, and which moments can be reached."""
    from weft.ops.recovery import overview

    found = overview.look(_settings())
    output.result(found.as_json(), found.as_text)


@wal.command("base")
def base_(
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what changed since the last one (PostgreSQL 17 and newer).")
    ] = False,
    automatic: Annotated[
        bool,
        typer.Option("--automatic", help="Incremental if it can be, and a full one is not due (WEFT_WAL_FULL_DAYS)."),
    ] = False,
) -> None:
    """Make a base backup now, compared with its manifest while it streams, and delete what is too old."""
    from weft.core.clock import utc_now
    from weft.ops.recovery import base, status, vault

    settings = _settings()
    place = status.directory(settings.home)
    with _server(settings) as (source, facts):
        vaults = vault.writing(settings, facts.system)
        _tell_key(vaults[0].makers)
        if automatic:
            days = settings.wal.full_days
            incremental = base.may_be_incremental(facts, vaults[0].bases(), place, days, utc_now())
        with _progress("base backup") as progress:
            made = base.make(source, facts, vaults, place, incremental=incremental, progress=progress, say=output.note)
        gone = base.prune(vaults, place, settings.wal, utc_now())
        slot = source.slot(settings.wal.slot)
    if slot is None:
        output.note("The WAL after it is not kept, so only that moment can be reached: `weft db wal start` begins it.")
    kind = "an incremental" if made.parent else "a full"
    output.result(
        {
            "base": made.as_json(),
            "address": vaults[0].target.address,
            "deleted_bases": [one.id for one in gone.bases],
            "deleted_segments": len(gone.segments),
        },
        f"{made.id}: {kind} base backup of {made.bytes >> 20} MB ({made.sealed_bytes >> 20} MB sealed) "
        f"in {vaults[0].target.address}.",
    )


@wal.command()
def bases(place: Place = None, system: System = None, identity: Identity = None) -> None:
    """List base backups, and from when to when each can be restored."""
    from weft.ops.recovery import finding
    from weft.ops.recovery.plan import reach

    vault = finding.to_look(_settings(), place=place, system=system, identity=identity, say=output.note)
    troubles: list[str] = []
    found = vault.bases(troubles)
    archived = vault.archived(found[-1].segment_bytes, troubles) if found else None
    for text in troubles:
        output.note(text)
    rows = [_base_row(base, reach(base, archived).until if archived else None) for base in found]
    output.rows(
        rows,
        {
            "id": "base",
            "kind": "kind",
            "reachable_from": "reachable from",
            "reachable_to": "to",
            "megabytes": "MB sealed",
        },
        empty="None that is believed here." if troubles else "There is no base backup yet. Make one: weft db wal base",
    )


@wal.command()
def point(name: Annotated[str, typer.Argument(help="Letters, digits and _ . : -")]) -> None:
    """Mark this moment with a name that `restore --to NAME` understands (needs a superuser or a grant)."""
    from weft.ops.recovery.points import mark

    made = mark(_settings(), name, output.note)
    output.result(
        {"name": name, "position": made.position, "at": made.at, "noted": made.noted},
        f"'{name}' is this moment, {made.at:%Y-%m-%d %H:%M:%S} UTC. It can be reached once the WAL has arrived.",
    )


@wal.command()
def fetch(
    segment: Annotated[str, typer.Argument(metavar="%f", help="The file's name, such as 000000010000000000000003.")],
    path: Annotated[Path, typer.Argument(metavar="%p", help="Where to write it.")],
    place: Place = None,
    system: System = None,
    identity: Identity = None,
) -> int:
    """Write one WAL file, decrypted: a `restore_command` for a recovery or standby of your own.

    Exits with 1 when there is no such file, which ends a recovery; with 200 when it failed, which stops it.
    """
    from weft.core.errors import WeftError
    from weft.ops.recovery import finding, points

    try:
        found = points.fetch(finding.to_read(_settings(), place=place, system=system, identity=identity), segment, path)
    except WeftError as error:
        output.refuse(error)
        return 200
    return 0 if found else 1


@wal.command()
def restore(
    to: Annotated[str, typer.Option("--to", help='"2026-11-25 10:00:00+00", latest, or the name of a restore point.')],
    into: Annotated[
        Path | None, typer.Option("--into", help="The new data directory; default: one in the home.")
    ] = None,
    switch: Annotated[
        bool, typer.Option("--switch", help="Then put it in the place of the embedded server's data, which is kept.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be used and what can be reached.")] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep the restored server running to look at, until Ctrl-C.")
    ] = False,
    base: Annotated[str | None, typer.Option("--base", help="The base backup to begin with.")] = None,
    place: Place = None,
    system: System = None,
    database: Annotated[
        str | None,
        typer.Option("--database", help="Its name in the cluster; default: the one of WEFT_DATABASE_URL, else weft."),
    ] = None,
    identity: Identity = None,
    yes: Yes = False,
) -> None:
    """Restore to a moment: a new data directory beside the present one, recovered and proved."""
    from weft.cli.database_moment import to_moment

    to_moment(
        to, into=into, switch=switch, dry_run=dry_run, stay=stay, base=base, place=place, system=system,
        database=database, identity=identity, yes=yes,
    )  # fmt: skip


@wal.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")] = False,
    yes: Yes = False,
) -> None:
    """Delete base backups and WAL that are older than WEFT_WAL_KEEP_DAYS and that nothing kept needs."""
    from weft.core.clock import utc_now
    from weft.ops.recovery import base, finding, status, vault

    settings = _settings()
    vaults = vault.writing(settings, finding.system_of(settings, finding.target_of(settings)))
    place = status.directory(settings.home)
    gone = base.prune(vaults, place, settings.wal, utc_now(), dry_run=True)
    if not dry_run and (gone.bases or gone.segments):
        output.note(f"This deletes {len(gone.bases)} base backups and {len(gone.segments)} WAL segments.")
        confirm("Go on?", yes=yes)
        gone = base.prune(vaults, place, settings.wal, utc_now())
    output.result(
        {"bases": [one.id for one in gone.bases], "segments": len(gone.segments), "dry_run": dry_run},
        f"{len(gone.bases)} base backups and {len(gone.segments)} segments {'would be' if dry_run else 'are'} gone.",
    )


def _settings() -> Settings:
    from weft.settings import load_settings

    return load_settings(os.environ)


@contextmanager
def _server(settings: Settings) -> Iterator[Any]:
    """The server and what it says of itself; an embedded one is started for the time if nothing runs."""
    from weft.ops.installation import reach
    from weft.ops.recovery.source import source_of

    source = source_of(settings)
    if not source.embedded:
        yield source, source.facts()
        return
    with reach(settings):
        yield source, source.facts()


def _tell_key(makers: Any) -> None:
    if makers is not None and makers.made is not None:
        output.note(
            f"A key was made: {makers.made} opens these backups. Keep a copy offline; without it nothing is restored."
        )


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """How many bytes came so far: one line that moves for a terminal, nothing for others."""
    if not sys.stderr.isatty() or output.as_json():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda count: shown.update(task, completed=count)


def _base_row(base: Base, until: Any) -> dict[str, Any]:
    from weft.ops.recovery.errors import shown

    return {
        "id": base.id,
        "kind": "incremental" if base.parent else "full",
        "parent": base.parent,
        "timeline": base.timeline,
        "reachable_from": shown(base.ended_at),
        "reachable_to": shown(until) if until is not None else None,
        "bytes": base.bytes,
        "megabytes": base.sealed_bytes >> 20,
    }

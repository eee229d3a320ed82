"""`weft db restore`: the whole database, or one tenant of it, from a backup."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli import output
from weft.cli.common import Yes, confirm
from weft.cli.database_backup import Identity, Place
from weft.cli.database_progress import shown, size

if TYPE_CHECKING:
    from weft.ops.backup.restoring import Found, Replaced
    from weft.ops.backup.tenants import Plan, Wanted
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def restore(
    backup: Annotated[
        str | None, typer.Argument(metavar="[BACKUP]", help="Its name, the beginning of it, or `latest`; or --to.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", help='Instead, to a moment: "2026-11-25 10:00:00+00", latest, or a restore point (base and WAL).'
        ),
    ] = None,
    into: Annotated[str | None, typer.Option("--into", help="With --to: the new data directory.")] = None,
    switch: Annotated[
        bool, typer.Option("--switch", help="With --to: put it in the place of the embedded server's data.")
    ] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant, by its slug in the backup.")] = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="NEWSLUG", help="With --tenant: a copy of it under this slug.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Over what is there.")] = False,
    run: Annotated[
        bool,
        typer.Option("--run", help="With --tenant: its executions and schedules go on at once, instead of being held."),
    ] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="With --replace of the whole: do not keep the old database.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    place: Place = None,
    identity: Identity = None,
    yes: Yes = False,
) -> None:
    """Restore the whole database, proved before it takes the place of the old one; or one tenant of it.

    --to goes to a moment instead, into a new data directory beside the present one; `weft db wal restore` says more.
    """
    if to is not None:
        from weft.cli.database_moment import to_moment

        if backup is not None or tenant is not None or replace:
            raise typer.BadParameter("--to restores the whole cluster to a moment: name no backup, and no tenant.")
        to_moment(to, into=into, switch=switch, dry_run=dry_run, place=place, identity=identity, yes=yes)
        return
    if backup is None:
        raise typer.BadParameter("Name a backup (`weft db backups` lists them), or a moment with --to.")
    from weft.ops.backup import catalogue
    from weft.settings import load_settings

    if tenant is None and (as_ is not None or run):
        raise typer.BadParameter("--as and --run are for one tenant: name it with --tenant.")
    settings = load_settings(os.environ)
    name = catalogue.named(settings, backup, place, say=output.note)
    source = _Source(name, catalogue.find(settings, name, place).address, identity)
    if tenant is not None:
        from weft.ops.backup.tenants import Wanted

        _tenant(settings, source, Wanted(tenant, as_, replace, run), dry_run=dry_run, yes=yes)
        return
    _whole(settings, source, replace=replace, dry_run=dry_run, drop_old=drop_old, yes=yes)


@dataclass(frozen=True)
class _Source:
    """Which backup, from which place, opened with which key."""

    name: str
    place: str
    identity: Path | None


def _tenant(settings: Settings, source: _Source, wanted: Wanted, *, dry_run: bool, yes: bool) -> None:
    from weft.ops.backup.tenants import restore_tenant
    from weft.ops.installation import reach

    name = source.name
    if wanted.replace and not dry_run:
        confirm(f"Replace the tenant '{wanted.new_slug or wanted.slug}' by what is in {name}?", yes=yes)
    with reach(settings) as addresses, shown() as tell:
        plan = restore_tenant(
            settings, addresses, name, wanted, dry_run=dry_run, place=source.place, identity=source.identity, tell=tell
        )
    output.result(plan.as_json(), lambda: _tenant_text(plan))


def _tenant_text(plan: Plan) -> str:
    rows, gone = sum(plan.tables.values()), sum(plan.replaced.values())
    what = f"copy '{plan.slug}'" if plan.is_copy else f"tenant '{plan.slug}'"
    if plan.done:
        lines = [f"The {what} ({plan.new_id}) is there: {rows} rows, compared." + (f" {gone} rows went." * bool(gone))]
    else:
        lines = [
            f"The {what} would get {rows} rows." + (f" {gone} rows would go." * bool(gone)),
            "Nothing was changed.",
        ]
        width = max(map(len, plan.tables), default=0)
        lines += [f"  {table:<{width}}  {count}" for table, count in plan.tables.items()]
    if plan.users_added or plan.users_matched:
        lines.append(f"Sign-ins: {plan.users_added} new, {plan.users_matched} found by their address.")
    if plan.held_jobs:
        lines.append(
            f"{plan.held_jobs} jobs are held: nothing of it goes on by itself. `weft dead list` shows them, "
            "`weft dead retry` lets them go on; timers among them are due at once then."
        )
    if plan.held_schedules and not plan.is_copy:
        lines.append(
            f"{len(plan.held_schedules)} schedules are off: no due time starts anything. "
            "`weft workflow trigger enable` lets each go on from then, without catching up:"
        )
        lines += [f"  {one.workflow}: {one.trigger}" for one in plan.held_schedules]
    if plan.is_copy:
        lines.append(
            "A copy shares no credential: it has no API keys and no webhook addresses, and its triggers are off."
        )
    lines += [f"In the way: {conflict}" for conflict in plan.conflicts]
    return "\n".join(lines)


def _whole(settings: Settings, source: _Source, *, replace: bool, dry_run: bool, drop_old: bool, yes: bool) -> None:
    from weft.ops.backup import restoring
    from weft.ops.installation import reach

    name, place, identity = source.name, source.place, source.identity
    with reach(settings) as addresses:
        found = restoring.look(settings, addresses, name, place=place, identity=identity)
        if dry_run:
            output.result(_plan(found), lambda: _plan_text(found))
            return
        if found.tenants and not replace:
            raise restoring.DatabaseNotEmpty(found.database, found.tenants)
        if found.tenants:
            output.note(_plan_text(found))
            confirm(f"Put {name} in the place of the present database?", yes=yes)
        with shown() as tell:
            done = restoring.restore(
                settings, addresses, name, replace=replace, drop_old=drop_old, place=place, identity=identity, tell=tell
            )
    for warning in done.warnings:
        output.note(warning)
    output.result(done.as_json(), lambda: _done_text(done))


def _plan(found: Found) -> dict[str, Any]:
    return {
        "backup": found.backup.id,
        "at": found.backup.started_at,
        "database": found.database,
        "tenants_replaced": found.tenants,
        "rows": found.backup.rows,
        "tables": {name: count.rows for name, count in found.backup.tables.items() if count.rows},
        "revision": found.backup.revision,
    }


def _plan_text(found: Found) -> str:
    made = found.backup
    said = (
        f"{made.id} is the database {made.database} of {made.started_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{made.rows} rows, {size(made.bytes)}, revision {made.revision}."
    )
    if not found.tenants:
        return said
    return (
        f"{said}\nThe present database {found.database} with its {found.tenants} tenants goes out of use and is kept "
        "under another name. Its connections are ended for a moment. What happened since the backup is not in the new."
    )


def _done_text(done: Replaced) -> str:
    lines = [f"{done.database} is {done.backup} now: {done.rows} rows, every table compared ({done.seconds:.1f} s)."]
    if done.kept is not None:
        lines.append(
            f"The database that was there is kept as {done.kept}, until somebody drops it (--drop-old: at once)."
        )
    if done.pending:
        lines.append("It is older than this version of weft: run `weft db migrate`.")
    return "\n".join(lines)

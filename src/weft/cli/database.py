"""`weft db`: migrate, status, check."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli import output
from weft.cli.common import NotConfirmed, Yes
from weft.core.errors import Conflict, Invalid

if TYPE_CHECKING:
    from weft.ops.installation import Addresses
    from weft.ops.migrating.plan import Plan
    from weft.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)


class SchemaDrifted(Conflict):
    code = "schema_drifted"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"The schema differs in {count} place{'s' if count != 1 else ''} from what the migrations make; see above. "
            "`weft db check --sql` prints what repairs it; read it before you run it."
        )


class ReasonEmpty(Invalid):
    code = "reason_empty"

    def __init__(self) -> None:
        super().__init__("--no-backup wants a reason, which the history keeps: --no-backup 'the provider made one'.")


@app.command("migrate")
def migrate_(
    to: Annotated[str, typer.Option(help="The revision to stop at; +1 is the next one.")] = "head",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")] = False,
    no_backup: Annotated[
        str | None, typer.Option("--no-backup", metavar="REASON", help="Migrate production without a backup, and why.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Apply every revision that the database does not have yet, after showing what they do.

    Safe to repeat, and to run twice at once. In production it asks, and a verified backup is made before.
    """
    from weft.db import migrate
    from weft.ops.installation import reach
    from weft.ops.migrating.run import directories_of
    from weft.settings import load_settings

    if no_backup is not None and not no_backup.strip():
        raise ReasonEmpty
    settings = load_settings(os.environ)
    with reach(settings) as addresses:
        if sql:
            before = asyncio.run(migrate.current(addresses.owner or addresses.app))
            text = migrate.offline_sql(before or "base", to, directories_of(settings))
            output.result({"sql": text}, text)
            return
        plan = _plan(settings, addresses, to)
        if dry_run:
            from weft.cli.database_text import plan_text

            output.result(plan.as_json(), lambda: plan_text(plan))
            return
        _carry_out(settings, addresses, plan, no_backup, yes=yes)


def _plan(settings: Settings, addresses: Addresses, to: str) -> Plan:
    from weft.ops.migrating import plan
    from weft.ops.migrating.run import directories_of, options_of

    return asyncio.run(plan.make(addresses.owner or addresses.app, to, directories_of(settings), options_of(settings)))


def _carry_out(settings: Settings, addresses: Addresses, plan: Plan, no_backup: str | None, *, yes: bool) -> None:
    from weft.cli.database_text import Ticker, plan_text
    from weft.ops import environments, profiles
    from weft.ops.migrating import run

    owner = addresses.require_owner()
    if plan.revisions and not output.as_json():
        sys.stderr.write(plan_text(plan, most=5) + "\n")

    def ask() -> None:
        if yes:
            return
        question = f"Apply {len(plan.revisions)} revisions to this production database?"
        if not sys.stdin.isatty() or not typer.confirm(question, default=False, err=True):
            raise NotConfirmed

    if plan.revisions:
        profile = asyncio.run(profiles.in_force(owner, settings.profile))
        environments.require(profile, environments.Action.migrate, ask)
    with Ticker() as ticker:
        outcome = asyncio.run(
            run.run(
                settings, addresses, plan,
                maker=run.backup_maker(settings, addresses), no_backup=no_backup, say=output.note, tell=ticker.tell,
            )
        )  # fmt: skip
    output.result(
        {
            "before": outcome.before,
            "after": outcome.after,
            "applied": [revision.id for revision in outcome.applied],
            "backup": outcome.backup,
            "restore_point": outcome.restore_point,
        },
        f"The database is at revision {outcome.after}."
        if outcome.applied
        else f"Nothing to do: revision {outcome.after} is there.",
    )


@app.command()
def status(
    check: Annotated[bool, typer.Option("--check", help="Fail (exit code 6) when something is to be applied.")] = False,
) -> None:
    """Show every revision: applied when, by which version of weft, how long it took; and what is still to come."""
    from weft.ops.installation import reach
    from weft.ops.migrating import status as standing
    from weft.ops.migrating.run import directories_of
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    with reach(settings) as addresses:
        found = asyncio.run(standing.standings(addresses.owner or addresses.app, directories_of(settings)))
    output.rows(
        [one.as_json() for one in found] if output.as_json() else [_row(one.as_json()) for one in found],
        ["revision", "kind", "applied", "at", "seconds", "by weft", "title"],
        empty="This version has no migrations.",
    )
    left = standing.pending(found)
    if check and left:
        raise standing.MigrationsPending(len(left))


def _row(facts: dict[str, object]) -> dict[str, object]:
    at, seconds = facts["applied_at"], facts["seconds"]
    shown = f"{at:%Y-%m-%d %H:%M:%S}" if at is not None else None
    took = f"{seconds:.1f}" if seconds is not None else None
    return {**facts, "at": shown, "seconds": took, "by weft": facts["version"]}


@app.command()
def check(
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that repairs it instead.")] = False,
) -> None:
    """Compare the live schema with what the migrations make: policies, triggers, functions, grants, indexes, roles."""
    from weft.ops.drift import comparison
    from weft.ops.installation import reach
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        found = comparison(addresses.owner or addresses.app)
    clean = "-- " if sql else ""
    said = found.script() if sql else "\n".join(found.sentences())
    output.result(found.as_json(), said or f"{clean}The schema is exactly what the migrations make.")
    if found.differences:
        raise SchemaDrifted(len(found.differences))

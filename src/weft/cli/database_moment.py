"""`weft db restore --to`: a restore to a moment, from base backups and WAL. `weft.cli.database_restore` hands it on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.cli import output
from weft.cli.common import confirm

if TYPE_CHECKING:
    from weft.ops.recovery.plan import Plan
    from weft.ops.recovery.restoring import Moment, Restored
    from weft.ops.recovery.vault import Vault
    from weft.settings import Settings


def to_moment(
    to: str,
    *,
    into: Path | str | None = None,
    switch: bool = False,
    dry_run: bool = False,
    stay: bool = False,
    base: str | None = None,
    place: str | None = None,
    system: str | None = None,
    database: str | None = None,
    identity: Path | None = None,
    yes: bool = False,
) -> None:
    """Everything behind `weft db restore --to`."""
    from weft.ops.backup.errors import MasterKeyDiffers
    from weft.ops.recovery import finding, master_keys, restoring
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    moment = restoring.Moment.of(to)
    database = database or _database(settings)
    into = Path(into).absolute() if into is not None else None
    if dry_run:
        vault = finding.to_look(settings, place=place, system=system, identity=identity, say=output.note)
        plan = restoring.planned(vault, moment, only=base)
        facts = _plan_facts(vault, plan, moment, into)
        output.result(facts, lambda: _plan_text(facts))
        return
    vault = finding.to_read(settings, place=place, system=system, identity=identity, say=output.note)
    plan = restoring.planned(vault, moment, only=base)
    if switch:
        _refuse_switch(settings, plan)
        output.note(_plan_text(_plan_facts(vault, plan, moment, into)))
        output.note(
            "Then the restored data takes the place of the present data, which is kept beside it. What happened"
        )
        output.note("after that moment is not known any more: calls that workflows made since then may be made again.")
        confirm("Go on?", yes=yes)
    data = into or _beside(settings)
    with (
        _replaying(plan) as fetched,
        restoring.restored_to_point(
            vault, moment, data, say=output.note, only=base, database=database, fetched=fetched
        ) as (report, facts_of_server),
    ):
        try:
            opens = asyncio.run(master_keys.tried(facts_of_server, database, settings, report.base))
        except MasterKeyDiffers:
            if switch:
                raise
            opens = "differs"  # it goes to a server whose key may be elsewhere
        if switch:
            from weft.ops.home import Home
            from weft.ops.recovery.switching import take_over_password

            asyncio.run(take_over_password(facts_of_server, Home(settings.home)))
        if stay:
            _stay(facts_of_server.dsn("postgres", None, database))
    before = _switch(settings, data) if switch else None
    answer = report.as_json() | {
        "switched": switch, "before": str(before) if before else None, "master_key": opens,
    }  # fmt: skip
    output.result(
        answer, lambda: _done_text(report, settings, switched=switch, before=before, embedded=plan.base.embedded)
    )
    if opens == master_keys.NOT_HERE:
        output.note(master_keys.advice(settings))


def _database(settings: Settings) -> str:
    """The one that weft works in: every address names it."""
    from weft.ops.connections import database_of
    from weft.ops.installation import DATABASE

    known = settings.database
    addresses = (known.url, known.owner_url, known.replication_url)
    return next(filter(None, (database_of(address) for address in addresses if address is not None)), DATABASE)


def _beside(settings: Settings) -> Path:
    from weft.core.clock import utc_now

    return settings.home / f"restored-{utc_now():%Y%m%dT%H%M%S}"


def _refuse_switch(settings: Settings, plan: Plan) -> None:
    from weft.ops.home import Home
    from weft.ops.recovery.errors import SwitchRefused
    from weft.ops.recovery.switching import refuse_running

    if settings.database.url is not None:
        raise SwitchRefused("WEFT_DATABASE_URL names a server of your own. Restore --into a directory for it instead.")
    if not plan.base.embedded:
        raise SwitchRefused(
            "this is the backup of a server of your own, with its own configuration. Restore --into a directory, "
            "and start it with that server's tools."
        )
    refuse_running(Home(settings.home))


def _switch(settings: Settings, data: Path) -> Path | None:
    from weft.core.clock import utc_now
    from weft.ops.home import Home
    from weft.ops.recovery.switching import switch

    return switch(Home(settings.home), data, utc_now()).before


def _stay(address: str) -> None:
    from weft.ops.supervisor import Signals

    output.note(f"The restored server answers at {address}\nCtrl-C stops it; the directory stays.", now=True)
    with Signals() as signals:
        while not signals.stops:
            signals.wait(3600)


@contextmanager
def _replaying(plan: Plan) -> Iterator[Callable[[str], None]]:
    """Segments as they come: a bar for a terminal, nothing for others."""
    if not sys.stderr.isatty() or output.as_json():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("WAL segments"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("WAL", total=len(plan.segments))
        yield lambda _: shown.advance(task)


def _plan_facts(vault: Vault, plan: Plan, moment: Moment, into: Path | None) -> dict[str, Any]:
    from weft.ops.recovery import plan as planning
    from weft.ops.recovery.errors import shown

    size = plan.base.segment_bytes
    bases = vault.bases()
    windows = planning.windows(bases, vault.archived(size, []))
    return {
        "to": str(moment),
        "from": vault.target.address,
        "system": vault.system,
        "bases": [base.id for base in plan.chain],
        "base_ended_at": shown(plan.base.ended_at),
        "first_segment": plan.base.first.name(size),
        "last_segment": plan.reach.last.name(size),
        "segments": len(plan.segments),
        "reachable": [{"from": shown(first), "to": shown(last)} for first, last in windows],
        "bytes": plan.bytes,
        "into": str(into) if into is not None else None,
        "certain": moment.point is None or vault.point(moment.point) is not None,
    }


def _plan_text(facts: dict[str, Any]) -> str:
    lines = [
        f"To {facts['to']}, from {facts['from']}:",
        f"  base       {' + '.join(facts['bases'])}, of {facts['base_ended_at']}",
        f"  WAL        up to {facts['segments']} segments, {facts['first_segment']} to {facts['last_segment']}",
        f"  room       about {facts['bytes'] >> 20} MB, besides a few segments at a time",
    ]
    lines += [f"  reachable  {span['from']} to {span['to']}" for span in facts["reachable"]]
    if not facts["certain"]:
        lines.append(
            f"  '{facts['to']}' is not a point of `weft db wal point`: whether it exists is found while replaying,"
        )
        lines.append("  from the newest base backup back.")
    return "\n".join(lines)


def _done_text(report: Restored, settings: Settings, *, switched: bool, before: Path | None, embedded: bool) -> str:
    proof = report.proof
    lines = [
        (
            f"Restored to {report.moment} in {report.seconds:.1f} s, and proved: {proof.rows} rows in "
            f"{len(proof.tables)} tables read whole, revision {proof.revision}, row security in force."
        ),
        *(f"Note: {text}" for text in proof.warnings),
    ]
    if switched:
        kept = f" What was there lies in {before}; delete it when you do not need it any more." if before else ""
        lines.append(f"It is in its place in {settings.home}.{kept} Start it: weft up")
    elif embedded and settings.database.url is None:
        lines.append(f"It lies in {report.data}. To take it into use, stop `weft up` and repeat this with --switch.")
    else:
        lines.append(f"It lies in {report.data}, recovered. Start it with that server's own configuration.")
    return "\n".join(lines)

"""The drill: suppose the machine is gone this moment. How much is lost (RPO), and how long until it is back (RTO)?

Markers are written, a second apart, until the archive has taken in the first of them; then comes the "disaster", and
only what lies on the target counts. It is restored into a throw-away place, the markers are looked for, and all that
took is the RTO. Whatever came of it is kept beside the backups, signed, in the home, and as a row.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from weft.core.clock import Clock, utc_now
from weft.core.errors import WeftError
from weft.core.ids import new_id
from weft.db import fingerprint
from weft.db.hot import AWAY
from weft.ops.backup import catalogue, manifest, proving, sealing
from weft.ops.backup.errors import NoBackupYet
from weft.ops.backup.targets import targets_of
from weft.ops.connections import connect, database_of, with_database
from weft.ops.home import write_private
from weft.ops.installation import DATABASE, Addresses
from weft.ops.postgres import ConnectionFacts
from weft.ops.private_folders import private_folder
from weft.ops.recovery import finding, restoring, status
from weft.ops.recovery.points import mark_now
from weft.ops.recovery.proof import TABLES, TableSum, differences, sums
from weft.ops.recovery.restoring import Moment, Restored
from weft.ops.recovery.source import source_of
from weft.ops.recovery.vault import Vault
from weft.settings import Settings

if TYPE_CHECKING:
    import asyncpg

POINT_IN_TIME, LOGICAL = "POINT_IN_TIME", "LOGICAL"
FOLDER: Final = "drills"
FILE: Final = "drill.json"
_STEP: Final = 1.0
_MOST_MARKERS: Final = 10_000
_NOBODY_THERE: Final = 5.0
_ROWS_KEPT: Final = 100
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What a drill found. It passed when there are no problems."""

    kind: str
    at: datetime
    rpo_seconds: float | None
    """How much would have been lost: from the last change that was found again to the disaster; None: nothing came."""
    rto_seconds: float
    """How long it took until the database was there again, and proved."""
    rows: int
    tables: int
    base: str
    segments: int = 0
    markers_written: int = 0
    markers_found: int = 0
    exact: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        lost = round(self.rpo_seconds, 3) if self.rpo_seconds is not None else None
        rounded = {"rpo_seconds": lost, "rto_seconds": round(self.rto_seconds, 3)}
        return asdict(self) | rounded | {"at": self.at.isoformat(), "ok": self.ok}


def point_in_time(
    settings: Settings,
    addresses: Addresses,
    *,
    exact: bool = False,
    patience: float | None = None,
    identity: Path | None = None,
    say: Say,
    clock: Clock = utc_now,
) -> Report:
    """Practise a recovery from base backup and WAL. Blocking, from the main thread, not inside an event loop.

    `exact` stops writers for as long as it takes to count every table, and compares the restored tables with that.
    Whatever stops it is a drill that failed, written down as such, and raised.
    """
    writer = _in_database(addresses.admin or addresses.require_owner(), addresses)
    wait = patience if patience is not None else _patience(settings)
    with _written_down(settings, POINT_IN_TIME, writer, say, clock):
        vault = finding.to_read(settings, identity=identity, say=say)
        report = _practised(vault, addresses, writer, wait, exact=exact, say=say, clock=clock)
    record(settings, report, writer, say)
    return report


def _practised(
    vault: Vault, addresses: Addresses, writer: str, wait: float, *, exact: bool, say: Say, clock: Clock
) -> Report:
    drill = new_id()
    point = f"drill_{drill.hex[-12:]}"
    before = asyncio.run(_counted(writer, point)) if exact else None
    say("writing markers until the archive has them")
    written = _write_markers(writer, drill, vault, wait)
    problems = [] if written.arrived else [_not_arriving(wait)]
    say("the disaster: only what lies on the target counts now")
    began = time.monotonic()
    live = asyncio.run(_catalogue(writer))
    with _there_again(vault, Moment(), addresses, say) as (restored, facts):
        seconds = time.monotonic() - began
        found, catalogue_found = asyncio.run(_look(_superuser(facts, addresses), drill))
    problems += _marker_problems([number for number, _ in found])
    problems += [one.sentence() for one in fingerprint.compare(live, catalogue_found)]
    if before is not None:
        with _there_again(vault, Moment(point=point), addresses, say) as (exactly, _):
            problems += differences(before, exactly.proof.tables)
    last = max((at for _, at in found), default=vault.bases()[-1].ended_at)
    return Report(
        kind=POINT_IN_TIME,
        at=clock(),
        rpo_seconds=max(0.0, (written.last_at - last).total_seconds()),
        rto_seconds=seconds,
        rows=restored.proof.rows,
        tables=len(restored.proof.tables),
        base=restored.base,
        segments=restored.segments,
        markers_written=written.count,
        markers_found=len(found),
        exact=exact,
        problems=problems,
    )


@contextlib.contextmanager
def _there_again(
    vault: Vault, moment: Moment, addresses: Addresses, say: Say
) -> Iterator[tuple[Restored, ConnectionFacts]]:
    """What lies on the target, in a throw-away place."""
    with (
        private_folder() as directory,
        restoring.restored_to_point(
            vault, moment, directory / "data", say=say, durable=False, database=_name(addresses)
        ) as found,
    ):
        yield found


def logical(
    settings: Settings,
    addresses: Addresses | None,
    *,
    identity: Path | None = None,
    say: Say,
    clock: Clock = utc_now,
) -> Report:
    """Practise with the newest backup of `weft db backup`: it is restored and compared, and its age is the RPO."""
    writer = _in_database(addresses.admin or addresses.require_owner(), addresses) if addresses is not None else None
    with _written_down(settings, LOGICAL, writer, say, clock):
        made = catalogue.newest(catalogue.listed(settings, identity), proving.LOGICAL)
        if made is None or made.manifest is None:
            raise NoBackupYet(targets_of(settings)[0].address)
        disaster, began = clock(), time.monotonic()
        problems = []
        say(f"restoring {made.id}")
        try:
            proving.prove(settings, made.id, identity=identity, clock=clock)
        except proving.BAD as error:
            problems.append(error.message)
    report = Report(
        kind=LOGICAL,
        at=clock(),
        rpo_seconds=max(0.0, (disaster - made.manifest.started_at).total_seconds()),
        rto_seconds=time.monotonic() - began,
        rows=made.manifest.rows,
        tables=len(made.manifest.tables),
        base=made.id,
        exact=True,
        problems=problems,
    )
    record(settings, report, writer, say)
    return report


@contextlib.contextmanager
def _written_down(settings: Settings, kind: str, writer: str | None, say: Say, clock: Clock) -> Iterator[None]:
    """What stops a drill would stop a recovery, too: it is a drill that failed, and not none."""
    began = time.monotonic()
    try:
        yield
    except WeftError as error:
        failed = Report(
            kind=kind,
            at=clock(),
            rpo_seconds=None,
            rto_seconds=time.monotonic() - began,
            rows=0,
            tables=0,
            base="",
            problems=[error.message],
        )
        try:
            record(settings, failed, writer, say)
        except (WeftError, OSError, *AWAY) as other:
            say(f"that the drill failed could not be written down: {other}")
        raise


def record(settings: Settings, report: Report, writer: str | None, say: Say) -> None:
    """Keep the result in three places, the one that survives everything first."""
    key = sealing.signing_key(settings)
    name = f"{FOLDER}/{report.at:%Y%m%dT%H%M%SZ}-{report.kind.lower()}.json"
    for target in targets_of(settings):
        try:
            target.put(name, [manifest.sign(report.as_json(), key)])
        except WeftError as error:
            say(f"the result could not be written to {target.address}: {error.message}")
    place = status.directory(settings.home)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(place / FILE, json.dumps(report.as_json(), indent=2) + "\n")
    if writer is not None:
        asyncio.run(_record_row(writer, report))


# -- markers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Written:
    count: int
    last_at: datetime
    arrived: bool


def _write_markers(writer: str, drill: Any, vault: Vault, patience: float) -> _Written:
    """One at once, then one a second, until the archive is complete to the first; and one last, at the disaster."""
    pause = threading.Event()
    first_at = asyncio.run(_marker(writer, drill, 1))
    count, deadline, arrived = 1, time.monotonic() + patience, False
    while time.monotonic() < deadline and count < _MOST_MARKERS and not arrived:
        pause.wait(_STEP)
        count += 1
        asyncio.run(_marker(writer, drill, count))
        state = vault.state()
        arrived = state is not None and state.complete_to > first_at
    return _Written(count + 1, asyncio.run(_marker(writer, drill, count + 1)), arrived)


async def _marker(writer: str, drill: Any, number: int) -> datetime:
    connection = await _writing(writer)
    try:
        async with connection.transaction():
            if number == 1:
                await connection.execute("delete from weft.recovery_markers where drill <> $1", drill)
            at: datetime = await connection.fetchval(
                "/* weft:recovery.marker */ insert into weft.recovery_markers (drill, number, at)"
                " values ($1, $2, clock_timestamp()) returning at",
                drill,
                number,
            )
        return at
    finally:
        await connection.close()


async def _look(dsn: str, drill: Any) -> tuple[list[tuple[int, datetime]], fingerprint.Fingerprint]:
    connection = await connect(dsn, application="weft drill")
    try:
        rows = await connection.fetch(
            "select number, at from weft.recovery_markers where drill = $1 order by number", drill
        )
        return [(row["number"], row["at"]) for row in rows], await fingerprint.take(connection)
    finally:
        await connection.close()


def _marker_problems(numbers: list[int]) -> list[str]:
    """Those found must be the first ones, without a hole: a later one without an earlier would be damage, not loss."""
    if not numbers:
        return ["no marker was found again"]
    if numbers != list(range(1, len(numbers) + 1)):
        return [f"markers are missing in the middle: found {len(numbers)} up to number {numbers[-1]}"]
    return []


def _patience(settings: Settings) -> float:
    """Seconds that the archive may take. When nobody takes in the WAL now, waiting would only delay the verdict."""
    slot = source_of(settings).slot(settings.wal.slot)
    return 30.0 + 3 * settings.wal.ship_seconds if slot is not None and slot.active else _NOBODY_THERE


def _not_arriving(seconds: float) -> str:
    return (
        f"the archive took in nothing within {seconds:.0f} s: see whether `weft db wal run` runs (weft db wal status); "
        "WEFT_WAL_ARCHIVE=true lets `weft up` do it"
    )


# -- exactly the same ------------------------------------------------------------------------------------------


async def _counted(writer: str, point: str) -> dict[str, TableSum]:
    """Every table, counted while nobody writes, and a restore point at that very moment."""
    connection = await _writing(writer)
    try:
        async with connection.transaction():
            tables = [row[0] for row in await connection.fetch(TABLES)]
            await connection.execute(f"set local lock_timeout = '10s'; lock table {', '.join(tables)} in share mode")
            found = await sums(connection)
            await mark_now(connection, point)
        return found
    finally:
        await connection.close()


# -- connections -----------------------------------------------------------------------------------------------


async def _writing(writer: str) -> asyncpg.Connection:
    """As somebody who may write what no tenant owns."""
    connection = await connect(writer, application="weft drill")
    await connection.execute("set app.maintenance = 'on'")
    return connection


async def _catalogue(writer: str) -> fingerprint.Fingerprint:
    connection = await connect(writer, application="weft drill")
    try:
        return await fingerprint.take(connection)
    finally:
        await connection.close()


async def _record_row(writer: str, report: Report) -> None:
    connection = await _writing(writer)
    try:
        async with connection.transaction():
            await connection.execute(
                "insert into weft.recovery_drills (id, kind, at, ok, rpo_seconds, rto_seconds, detail)"
                " values ($1, $2, $3, $4, $5, $6, $7)",
                new_id(), report.kind, report.at, report.ok, report.rpo_seconds, report.rto_seconds,
                json.dumps(report.as_json()),
            )  # fmt: skip
            await connection.execute(
                "delete from weft.recovery_drills where id not in"
                " (select id from weft.recovery_drills order by at desc, id desc limit $1)",
                _ROWS_KEPT,
            )
    finally:
        await connection.close()


def _name(addresses: Addresses) -> str:
    return database_of(addresses.app) or DATABASE


def _in_database(dsn: str, addresses: Addresses) -> str:
    return with_database(dsn, _name(addresses))


def _superuser(facts: ConnectionFacts, addresses: Addresses) -> str:
    return facts.dsn("postgres", None, _name(addresses))

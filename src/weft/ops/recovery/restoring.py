"""A restore to a moment: a new data directory beside the old one, recovered and proved. What runs is not touched.

1  the plan: which base, which WAL, how much room                 nothing is written
2  the base, and what builds on it: decrypted, unpacked and compared with its manifest; increments are combined
3  a server of its own on that directory, reachable through one socket only, replays the WAL up to the moment
4  the proof: revision, row security, every table read whole
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from weft.ops import postgres_files as files
from weft.ops import postgres_user
from weft.ops.installation import DATABASE
from weft.ops.postgres import ConnectionFacts, ServerDidNotStart, serving
from weft.ops.postgres_files import Programs
from weft.ops.postgres_user import RunAs
from weft.ops.private_folders import private_folder
from weft.ops.recovery import plan as planning
from weft.ops.recovery.errors import (
    BaseDamaged,
    BasesNotBelieved,
    MomentInvalid,
    MomentNotReached,
    NoBases,
    PlaceTaken,
    RecoveryFailed,
    RestorePointMissing,
    ServerProgramFailed,
    SpaceMissing,
    WalUnreadable,
    shown,
)
from weft.ops.recovery.plan import Base, Plan
from weft.ops.recovery.proof import Proof, prove
from weft.ops.recovery.relay import Relay
from weft.ops.recovery.segments import Segment
from weft.ops.recovery.source import server_programs
from weft.ops.recovery.tar import TarDamaged, TarUnpack
from weft.ops.recovery.vault import Piece, Vault

_TRIES: Final = 5
_HOURS: Final = 24 * 3600.0
_POINT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,62}\Z")
_NOT_REACHED: Final = "recovery ended before configured recovery target was reached"
_LIMITS: Final = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a restore goes: a time, a restore point's name, or as far as the WAL goes."""

    at: datetime | None = None
    point: str | None = None

    @staticmethod
    def of(text: str) -> Moment:
        """What people write. A time needs its offset: 10:00 is another moment in every zone."""
        if text == "latest":
            return Moment()
        if text[:1].isdigit():
            try:
                at = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", text))
            except ValueError:
                raise MomentInvalid(text) from None
            if at.tzinfo is None:
                raise MomentInvalid(text)
            return Moment(at=at.astimezone(UTC))
        if not _POINT.match(text):
            raise MomentInvalid(text)
        return Moment(point=text)

    def __str__(self) -> str:
        return shown(self.at) if self.at is not None else self.point or "latest"


@dataclass(frozen=True, slots=True)
class Restored:
    """A data directory that was recovered and proved."""

    data: Path
    moment: str
    base: str
    segments: int
    last_commit: datetime | None
    proof: Proof
    seconds: float

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self) | {"data": str(self.data), "proof": self.proof.as_json()}
        return facts | {"last_commit": self.last_commit.isoformat() if self.last_commit else None}


def planned(
    vault: Vault,
    moment: Moment,
    *,
    only: str | None = None,
    without: frozenset[str] = frozenset(),
    troubles: list[str] | None = None,
) -> Plan:
    """What a restore to `moment` would use; changes nothing. `only` names one base, `without` some to leave away.

    `troubles` gets what cannot be believed and is not needed. To go as far as possible everything is: then it raises.
    """
    troubles = troubles if troubles is not None else []
    bases = vault.bases(troubles)
    if not bases:
        raise BasesNotBelieved(vault.target.address, troubles) if troubles else NoBases(vault.target.address)
    chosen = [base for base in bases if base.id not in without]
    is_latest = moment == Moment()
    archived = vault.archived(bases[-1].segment_bytes, None if is_latest else troubles)
    if moment.point is not None and only is None and (point := vault.point(moment.point)) is not None:
        state = vault.state(troubles)
        return planning.choose_for_point(chosen, archived, point, state.position if state is not None else None)
    if moment.point is not None:  # nobody knows when it was: from the newest base back, and holes are found on the way
        newest = (
            max(chosen, key=lambda base: base.ended_at) if only is None else next(b for b in chosen if b.id == only)
        )
        return Plan(planning.chain(bases, newest), planning.reach(newest, archived))
    return planning.choose(chosen, archived, moment.at, only=only)


@contextlib.contextmanager
def restored(
    vault: Vault,
    plan: Plan,
    moment: Moment,
    data: Path,
    *,
    say: Say,
    durable: bool = True,
    database: str = DATABASE,
    fetched: Callable[[str], None] = lambda _: None,
    only_at: int | None = None,
) -> Iterator[tuple[Restored, ConnectionFacts]]:
    """Make `data`, recover it and prove it; its server runs while the block does. From the main thread.

    Raises `PlaceTaken`, `SpaceMissing`, what is wrong with a piece, `MomentNotReached` or `RecoveryFailed`; then
    nothing is left of `data`. `only_at`: refuse (`MomentNotReached`) if the archive has gone on from that position.
    """
    began = time.monotonic()
    _require_room(data, plan)
    programs = server_programs(plan.base.major)
    run_as = postgres_user.choose(data)
    programs.open_to(run_as)
    try:
        with (
            _work_beside(data, run_as) as work,
            # First of all, so that what is the newest is settled before the long work begins.
            Relay(vault, plan.reach, work / "wal", run_as, fetched=fetched) as relay,
        ):
            if only_at is not None and relay.position != only_at:
                raise MomentNotReached("the archive has gone on meanwhile")
            _unpack_chain(vault, plan, programs, data, work, run_as, say)
            sockets = files.socket_directory(work / "run", run_as)
            arguments = _settings(plan.base, programs, data, work, sockets, run_as, moment, durable=durable)
            arguments += ["-c", f"restore_command={relay.command}"]
            say(f"replaying WAL to {moment}")
            with _recovering(programs, data, work / "postgres.log", sockets, arguments, relay) as facts:
                proof = asyncio.run(prove(facts, database))
                if moment == Moment():
                    _require_whole(plan, proof.replayed)
                seconds = time.monotonic() - began
                yield (
                    Restored(data, str(moment), plan.base.id, relay.segments, proof.last_commit, proof, seconds),
                    facts,
                )
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise


def _require_room(data: Path, plan: Plan) -> None:
    if data.exists():
        raise PlaceTaken(data)
    files.refuse_full_disk(data)
    if (free := files.free_bytes(data)) < plan.bytes + files.NEEDED_BYTES:
        raise SpaceMissing(data, plan.bytes + files.NEEDED_BYTES, free)


@contextlib.contextmanager
def _work_beside(data: Path, run_as: RunAs | None) -> Iterator[Path]:
    """A private directory on the same disk, for the time of the restore. What a killed one left goes first."""
    data.parent.mkdir(parents=True, exist_ok=True)
    with private_folder(data.parent) as folder:
        work = folder / "work"
        work.mkdir(mode=0o700)
        postgres_user.hand_over(work, run_as)
        postgres_user.let_in(work / "any", run_as)
        yield work


def _require_whole(plan: Plan, replayed: int) -> None:
    """What cannot be read in the middle of the log looks to the server like its end: so the end is compared.

    The last segment may hold no whole record yet; then the end lies in the one before.
    """
    last = plan.reach.last
    if replayed < (last.number - 1) * plan.base.segment_bytes:
        stopped = Segment.at(last.timeline, replayed, plan.base.segment_bytes)
        raise WalUnreadable(stopped.name(plan.base.segment_bytes), last.name(plan.base.segment_bytes))


def restored_to_point(
    vault: Vault, moment: Moment, data: Path, *, say: Say, only: str | None = None, **options: Any
) -> contextlib.AbstractContextManager[tuple[Restored, ConnectionFacts]]:
    """The same for any moment. A restore point's base is looked for from the newest back."""
    return _restored_to_point(vault, moment, data, say=say, only=only, options=options)


@contextlib.contextmanager
def _restored_to_point(
    vault: Vault, moment: Moment, data: Path, *, say: Say, only: str | None, options: dict[str, Any]
) -> Iterator[tuple[Restored, ConnectionFacts]]:
    tried: set[str] = set()
    wanted, only_at, tries = moment, None, 0
    told: set[str] = set()
    while True:
        troubles: list[str] = []
        plan = planned(vault, moment, only=only, without=frozenset(tried), troubles=troubles)
        state = vault.state([])
        for text in [text for text in troubles if text not in told]:
            say(f"left aside: {text}")
            told.add(text)
        with contextlib.ExitStack() as stack:
            try:
                made = stack.enter_context(restored(vault, plan, wanted, data, say=say, only_at=only_at, **options))
            except MomentNotReached:
                if moment.point is not None:
                    tried.add(plan.base.id)
                    if only is not None or len(tried) == len(vault.bases()):
                        raise RestorePointMissing(moment.point, len(tried)) from None
                    say(f"'{moment.point}' does not come after {plan.base.id}; trying an earlier base")
                elif plan.reach.gap is not None or state is None or (tries := tries + 1) > _TRIES:
                    raise
                else:
                    # The archive is complete to the moment, and ends before it: nothing was committed in between. So
                    # its end is that moment, as long as it does not go on; when it does, the moment can be found.
                    goes_on = (after := vault.state([])) is None or after.position != state.position
                    wanted, only_at = (moment, None) if goes_on else (Moment(), state.position)
                    say("nothing was committed shortly before that moment; going to the end of the archive")
                continue
            report, facts = made
            yield replace(report, moment=str(moment)), facts
            return


def _unpack_chain(
    vault: Vault, plan: Plan, programs: Programs, data: Path, work: Path, run_as: RunAs | None, say: Say
) -> None:
    if len(plan.chain) == 1:
        _unpack(vault, plan.base, data, run_as, say)
        return
    parts = []
    for number, base in enumerate(plan.chain):
        _unpack(vault, base, work / f"part-{number}", run_as, say)
        parts.append(work / f"part-{number}")
    say(f"combining {len(parts)} base backups")
    data.mkdir(mode=0o700)
    postgres_user.hand_over(data, run_as)
    command = [str(programs.directory / "pg_combinebackup"), "--no-sync", "-o", str(data), *map(str, parts)]
    if plan.base.major >= 18:
        command.insert(1, "--link")  # the parts go away afterwards
    files.run_program(command, run_as)
    for part in parts:
        shutil.rmtree(part)


def _unpack(vault: Vault, base: Base, place: Path, run_as: RunAs | None, say: Say) -> None:
    say(f"unpacking {'incremental' if base.parent else 'full'} base {base.id} ({base.bytes >> 20} MB)")
    place.mkdir(mode=0o700)
    postgres_user.hand_over(place, run_as)
    postgres_user.let_in(place / "any", run_as)
    piece = Piece.from_json(vault.read(f"base/{base.id}/base.json")["piece"])
    unpack = TarUnpack(place, run_as)
    try:
        vault.open_to(piece, unpack)  # type: ignore[arg-type]  # it is written to, no more
        unpack.check()
    except TarDamaged as error:
        raise BaseDamaged(base.id, str(error)) from error
    finally:
        unpack.close()


def _settings(
    base: Base,
    programs: Programs,
    data: Path,
    work: Path,
    sockets: Path,
    run_as: RunAs | None,
    moment: Moment,
    *,
    durable: bool,
) -> list[str]:
    """Arguments for the time of the recovery: nothing of it stays in the directory, and nothing there matters to it."""
    own = {"postgresql.conf": "", "hba.conf": "local all all trust\n", "ident.conf": ""}
    for name, text in own.items():
        (work / name).write_text(text)
        postgres_user.hand_over(work / name, run_as)
    (data / "recovery.signal").touch(mode=0o600)
    postgres_user.hand_over(data / "recovery.signal", run_as)
    settings = {
        "config_file": str(work / "postgresql.conf"),
        "hba_file": str(work / "hba.conf"),
        "ident_file": str(work / "ident.conf"),
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "port": str(files.PORT),
        "shared_preload_libraries": "",
        "ssl": "off",
        "archive_mode": "off",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "synchronous_standby_names": "",
        "hot_standby": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "autovacuum": "off",
        "fsync": "on" if durable else "off",
        "max_wal_size": "4GB",
        "recovery_target_timeline": str(base.timeline),
        "recovery_target_action": "promote",
        **_limits(programs, data, run_as),
    }
    if moment.at is not None:
        settings["recovery_target_time"] = moment.at.isoformat(sep=" ")
    if moment.point is not None:
        settings["recovery_target_name"] = moment.point
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _limits(programs: Programs, data: Path, run_as: RunAs | None) -> dict[str, str]:
    """What the server that wrote the WAL allowed: recovery stops where less is allowed."""
    said = files.run_program([str(programs.directory / "pg_controldata"), "-D", str(data)], run_as)
    lines = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in said.splitlines())}
    limits = {setting: lines[label] for setting, label in _LIMITS.items() if label in lines}
    return limits | {"max_wal_senders": str(max(1, int(limits.get("max_wal_senders", "10"))))}


@contextlib.contextmanager
def _recovering(
    programs: Programs, data: Path, log: Path, sockets: Path, arguments: list[str], relay: Relay
) -> Iterator[ConnectionFacts]:
    with contextlib.ExitStack() as stack:
        try:
            facts = stack.enter_context(serving(programs, data, log, sockets, arguments=arguments, timeout=_HOURS))
        except (ServerDidNotStart, subprocess.SubprocessError) as error:
            if relay.error is not None:
                raise relay.error from error
            said = log.read_text(errors="replace") if log.exists() else str(error)
            if _NOT_REACHED in said:
                raise MomentNotReached(_last_commit(said)) from error
            raise RecoveryFailed(log, "\n".join(said.strip().splitlines()[-6:])) from error
        yield facts


def _last_commit(said: str) -> str:
    found = re.findall(r"last completed transaction was at log time (.+)", said)
    return f"the last change in it is of {found[-1]}" if found else "it holds no change after its base backup"


__all__ = ["Moment", "Restored", "ServerProgramFailed", "planned", "restored", "restored_to_point"]

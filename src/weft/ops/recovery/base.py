"""Base backups: the whole cluster as one sealed archive, or what changed since an earlier one.

`pg_basebackup` streams; on the way every file is compared with the manifest that comes last, the stream is sealed
and goes to the target. So nothing is kept on a disk here, and what does not fit its manifest never becomes a backup.
Each base carries the WAL that it needs to be consistent: it can be restored alone, too.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from weft.core.clock import Clock, utc_now
from weft.core.errors import WeftError
from weft.ops.backup import manifest as manifests
from weft.ops.backup.errors import BackupPlaceUnreachable
from weft.ops.backup.targets import PARTS_KEPT
from weft.ops.home import write_private
from weft.ops.recovery import plan, vault
from weft.ops.recovery.errors import BaseDamaged, BasesUnreadable, NoBaseToBuildOn, ServerProgramFailed
from weft.ops.recovery.plan import Base
from weft.ops.recovery.segments import lsn
from weft.ops.recovery.source import ServerFacts, Source, replication_refusal, require_archivable, require_summaries
from weft.ops.recovery.tar import TarDamaged, TarWatch
from weft.ops.recovery.vault import Vault
from weft.settings_recovery import WalSettings

_CHUNK: Final = 1 << 18
_MANIFESTS: Final = "manifests"

Progress = Callable[[int], None]
"""Hears how many bytes came so far."""


def make(
    source: Source,
    facts: ServerFacts,
    vaults: Sequence[Vault],
    place: Path,
    *,
    incremental: bool,
    progress: Progress | None = None,
    say: Callable[[str], None],
    clock: Clock = utc_now,
) -> Base:
    """Make one on the first target and copy it to the others; raises before anything looks whole.

    An incremental one builds on the newest base of this timeline whose manifest is still in `place`.
    """
    require_archivable(facts)
    parent = _parent(vaults[0].bases(), facts, place) if incremental else None
    if incremental:
        require_summaries(facts)
    base_id = manifests.new_id(clock())
    started_at = source.position()[1]
    watch = TarWatch()
    arguments = _arguments(base_id, _manifest_file(place, parent.id) if parent is not None else None)
    command, environment = source.command(source.programs(facts.major), "pg_basebackup", *arguments)
    piece = vaults[0].seal(
        f"base/{base_id}/base.tar", _streamed(command, environment, watch, base_id, facts.role, progress)
    )
    ranges = _ranges(watch.check(), base_id)
    base = Base(
        id=base_id,
        parent=parent.id if parent is not None else None,
        system=facts.system,
        timeline=ranges["Timeline"],
        start_lsn=lsn(ranges["Start-LSN"]),
        end_lsn=lsn(ranges["End-LSN"]),
        started_at=started_at,
        ended_at=source.position()[1],
        major=facts.major,
        segment_bytes=facts.segment_bytes,
        bytes=watch.total,
        sealed_bytes=piece.bytes,
        sha256=piece.sha256,
        embedded=source.embedded,
    )
    _remember(place, base_id, watch.manifest)
    vaults[0].note(f"base/{base_id}/base.json", {"base": base.as_json(), "piece": piece.as_json()})
    _copy(vaults, say)
    return base


def _arguments(base_id: str, before: Path | None) -> list[str]:
    """What pg_basebackup is told. `before` is the manifest of the base that an incremental one builds on."""
    told = ["-D", "-", "-Ft", "-X", "fetch", "-c", "fast", "--manifest-checksums=SHA256", f"--label=weft {base_id}"]
    return told if before is None else [*told, f"--incremental={before}"]


def _copy(vaults: Sequence[Vault], say: Callable[[str], None]) -> None:
    for other in vaults[1:]:
        try:
            vault.copy_missing(vaults[0], other, set(), say)
        except WeftError as error:  # it is made; the archiver, or the next base, copies it again
            say(f"not copied to {other.target.address} yet: {error.message}")


def may_be_incremental(facts: ServerFacts, bases: Sequence[Base], place: Path, full_days: float, now: datetime) -> bool:
    """Whether the next base may build on an earlier one, or a full one is due."""
    if facts.major < 17 or not facts.summarize_wal:
        return False
    try:
        parent = _parent(bases, facts, place)
    except NoBaseToBuildOn:
        return False
    return now - plan.chain(bases, parent)[0].ended_at < timedelta(days=full_days)


def prune(
    vaults: Sequence[Vault], place: Path, options: WalSettings, now: datetime, *, dry_run: bool = False
) -> plan.Expendable:
    """Delete bases and WAL that nothing within the settings needs; hands back what it was (or would be).

    Each target is looked at by itself, so a copy that was away catches up with the next time. Raises
    `BasesUnreadable`: a base whose note cannot be read may need anything that lies there.
    """
    gone = _prune_one(vaults[0], options, now, dry_run=dry_run)
    if dry_run:
        return gone
    for base in gone.bases:
        _manifest_file(place, base.id).unlink(missing_ok=True)
    for other in vaults[1:]:
        with contextlib.suppress(BackupPlaceUnreachable, BasesUnreadable):
            _prune_one(other, options, now, dry_run=False)
    return gone


def _prune_one(one: Vault, options: WalSettings, now: datetime, *, dry_run: bool) -> plan.Expendable:
    troubles: list[str] = []
    bases = one.bases(troubles)
    if troubles:
        raise BasesUnreadable(one.target.address, troubles)
    if not bases:
        return plan.Expendable((), ())
    size = bases[-1].segment_bytes
    keep = timedelta(days=options.keep_days)
    gone = plan.expendable(bases, one.archived(size).shipped, now, keep=keep, at_least=options.keep_bases)
    if not dry_run:
        # Notes first: from then on it is not there, whatever happens between.
        one.delete([f"base/{base.id}/base.json" for base in gone.bases])
        one.delete([f"base/{base.id}/base.tar" for base in gone.bases])
        names = [f"wal/{segment.name(size)}" for segment in gone.segments]
        one.delete([name + vault.NOTE for name in names])
        one.delete(names)
        one.delete(_without_note(one, now))
    return gone


def _without_note(one: Vault, now: datetime) -> list[str]:
    """What somebody who was killed left: written and not noted, or its note deleted and not itself. A day old."""
    found = [*one.listed("base/"), *one.listed("wal/")]
    names = {each.name for each in found}
    return [
        each.name
        for each in found
        if each.modified < now - PARTS_KEPT
        and not each.name.endswith(vault.NOTE)
        and ".partial." not in each.name  # named by the state, and replaced with it
        and _note_of(each.name) not in names
    ]


def _note_of(name: str) -> str:
    return name.removesuffix(".tar") + vault.NOTE if name.startswith("base/") else name + vault.NOTE


def _streamed(
    command: list[str],
    environment: dict[str, str],
    watch: TarWatch,
    base_id: str,
    role: str,
    progress: Progress | None,
) -> Iterator[bytes]:
    """What the program sends; the last thing it does is to compare everything with the manifest."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - a program of PostgreSQL's
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd="/"
        ) as process,
    ):
        assert process.stdout is not None, "it is a pipe"  # noqa: S101 - a fact, for the type checker
        complete = False
        try:
            while chunk := process.stdout.read(_CHUNK):
                watch.feed(chunk)
                if progress is not None:
                    progress(watch.total)
                yield chunk
            complete = True
        except TarDamaged as error:
            raise BaseDamaged(base_id, str(error)) from error
        finally:
            if not complete:  # nobody reads on
                process.kill()
        if process.wait() != 0:
            _refuse(errors, role)
        try:
            watch.check()
        except TarDamaged as error:
            raise BaseDamaged(base_id, str(error)) from error


def _refuse(errors: IO[bytes], role: str) -> None:
    errors.seek(0)
    said = errors.read(64 * 1024).decode(errors="replace")
    raise replication_refusal(said, role) or ServerProgramFailed("pg_basebackup", said)


def _ranges(manifest: dict[str, Any], base_id: str) -> dict[str, Any]:
    ranges = manifest.get("WAL-Ranges") or []
    if not ranges:
        raise BaseDamaged(base_id, "its manifest names no WAL")
    newest: dict[str, Any] = max(ranges, key=lambda one: one["Timeline"])
    return newest


def _parent(bases: Sequence[Base], facts: ServerFacts, place: Path) -> Base:
    ours = [base for base in bases if base.timeline == facts.timeline]
    if not ours:
        raise NoBaseToBuildOn("there is none on this timeline")
    newest = max(ours, key=lambda base: base.ended_at)
    if not _manifest_file(place, newest.id).is_file():
        raise NoBaseToBuildOn(f"the list of files of {newest.id} is not on this machine")
    return newest


def _manifest_file(place: Path, base_id: str) -> Path:
    return place / _MANIFESTS / base_id


def _remember(place: Path, base_id: str, manifest: bytearray) -> None:
    """Keep the list of files here, in the clear: increments need it, and the secret key may be offline."""
    folder = place / _MANIFESTS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / base_id, manifest.decode())


def age(base: Base, now: datetime) -> timedelta:
    return now.astimezone(UTC) - base.ended_at

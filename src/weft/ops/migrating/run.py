"""One migration of an installation: refused early, backed up where the environment wants it, told while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import asyncpg

from weft.core.errors import Conflict
from weft.db import migrate
from weft.db.migrate import Options, Progress
from weft.db.operation_tables import RevisionKind
from weft.db.revisions import Revision
from weft.ops import environments, profiles
from weft.ops.connections import connect, database_of, with_database
from weft.ops.environments import Action, Verdict
from weft.ops.installation import Addresses
from weft.ops.migrating.plan import Plan
from weft.settings import Settings

Say = Callable[[str], None]


class BackupReport(Protocol):
    """What is known of a backup that was made. `path` is where it lies, in the words of its target."""

    @property
    def path(self) -> str: ...
    @property
    def verified(self) -> bool: ...


class BackupMaker(Protocol):
    """Whoever makes a backup and proves it by restoring it. Raises when it cannot."""

    async def make(self, reason: str) -> BackupReport: ...


class BackupMissing(Conflict):
    code = "backup_missing"

    def __init__(self) -> None:
        super().__init__(
            "A migration of a production database wants a verified backup first, and this installation has nothing "
            "that makes one. Set one up, or say why there is none: --no-backup 'the reason'; the reason is recorded."
        )


class BackupUnverified(Conflict):
    code = "backup_unverified"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The backup before the migration was made ({path}), but restoring it did not give the same rows, so "
            "nothing was migrated. `weft doctor` may say why; --no-backup 'the reason' goes on without one."
        )


class MigrationHindered(Conflict):
    code = "migration_hindered"

    def __init__(self, obstacles: Sequence[str], clear_to: str | None) -> None:
        listed = "".join(f"\n  - {obstacle}" for obstacle in obstacles)
        before = f"\n`weft db migrate --to {clear_to}` applies what comes before." if clear_to else ""
        super().__init__(f"Nothing was changed, because the migration would stop half way:{listed}{before}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did."""

    before: str | None
    after: str | None
    applied: tuple[Revision, ...]
    backup: str | None = None
    restore_point: str | None = None


def options_of(settings: Settings) -> Options:
    """The settings' patience, for `weft.db.migrate`."""
    chosen = settings.migrate
    return Options(
        lock=chosen.lock_seconds,
        attempts=chosen.attempts,
        turn=chosen.turn_seconds,
        statement={
            RevisionKind.expand: chosen.expand_seconds,
            RevisionKind.backfill: chosen.backfill_seconds,
            RevisionKind.contract: chosen.contract_seconds,
        },
    )


def directories_of(settings: Settings) -> tuple[Path, ...]:
    """Where more revisions lie."""
    return tuple(Path(folder).expanduser().absolute() for folder in settings.migrate.directories)


def backup_maker(settings: Settings, addresses: Addresses) -> BackupMaker:
    """What makes backups of this installation, and proves each by a restore."""
    return _Backups(settings, addresses)


@dataclass(frozen=True, slots=True)
class _Backups:
    """Backups by `weft.ops.backup`, which has an event loop of its own and is therefore called in a thread."""

    settings: Settings
    addresses: Addresses

    async def make(self, reason: str) -> BackupReport:
        from weft.ops.backup import making  # only where one is made

        return await asyncio.to_thread(making.make, self.settings, self.addresses, reason=reason, prove=True)


async def run(
    settings: Settings,
    addresses: Addresses,
    plan: Plan,
    *,
    maker: BackupMaker | None = None,
    no_backup: str | None = None,
    say: Say = lambda _: None,
    tell: migrate.Tell | None = None,
) -> Outcome:
    """Carry a plan out. `no_backup` is the reason for going without one, kept in the history.

    Raises `MigrationHindered`, `BackupMissing`, `BackupUnverified`, and what `weft.db.migrate.upgrade` raises.
    """
    owner = addresses.require_owner()
    if not plan.revisions:
        return Outcome(plan.at, plan.at, ())
    if plan.obstacles:
        raise MigrationHindered(plan.obstacles, plan.clear_to)
    options = replace(options_of(settings), reason=no_backup)
    if plan.at is not None:  # an empty database has nothing to keep
        profile = await profiles.in_force(owner, settings.profile)
        backup = await _backup(profile, plan, maker, no_backup, say)
        point = await _restore_point(addresses, plan, say)
        options = replace(options, backup=backup, restore_point=point)
    applied = await migrate.upgrade(
        owner, plan.target, directories=directories_of(settings), options=options, tell=tell or _silent
    )
    await profiles.keep(owner, settings.profile)
    after = await migrate.current(owner)
    return Outcome(plan.at, after, tuple(applied), options.backup, options.restore_point)


async def _backup(profile: str, plan: Plan, maker: BackupMaker | None, no_backup: str | None, say: Say) -> str | None:
    if environments.RULES[Action.migrate_without_backup].verdict(profile) is Verdict.allowed or no_backup:
        return None
    if maker is None:
        raise BackupMissing
    say("making a backup, and restoring it to be sure of it")
    report = await maker.make(f"before migrating from {plan.at} to {plan.revisions[-1].revision.id}")
    if not report.verified:
        raise BackupUnverified(report.path)
    say(f"backup {report.path} is verified")
    return report.path


async def _restore_point(addresses: Addresses, plan: Plan, say: Say) -> str | None:
    """A name in the write-ahead log that a point-in-time recovery can stop at, where the server lets us."""
    name = f"weft_before_{plan.revisions[0].revision.id}"[:63]
    owner = addresses.require_owner()
    known = [owner]
    if addresses.admin is not None:
        known.append(with_database(addresses.admin, database_of(owner)))
    said = ""
    for dsn in known:
        connection = await connect(dsn, application="weft db migrate")
        try:
            place = await connection.fetchval("select pg_create_restore_point($1)::text", name)
        except asyncpg.PostgresError as error:
            said = str(error).splitlines()[0]
        else:
            say(f"restore point {name} at {place}")
            return name
        finally:
            await connection.close()
    say(f"no restore point: {said}")
    return None


def describe(progress: Progress) -> str:
    """A line for people. Empty for what need not be said."""
    revision = progress.revision
    if revision is None:
        return "another migration of this database runs; waiting for it"
    match progress.what:
        case "begun":
            verb = "applying" if progress.up else "taking back"
            return f"{verb} {revision.id} ({revision.kind}): {revision.title}"
        case "locked":
            return (
                f"  {revision.id}: a lock was not given, attempt {progress.attempt}; traffic goes first, trying again"
            )
        case "done":
            return f"  {revision.id} done after {progress.seconds:.1f} s"
        case _:
            return ""


def _silent(_progress: Progress) -> None:
    return None

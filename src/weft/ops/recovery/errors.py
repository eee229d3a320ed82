"""How recovery says no."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from weft.core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable


class WalNotConfigured(Invalid):
    code = "wal_not_configured"

    def __init__(self) -> None:
        super().__init__(
            "This database is a server of your own, and no address for replication is set. Set "
            "WEFT_DATABASE_REPLICATION_URL (a role with REPLICATION); docs/guides/recovery.md says how to make it."
        )


class ReplicationRefused(Forbidden):
    code = "replication_refused"

    def __init__(self, role: str, said: str) -> None:
        super().__init__(
            f"The server does not let '{role}' replicate ({said.strip()}). It needs the attribute REPLICATION "
            f'(alter role "{role}" replication) and a line for "replication" in pg_hba.conf. Managed clouds '
            "often give neither: use their own point-in-time recovery there, and `weft db backup` beside it."
        )


class WalLevelTooLow(Conflict):
    code = "wal_level_too_low"

    def __init__(self, level: str) -> None:
        super().__init__(
            f"The server runs with wal_level = {level}, which leaves out what a restore needs. "
            "Run: alter system set wal_level = 'replica'; and restart the server."
        )


class SummariesOff(Conflict):
    code = "wal_summaries_off"

    def __init__(self) -> None:
        super().__init__(
            "An incremental base backup needs WAL summaries. Run: alter system set summarize_wal = on; "
            "select pg_reload_conf(); then make one full base backup."
        )


class IncrementalTooOld(Conflict):
    code = "incremental_unsupported"

    def __init__(self, major: int) -> None:
        super().__init__(
            f"The server is PostgreSQL {major}; incremental base backups need 17 or newer. Leave --incremental away."
        )


class NoBaseToBuildOn(Conflict):
    code = "incremental_without_base"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"An incremental base backup needs an earlier one, and {reason}. Leave --incremental away once."
        )


class ProgramsTooOld(Unavailable):
    code = "postgresql_programs_missing"

    def __init__(self, major: int, *, tls: bool, exactly: bool = False) -> None:
        wanted = f"PostgreSQL {major}" if exactly else f"PostgreSQL {major} or newer"
        why = ", with TLS, which the programs that come with weft do not speak" if tls else ""
        super().__init__(
            f"This needs the programs of {wanted}{why}. Install them (on Debian: the package postgresql-{major}) "
            "where they are found: on the PATH or in /usr/lib/postgresql."
        )


class ServerProgramFailed(Unavailable):
    code = "server_program_failed"

    def __init__(self, program: str, said: str) -> None:
        lines = said.strip().splitlines()
        super().__init__(f"{program} failed: {lines[-1] if lines else 'it said nothing'}")


class BaseDamaged(Conflict):
    code = "base_backup_damaged"

    def __init__(self, base: str, fact: str) -> None:
        super().__init__(f"The base backup {base} is damaged: {fact}. Use an earlier one, or another copy of it.")


class BasesUnreadable(Conflict):
    code = "base_backups_unreadable"

    def __init__(self, address: str, facts: list[str]) -> None:
        super().__init__(
            f"Nothing is deleted in {address}: the notes of {len(facts)} base backups cannot be believed, and they may "
            f"need what lies there. {' '.join(facts[:3])} Delete those folders, or bring the notes back from a copy."
        )


class BasesNotBelieved(Conflict):
    code = "base_backups_not_believed"

    def __init__(self, address: str, facts: list[str]) -> None:
        super().__init__(
            f"None of the {len(facts)} base backups in {address} can be used, for their notes are not believed here: "
            f"{facts[0]}"
        )


class BaseNotFound(NotFound):
    code = "base_backup_not_found"

    def __init__(self, base: str) -> None:
        super().__init__(f"There is no base backup '{base}'. `weft db wal bases` lists those that there are.")


class NoBases(NotFound):
    code = "base_backup_missing"

    def __init__(self, where: str) -> None:
        super().__init__(
            f"There is no base backup in {where}, so no moment can be reached. Make one with `weft db wal base`."
        )


class SystemAmbiguous(Invalid):
    code = "system_ambiguous"

    def __init__(self, systems: list[str]) -> None:
        super().__init__(
            f"The target holds {len(systems)} database clusters. Say which with --system: {', '.join(systems)}."
        )


class MomentInvalid(Invalid):
    code = "moment_invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"'{text}' is not a moment. Write 2026-11-25 10:00:00+00 (with its offset), latest, "
            "or the name of a restore point."
        )


class RestorePointNameInvalid(Invalid):
    code = "restore_point_name_invalid"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"'{name}' cannot be the name of a restore point: it begins with a letter or _, and has up to 63 letters, "
            "digits and _ . : - without a space. `latest` is taken."
        )


class MomentOutside(Conflict):
    code = "moment_outside"

    def __init__(self, moment: datetime, windows: list[tuple[datetime, datetime]]) -> None:
        spans = "; ".join(f"{shown(first)} to {shown(last)}" for first, last in windows)
        super().__init__(f"{shown(moment)} cannot be reached. What can: {spans}.")


class SegmentMissing(Conflict):
    code = "wal_segment_missing"

    def __init__(self, segment: str, until: datetime) -> None:
        super().__init__(
            f"The WAL segment {segment} is missing, and with it everything after it until the next base backup. "
            f"The last moment before it that can be reached is about {shown(until)}: restore --to that, or to "
            "a moment after a later base backup."
        )


class RestorePointMissing(NotFound):
    code = "restore_point_not_found"

    def __init__(self, name: str, tried: int) -> None:
        bases = "the only base backup" if tried == 1 else f"any of {tried} base backups"
        super().__init__(
            f"No restore point '{name}' comes after {bases}. Points are made with `weft db wal point NAME`; one that "
            "was made just now may not have arrived yet (`weft db wal status`). Or restore to a time."
        )


class PointNotArrived(Unavailable):
    code = "restore_point_not_arrived"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The restore point '{name}' was made, and its WAL has not arrived yet. `weft db wal status` says how "
            "far the target goes; try again when it has."
        )


class RestorePointTaken(Conflict):
    code = "restore_point_taken"

    def __init__(self, name: str, at: datetime) -> None:
        super().__init__(f"'{name}' is already the moment {shown(at)}. Choose another name.")


class MomentNotReached(Conflict):
    code = "moment_not_reached"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"The recovery ended before that moment: {said.strip()}. Restore to an earlier one, or to latest."
        )


class RecoveryFailed(Unavailable):
    code = "recovery_failed"

    def __init__(self, log: Path, said: str) -> None:
        super().__init__(f"The recovered server did not come up. Its log ({log}) ends with:\n{said.strip()}")


class WalUnreadable(Conflict):
    code = "wal_unreadable"

    def __init__(self, stopped: str, last: str) -> None:
        super().__init__(
            f"The archive goes to the WAL segment {last}, but what can be replayed ends in {stopped}: the log is "
            "broken there. Restore to a moment before it, from a later base backup, or from another copy (--place)."
        )


class PlaceTaken(Conflict):
    code = "restore_place_taken"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists already. A restore makes a new directory: name another with --into.")


class SpaceMissing(Unavailable):
    code = "restore_space_missing"

    def __init__(self, path: Path, needed: int, free: int) -> None:
        super().__init__(
            f"The restore needs about {needed // 2**20} MB where {path} lies, and {free // 2**20} MB are free. "
            "Free some space, or name another place with --into."
        )


class SwitchRefused(Conflict):
    code = "switch_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Nothing was switched: {reason}")


class DrillFailed(Conflict):
    code = "drill_failed"

    def __init__(self, facts: list[str]) -> None:
        super().__init__("The drill failed, so the backups cannot be relied on: " + "; ".join(facts) + ".")


def shown(moment: datetime) -> str:
    """A moment as commands take it again, to the second."""
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="seconds")

"""Settings of point-in-time recovery: what is kept of the write-ahead log, and how often bases are made."""

from __future__ import annotations

from pydantic import Field

from weft.settings_sections import Section


class WalSettings(Section):
    """The write-ahead log (WAL), kept so that a restore can go to any moment."""

    archive: bool = Field(
        default=False,
        description="`weft up` keeps the WAL and makes base backups, on the targets that `WEFT_BACKUP_...` name.",
    )
    slot: str = Field(
        default="weft_wal",
        pattern=r"^[a-z0-9_]{1,63}$",
        description="The replication slot: it makes the server keep what is not received yet.",
    )
    ship_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="How often the unfinished segment goes to the targets, too: what the loss of the machine costs.",
    )
    spool_megabytes: int = Field(
        default=2048,
        ge=64,
        le=1_000_000,
        description="WAL that waits here for its targets at most; then it waits in the server, up to its "
        "`max_slot_wal_keep_size`.",
    )
    lag_megabytes: int = Field(
        default=1024, ge=16, le=1_000_000, description="WAL that waits, in the server or here, from which on an alarm."
    )
    base_hours: float = Field(
        default=24.0, ge=0, le=8760, description="Hours between base backups; 0: only when told (`weft db wal base`)."
    )
    full_days: float = Field(
        default=7.0,
        ge=0,
        le=365,
        description="Days between full base backups; between them are incremental ones, from PostgreSQL 17 on.",
    )
    keep_days: float = Field(
        default=14.0, ge=0, le=3650, description="Every moment of so many days can be reached; what is older goes."
    )
    keep_bases: int = Field(default=2, ge=1, le=1000, description="Full base backups that stay at least.")

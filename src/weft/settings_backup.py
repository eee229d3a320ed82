"""The settings of backups: where they go, who can open them, when they are made, and how long they are kept."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from weft.settings_sections import SECRET, Section, Words


class BackupSettings(Section):
    """Backups of the database (`weft db backup`). Without a schedule they are made when somebody asks."""

    place: str | None = Field(
        default=None,
        description="Where backups are kept: a directory, or `s3://bucket/prefix`; without it `backups` in the home.",
    )
    copies: Words = Field(
        default=(),
        description="Other places that get a copy of every backup, separated by commas: directories or "
        "`s3://bucket/prefix?region=...&endpoint=...`.",
    )
    s3_endpoint: str | None = Field(
        default=None, description="The address of an S3-compatible server; without it the cloud's own."
    )
    s3_region: str = Field(default="us-east-1", description="The region of the bucket.")
    s3_access_key: str | None = Field(default=None, repr=False, json_schema_extra=SECRET, description="Its access key.")
    s3_secret_key: str | None = Field(default=None, repr=False, json_schema_extra=SECRET, description="Its secret key.")
    copy_s3_access_key: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="The access key of copies, if it is another one.",
    )
    copy_s3_secret_key: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="The secret key of copies, if it is another one.",
    )
    recipients: Words = Field(
        default=(),
        description="Public keys (`age1...`, `ssh-ed25519 ...`) that can open backups, separated by commas; without "
        "them a key pair is made in the home.",
    )
    identity: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="The secret key that opens backups, for verifying and restoring; without it the one in the home.",
    )
    signers: Words = Field(
        default=(),
        description="Signing keys of other installations whose backups are believed; `weft db backup` shows its own.",
    )
    schedule: str | None = Field(
        default=None, description="When `weft up` makes a backup: five fields of cron, such as `0 2 * * *`."
    )
    timezone: str = Field(default="UTC", description="The time zone of the schedule, such as `Europe/Berlin`.")
    verify: bool = Field(
        default=True,
        description="Scheduled backups are proved by a restore into a throw-away server, if the key is here.",
    )
    keep_latest: int = Field(default=3, ge=1, le=10_000, description="The newest backups that are kept in any case.")
    keep_daily: int = Field(default=7, ge=0, le=10_000, description="Days of which the last backup is kept.")
    keep_weekly: int = Field(default=4, ge=0, le=10_000, description="Weeks of which the last backup is kept.")
    keep_monthly: int = Field(default=12, ge=0, le=10_000, description="Months of which the last backup is kept.")
    keep_yearly: int = Field(default=3, ge=0, le=10_000, description="Years of which the last backup is kept.")
    alarm_hours: float = Field(
        default=48.0, gt=0, description="Health turns red when no backup younger than this was verified by a restore."
    )

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a time zone of the IANA list, such as Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _keys_are_pairs(self) -> Self:
        for first, second in (("s3_access_key", "s3_secret_key"), ("copy_s3_access_key", "copy_s3_secret_key")):
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                raise ValueError(f"{first} and {second} go together: give both or neither")
        return self

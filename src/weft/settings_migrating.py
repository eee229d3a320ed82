"""The section of the settings about migrations."""

from __future__ import annotations

from pydantic import Field

from weft.settings_sections import Section, Words


class MigrateSettings(Section):
    """How `weft db migrate` behaves beside traffic, and where more revisions lie."""

    lock_seconds: float = Field(
        default=2.0, ge=0.01, le=60, description="How long a revision waits for a lock, and everybody behind it."
    )
    attempts: int = Field(
        default=5, ge=1, le=100, description="How often a revision is tried when a lock was not given."
    )
    expand_seconds: float = Field(
        default=60.0, ge=1, le=86_400, description="How long a statement of an expand revision may take."
    )
    backfill_seconds: float = Field(
        default=1800.0, ge=1, le=86_400, description="How long a statement of a backfill revision may take."
    )
    contract_seconds: float = Field(
        default=60.0, ge=1, le=86_400, description="How long a statement of a contract revision may take."
    )
    turn_seconds: float = Field(
        default=600.0, ge=0, le=86_400, description="How long to wait while another migration of the database runs."
    )
    directories: Words = Field(
        default=(),
        description="Folders with more revisions, to try them before they are part of weft, and with data "
        "migrations in their folder `data`; separated by commas.",
    )

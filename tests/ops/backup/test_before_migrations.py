"""A production migration begins with a backup that a restore has proved, and the history names it."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pyrage
import pytest
from tests.ops.backup.conftest import House
from tests.ops.migrating.revisions import write

from weft.ops.backup import catalogue
from weft.ops.backup.errors import IdentityMissing
from weft.ops.migrating import plan, run

ADDED = "alter table weft.clients add column region text;"
DROPPED = "alter table weft.clients drop column region;"


def production(house: House, tmp_path: Path, **environ: str) -> House:
    folder = write(tmp_path / "more", "9101", ADDED, DROPPED)
    return house.with_settings(WEFT_PROFILE="production", WEFT_MIGRATE_DIRECTORIES=str(folder), **environ)


async def migrated(house: House) -> run.Outcome:
    settings, addresses = house.settings, house.addresses
    made = await plan.make(addresses.require_owner(), "head", run.directories_of(settings), run.options_of(settings))
    return await run.run(settings, addresses, made, maker=run.backup_maker(settings, addresses))


async def columns(house: House) -> list[str]:
    connection = await asyncpg.connect(house.addresses.require_owner())
    try:
        rows = await connection.fetch(
            "select column_name from information_schema.columns where table_schema = 'weft' and table_name = 'clients'"
        )
        return [row[0] for row in rows]
    finally:
        await connection.close()


async def test_a_proved_backup_is_made_first(house: House, tmp_path: Path) -> None:
    house = production(house, tmp_path)
    outcome = await migrated(house)
    assert [revision.id for revision in outcome.applied] == ["9101"]
    assert "region" in await columns(house)
    (backup,) = catalogue.listed(house.settings, None)
    assert outcome.backup is not None
    assert outcome.backup.endswith(backup.id)
    assert backup.verified_at is not None, "a restore has proved it"
    connection = await asyncpg.connect(house.addresses.app)
    try:
        told = await connection.fetchval("select backup from weft.migration_history where revision = '9101'")
    finally:
        await connection.close()
    assert told == outcome.backup
    proof = await house.prove(backup.id)
    assert proof.ok, "and it is the database as it was before"


async def test_without_one_nothing_is_migrated(house: House, tmp_path: Path) -> None:
    """Who keeps the key elsewhere cannot prove a backup here, so nothing begins."""
    recipient = pyrage.x25519.Identity.generate().to_public()
    house = production(house, tmp_path, WEFT_BACKUP_RECIPIENTS=str(recipient))
    with pytest.raises(IdentityMissing):
        await migrated(house)
    assert "region" not in await columns(house)
    assert catalogue.listed(house.settings, None) == []

"""A place that is gone, or a machine that cannot prove: what lies elsewhere serves, and gets there in any case."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.backup.conftest import House
from tests.ops.backup.test_restoring import admin, restored

from weft.db.database import Database
from weft.ops.backup import catalogue, programs, upkeep
from weft.ops.backup.errors import BackupPlaceUnknown, BackupPlaceUnreachable, NoBackupYet, RestoreFailed
from weft.ops.backup.scheduling import run_due
from weft.ops.backup.targets import Artefact, Folder

__all__ = ["admin"]

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return tmp_path / "second"


@pytest.fixture
def two(house: House, second: Path, tmp_path: Path) -> House:
    return house.with_settings(WEFT_BACKUP_PLACE=str(tmp_path / "first"), WEFT_BACKUP_COPIES=str(second))


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A region goes: nothing there answers any more."""

    def gone(place: str) -> None:
        answer = Folder.listed

        def listed(self: Folder, under: str = "") -> list[Artefact]:
            if self.address == place:
                raise BackupPlaceUnreachable(place, "no route to host")
            return answer(self, under)

        monkeypatch.setattr(Folder, "listed", listed)

    return gone


async def test_a_copy_serves_when_the_first_place_is_away(
    two: House, second: Path, lose: Callable[[str], None]
) -> None:
    made = await two.backup()
    lose(made.place)
    for wanted in ("latest", made.id, made.id[:20]):
        told: list[str] = []
        assert catalogue.named(two.settings, wanted, say=told.append) == made.id
        assert len(told) == 1
        assert made.place in told[0], "whoever asks is told which place did not answer"
        assert catalogue.named(two.settings, wanted, str(second), say=told.append) == made.id
        assert len(told) == 1, "with a place named no other is asked"
    assert catalogue.find(two.settings, made.id).address == str(second)
    with pytest.raises(BackupPlaceUnreachable):
        catalogue.named(two.settings, made.id, made.place)
    with pytest.raises(BackupPlaceUnreachable):
        catalogue.named(two.settings, "20010101")
    with pytest.raises(BackupPlaceUnknown):
        catalogue.named(two.settings, "latest", "elsewhere")
    with pytest.raises(NoBackupYet):
        await asyncio.to_thread(_emptied, two, second)


def _emptied(two: House, second: Path) -> None:
    place = Folder(second)
    place.delete([one.name for one in place.listed()])
    catalogue.named(two.settings, "latest", str(second))


async def test_the_list_shows_what_the_others_have_and_nothing_is_decided_from_it(
    two: House, lose: Callable[[str], None]
) -> None:
    made = await two.backup()
    lose(made.place)
    told: list[str] = []
    (one,) = upkeep.listed(two.settings, say=told.append)
    assert (one.id, len(told)) == (made.id, 1)
    with pytest.raises(BackupPlaceUnreachable):
        upkeep.prune(two.settings, NOON)


async def test_a_restore_from_the_second_place_ends_well(
    two: House,
    database: Database,
    test_database: TestDatabase,
    admin: asyncpg.Connection,
    second: Path,
    lose: Callable[[str], None],
) -> None:
    made = await two.backup()
    await database.close()
    lose(made.place)
    done = await restored(two, made.id, replace=True, place=str(second))
    assert done.rows == made.rows
    assert len(done.warnings) == 1
    assert made.place in done.warnings[0]
    connection = await asyncpg.connect(test_database.admin)
    assert await connection.fetchval("select places from weft.backups") == [str(second)]
    await connection.close()


async def test_the_copy_is_there_and_the_database_knows_before_any_proof(
    two: House, database: Database, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = two.with_settings(
        WEFT_BACKUP_PLACE=two.target.address, WEFT_BACKUP_COPIES=str(second), WEFT_BACKUP_SCHEDULE="0 2 * * *",
        WEFT_BACKUP_KEEP_LATEST="1",
        **{f"WEFT_BACKUP_KEEP_{name}": "0" for name in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")},
    )  # fmt: skip
    old = await two.backup(clock=lambda: NOON - timedelta(days=3))

    def full(*_: Any, **__: Any) -> None:
        raise RestoreFailed("could not extend file: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(programs, "restore", full)
        with pytest.raises(RestoreFailed):
            await asyncio.to_thread(run_due, timed.settings, timed.addresses, clock=lambda: NOON)
    (left,) = catalogue.listed(timed.settings)
    assert left.id != old.id, "what is too old went all the same"
    assert left.places == [two.target.address, str(second)]
    async with database.pool.acquire() as connection:
        row = await connection.fetchrow("select places, verified_at from weft.backups where id = $1", left.id)
    assert tuple(row) == (left.places, None)


async def test_the_proof_goes_where_the_copy_is(two: House, second: Path) -> None:
    made = await two.backup(prove=True)
    assert made.verified
    assert [(copy.place, copy.failure) for copy in made.copies] == [(str(second), None)]
    assert {one.name for one in Folder(second).listed()} == {one.name for one in two.target.listed()}


async def test_whoever_looks_at_the_first_backup_by_the_clock_is_told_of_its_key(house: House) -> None:
    timed = house.with_settings(WEFT_BACKUP_SCHEDULE="0 2 * * *")
    done = await asyncio.to_thread(run_due, timed.settings, timed.addresses, clock=lambda: NOON)
    assert done.made is not None
    assert done.made.verified
    assert done.made.new_identity is not None

"""Recovery from a bucket of an S3-compatible store, and from the copy of it elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.ops.recovery.conftest import Installation, ask, install, turn_until
from tests.ops.recovery.test_restoring import MARKS, TENANT
from tests.ops.store import Store

from weft.core.clock import utc_now
from weft.ops.backup.errors import ArtefactMissing
from weft.ops.recovery import base, restoring, vault
from weft.ops.recovery.restoring import Moment
from weft.ops.recovery.segments import SEGMENT_BYTES


@pytest.fixture
def one(place: Path, store: Store) -> Iterator[Installation]:
    yield from install(
        place, WEFT_BACKUP_PLACE=f"s3://recovery/{uuid4().hex}", WEFT_BACKUP_COPIES=str(place / "copy"), **store.environ
    )


def test_the_moment_before_a_delete_is_reached_from_a_bucket_and_from_its_copy(one: Installation, place: Path) -> None:
    archiver = one.archiver()
    one.ask(TENANT.format("a-first"), "select 1")
    full = one.make_base()
    one.ask(TENANT.format("b-in-a-whole-segment"), "select pg_switch_wal()")
    one.bring_away(archiver)
    one.make_base(incremental=True)
    one.ask(TENANT.format("c-in-the-unfinished-one"), "select 1")
    one.bring_away(archiver)
    before = one.now()
    one.ask("delete from weft.tenants", "select 1")
    one.bring_away(archiver)
    first, other = one.vaults()
    partials = [found.name for found in first.listed("wal/") if ".partial." in found.name]
    assert len(partials) == 1, "the earlier beginnings of the segment are gone"
    assert first.archived(SEGMENT_BYTES).shipped
    vault.copy_missing(first, other, set(), one.said.append)
    archiver.stop()
    for number in (0, 1):
        data = place / f"data{number}"
        with restoring.restored_to_point(one.reader(number), Moment(at=before), data, say=one.said.append) as (
            _,
            facts,
        ):
            marks = asyncio.run(ask(facts.dsn("postgres", None, "weft"), MARKS))
        assert marks == "a-first,b-in-a-whole-segment,c-in-the-unfinished-one"
    assert first.bases()[0].id == full.id


def test_what_no_base_needs_any_more_is_deleted_from_the_bucket(one: Installation) -> None:
    archiver = one.archiver()
    one.make_base()
    one.ask("select pg_switch_wal()")
    one.bring_away(archiver)
    old = min(one.vaults()[0].archived(SEGMENT_BYTES).shipped)
    kept = one.make_base()
    one.ask("create table later ()", "select pg_switch_wal()")
    one.bring_away(archiver)
    options = one.settings.wal.model_copy(update={"keep_days": 1.0, "keep_bases": 1})
    first = one.vaults()[0]
    first.seal("base/20260101T000000Z-killed/base.tar", [b"not noted"])
    base.prune(one.vaults(), one.place, options, utc_now() + timedelta(days=30))
    assert [made.id for made in first.bases()] == [kept.id]
    assert {found.name.split("/")[1] for found in first.listed("base/")} == {kept.id}, "nor what a crash left"
    with pytest.raises(ArtefactMissing):
        first.piece(f"wal/{old.name()}")
    assert min(first.archived(SEGMENT_BYTES).shipped).number <= kept.start_lsn // SEGMENT_BYTES
    turn_until(archiver, lambda: archiver.error is None)
    archiver.stop()

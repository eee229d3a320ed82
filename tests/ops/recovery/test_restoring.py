"""Back to the moment before the mistake: what is restored is what was there, row for row."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyrage
import pytest
from tests.ops.recovery.conftest import Installation, ask, install

from weft.db.keyring import Keyring
from weft.ops.backup.errors import ArtefactDamaged, IdentityWrong, MasterKeyDiffers, SealBroken
from weft.ops.installation import DATABASE
from weft.ops.recovery import master_keys, points, restoring, switching
from weft.ops.recovery import plan as planning
from weft.ops.recovery.errors import (
    BaseNotFound,
    MomentInvalid,
    MomentOutside,
    PlaceTaken,
    RestorePointMissing,
    SegmentMissing,
    SwitchRefused,
)
from weft.ops.recovery.plan import Base
from weft.ops.recovery.proof import differences, sums
from weft.ops.recovery.restoring import Moment
from weft.settings import load_settings

MARKS = "select coalesce(string_agg(slug, ',' order by slug), '') from weft.tenants"
TENANT = "insert into weft.tenants (id, slug, name) values (gen_random_uuid(), '{0}', '{0}')"


@dataclass
class Story:
    """A day in the life of a database, on a target."""

    installation: Installation
    full: Base
    increment: Base
    before_delete: datetime
    tables: dict[str, object]
    after_delete: datetime

    def restored_marks(self, to: Moment, data: Path, *, only: str | None = None) -> str:
        vault = self.installation.reader()
        with restoring.restored_to_point(vault, to, data, say=self.installation.said.append, only=only) as (_, facts):
            return str(asyncio.run(ask(facts.dsn("postgres", None, "weft"), MARKS)))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not pytest's own: every pytest that starts closes that one to the server's account."""
    with tempfile.TemporaryDirectory(prefix="weft-restoring-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def installed(place: Path) -> Iterator[Installation]:
    yield from install(place)


@pytest.fixture(scope="module")
def story(installed: Installation) -> Story:
    return _lived(installed)


def _lived(one: Installation) -> Story:
    archiver = one.archiver()
    one.ask(TENANT.format("a-first"), "select 1")
    full = one.make_base()
    one.ask(TENANT.format("b-after-full"), "select pg_create_restore_point('between')")
    one.ask(TENANT.format("c-after-point"), "select 1")
    one.bring_away(archiver)
    increment = one.make_base(incremental=True)
    one.ask(TENANT.format("d-after-increment"), "select pg_switch_wal()")
    before, tables = one.now(), asyncio.run(_sums(one))
    one.ask("delete from weft.tenants where slug <> 'a-first'", "select pg_switch_wal()")
    after = one.now()
    one.ask(TENANT.format("e-last"), "select 1")
    one.bring_away(archiver)
    archiver.stop()
    return Story(one, full, increment, before, tables, after)


async def _sums(one: Installation) -> dict[str, object]:
    import asyncpg

    connection = await asyncpg.connect(one.admin)
    try:
        return dict(await sums(connection))
    finally:
        await connection.close()


def test_a_restore_to_the_moment_before_a_delete_is_equal_row_for_row(story: Story, tmp_path: Path) -> None:
    vault = story.installation.reader()
    moment = Moment(at=story.before_delete)
    with restoring.restored_to_point(vault, moment, tmp_path / "data", say=story.installation.said.append) as (
        report,
        facts,
    ):
        assert differences(story.tables, report.proof.tables) == []  # type: ignore[arg-type]  # sums, a dict is invariant
        assert report.base == story.increment.id, "the newest base that leads there"
        assert report.proof.revision is not None
        marks = asyncio.run(ask(facts.dsn("postgres", None, "weft"), MARKS))
    assert marks == "a-first,b-after-full,c-after-point,d-after-increment"
    assert not (tmp_path / "data" / "recovery.signal").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "nothing else is left"


def test_latest_has_what_was_committed_last(story: Story, tmp_path: Path) -> None:
    assert story.restored_marks(Moment(), tmp_path / "data") == "a-first,e-last"


def test_a_moment_after_the_last_change_is_the_end_of_the_archive(story: Story, tmp_path: Path) -> None:
    state = story.installation.reader().state()
    assert state is not None
    assert story.restored_marks(Moment(at=state.complete_to), tmp_path / "data") == "a-first,e-last"
    assert any("nothing was committed" in text for text in story.installation.said)


def test_a_restore_point_is_found_behind_an_earlier_base(story: Story, tmp_path: Path) -> None:
    marks = story.restored_marks(Moment(point="between"), tmp_path / "data")
    assert marks == "a-first,b-after-full"
    assert any("trying an earlier base" in text for text in story.installation.said)


def test_a_restore_point_that_nobody_made_is_said(story: Story, tmp_path: Path) -> None:
    with pytest.raises(RestorePointMissing, match="'never'"):
        story.restored_marks(Moment(point="never"), tmp_path / "data", only=story.increment.id)
    assert list(tmp_path.iterdir()) == []


def test_a_moment_outside_says_what_can_be_reached(story: Story) -> None:
    vault = story.installation.reader()
    for moment in (story.full.started_at - timedelta(hours=1), story.after_delete + timedelta(days=1)):
        with pytest.raises(MomentOutside, match=f"{story.full.ended_at:%Y-%m-%d %H:%M:%S}"):
            restoring.planned(vault, Moment(at=moment))
    with pytest.raises(BaseNotFound, match="'no-such'"):
        restoring.planned(vault, Moment(), only="no-such")


def test_a_plan_names_base_wal_and_room_without_a_secret_key(story: Story) -> None:
    vault = story.installation.vaults()[0]
    plan = restoring.planned(vault, Moment(at=story.before_delete))
    assert [base.id for base in plan.chain] == [story.full.id, story.increment.id]
    assert plan.bytes > story.full.bytes
    first, last = planning.windows(vault.bases(), vault.archived(story.full.segment_bytes))[0]
    assert first == story.full.ended_at
    assert last >= story.after_delete


def test_a_missing_segment_is_named_before_anything_is_written(story: Story, tmp_path: Path) -> None:
    vault = story.installation.reader()
    gone = next(s for s in vault.archived(story.full.segment_bytes).shipped if s > story.increment.first)
    names = [f"wal/{gone.name()}", f"wal/{gone.name()}.json"]
    held = {name: b"".join(vault.target.get(vault.path(name))) for name in names}
    vault.delete(names)
    try:
        with pytest.raises(SegmentMissing, match=gone.name()):
            restoring.planned(vault, Moment())
        with pytest.raises(SegmentMissing, match=gone.name()):
            restoring.planned(vault, Moment(at=story.after_delete))
    finally:
        for name, content in held.items():
            vault.target.put(vault.path(name), [content])


def test_a_damaged_segment_stops_the_recovery(story: Story, tmp_path: Path) -> None:
    vault = story.installation.reader()
    plan = restoring.planned(vault, Moment())
    state = vault.state()
    assert state is not None
    assert state.partial is not None
    content = b"".join(vault.target.get(vault.path(state.partial.name)))
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 1
    vault.target.put(vault.path(state.partial.name), [bytes(damaged)])
    try:
        with (
            pytest.raises((SealBroken, ArtefactDamaged)),
            restoring.restored(vault, plan, Moment(), tmp_path / "data", say=story.installation.said.append),
        ):
            pass
    finally:
        vault.target.put(vault.path(state.partial.name), [content])
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_goes_missing_during_the_recovery_stops_it(story: Story, tmp_path: Path) -> None:
    vault = story.installation.reader()
    plan = restoring.planned(vault, Moment())
    gone = max(s for s in vault.archived(story.full.segment_bytes).shipped if s > story.increment.first)
    name = f"wal/{gone.name()}.json"
    content = b"".join(vault.target.get(vault.path(name)))
    vault.delete([name])
    try:
        with (
            pytest.raises(SegmentMissing, match=gone.name()),
            restoring.restored(vault, plan, Moment(), tmp_path / "data", say=story.installation.said.append),
        ):
            pass
    finally:
        vault.target.put(vault.path(name), [content])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_base_is_refused_and_leaves_nothing(story: Story, tmp_path: Path) -> None:
    vault = story.installation.reader()
    path = vault.target.local(vault.path(f"base/{story.full.id}/base.tar"))
    assert path is not None
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        with pytest.raises(SealBroken):
            story.restored_marks(Moment(), tmp_path / "data")
    finally:
        path.write_bytes(content)
    assert list(tmp_path.iterdir()) == []


def test_another_key_is_refused(story: Story, tmp_path: Path) -> None:
    vault = story.installation.reader()
    assert vault.readers is not None
    other = pyrage.x25519.Identity.generate()
    vault.readers = type(vault.readers)([other], vault.readers.signers)
    with (
        pytest.raises(IdentityWrong),
        restoring.restored_to_point(vault, Moment(), tmp_path / "data", say=story.installation.said.append),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_there_is_left_alone(story: Story, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(PlaceTaken, match="data exists already"):
        story.restored_marks(Moment(), tmp_path / "data")
    assert (tmp_path / "data").is_dir()


@pytest.mark.parametrize("text", ["yesterday at noon", "2026-11-25 10:00:00", "2026-13-01 10:00+00", "", "a'b"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(MomentInvalid, match="is not a moment"):
        Moment.of(text)


def test_moments_are_read_as_people_write_them() -> None:
    assert Moment.of("latest") == Moment()
    assert Moment.of("pre_0002") == Moment(point="pre_0002")
    at = Moment.of("2026-11-25 10:00:00+00").at
    assert at is not None
    assert at == Moment.of("2026-11-25T12:00:00.000+02:00").at
    assert Moment.of(str(Moment(at=at))).at == at


def test_single_files_are_handed_out_for_recoveries_of_others(story: Story, tmp_path: Path) -> None:
    vault = story.installation.reader()
    archived = vault.archived(story.full.segment_bytes)
    whole, partial = min(archived.shipped), archived.partial
    assert partial is not None
    for segment in (whole, partial):
        assert points.fetch(vault, segment.name(), tmp_path / "wal")
        assert (tmp_path / "wal").stat().st_size == story.full.segment_bytes
    assert not points.fetch(vault, partial.next().name(), tmp_path / "none")
    assert not points.fetch(vault, "00000009.history", tmp_path / "none")
    assert not points.fetch(vault, "../../state", tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["wal"]


def test_the_master_key_is_tried_on_what_was_restored(story: Story, tmp_path: Path) -> None:
    """It is in no backup. Without it `weft up` would make another, and no secret could be read."""
    one, key, other = story.installation, bytes(range(32)), bytes(32)
    place = {"HOME": str(tmp_path), "WEFT_HOME": str(tmp_path / "new")}
    wrapped = Keyring(key).wrap(bytes(32)).hex()
    plant = f"""insert into weft.tenant_keys (tenant_id, id, purpose, number, wrapped)
                select id, gen_random_uuid(), 'secrets', 1, '\\x{wrapped}' from weft.tenants limit 1"""
    with restoring.restored_to_point(one.reader(), Moment(), tmp_path / "data", say=one.said.append) as (made, facts):

        def tried(**more: str) -> str:
            settings = load_settings(place | more, directory=tmp_path)
            return asyncio.run(master_keys.tried(facts, DATABASE, settings, made.base))

        assert tried() == master_keys.NOT_NEEDED
        asyncio.run(ask(facts.dsn("postgres", None, DATABASE), "set app.maintenance = 'on'", plant))
        assert tried() == master_keys.NOT_HERE
        assert tried(WEFT_MASTER_KEY=key.hex()) == master_keys.OPENS
        with pytest.raises(MasterKeyDiffers, match="WEFT_MASTER_KEY_FILE"):
            tried(WEFT_MASTER_KEY=other.hex())
    said = master_keys.advice(load_settings(place, directory=tmp_path))
    assert str(tmp_path / "new" / "master_key") in said


@pytest.fixture
def switched(tmp_path: Path) -> Iterator[Installation]:
    """One of its own: the others' must not begin another life."""
    yield from install(tmp_path)


def test_a_switch_puts_the_restored_data_in_place_and_keeps_the_old(switched: Installation, tmp_path: Path) -> None:
    one, story = switched, _lived(switched)
    data = one.home.path / "restored"
    with restoring.restored_to_point(one.reader(), Moment(at=story.before_delete), data, say=one.said.append) as (
        _,
        facts,
    ):
        asyncio.run(switching.take_over_password(facts, one.home))
    with pytest.raises(SwitchRefused, match="weft up"):
        switching.switch(one.home, data, story.after_delete)
    assert data.exists()
    one.server.stop()
    before = switching.switch(one.home, data, story.after_delete).before
    assert before is not None
    assert (before / "PG_VERSION").exists()
    assert not data.exists()
    assert one.ask(MARKS) == "a-first,b-after-full,c-after-point,d-after-increment"
    # A new life begins: the archiver follows it, and what comes now is reachable from a base of its own.
    archiver = one.archiver()
    assert archiver.facts.timeline > story.full.timeline
    assert archiver.needs_base
    later = one.make_base()
    one.ask(TENANT.format("f-second-life"), "select 1")
    one.bring_away(archiver)
    archiver.stop()
    assert later.timeline == archiver.facts.timeline
    assert story.restored_marks(Moment(), tmp_path / "again").endswith("f-second-life")

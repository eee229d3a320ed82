"""WAL on its way: whatever is killed, full or away, nothing is lost, nothing doubled, and the lag is seen."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.ops.recovery.conftest import Installation, install, turn_until
from tests.ops.waiting import until

from weft.core.clock import utc_now
from weft.ops.backup.targets import Folder, open_target, targets_of
from weft.ops.connections import connect
from weft.ops.installation import embedded_addresses
from weft.ops.processes import is_alive
from weft.ops.recovery import health, keeping, overview, status, vault
from weft.ops.recovery.archiver import SegmentDiffers
from weft.ops.recovery.health import Promise
from weft.ops.recovery.receiver import Spool
from weft.ops.recovery.segments import SEGMENT_BYTES, Segment

ROWS = "insert into journal select g, repeat(md5(g::text), 20) from generate_series(1, 20000) g"  # a segment or so


@pytest.fixture(scope="module")
def one(place: Path) -> Iterator[Installation]:
    for made in install(place, WEFT_BACKUP_COPIES=str(place / "copy")):
        made.ask("create table journal (n bigint, text text)", "select 1")
        yield made


@pytest.fixture(autouse=True)
def no_slot(one: Installation) -> Iterator[None]:
    """Each test begins with the slot that it makes."""
    yield
    one.server.start()
    for archiver in one.archivers:
        archiver._receiver.stop()
    one.archivers.clear()
    until(lambda: not _is_taken(one), what="the receiver's end")
    one.source.drop_slot("weft_wal")


def _is_taken(one: Installation) -> bool:
    """The server notices a moment later that nobody reads the slot any more; until then nobody else may have it."""
    slot = one.source.slot("weft_wal")
    return slot is not None and slot.active


def names(one: Installation) -> set[Segment]:
    return set(one.vaults()[0].archived(SEGMENT_BYTES).shipped)


def whole(one: Installation) -> bool:
    """Whether the newest run of segments on the target has no hole, and each is what its note says."""
    reader, held = one.reader(), sorted(names(one))
    for segment in held:
        with (one.place / "opened").open("wb") as sink:
            reader.open_to(reader.piece(f"wal/{segment.name()}"), sink)
    return [segment.number for segment in held] == list(range(held[0].number, held[0].number + len(held)))


def test_segments_go_to_the_target_as_they_finish_and_leave_the_spool(one: Installation) -> None:
    archiver = one.archiver()
    assert archiver.needs_base, "the slot is new: what came before is not kept"
    one.ask(ROWS, ROWS, "select pg_switch_wal()")
    one.bring_away(archiver)
    assert len(names(one)) >= 2
    assert archiver.spool.finished() == []
    assert archiver.spool.path.stat().st_mode & 0o077 == 0
    said = status.read(one.place)
    archiver.tell()
    said = status.read(one.place)
    assert said is not None
    assert (said.state, said.error, said.runs) == ("receiving", None, True)
    assert said.complete_to is not None
    archiver.stop()
    assert whole(one)


def test_what_lies_on_the_target_is_encrypted(one: Installation) -> None:
    one.ask("create table secret_words (text text)", "insert into secret_words values ('xyzzy-plugh')", "select 1")
    archiver = one.archiver()
    one.ask("insert into secret_words values ('xyzzy-plugh')", "select pg_switch_wal()")
    one.bring_away(archiver)
    archiver.stop()
    content = [path.read_bytes() for path in (one.home.path / "backups").rglob("*") if path.is_file()]
    assert content
    assert not any(b"xyzzy-plugh" in text for text in content)


def test_kill_9_of_the_receiver_loses_nothing_and_doubles_nothing(one: Installation) -> None:
    archiver = one.archiver()
    for _ in range(3):
        one.ask(ROWS, "select 1")
        # The one before may have been too early: the server takes a moment to see that the killed one is gone.
        pid = turn_until(archiver, lambda: archiver.receiver_pid)
        os.kill(pid, signal.SIGKILL)
        turn_until(archiver, lambda: archiver.receiver_pid not in (None, pid))  # noqa: B023 - asked at once
    one.ask(ROWS, "select pg_switch_wal()")
    one.bring_away(archiver)
    archiver.stop()
    assert whole(one)


def test_a_segment_that_arrives_twice_is_kept_once(one: Installation) -> None:
    archiver = one.archiver()
    one.ask(ROWS, "select pg_switch_wal()")
    one.bring_away(archiver)
    reader, segment = one.reader(), max(names(one))
    before = reader.piece(f"wal/{segment.name()}")
    again = archiver.spool.path / segment.name()
    with again.open("wb") as sink:
        reader.open_to(before, sink)
    turn_until(archiver, lambda: not again.exists())
    assert reader.piece(f"wal/{segment.name()}") == before
    again.write_bytes(bytes(SEGMENT_BYTES))
    turn_until(archiver, lambda: archiver.error is not None)
    assert archiver.error is not None
    assert "already holds another WAL segment" in archiver.error
    assert again.exists(), "a segment that fits nowhere is not thrown away"
    assert SegmentDiffers.code == "wal_segment_differs"
    again.unlink()
    archiver.stop()


def test_kill_9_of_the_server_is_survived(one: Installation) -> None:
    archiver = one.archiver()
    one.ask(ROWS, "select 1")
    one.bring_away(archiver)
    os.kill(one.server.start().pid, signal.SIGKILL)
    until(lambda: not one.server.is_running(), what="the server's end")
    turn_until(archiver, lambda: archiver.error is not None and archiver.receiver_pid is None)
    one.server.start()
    one.ask(ROWS, "select pg_switch_wal()")
    one.bring_away(archiver)
    turn_until(archiver, lambda: archiver.error is None)
    archiver.stop()
    assert whole(one)


def test_wal_waits_while_the_target_is_away_and_goes_when_it_is_back(
    one: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    archiver = one.archiver()
    one.bring_away(archiver)
    before = names(one)
    with monkeypatch.context() as broken:
        broken.setattr(Folder, "put", _no_room)
        one.ask(ROWS, "select pg_switch_wal()")
        turn_until(archiver, lambda: archiver.spool.finished() and archiver.error)
        assert archiver.error is not None
        assert "No space left" in archiver.error
        archiver.tell()
        said = status.read(one.place)
        assert said is not None
        assert said.state == "failing"
        assert said.spool_bytes >= SEGMENT_BYTES, "what waits is seen"
        assert names(one) == before
    one.bring_away(archiver)
    assert archiver.spool.finished() == []
    turn_until(archiver, lambda: archiver.error is None)
    archiver.stop()
    assert whole(one)


def _no_room(self: Folder, name: str, chunks: object) -> None:
    from weft.ops.backup.errors import BackupPlaceUnreachable

    raise BackupPlaceUnreachable(self.address, "No space left on device")


def test_a_full_spool_leaves_the_rest_to_the_server(one: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    archiver = one.archiver(spool_megabytes=20)
    one.bring_away(archiver)
    with monkeypatch.context() as broken:
        broken.setattr(Folder, "put", _no_room)
        for _ in range(3):
            one.ask(ROWS, "select pg_switch_wal()")
        turn_until(archiver, lambda: len(archiver.spool.finished()) > 1 and archiver.receiver_pid is None)
        slot = one.source.slot("weft_wal")
        assert slot is not None
        assert not slot.lost
    one.bring_away(archiver)
    archiver.stop()
    assert whole(one)
    assert any("the server keeps what follows" in text for text in one.said)


def test_a_slot_whose_wal_is_gone_is_made_anew_and_wants_a_base(one: Installation) -> None:
    archiver = one.archiver()
    one.bring_away(archiver)
    archiver.needs_base = False
    one.source.ensure_slot("weft_wal")
    assert archiver.receiver_pid is not None
    archiver._receiver.stop()
    until(lambda: not _is_taken(one), what="the end of the server's side")
    one.source.drop_slot("weft_wal")
    turn_until(archiver, lambda: archiver.needs_base and archiver.receiver_pid)
    one.bring_away(archiver)
    archiver.stop()


def test_a_second_place_gets_everything_as_it_is(one: Installation, place: Path) -> None:
    archiver = one.archiver()
    one.ask(ROWS, "select pg_switch_wal()")
    one.bring_away(archiver)
    archiver.stop()
    first, other = one.vaults()
    known: set[str] = set()
    vault.copy_missing(first, other, known, one.said.append)
    assert [(a.name, a.bytes) for a in first.listed()] == [(a.name, a.bytes) for a in other.listed()]
    assert vault.copy_missing(first, other, known, one.said.append) == 1, "only how far it goes is written again"
    assert other.archived(SEGMENT_BYTES).shipped.keys() == first.archived(SEGMENT_BYTES).shipped.keys()


def test_a_second_place_that_takes_its_time_does_not_hold_up_the_first(
    one: Installation, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.ops.recovery.archiver._COPY_SECONDS", 0.0)
    archiver = one.archiver()
    first, other = one.vaults()
    begun, may_go_on = threading.Event(), threading.Event()
    put = Folder.put

    def slowly(self: Folder, name: str, chunks: Iterable[bytes]) -> None:
        if self.address == other.target.address:
            begun.set()
            may_go_on.wait(120)
        put(self, name, chunks)

    with monkeypatch.context() as slow:
        slow.setattr(Folder, "put", slowly)
        one.ask(ROWS, "select pg_switch_wal()")
        turn_until(archiver, begun.is_set)
        one.ask(ROWS, "select pg_switch_wal()")
        one.bring_away(archiver)
        may_go_on.set()
    shipped = first.archived(SEGMENT_BYTES).shipped.keys()
    turn_until(archiver, lambda: shipped <= other.archived(SEGMENT_BYTES, []).shipped.keys())
    archiver.stop()


def test_a_catch_up_brings_each_note_right_behind_its_piece(one: Installation, place: Path) -> None:
    """So that what came can be used, and is not swept for want of a note, when it takes days."""
    archiver = one.archiver()
    one.make_base()
    one.ask(ROWS, "select pg_switch_wal()")
    one.bring_away(archiver)
    archiver.stop()
    first = one.vaults()[0]
    other = replace(first, target=open_target(str(place / "third")))
    pieces = 0

    def after_three() -> bool:
        nonlocal pieces
        pieces += 1
        return pieces > 4

    assert vault.copy_missing(first, other, set(), one.said.append, should_stop=after_three) == 4
    names = [found.name for found in other.listed()]
    assert len(names) == 4
    assert all(name.endswith(".json") or _note(name) in names for name in names)


def _note(name: str) -> str:
    return name.removesuffix(".tar") + ".json" if name.startswith("base/") else name + ".json"


def test_a_base_that_somebody_made_by_hand_is_noticed(one: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.ops.recovery.keeping._LOOK", 0.0)
    settings = one.settings.model_copy(update={"wal": one.settings.wal.model_copy(update={"base_hours": 0.0})})
    archiver = one.archiver()
    watch = keeping._Keeping(settings, archiver, one.vaults(), one.said.append, utc_now)
    watch._tend_bases(1.0)
    assert archiver.needs_base
    one.make_base()
    watch._tend_bases(2.0)
    said = status.read(one.place)
    assert said is not None
    assert not said.needs_base, "and it is told at once"
    archiver.stop()


def test_health_sees_what_waits_with_the_archiver(one: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot is content with what was taken in: whether it reached a target is another matter."""
    archiver = one.archiver()
    one.bring_away(archiver)
    watch = keeping._Keeping(one.settings, archiver, one.vaults(), one.said.append, utc_now)
    promise = Promise(alarm=None, slot="weft_wal", lag_bytes=SEGMENT_BYTES, late=timedelta(hours=1))

    def word(now: datetime) -> str:
        watch._note_after = 0.0
        watch._note(1.0)
        return health.verdicts(asyncio.run(_seen(one)), promise, now)["wal"]

    assert word(utc_now()) == "ok"
    assert word(utc_now() + timedelta(hours=2)) == "late"
    with monkeypatch.context() as broken:
        broken.setattr(Folder, "put", _no_room)
        for _ in range(2):
            one.ask(ROWS, "select pg_switch_wal()")
        turn_until(archiver, lambda: len(archiver.spool.finished()) > 1)
        assert word(utc_now()) == "behind"
    one.bring_away(archiver)
    assert word(utc_now()) == "ok"
    archiver.stop()


async def _seen(one: Installation) -> health.Seen:
    connection = await connect(embedded_addresses(one.home, one.server.start()).app)
    try:
        return await health.look(connection, "weft_wal")
    finally:
        await connection.close()


def test_the_overview_tells_how_it_stands(one: Installation) -> None:
    archiver = one.archiver()
    one.make_base()
    one.bring_away(archiver)
    archiver.tell()
    seen = overview.look(one.settings)
    assert seen.runs
    assert seen.slot is not None
    assert seen.slot.active
    assert seen.bases is not None
    assert seen.bases >= 1
    assert seen.windows
    assert seen.behind_seconds is not None
    assert seen.behind_seconds < 60
    assert "reachable" in seen.as_text()
    assert seen.as_json()["runs"] is True
    archiver.stop()
    assert not overview.look(one.settings).runs


def test_the_receiver_ends_with_the_archiver(one: Installation) -> None:
    archiver = one.archiver()
    pid = turn_until(archiver, lambda: archiver.receiver_pid)
    archiver.stop()
    assert not is_alive(pid)


def test_two_archivers_of_one_home_are_refused(one: Installation) -> None:
    with (
        keeping.alone(one.place),
        pytest.raises(keeping.ArchiverRuns, match="Another process"),
        keeping.alone(one.place),
    ):
        pass


def test_a_spool_knows_its_files(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 8)
    spool.ensure()
    assert spool.partial() is None
    for name in ("000000010000000000000002", "000000010000000000000001", "00000002.history", "else"):
        (spool.path / name).write_bytes(b"12345678")
    (spool.path / "000000010000000000000003.partial").write_bytes(b"1234")
    assert [path.name for path in spool.finished()] == [
        "00000002.history", "000000010000000000000001", "000000010000000000000002",
    ]  # fmt: skip
    assert spool.partial() is None, "a file that is not padded yet is no segment"
    (spool.path / "000000010000000000000003.partial").write_bytes(b"12345678")
    assert spool.partial() is not None
    (spool.path / "000000010000000000000004.partial").write_bytes(b"1234")
    spool.clear_unpadded()
    assert not (spool.path / "000000010000000000000004.partial").exists(), "a killed receiver left it half padded"
    assert spool.partial() is not None
    aside = spool.set_aside("then")
    assert aside is not None
    assert spool.finished() == []
    assert spool.set_aside("again") is None


def test_targets_are_those_of_the_settings(one: Installation, place: Path) -> None:
    assert [target.address for target in targets_of(one.settings)] == [
        str(one.home.path / "backups"), str(place / "copy"),
    ]  # fmt: skip

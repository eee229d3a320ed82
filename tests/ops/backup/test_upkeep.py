"""What is kept, and when the next one is due: decided from times alone; and done in every place."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import TestDatabase
from tests.ops.backup.conftest import House
from tests.ops.backup.test_manifest import MADE

from weft.ops.backup import catalogue, copying, manifest, scheduling, upkeep
from weft.ops.backup.due import BackupScheduleInvalid, BackupScheduleMissing, calendar, is_due
from weft.ops.backup.manifest import MANIFEST
from weft.ops.backup.proofs import Proof, write_proof
from weft.ops.backup.scheduling import run_due, waiting
from weft.ops.backup.sealing import makers_keys
from weft.ops.backup.supervised import COMMAND, ScheduledBackups
from weft.ops.backup.targets import Folder, Target
from weft.ops.backup.upkeep import Policy, classes
from weft.settings import Settings, load_settings

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def nightly(days: int) -> list[tuple[str, datetime]]:
    return [(f"b{day:04}", NOON - timedelta(days=day)) for day in range(days)]


def test_generations_are_kept_and_the_rest_goes() -> None:
    kept = classes(nightly(1200), Policy(latest=2, daily=3, weekly=2, monthly=2, yearly=2))
    assert {backup: words for backup, words in kept.items() if words} == {
        "b0000": ["latest", "daily", "weekly", "monthly", "yearly"],
        "b0001": ["latest", "daily"],
        "b0002": ["daily"],
        "b0003": ["weekly"],  # Sunday 22 November: the last of its week
        "b0025": ["monthly"],  # 31 October
        "b0329": ["yearly"],  # 31 December 2025
    }


def test_the_last_of_a_day_stands_for_it_in_the_zone_that_was_asked_for() -> None:
    late = [
        ("evening", datetime(2026, 11, 24, 22, 30, tzinfo=UTC)),
        ("night", datetime(2026, 11, 24, 23, 30, tzinfo=UTC)),
    ]
    policy = Policy(latest=1, daily=2, weekly=0, monthly=0, yearly=0)
    assert classes(late, policy) == {"night": ["latest", "daily"], "evening": []}
    berlin = replace(policy, zone=ZoneInfo("Europe/Berlin"))  # half past midnight there
    assert classes(late, berlin) == {"night": ["latest", "daily"], "evening": ["daily"]}


def test_one_that_failed_stands_for_nothing_while_there_are_good_ones() -> None:
    """Ten days of a good one at two and one at fourteen hours that no restore agreed with."""
    times, failed = [], set()
    for day in range(10):
        times += [(f"good{day}", NOON - timedelta(days=day, hours=10)), (f"bad{day}", NOON - timedelta(days=day))]
        failed.add(f"bad{day}")
    policy = Policy(latest=1, daily=7, weekly=2, monthly=1, yearly=1)
    kept = {backup for backup, words in classes(times, policy, failed).items() if words}
    assert kept == {"bad0", *(f"good{day}" for day in range(7))} | {"good3"}, "good3 is its week's last, too"
    only = [one for one in times if one[0] in failed]
    assert classes(only, policy, failed) == classes(only, policy), "something is kept if all failed"


@given(
    st.lists(st.integers(0, 3_000_000), max_size=40),
    st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)),
    st.sets(st.integers(0, 40), max_size=40),
)
def test_what_is_kept_stays_kept_and_never_more_than_asked_for(
    minutes: list[int], counts: tuple[int, int, int, int, int], wrong: set[int]
) -> None:
    policy, failed = Policy(*counts), {f"b{index}" for index in wrong}
    times = [(f"b{index}", NOON - timedelta(minutes=ago)) for index, ago in enumerate(minutes)]
    kept = classes(times, policy, failed)
    stay = [(backup, at) for backup, at in times if kept[backup]]
    again = classes(stay, policy, failed)
    assert again == {backup: kept[backup] for backup, _ in stay}, "pruning again changes nothing"
    assert len(stay) <= sum(counts) + policy.latest
    for name in ("latest", "daily", "weekly", "monthly", "yearly"):
        most = getattr(policy, name) * (2 if name == "latest" and failed else 1)
        assert sum(name in words for words in kept.values()) <= most
    if times:
        assert kept[max(times, key=lambda one: (one[1], one[0]))[0]], "the newest is always kept"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    environ = {"WEFT_HOME": str(tmp_path / "home"), "WEFT_BACKUP_COPIES": str(tmp_path / "second")}
    environ |= {"WEFT_BACKUP_KEEP_LATEST": "1", "WEFT_BACKUP_SCHEDULE": "0 2 * * *"}
    environ |= {f"WEFT_BACKUP_KEEP_{name}": "0" for name in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
    return load_settings(environ)


def place_of(settings: Settings) -> Target:
    return Folder(settings.home / "backups")


def laid(settings: Settings, at: datetime, *, proved: bool = False, kind: str = "logical") -> str:
    """A backup as it lies in the first place, its content left out."""
    keys, place = makers_keys(settings), place_of(settings)
    made = replace(MADE, id=manifest.new_id(at), kind=kind, started_at=at, finished_at=at)
    place.put(f"{made.id}/database.dump.age", [b"sealed"])
    manifest.write(place, made, keys.signing_key)
    if proved:
        write_proof(place, Proof(made.id, at, 1.0, 1, 2, "1.0", "opens"), keys.signing_key)
    return made.id


def test_the_last_that_was_proved_is_never_deleted(settings: Settings) -> None:
    ages = [laid(settings, NOON - timedelta(days=days), proved=days in (30, 40)) for days in (0, 10, 30, 40, 50)]
    found = {one.id: one.keeps for one in upkeep.listed(settings, now=NOON)}
    assert [found[backup] for backup in ages] == [["latest"], [], ["verified"], [], []]
    would = upkeep.prune(settings, NOON, dry_run=True)
    assert sorted(would.backups) == sorted([ages[1], ages[3], ages[4]])
    assert len(upkeep.listed(settings, now=NOON)) == 5
    done = upkeep.prune(settings, NOON)
    assert (done.backups, done.kept, done.failures) == (would.backups, 2, [])
    assert [one.id for one in upkeep.listed(settings, now=NOON)] == [ages[0], ages[2]]
    assert {one.name.partition("/")[0] for one in place_of(settings).listed()} == {ages[0], ages[2]}


def test_what_cannot_be_read_or_is_of_another_kind_stays(settings: Settings) -> None:
    strange = laid(settings, NOON - timedelta(days=90))
    place_of(settings).put(f"{strange}/{MANIFEST}", [b"{}"])
    base = laid(settings, NOON - timedelta(days=80), kind="base")
    newest = laid(settings, NOON)
    assert upkeep.prune(settings, NOON).backups == []
    keeps = {one.id: one.keeps for one in upkeep.listed(settings, now=NOON)}
    assert keeps == {newest: ["latest"], base: ["other kind"], strange: ["unreadable"]}


def test_what_a_crash_left_is_swept_after_a_day(settings: Settings) -> None:
    place = place_of(settings)
    half = f"{manifest.new_id(NOON - timedelta(hours=2))}/database.dump.age"
    place.put(half, [b"half"])
    place.put("lost+found/other", [b"not ours"])
    upkeep.prune(settings, NOON)
    assert [one.name for one in place.listed()] == [half, "lost+found/other"], "somebody may be writing it"
    upkeep.prune(settings, NOON + timedelta(days=1))
    assert [one.name for one in place.listed()] == ["lost+found/other"]


def test_copies_are_tried_again_and_a_place_that_is_away_is_told(settings: Settings, tmp_path: Path) -> None:
    backup, first, second = laid(settings, NOON), place_of(settings), Folder(tmp_path / "second")
    (tmp_path / "second").write_text("in the way")
    pauses: list[float] = []
    (failed,) = copying.copy(first, [second], [backup], pause=pauses.append)
    assert pauses == list(copying.PAUSES)
    assert failed.failure is not None
    assert "second cannot be used" in failed.failure

    def mended(seconds: float) -> None:
        (tmp_path / "second").unlink(missing_ok=True)

    assert copying.copy(first, [second], [backup], pause=mended) == [copying.Copied(backup, second.address)]
    assert [one.name for one in second.listed()] == [one.name for one in first.listed()]
    assert catalogue.listed(settings)[0].places == [first.address, second.address]


# -- schedule --------------------------------------------------------------------------------------------------


def test_it_is_due_once_whatever_was_missed(settings: Settings) -> None:
    when = calendar(settings, NOON)
    assert is_due(when, None, NOON), "there is none at all"
    assert not is_due(when, datetime(2026, 11, 25, 2, 0, tzinfo=UTC), NOON)
    assert is_due(when, datetime(2026, 11, 25, 1, 59, tzinfo=UTC), NOON)
    assert is_due(when, NOON - timedelta(days=20), NOON)
    assert not is_due(when, NOON, NOON + timedelta(hours=13))
    assert is_due(when, NOON, NOON + timedelta(hours=14))


def test_a_clock_that_was_wrong_once_holds_up_nothing(settings: Settings) -> None:
    """One backup of a machine whose clock was in 2031."""
    when = calendar(settings, NOON)
    assert is_due(when, datetime(2031, 1, 1, tzinfo=UTC), NOON)
    assert not is_due(when, NOON + timedelta(minutes=4), NOON), "clocks are never quite the same"
    wrong = laid(settings, datetime(2031, 1, 1, tzinfo=UTC), proved=True)
    assert waiting(settings, NOON) is None, "one is due"
    assert catalogue.named(settings, "latest", clock=lambda: NOON) == wrong, "better than none"
    nights = [laid(settings, NOON - timedelta(hours=10 + 24 * days), proved=True) for days in range(2)]
    assert waiting(settings, NOON) is not None, "and not again and again"
    assert catalogue.named(settings, "latest", clock=lambda: NOON) == nights[0]
    keeps = {one.id: one.keeps for one in upkeep.listed(settings, now=NOON)}
    assert keeps == {wrong: ["ahead of time"], nights[0]: ["latest", "verified"], nights[1]: []}


def test_a_schedule_that_cannot_be_used_is_refused(settings: Settings) -> None:
    environ = {"WEFT_HOME": str(settings.home)}
    with pytest.raises(BackupScheduleMissing):
        calendar(load_settings(environ), NOON)
    with pytest.raises(BackupScheduleInvalid, match="five fields"):
        calendar(load_settings(environ | {"WEFT_BACKUP_SCHEDULE": "daily"}), NOON)


async def test_what_is_due_is_made_once_and_the_old_goes(house: House, test_database: TestDatabase) -> None:
    import asyncio

    timed = house.with_settings(
        WEFT_BACKUP_SCHEDULE="0 2 * * *",
        WEFT_BACKUP_KEEP_LATEST="1",
        **{f"WEFT_BACKUP_KEEP_{name}": "0" for name in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")},
    )
    old = laid(timed.settings, NOON - timedelta(days=3))
    done = await asyncio.to_thread(run_due, timed.settings, timed.addresses, clock=lambda: NOON)
    assert done.made is not None
    assert done.pruned is not None
    assert done.pruned.backups == [old]
    assert done.made.verified
    assert done.warnings == []
    again = await asyncio.to_thread(run_due, timed.settings, timed.addresses, clock=lambda: NOON)
    assert (again.due, again.made, again.next_at) == (False, None, datetime(2026, 11, 26, 2, tzinfo=UTC))
    assert waiting(timed.settings, NOON) == again
    assert [one.manifest.reason for one in catalogue.listed(timed.settings) if one.manifest] == ["schedule"]
    assert scheduling.waiting(timed.settings, NOON + timedelta(days=1)) is None


class Child:
    """A process that ends when it is told."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.terminated = False

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated = True
        self.code = -signal.SIGTERM

    def wait(self, _timeout: float | None = None) -> int:
        return self.code or 0


def test_the_supervisor_starts_one_child_at_a_time(settings: Settings) -> None:
    started: list[Child] = []
    said: list[str] = []

    def start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        assert command == COMMAND
        assert environment["WEFT_HOME"] == str(settings.home)
        started.append(Child())
        return started[-1]  # type: ignore[return-value]  # as much of a process as is asked for

    backups = ScheduledBackups(settings, NOON, said.append, start=start)
    backups.tend(NOON)
    assert len(started) == 1, "what was missed while nothing ran"
    backups.tend(NOON + timedelta(days=1))
    assert len(started) == 1, "still at it"
    started[0].code = 0
    assert backups.tend(NOON) == 60.0
    assert backups.tend(datetime(2026, 11, 26, 1, 59, 50, tzinfo=UTC)) == 10.0
    assert len(started) == 1
    backups.tend(datetime(2026, 11, 26, 2, tzinfo=UTC))
    assert len(started) == 2
    started[1].code = 8
    backups.tend(datetime(2026, 11, 26, 2, 1, tzinfo=UTC))
    assert len(said) == 1
    assert "trying again" in said[0]
    backups.tend(datetime(2026, 11, 26, 2, 12, tzinfo=UTC))
    assert len(started) == 3
    backups.stop()
    assert started[2].terminated
    backups.stop()

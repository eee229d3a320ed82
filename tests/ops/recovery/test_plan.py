"""Which base and which WAL lead to a moment, and what may go: every case by hand, and properties over all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.ops.recovery.errors import BaseDamaged, MomentOutside, NoBases, SegmentMissing
from weft.ops.recovery.plan import Archived, Base, chain, choose, expendable, reach, windows
from weft.ops.recovery.segments import SEGMENT_BYTES, Segment, is_history, lsn

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def base(name: str, segment: int, *, at: datetime, parent: str | None = None, timeline: int = 1) -> Base:
    start = segment * SEGMENT_BYTES + 0x28
    return Base(
        id=name, parent=parent, system="1", timeline=timeline, start_lsn=start, end_lsn=start + 0xF8,
        started_at=at - HOUR / 60, ended_at=at, major=18, segment_bytes=SEGMENT_BYTES, bytes=100, sealed_bytes=10,
        sha256="", embedded=True,
    )  # fmt: skip


def shipped(*numbers: int, timeline: int = 1) -> dict[Segment, datetime]:
    return {Segment(timeline, number): NOON + number * HOUR for number in numbers}


def test_names_of_files_and_positions_are_postgresqls() -> None:
    assert lsn("1/2000028") == 0x1_0200_0028
    assert Segment.at(1, lsn("1/2000028")).name() == "000000010000000100000002"
    assert Segment.named("000000010000000100000002") == Segment(1, 258)
    assert Segment.named("000000010000000100000002.partial") is None
    assert Segment(1, 255).next().name() == "000000010000000100000000"
    assert is_history("00000002.history")
    assert not is_history("000000010000000100000002")


@given(st.integers(1, 2**31), st.integers(0, 2**38), st.sampled_from([2**20, 2**24, 2**30]))
def test_a_name_leads_back_to_its_segment(timeline: int, number: int, size: int) -> None:
    segment = Segment(timeline, number % (2**32 * 0x1_0000_0000 // size))
    assert Segment.named(segment.name(size), size) == segment


def test_a_base_reaches_as_far_as_its_wal() -> None:
    one = base("a", 2, at=NOON)
    assert reach(one, Archived()).window == (NOON, NOON), "it carries what it needs itself"
    assert reach(one, Archived(shipped(2, 3, 4))).until == NOON + 4 * HOUR
    complete = NOON + 9 * HOUR
    assert reach(one, Archived(shipped(2, 3), Segment(1, 4), complete, 1)).until == complete
    assert reach(one, Archived(shipped(2, 3), Segment(1, 4), complete, 2)).until == NOON + 3 * HOUR, (
        "another timeline's"
    )
    holed = reach(one, Archived(shipped(2, 3, 5), Segment(1, 6), complete, 1))
    assert (holed.gap, holed.until) == (Segment(1, 4), NOON + 3 * HOUR)


def test_the_newest_base_that_leads_there_is_taken() -> None:
    full, later = base("full", 2, at=NOON), base("later", 4, at=NOON + 4 * HOUR, parent="full")
    archived = Archived(shipped(2, 3, 4, 5), Segment(1, 6), NOON + 6 * HOUR, 1)
    assert [b.id for b in choose([full, later], archived, NOON + 5 * HOUR).chain] == ["full", "later"]
    assert choose([full, later], archived, NOON + 3 * HOUR).base == full
    assert choose([full, later], archived, None).base == later
    assert choose([full, later], archived, NOON + 5 * HOUR, only="full").base == full


def test_what_cannot_be_reached_is_said() -> None:
    full = base("full", 2, at=NOON)
    archived = Archived(shipped(2, 3), Segment(1, 4), NOON + 4 * HOUR, 1)
    with pytest.raises(NoBases):
        choose([], archived, None)
    for moment in (NOON - HOUR, NOON + 5 * HOUR):
        with pytest.raises(MomentOutside, match="2026-11-25 12:00:00"):
            choose([full], archived, moment)
    holed = Archived(shipped(2, 4), Segment(1, 5), NOON + 5 * HOUR, 1)
    for moment_or_latest in (None, NOON + 5 * HOUR):
        with pytest.raises(SegmentMissing, match="000000010000000000000003"):
            choose([full], holed, moment_or_latest)
    with pytest.raises(BaseDamaged, match="builds on gone"):
        chain([base("x", 2, at=NOON, parent="gone")], base("x", 2, at=NOON, parent="gone"))


def test_windows_are_joined_where_they_touch() -> None:
    bases = [base("a", 2, at=NOON), base("b", 4, at=NOON + 4 * HOUR), base("c", 9, at=NOON + 9 * HOUR)]
    archived = Archived(shipped(2, 3, 4, 5, 9), Segment(1, 10), NOON + 11 * HOUR, 1)
    assert windows(bases, archived) == [(NOON, NOON + 5 * HOUR), (NOON + 9 * HOUR, NOON + 11 * HOUR)]


def test_what_a_kept_base_needs_is_never_deleted() -> None:
    bases = [base(name, 2 * n, at=NOON + n * 24 * HOUR) for n, name in enumerate("abcd", start=1)]
    segments = shipped(*range(12))
    now = NOON + 4 * 24 * HOUR
    gone = expendable(bases, segments, now, keep=timedelta(days=1), at_least=1)
    assert [b.id for b in gone.bases] == ["a", "b"], "c is the base of the oldest moment that is wanted"
    assert max(gone.segments) == Segment(1, 5), "c begins with segment 6"
    assert expendable(bases, segments, now, keep=timedelta(days=1), at_least=4).bases == ()
    assert expendable([], segments, now, keep=timedelta(0), at_least=1) == expendable(
        [], {}, now, keep=HOUR, at_least=1
    )


def test_wal_of_timelines_that_were_left_goes_with_their_last_base() -> None:
    bases = [base("new", 7, at=NOON, timeline=2)]
    segments = [*shipped(5, 6), *shipped(6, 7, timeline=2), *shipped(9, timeline=3)]
    gone = expendable(bases, segments, NOON + 240 * HOUR, keep=HOUR, at_least=1)
    assert gone.segments == (Segment(1, 5), Segment(1, 6), Segment(2, 6))


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=8, unique_by=lambda pair: pair[0]),
    st.integers(0, 40),
    st.integers(1, 3),
)
def test_keeping_keeps_every_moment_of_the_window(made: list[tuple[int, bool]], keep_hours: int, at_least: int) -> None:
    bases: list[Base] = []
    for number, incremental in sorted(made):
        parent = bases[-1].id if incremental and bases else None
        bases.append(base(str(number), number, at=NOON + number * HOUR, parent=parent))
    segments = Archived(shipped(*range(41)))
    now = NOON + 40 * HOUR
    gone = expendable(bases, segments.shipped, now, keep=keep_hours * HOUR, at_least=at_least)
    left = [one for one in bases if one not in gone.bases]
    wal = Archived({s: at for s, at in segments.shipped.items() if s not in gone.segments})
    assert left
    for one in left:
        chain(left, one)
        assert reach(one, wal).gap is None
    oldest = max(now - keep_hours * HOUR, min(one.ended_at for one in bases))
    assert any(one.ended_at <= oldest for one in left), "the oldest moment wanted is reached from one of them"

"""Rules of RFC 5545: whatever somebody writes is refused or followed, in bounded time, to its end and not before."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from dateutil import rrule
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domain.workflows.test_calendars import NOW, ZONES, due

from weft.domain.workflows.schedules import ScheduleUnclear, read
from weft.domain.workflows.schedules.calendar import require_due


def some(least: int, most: int) -> st.SearchStrategy[str]:
    return st.lists(st.integers(least, most), min_size=1, max_size=4).map(lambda found: ",".join(map(str, found)))


DAYS_OF_WEEK = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
COUNTED_DAYS = st.builds(lambda number, day: f"{number}{day}", st.integers(-60, 60), DAYS_OF_WEEK)
PARTS = {
    "INTERVAL": st.integers(1, 1000).map(str), "COUNT": st.integers(1, 10_000).map(str), "WKST": DAYS_OF_WEEK,
    "BYMONTH": some(1, 12), "BYMONTHDAY": some(-31, 31), "BYYEARDAY": some(-366, 366), "BYWEEKNO": some(-53, 53),
    "BYDAY": st.lists(DAYS_OF_WEEK | COUNTED_DAYS, min_size=1, max_size=3).map(",".join),
    "BYHOUR": some(0, 23), "BYMINUTE": some(0, 59), "BYSECOND": st.integers(0, 59).map(str),
    "BYSETPOS": some(-366, 366), "BYEASTER": some(-400, 400),
    "UNTIL": st.sampled_from(["20260101", "20400101T000000Z", "99991231", "00010101"]),
}  # fmt: skip
WORDS = st.sampled_from([*PARTS, "FREQ=DAILY", ";", "=", ",", "1", "-1MO"])
RULES = st.builds(
    lambda freq, parts: ";".join([f"FREQ={freq}", *(f"{name}={value}" for name, value in parts.items())]),
    st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]),
    st.lists(st.sampled_from(sorted(PARTS)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: PARTS[name] for name in names})
    ),
)


@given(
    RULES | st.text(max_size=60) | st.lists(WORDS).map("".join),
    st.sampled_from(ZONES), st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001  on the wall
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_every_rule_is_refused_or_can_be_followed(rule: str, where: str, begin: datetime) -> None:
    """Whatever somebody writes: a sentence about it, or due times in order. Never an error of the library's."""
    config = {"rrule": rule, "timezone": where, "anchor": begin.isoformat()}
    try:
        calendar = read(config, NOW)
        coming = require_due(calendar, NOW, "rrule")
    except ScheduleUnclear:
        return
    assert calendar.sentence
    following = [coming, *calendar.upcoming(coming, 3)]
    assert all(a < b for a, b in itertools.pairwise(following))
    assert calendar.latest(NOW - timedelta(days=40), NOW, 3).times is not None
    later = NOW + timedelta(days=30_000)
    assert all(due > later for due in calendar.upcoming(later, 2))


@given(
    st.sampled_from(["HOURLY", "MINUTELY"]), st.sampled_from([1, 2, 5, 7, 24, 90, 1000]),
    st.sampled_from(["", ";BYDAY=MO,TH", ";BYMONTHDAY=3,9,-1", ";BYWEEKNO=2,4,7", ";BYMONTH=1,3"]),
    st.fixed_dictionaries({}, optional={
        "BYHOUR": some(0, 23), "BYMINUTE": some(0, 59), "BYSETPOS": st.sampled_from(["1", "-1"]),
        "BYSECOND": st.just("7"),
    }),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_steps_of_the_clock_are_dateutils(freq: str, interval: int, days: str, parts: dict[str, str]) -> None:
    """dateutil finds the days only, and takes no step of the clock; what is due must be the same."""
    anchor = datetime(2024, 1, 3, 9, 30, 20)  # noqa: DTZ001  on the wall
    rule = ";".join([f"FREQ={freq};INTERVAL={interval}{days}", *(f"{name}={value}" for name, value in parts.items())])
    end = anchor + timedelta(days=70)
    try:
        oracle = rrule.rrulestr(rule, dtstart=anchor)
        expected = list(itertools.islice(itertools.takewhile(lambda one: one <= end, oracle), 200))
    except (ValueError, TypeError):  # it is never due
        return
    calendar = read({"rrule": rule, "anchor": anchor.isoformat()}, NOW)
    upcoming = calendar.upcoming(anchor.replace(tzinfo=UTC) - timedelta(seconds=1), len(expected))
    assert [one.replace(tzinfo=None) for one in upcoming] == expected


def test_places_within_an_hour() -> None:
    rule = "FREQ=HOURLY;INTERVAL=2;BYMINUTE=0,20,40;BYSECOND=0;BYSETPOS=2,-1"
    assert due({"rrule": rule, "anchor": "2026-01-01T00:30"}, "2026-01-01", 4) == [
        "01-01T00:40+0000", "01-01T02:20+0000", "01-01T02:40+0000", "01-01T04:20+0000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "last"),
    [("FREQ=MINUTELY;BYMINUTE=0;COUNT=1000", "2026-02-11T15:00"),
     ("FREQ=HOURLY;BYHOUR=9;COUNT=1000", "2028-09-26T09:00"),
     ("FREQ=MINUTELY;BYHOUR=9;BYMINUTE=0;COUNT=1000", "2028-09-26T09:00"),
     ("FREQ=DAILY;COUNT=10000", "2053-05-18T00:00")],
)  # fmt: skip
def test_a_rule_that_counts_its_times_has_all_of_them(rule: str, last: str) -> None:
    count = int(rule.rpartition("=")[2])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    calendar = read({"rrule": rule, "anchor": begin.isoformat()}, begin)
    times = calendar.upcoming(begin - timedelta(seconds=1), count + 1)
    assert len(times) == count
    assert times[-1] == datetime.fromisoformat(last).replace(tzinfo=UTC)
    assert calendar.next_after(times[-2]) == times[-1]


@pytest.mark.parametrize(
    "rule", ["FREQ=MINUTELY;BYMINUTE=0;BYSECOND=0", "FREQ=MINUTELY;BYHOUR=9;BYMINUTE=0;BYMONTHDAY=31;BYSECOND=0",
             "FREQ=HOURLY;BYHOUR=9;BYMONTH=2;BYMONTHDAY=29;BYMINUTE=0;BYSECOND=0"],
)  # fmt: skip
def test_a_rule_goes_on_however_far_its_times_lie_apart(rule: str) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    calendar = read({"rrule": rule, "anchor": begin.isoformat()}, begin)
    stepped, coming = [], begin - timedelta(seconds=1)
    for _ in range(30):
        found = calendar.next_after(coming)
        assert found is not None
        stepped.append(coming := found)
    assert stepped == calendar.upcoming(begin - timedelta(seconds=1), 30)


def test_a_long_pause_is_looked_at_from_its_end() -> None:
    calendar = read({"rrule": "FREQ=MINUTELY;BYMINUTE=0;BYSECOND=0", "anchor": "2026-01-01"}, NOW)
    until = datetime(2026, 6, 30, 23, 30, tzinfo=UTC)
    month = calendar.latest(until - timedelta(days=30), until, 1_061)
    assert (len(month.times), month.whole) == (720, True)
    assert month.times[-1] == datetime(2026, 6, 30, 23, tzinfo=UTC)

"""When a schedule is due: both changes of the clock, the ends of months, and bad rules that must not hang."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.domain.workflows.schedules import ScheduleUnclear, read
from weft.domain.workflows.schedules.calendar import require_due
from weft.domain.workflows.schedules.zones import moment_of, moments_of, on_the_wall, zone

NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca")


def due(config: dict[str, Any], start: str, count: int) -> list[str]:
    """Due times after a moment on the wall of the schedule's zone, as that wall shows them."""
    where = ZoneInfo(config.get("timezone", "UTC"))
    calendar = read(config, NOW)
    begin = datetime.fromisoformat(start).replace(tzinfo=where)
    return [one.astimezone(where).strftime("%m-%dT%H:%M%z") for one in calendar.upcoming(begin.astimezone(UTC), count)]


DAILY = ({"cron": "{m} {h} * * *"}, {"rrule": "FREQ=DAILY;BYHOUR={h};BYMINUTE={m};BYSECOND=0", "anchor": "2020-01-01"})


def daily(way: dict[str, str], hour: int, minute: int, where: str) -> dict[str, Any]:
    return {name: text.format(h=hour, m=minute) for name, text in way.items()} | {"timezone": where}


@pytest.mark.parametrize("way", DAILY, ids=["cron", "rrule"])
@pytest.mark.parametrize(
    ("where", "start", "hour", "minute", "expected"),
    [
        ("Europe/Berlin", "2026-03-28T00:00", 2, 30, ["03-28T02:30+0100", "03-29T03:00+0200", "03-30T02:30+0200"]),
        ("America/New_York", "2026-03-07T00:00", 2, 30, ["03-07T02:30-0500", "03-08T03:00-0400", "03-09T02:30-0400"]),
        ("Australia/Lord_Howe", "2026-10-03T00:00", 2, 15,
         ["10-03T02:15+1030", "10-04T02:30+1100", "10-05T02:15+1100"]),
        ("Asia/Kolkata", "2026-03-28T00:00", 2, 30, ["03-28T02:30+0530", "03-29T02:30+0530", "03-30T02:30+0530"]),
    ],
)  # fmt: skip
def test_a_time_that_the_clock_skips_is_run_after_the_gap(
    way: dict[str, str], where: str, start: str, hour: int, minute: int, expected: list[str]
) -> None:
    assert due(daily(way, hour, minute, where), start, 3) == expected


@pytest.mark.parametrize("way", DAILY, ids=["cron", "rrule"])
@pytest.mark.parametrize(
    ("where", "start", "hour", "minute", "expected"),
    [
        ("Europe/Berlin", "2026-10-24T00:00", 2, 30, ["10-24T02:30+0200", "10-25T02:30+0200", "10-26T02:30+0100"]),
        ("America/New_York", "2026-10-31T00:00", 1, 30, ["10-31T01:30-0400", "11-01T01:30-0400", "11-02T01:30-0500"]),
        ("Australia/Lord_Howe", "2026-04-04T00:00", 1, 45,
         ["04-04T01:45+1100", "04-05T01:45+1100", "04-06T01:45+1030"]),
        ("Asia/Kolkata", "2026-10-24T00:00", 2, 30, ["10-24T02:30+0530", "10-25T02:30+0530", "10-26T02:30+0530"]),
    ],
)  # fmt: skip
def test_a_time_that_there_is_twice_is_run_once(
    way: dict[str, str], where: str, start: str, hour: int, minute: int, expected: list[str]
) -> None:
    assert due(daily(way, hour, minute, where), start, 3) == expected


@pytest.mark.parametrize(
    "config", [{"cron": "*/15 * * * *"}, {"every": "15m", "anchor": "2026-01-01T00:00Z"},
               {"rrule": "FREQ=MINUTELY;INTERVAL=15;BYSECOND=0", "anchor": "2026-01-01T00:00"}],
    ids=["cron", "every", "rrule"],
)  # fmt: skip
@pytest.mark.parametrize("where", ZONES)
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04"])
def test_what_is_due_every_quarter_of_an_hour_never_waits_longer(config: dict[str, Any], where: str, day: str) -> None:
    """Also in the hour that is skipped, and in the one that there is twice."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=13)
    times = read(config | {"timezone": where}, NOW).upcoming(start, 4 * 40)
    assert {b - a for a, b in itertools.pairwise(times)} == {timedelta(minutes=15)}


@pytest.mark.parametrize(
    ("config", "start", "expected"),
    [
        ({"cron": "0 0 29 2 *"}, "2026-01-01", ["02-29T00:00+0000"]),
        ({"cron": "0 0 31 * *"}, "2026-01-01", ["01-31T00:00+0000", "03-31T00:00+0000", "05-31T00:00+0000"]),
        ({"cron": "0 0 L * *"}, "2028-01-01", ["01-31T00:00+0000", "02-29T00:00+0000", "03-31T00:00+0000"]),
        ({"cron": "0 9 * * 1-5"}, "2026-11-26T10:00", ["11-27T09:00+0000", "11-30T09:00+0000"]),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "anchor": "2026-01-01"}, "2026-01-01", ["02-29T00:00+0000"]),
        ({"rrule": "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "anchor": "2026-01-01T17:00"}, "2026-01-01",
         ["01-30T17:00+0000", "02-27T17:00+0000", "03-31T17:00+0000"]),
        ({"rrule": "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "anchor": "2026-01-05T09:00"}, "2026-06-01",
         ["06-08T09:00+0000", "06-22T09:00+0000"]),
        ({"rrule": "FREQ=DAILY;COUNT=3", "anchor": "2026-01-01T09:00"}, "2026-01-01T10:00",
         ["01-02T09:00+0000", "01-03T09:00+0000"]),
        ({"rrule": "FREQ=DAILY;UNTIL=20260102T090000Z", "anchor": "2026-01-01T09:00"}, "2026-01-01",
         ["01-01T09:00+0000", "01-02T09:00+0000"]),
        ({"every": "1d", "anchor": "2026-01-01T09:00"}, "2025-12-01", ["01-01T09:00+0000", "01-02T09:00+0000"]),
        ({"cron": "0 * * * *", "starts_at": "2026-01-01T09:00", "ends_at": "2026-01-01T10:30"}, "2025-01-01",
         ["01-01T09:00+0000", "01-01T10:00+0000"]),
    ],
)  # fmt: skip
def test_days_months_and_ends(config: dict[str, Any], start: str, expected: list[str]) -> None:
    more = "COUNT" in str(config) or "UNTIL" in str(config) or "ends_at" in config
    assert due(config, start, len(expected) + more) == expected


NEVER = [
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MINUTELY;INTERVAL=7;BYHOUR=3;BYMINUTE=1;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1;BYSETPOS=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20",
    "FREQ=DAILY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=30",
]


@pytest.mark.parametrize("rule", NEVER)
def test_a_rule_that_is_never_due_is_refused_and_soon(rule: str) -> None:
    began = time.process_time()
    with pytest.raises(ScheduleUnclear, match="never due"):
        require_due(read({"rrule": rule}, NOW), NOW, "rrule")
    assert time.process_time() - began < 2


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({}, "cron", "given: none"),
    ({"cron": "* * * * *", "every": "5m"}, "every", "`cron` and `every`"),
    ({"cron": "* * * * * *"}, "cron", "five fields"),
    ({"cron": "@daily"}, "cron", "0 0 * * *"),
    ({"cron": "61 * * * *"}, "cron", "bad minute"),
    ({"cron": "0 0 30 2 *"}, "cron", "bad day-of-month"),
    ({"cron": "* * * * *", "anchor": "2026-01-01"}, "anchor", "counts from nothing"),
    ({"every": "0s"}, "every", "from `1s`"),
    ({"every": "1500ms"}, "every", "whole number"),
    ({"every": "soon"}, "every", "not a duration"),
    ({"rrule": "FREQ=SECONDLY"}, "rrule", "Use `every`"),
    ({"rrule": "BYDAY=MO"}, "rrule", "needs `FREQ`"),
    ({"rrule": "FREQ=WEEKLY;BYDAY=XX"}, "rrule", "`MO` and `-1FR`"),
    ({"rrule": "FREQ=MONTHLY;BYDAY=54MO"}, "rrule", "from 1 to 5"),
    ({"rrule": "FREQ=MONTHLY;BYDAY=0MO"}, "rrule", "from 1 to 5"),
    ({"rrule": "FREQ=YEARLY;BYMONTH=3;BYDAY=-6SU"}, "rrule", "from 1 to 5"),
    ({"rrule": "FREQ=YEARLY;BYDAY=54MO"}, "rrule", "from 1 to 53"),
    ({"rrule": "FREQ=WEEKLY;BYDAY=1MO"}, "rrule", "use `FREQ=MONTHLY`"),
    ({"rrule": "FREQ=YEARLY;BYEASTER=366"}, "rrule", "from -80 to 250"),
    ({"rrule": "FREQ=YEARLY;BYEASTER=-81"}, "rrule", "from -80 to 250"),
    ({"rrule": "FREQ=DAILY;BYHOUR=24"}, "rrule", "from 0 to 23"),
    ({"rrule": "FREQ=DAILY;INTERVAL=0"}, "rrule", "from 1 to 1000"),
    ({"rrule": "FREQ=DAILY;COUNT=99999"}, "rrule", "from 1 to 10000"),
    ({"rrule": "FREQ=DAILY;UNTIL=soon"}, "rrule", "`UNTIL`"),
    ({"rrule": "DTSTART:20260101T000000\nRRULE:FREQ=DAILY"}, "rrule", "one rule alone"),
    ({"rrule": "FREQ=YEARLY;" + "BYMONTH=1," * 90}, "rrule", "500 characters"),
    ({"rrule": "FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))) + ";BYMINUTE=1,2,3,4,5"}, "rrule", "96 times"),
    ({"rrule": "FREQ=HOURLY;INTERVAL=24;BYHOUR=3", "anchor": "2026-01-01T05:00"}, "rrule", "empty set"),
    ({"cron": "* * * * *", "timezone": "europe/berlin"}, "timezone", "Did you mean `Europe/Berlin`"),
    ({"cron": "* * * * *", "timezone": "Berlin"}, "timezone", "Did you mean `Europe/Berlin`"),
    ({"cron": "* * * * *", "timezone": "Europe/Berln"}, "timezone", "`Europe/Berlin`"),
    ({"cron": "* * * * *", "timezone": "../../etc/passwd"}, "timezone", "There is no time zone"),
    ({"cron": "* * * * *", "starts_at": "tomorrow"}, "starts_at", "ISO 8601"),
    ({"cron": "* * * * *", "starts_at": "9000-01-01"}, "starts_at", "years"),
    ({"cron": "* * * * *", "starts_at": "2026-02-01", "ends_at": "2026-01-01"}, "ends_at", "before"),
]


@pytest.mark.parametrize(("config", "field", "words"), REFUSED, ids=[str(row[0])[:50] for row in REFUSED])
def test_what_is_no_schedule_is_said_with_its_field(config: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ScheduleUnclear) as caught:
        read(config, NOW)
    assert caught.value.field == field
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}, "At 09:00 on Monday through Friday (Europe/Berlin)."),
        ({"every": "1h"}, "Every hour."),
        ({"every": "90s"}, "Every 1 minute 30 seconds."),
        ({"rrule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;BYHOUR=9;BYMINUTE=0"},
         "Every 2 weeks on Monday and Friday at 09:00 (UTC)."),
        ({"rrule": "FREQ=MONTHLY;BYDAY=-1FR"}, "Every month on the last Friday (UTC)."),
        ({"rrule": "FREQ=YEARLY;BYMONTH=3,6;BYMONTHDAY=-1,22;COUNT=4"},
         "Every year on the last day and the 22nd in March and June, 4 times (UTC)."),
        ({"rrule": "FREQ=DAILY;BYHOUR=3;UNTIL=20261231T120000Z"},
         "Every day at the hours 3 (UTC), until 2026-12-31 12:00."),
        ({"cron": "0 0 * * *", "starts_at": "2026-01-01", "ends_at": "2026-02-01"},
         "At 00:00 every day (UTC), from 2026-01-01 00:00, until 2026-02-01 00:00."),
    ],
)  # fmt: skip
def test_a_schedule_in_plain_words(config: dict[str, Any], sentence: str) -> None:
    assert read(config, NOW).sentence == sentence


# -- properties ----------------------------------------------------------------------------------------------

CONFIGS = st.sampled_from(
    [
        {"cron": "*/7 * * * *"}, {"cron": "30 1,2,3 * * *"}, {"cron": "0,45 * * * *"}, {"cron": "15 2 * * 0"},
        {"cron": "*/20 1-3 * * *"}, {"every": "17m", "anchor": "2026-01-01T00:07Z"},
        {"rrule": "FREQ=HOURLY;INTERVAL=3", "anchor": "2026-01-01T02:30"},
        {"rrule": "FREQ=MINUTELY;INTERVAL=25", "anchor": "2026-01-01T00:00"},
        {"rrule": "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,30", "anchor": "2026-01-01"},
        {"rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2;BYMINUTE=15", "anchor": "2026-01-01"},
    ]
)  # fmt: skip
CHANGES = st.sampled_from(
    ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2026-06-15"]
)


@given(CONFIGS, st.sampled_from(ZONES), CHANGES, st.integers(300, 9_000), st.integers(0, 48 * 3600))
@settings(max_examples=80, deadline=None)
def test_due_times_are_the_same_whatever_the_steps_of_the_clock(
    config: dict[str, Any], where: str, day: str, step: int, offset: int
) -> None:
    """Asked step by step, as a scheduler asks, or all at once; each later than the one before, and none in a gap."""
    calendar = read(config | {"timezone": where}, NOW)
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=24) + timedelta(seconds=offset)
    end = start + timedelta(hours=24)
    at_once = list(itertools.takewhile(lambda one: one <= end, calendar.after(start)))
    stepped, now, coming = [], start, calendar.next_after(start)
    while now < end:
        now = min(now + timedelta(seconds=step), end)
        while coming is not None and coming <= now:
            stepped.append(coming)
            coming = calendar.next_after(coming)
    assert stepped == at_once
    assert coming == calendar.next_after(end)
    assert all(a < b for a, b in itertools.pairwise(at_once))
    for one in at_once:
        wall = on_the_wall(one, calendar.zone)
        assert one in moments_of(wall, calendar.zone)


@given(CONFIGS, st.sampled_from(ZONES), CHANGES, st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_the_latest_due_times_are_the_end_of_all(config: dict[str, Any], where: str, day: str, most: int) -> None:
    calendar = read(config | {"timezone": where}, NOW)
    until = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=5)
    after = until - timedelta(days=3)
    everything = list(itertools.takewhile(lambda one: one <= until, calendar.after(after)))
    past = calendar.latest(after, until, most)
    assert list(past.times) == everything[-most:]
    assert past.whole <= (len(everything) <= most)


@given(
    st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"]), st.integers(1, 9),
    st.sampled_from(["", ";BYDAY=MO,WE", ";BYMONTHDAY=1,15,-1", ";BYMONTH=2,7", ";BYHOUR=3,9;BYMINUTE=30", ";WKST=SU"]),
    st.integers(0, 900),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_rule_is_dateutils_from_wherever_one_asks(freq: str, interval: int, more: str, days: int) -> None:
    """The search begins near what is asked, not at the rule's beginning: the pattern must not shift."""
    anchor = datetime(2024, 1, 3, 9, 30)  # noqa: DTZ001  on the wall
    rule = f"FREQ={freq};INTERVAL={interval}{more}"
    try:
        oracle = rrule.rrulestr(rule, dtstart=anchor)
    except ValueError:
        return
    start = anchor + timedelta(days=days)
    expected = list(itertools.islice(oracle.xafter(start), 5))
    calendar = read({"rrule": rule, "anchor": anchor.isoformat()}, NOW)
    found = calendar.upcoming(start.replace(tzinfo=UTC), 5)
    assert [one.replace(tzinfo=None) for one in found] == expected


@pytest.mark.parametrize("most", [1, 1_000])
@pytest.mark.parametrize(
    "config", [{"rrule": "FREQ=MINUTELY;BYMONTH=1;BYSECOND=0", "anchor": "2026-01-01"}, {"cron": "* * * 1 *"}],
    ids=["rrule", "cron"],
)  # fmt: skip
def test_what_was_dense_long_ago_is_looked_at_from_its_end_too(config: dict[str, Any], most: int) -> None:
    """The first look finds nothing, the next one far too much: the newest lie between."""
    calendar = read(config, NOW)
    past = calendar.latest(datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC), most)
    newest = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
    assert list(past.times) == [newest - timedelta(minutes=back) for back in range(most - 1, -1, -1)]
    assert not past.whole


def test_a_whole_day_that_never_was() -> None:
    """Samoa went to bed on 29 December 2011 and woke on the 31st."""
    apia = zone("Pacific/Apia")
    skipped = datetime(2011, 12, 30, 12, 0)  # noqa: DTZ001  on the wall
    assert moments_of(skipped, apia) == []
    assert on_the_wall(moment_of(skipped, apia), apia) == datetime(2011, 12, 31, 0, 0)  # noqa: DTZ001  on the wall
    due_times = read({"cron": "0 12 * * *", "timezone": "Pacific/Apia"}, NOW).upcoming(
        datetime(2011, 12, 28, 22, 30, tzinfo=UTC), 4
    )
    assert all(a < b for a, b in itertools.pairwise(due_times))


def test_looking_back_over_years_costs_little() -> None:
    calendar = read({"cron": "* * * * *"}, NOW)
    began = time.process_time()
    past = calendar.latest(NOW - timedelta(days=3_650), NOW, 1_000)
    assert (len(past.times), past.whole, past.times[-1]) == (1_000, False, NOW)
    sparse = read({"cron": "* * * 1 *"}, NOW).latest(NOW - timedelta(days=3_650), NOW, 1_000)
    assert len(sparse.times) == 1_000 or not sparse.whole
    assert time.process_time() - began < 5

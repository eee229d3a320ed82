"""A schedule, ready to be asked when it is due. All moments that go in and come out are in UTC."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from weft.domain.workflows.schedules.cron import Cron
from weft.domain.workflows.schedules.interval import Interval
from weft.domain.workflows.schedules.problems import ScheduleUnclear, SearchStopped
from weft.domain.workflows.schedules.recurrence import Recurrence
from weft.domain.workflows.schedules.wording import sentence_of
from weft.domain.workflows.schedules.zones import moment_of, zone

WAYS: Final = ("cron", "every", "rrule")
YEARS: Final = range(1970, 2201)
"""In which times of schedules, and questions about them, may lie."""
MOST_LOOKED_AT: Final = 5_000
"""Due times that one search backwards may pass over."""


class Way(Protocol):
    """One of the three ways to say when."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Due times strictly after `moment`, each later than the one before; the same from wherever one asks.

        They end when there are no others. Raises `SearchStopped` when one search has gone as far as it may.
        """
        ...


@dataclass(frozen=True, slots=True)
class Past:
    """Due times of a period, in order: the newest of them. `whole`: there were no others before these."""

    times: tuple[datetime, ...]
    whole: bool


@dataclass(frozen=True)
class Calendar:
    way: Way
    zone: ZoneInfo
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Due times strictly after `moment`, in order; without end unless the schedule ends."""
        if self.starts_at is not None and moment < self.starts_at:
            moment = self.starts_at - timedelta(microseconds=1)
        for due in self.way.after(moment):
            if self.ends_at is not None and due > self.ends_at:
                return
            yield due

    def next_after(self, moment: datetime) -> datetime | None:
        """The first due time strictly after `moment`, whatever was asked before; None when there is no other."""
        return next(iter(self.upcoming(moment, 1)), None)

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        """The first due times after `moment`; fewer when there are no others, or when they lie too far apart."""
        found: list[datetime] = []
        with suppress(SearchStopped):
            for due in islice(self.after(moment), count):
                found.append(due)  # noqa: PERF402  what was found before the search stopped is kept
        return found

    def latest(self, after: datetime, until: datetime, most: int) -> Past:
        """The newest due times in `(after, until]`, at most `most`, without walking through all of a long time.

        It looks back further and further, so its work follows what it returns, not how long nobody looked. Where that
        takes it too far, it goes back half the way until it has enough.
        """
        enough: tuple[datetime, ...] = ()
        short, span, too_long = timedelta(0), timedelta(hours=1), None
        while too_long is None or too_long - short > timedelta(seconds=1):
            begin = max(after, until - span)
            found = self._newest(begin, until, most)
            if found is None:
                too_long = span
            else:
                enough, count = found
                if begin == after or count >= most:
                    return Past(enough, whole=begin == after and count <= most)
                short = span
            span = span * 8 if too_long is None else short + (too_long - short) / 2
        return Past(enough, whole=False)

    def _newest(self, after: datetime, until: datetime, most: int) -> tuple[tuple[datetime, ...], int] | None:
        """The newest due times in `(after, until]`, and how many there are; None when there are too many to look at."""
        kept: deque[datetime] = deque(maxlen=most)
        count = 0
        try:
            for due in self.after(after):
                if due > until:
                    break
                if count >= MOST_LOOKED_AT:
                    return None
                kept.append(due)
                count += 1
        except SearchStopped:
            return None
        return tuple(kept), count

    @cached_property
    def sentence(self) -> str:
        """The schedule in plain words."""
        return sentence_of(self.way, self.zone.key, self.starts_at, self.ends_at, self.zone)


def read(config: Mapping[str, Any], now: datetime) -> Calendar:
    """The calendar of a trigger's config. Without `anchor` and `starts_at`, intervals and rules begin `now`.

    Raises `ScheduleUnclear`. A schedule that is not due any more is a calendar all the same: see `require_due`.
    """
    named = [way for way in WAYS if config.get(way) is not None]
    if len(named) != 1:
        said = "none" if not named else " and ".join(f"`{way}`" for way in named)
        field = named[-1] if named else "cron"
        raise ScheduleUnclear(field, f"Give one of `cron`, `every` and `rrule`; given: {said}.")
    where = zone(str(config.get("timezone") or "UTC"))
    starts_at, ends_at = (_moment(config, name, where) for name in ("starts_at", "ends_at"))
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        raise ScheduleUnclear("ends_at", "`ends_at` is before `starts_at`.")
    if config.get("anchor") is not None and named[0] == "cron":
        raise ScheduleUnclear("anchor", "`anchor` is for `every` and `rrule`; cron counts from nothing.")
    begin = anchor_of(config, now)
    way: Way
    match named[0]:
        case "cron":
            way = Cron(str(config["cron"]), where)
        case "every":
            way = Interval(config["every"], begin)
        case _:
            way = Recurrence(str(config["rrule"]), where, begin)
    return Calendar(way, where, starts_at, ends_at)


def require_due(calendar: Calendar, now: datetime, way: str) -> datetime:
    """The next due time; raises `ScheduleUnclear` when there will never be one."""
    due = calendar.next_after(now)
    if due is None:
        raise ScheduleUnclear(way, "This schedule is never due from now on. Check its dates, its rule and its end.")
    return due


def anchor_of(config: Mapping[str, Any], now: datetime) -> datetime:
    """From where intervals and rules count. A rule takes its time of day from there: a whole minute reads better."""
    where = zone(str(config.get("timezone") or "UTC"))
    given = _moment(config, "anchor", where) or _moment(config, "starts_at", where)
    default = now.replace(second=0) if config.get("rrule") is not None else now
    return (given or default).astimezone(UTC).replace(microsecond=0)


def _moment(config: Mapping[str, Any], name: str, where: ZoneInfo) -> datetime | None:
    """A time as it was given; without a zone of its own it is one of the schedule's zone."""
    value = config.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ScheduleUnclear(name, f"`{name}` must be a time in ISO 8601, such as `2026-03-01T09:00`.") from error
    if value.year not in YEARS:
        raise ScheduleUnclear(name, f"`{name}` must be in the years {YEARS.start} to {YEARS.stop - 1}.")
    moment: datetime = value.astimezone(UTC) if value.tzinfo is not None else moment_of(value, where)
    return moment

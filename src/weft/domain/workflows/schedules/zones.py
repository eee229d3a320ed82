"""Time zones by their IANA names, and what the change of the clock does to a time on the wall.

A time that the change skips (02:30 in spring) is taken at the first moment after the gap; a time that there is twice
(01:30 in autumn) is taken the first time only. So does Debian's cron.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from weft.domain.workflows.schedules.problems import ScheduleUnclear

_MINUTE: Final = timedelta(minutes=1)


@cache
def _names() -> dict[str, str]:
    """Names by their lower case. The list is part of the installation and never changes while it runs."""
    return {name.lower(): name for name in available_timezones()}


def zone(name: str) -> ZoneInfo:
    """The zone of that name; raises `ScheduleUnclear` with names that are near."""
    known = _names()
    if known.get(name.lower()) == name:
        return ZoneInfo(name)
    near = _near(name, known)
    hint = f"Did you mean {' or '.join(f'`{one}`' for one in near)}?" if near else "Examples: `Europe/Berlin`, `UTC`."
    raise ScheduleUnclear("timezone", f"There is no time zone '{name[:60]}'. {hint}")


def _near(name: str, known: dict[str, str]) -> list[str]:
    wanted = name.lower().strip().replace(" ", "_")
    if wanted in known:
        return [known[wanted]]
    cities = {key.rpartition("/")[2]: full for key, full in sorted(known.items(), reverse=True)}
    city = wanted.rpartition("/")[2]
    if city in cities:
        return [cities[city]]
    found = [known[key] for key in difflib.get_close_matches(wanted, known, n=2, cutoff=0.7)]
    found += [cities[key] for key in difflib.get_close_matches(city, cities, n=1, cutoff=0.7)]
    return list(dict.fromkeys(found))[:3]


def on_the_wall(moment: datetime, where: ZoneInfo) -> datetime:
    """What a clock in the zone shows, without a zone."""
    return moment.astimezone(where).replace(tzinfo=None, fold=0)


def moment_of(wall: datetime, where: ZoneInfo) -> datetime:
    """The moment, in UTC, at which a clock in the zone shows this; after the gap if it never does."""
    moment = wall.replace(tzinfo=where, fold=0).astimezone(UTC)
    if on_the_wall(moment, where) == wall:
        return moment
    # In a gap. Both readings of such a time are off by the gap's length, on either side of it: the change is between.
    before, after = sorted((moment, wall.replace(tzinfo=where, fold=1).astimezone(UTC)))
    before, offset = before.replace(second=0, microsecond=0), after.astimezone(where).utcoffset()
    while before < after and before.astimezone(where).utcoffset() != offset:
        before += _MINUTE
    return before


def moments_of(wall: datetime, where: ZoneInfo) -> list[datetime]:
    """Every moment at which a clock in the zone shows this: none in a gap, two where the clock is put back."""
    found = (wall.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1))
    return sorted({moment for moment in found if on_the_wall(moment, where) == wall})

"""Which base backup and which WAL lead to a moment, what can be reached at all, and what may be deleted.

Pure: everything here is a function of lists that somebody read. A base leads to any moment from its own end to the
end of the WAL that follows it on its timeline without a hole. Timelines are not crossed: when a server goes on after
a recovery or a failover, the archiver makes a base on the new one at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from weft.ops.recovery.errors import BaseDamaged, BaseNotFound, MomentOutside, NoBases, PointNotArrived, SegmentMissing
from weft.ops.recovery.segments import SEGMENT_BYTES, Segment


@dataclass(frozen=True, slots=True)
class Base:
    """One base backup, as its manifest on the target says."""

    id: str
    parent: str | None
    system: str
    timeline: int
    start_lsn: int
    end_lsn: int
    started_at: datetime
    ended_at: datetime
    major: int
    segment_bytes: int
    bytes: int
    """What it takes unpacked."""
    sealed_bytes: int
    sha256: str
    """Of the sealed archive."""
    embedded: bool

    @property
    def first(self) -> Segment:
        """The oldest segment that this base needs."""
        return Segment.at(self.timeline, self.start_lsn, self.segment_bytes)

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self)
        return facts | {"started_at": self.started_at.isoformat(), "ended_at": self.ended_at.isoformat()}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        values: dict[str, Any] = {name: facts[name] for name in cls.__dataclass_fields__}
        for name in ("started_at", "ended_at"):
            values[name] = datetime.fromisoformat(values[name])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Point:
    """A restore point that `weft db wal point` made: where it lies in the log, and when it was."""

    name: str
    at: datetime
    timeline: int
    position: int


@dataclass(frozen=True, slots=True)
class Archived:
    """What the target holds of the WAL.

    `shipped` says when each segment arrived; of those that none follows it says what moment the archive is complete to
    with them.
    """

    shipped: Mapping[Segment, datetime] = field(default_factory=dict)
    partial: Segment | None = None
    """The segment being written when the archiver last looked: its beginning is there."""
    complete_to: datetime | None = None
    """Everything committed before this moment is in the archive, unless a segment is missing."""
    timeline: int | None = None
    """The one that was written then."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one base leads to."""

    base: Base
    last: Segment
    """The last segment without a hole; it may be the unfinished one."""
    until: datetime
    gap: Segment | None
    """The segment that is missing, when there is WAL after it."""

    @property
    def window(self) -> tuple[datetime, datetime]:
        return self.base.ended_at, self.until


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore will do."""

    chain: tuple[Base, ...]
    """The full base first, then each incremental one."""
    reach: Reach

    @property
    def base(self) -> Base:
        return self.chain[-1]

    @property
    def segments(self) -> range:
        return range(self.base.first.number, self.reach.last.number + 1)

    @property
    def bytes(self) -> int:
        """Room that the new directory needs: what is unpacked, and for increments what is made of them."""
        unpacked = sum(base.bytes for base in self.chain)
        return unpacked + (max(base.bytes for base in self.chain) if len(self.chain) > 1 else 0)


def reach(base: Base, archived: Archived) -> Reach:
    """How far the WAL behind a base goes."""
    held = base.first
    shipped = archived.shipped
    if held not in shipped and held != archived.partial:
        # The base carries the WAL that it needs itself, so it can always be restored to its own end.
        held = Segment.at(base.timeline, max(base.start_lsn, base.end_lsn - 1), base.segment_bytes)
    until = base.ended_at
    while held.next() in shipped:
        held = held.next()
    if held in shipped:
        until = max(until, shipped[held])
    newest = _newest(base.timeline, archived)
    if archived.partial is not None and archived.partial in (held, held.next()):
        held = archived.partial
    if newest is None or held >= newest:
        if archived.complete_to is not None and archived.timeline == base.timeline and newest is not None:
            until = max(until, archived.complete_to)
        return Reach(base, held, until, None)
    return Reach(base, held, until, held.next())


def choose(bases: Sequence[Base], archived: Archived, moment: datetime | None, *, only: str | None = None) -> Plan:
    """The newest base that leads to `moment` (None: as far as possible). Raises with what can be reached instead."""
    if not bases:
        raise NoBases("the target")
    newest_first = sorted(bases, key=lambda base: base.ended_at, reverse=True)
    if only is not None:
        newest_first = [base for base in newest_first if base.id == only]
        if not newest_first:
            raise BaseNotFound(only)
    reaches = [reach(base, archived) for base in newest_first]
    if moment is None:
        found: Reach | None = reaches[0]
    else:
        found = next((one for one in reaches if one.window[0] <= moment <= one.window[1]), None)
        if found is None:
            _explain(moment, reaches)
    assert found is not None  # noqa: S101 - for the type checker: explaining raises
    if moment is None and found.gap is not None:
        raise SegmentMissing(found.gap.name(found.base.segment_bytes), found.until)
    return Plan(chain(bases, found.base), found)


def choose_for_point(bases: Sequence[Base], archived: Archived, point: Point, arrived: int | None) -> Plan:
    """The newest base before a point. `arrived`: up to where the newest segment is there, None where nobody knows."""
    before = [one for one in bases if one.timeline == point.timeline and one.end_lsn <= point.position]
    if not before:
        raise MomentOutside(point.at, _joined(reach(one, archived).window for one in bases))
    found = reach(max(before, key=lambda one: one.ended_at), archived)
    wanted = Segment.at(point.timeline, max(point.position - 1, 0), found.base.segment_bytes)
    if found.last < wanted:
        if found.gap is not None:
            raise SegmentMissing(found.gap.name(found.base.segment_bytes), found.until)
        raise PointNotArrived(point.name)
    if found.last == wanted == archived.partial and arrived is not None and arrived < point.position:
        raise PointNotArrived(point.name)
    return Plan(chain(bases, found.base), found)


def chain(bases: Iterable[Base], base: Base) -> tuple[Base, ...]:
    """A base with those that it builds on, the full one first."""
    by_id = {one.id: one for one in bases}
    links = [base]
    while (parent := links[-1].parent) is not None:
        if parent not in by_id or len(links) > len(by_id):
            raise BaseDamaged(base.id, f"it builds on {parent}, which is not there")
        links.append(by_id[parent])
    return tuple(reversed(links))


def windows(bases: Sequence[Base], archived: Archived) -> list[tuple[datetime, datetime]]:
    """The spans of time that can be reached, oldest first, joined where they touch."""
    return _joined(reach(base, archived).window for base in bases)


def _joined(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


@dataclass(frozen=True, slots=True)
class Expendable:
    """What nobody needs any more."""

    bases: tuple[Base, ...]
    segments: tuple[Segment, ...]


def expendable(
    bases: Sequence[Base], shipped: Iterable[Segment], now: datetime, *, keep: timedelta, at_least: int
) -> Expendable:
    """What may be deleted so that every moment of the last `keep` stays within reach, and `at_least` full bases stay.

    WAL that a kept base needs is never among it, nor a base that a kept one builds on. Without any base nothing is.
    """
    kept: set[str] = set()
    fulls = sorted((base for base in bases if base.parent is None), key=lambda base: base.ended_at, reverse=True)
    kept.update(base.id for base in fulls[:at_least])
    oldest_wanted = now - keep
    before = [base for base in bases if base.ended_at <= oldest_wanted]
    if before:  # the one from which the oldest wanted moment is reached
        kept.add(max(before, key=lambda base: base.ended_at).id)
    kept.update(base.id for base in bases if base.ended_at > oldest_wanted)
    for base in [base for base in bases if base.id in kept]:
        parent = base.parent
        while parent is not None and (found := next((one for one in bases if one.id == parent), None)) is not None:
            kept.add(found.id)
            parent = found.parent
    staying = [base for base in bases if base.id in kept]
    if not staying:
        return Expendable((), ())
    needed: dict[int, int] = {}
    for base in staying:
        needed[base.timeline] = min(needed.get(base.timeline, base.first.number), base.first.number)
    oldest_timeline = min(needed)
    gone = [
        segment
        for segment in shipped
        if segment.timeline < oldest_timeline
        or (segment.timeline in needed and segment.number < needed[segment.timeline])
    ]
    return Expendable(tuple(base for base in bases if base.id not in kept), tuple(sorted(gone)))


def _newest(timeline: int, archived: Archived) -> Segment | None:
    held = [segment for segment in archived.shipped if segment.timeline == timeline]
    if archived.partial is not None and archived.partial.timeline == timeline:
        held.append(archived.partial)
    return max(held, default=None)


def _explain(moment: datetime, reaches: Sequence[Reach]) -> None:
    """Why a moment cannot be reached: a hole in the WAL, or it lies outside."""
    for one in reaches:
        if one.gap is not None and one.window[0] <= moment:
            raise SegmentMissing(one.gap.name(one.base.segment_bytes), one.until)
    raise MomentOutside(moment, _joined(one.window for one in reaches))


__all__ = [
    "SEGMENT_BYTES", "Archived", "Base", "Expendable", "Plan", "Reach",
    "chain", "choose", "expendable", "reach", "windows",
]  # fmt: skip
